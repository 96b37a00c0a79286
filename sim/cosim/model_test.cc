// Run-time compilation of small Verilog written by hand; the oracle is the same function in C++.
#include "sim/cosim/model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <map>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "sim/cosim/tool.h"

namespace blockdot::sim {
namespace {

/// Accumulates a_i when valid_i; the first and last byte of a wide port; a wide output.
const ModelSource kAccumulate{
    R"(`default_nettype none
module acc (input wire clk_i, input wire rst_ni, input wire valid_i, input wire [99:0] wide_i,
            input wire [39:0] a_i, output wire [7:0] ends_o, output reg [39:0] sum_o,
            output wire [99:0] not_o);
  assign ends_o = wide_i[7:0] ^ wide_i[99:92];
  assign not_o = ~wide_i;
  always @(posedge clk_i) if (!rst_ni) sum_o <= 40'd0; else if (valid_i) sum_o <= sum_o + a_i;
endmodule
)",
    "acc",
    {{"clk_i", true, 1},
     {"rst_ni", true, 1},
     {"valid_i", true, 1},
     {"wide_i", true, 100},
     {"a_i", true, 40},
     {"ends_o", false, 8},
     {"sum_o", false, 40},
     {"not_o", false, 100}}};

/// Tests share one cache, so that Verilator's runtime is compiled once.
const std::filesystem::path kCache = BLOCKDOT_BINARY_DIR "/test-cache";

/// The accumulator under a text that no cache has seen; its entry goes away with it.
class FreshSource {
 public:
  FreshSource() : source_(kAccumulate) {
    source_.verilog += fmt::format("// {} {}\n", ::getpid(), std::random_device()());
  }
  ~FreshSource() { std::filesystem::remove(Model::load(source_, kCache).file()); }
  const ModelSource& get() const { return source_; }

 private:
  ModelSource source_;
};

/// Runs random cycles and compares with C++; values checked.
int check_accumulate(const Model& model, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Model::Instance instance(model);
  auto rst = model.input("rst_ni"), valid = model.input("valid_i"), wide = model.input("wide_i"),
       a = model.input("a_i");
  auto ends = model.output("ends_o"), sum = model.output("sum_o"), inverse = model.output("not_o");
  constexpr int kCycles = 1000;
  std::vector<std::uint8_t> in(kCycles * model.input_bytes()), out(kCycles * model.output_bytes());
  std::vector<std::array<std::uint64_t, 2>> sent(kCycles);
  std::vector<std::uint64_t> want(kCycles);
  std::uint64_t state = 0;
  for (std::size_t c = 0; c < kCycles; ++c) {
    std::uint8_t* record = in.data() + c * model.input_bytes();
    bool reset = c == 0, take = random() % 2;
    std::uint64_t add = random() & 0xFFFFFFFFFF;
    sent[c] = {random(), random() & ((std::uint64_t{1} << 36) - 1)};
    set_field(record, rst, !reset);
    set_field(record, valid, take);
    set_field(record, a, add);
    put_bits(record, wide, 0, 64, sent[c][0]);
    put_bits(record, wide, 64, 36, sent[c][1]);
    want[c] = state;
    state = reset ? 0 : take ? (state + add) & 0xFFFFFFFFFF : state;
  }
  instance.run(kCycles, in.data(), out.data());
  int checked = 0;
  for (std::size_t c = 1; c < kCycles; ++c, ++checked) {
    const std::uint8_t* record = out.data() + c * model.output_bytes();
    EXPECT_EQ(get_bits(record, sum, 0, 40), want[c]) << c;
    EXPECT_EQ(get_bits(record, ends, 0, 8), (sent[c][0] & 255) ^ (sent[c][1] >> 28)) << c;
    EXPECT_EQ(get_bits(record, inverse, 0, 64), ~sent[c][0]);
    EXPECT_EQ(get_bits(record, inverse, 64, 36), ~sent[c][1] & ((std::uint64_t{1} << 36) - 1));
  }
  return checked;
}

TEST(Model, DrivesNarrowAndWidePortsCycleByCycle) {
  EXPECT_EQ(check_accumulate(Model::load(kAccumulate, kCache), 1), 999);
}

TEST(Model, InstancesAreIndependent) {
  Model model = Model::load(kAccumulate, kCache);
  Model::Instance x(model), y(model);
  std::vector<std::uint8_t> in(model.input_bytes()), out(model.output_bytes());
  set_field(in.data(), model.input("rst_ni"), 1);
  set_field(in.data(), model.input("valid_i"), 1);
  set_field(in.data(), model.input("a_i"), 5);
  x.run(1, in.data(), out.data());
  x.run(1, in.data(), out.data());
  EXPECT_EQ(get_bits(out.data(), model.output("sum_o"), 0, 40), 5u);
  y.settle(in.data(), out.data());
  EXPECT_EQ(get_bits(out.data(), model.output("sum_o"), 0, 40), 0u);
}

TEST(Model, RunsCombinationalModules) {
  ModelSource source{
      "module x (input wire [7:0] a_i, output wire [7:0] y_o); assign y_o = ~a_i; "
      "endmodule\n",
      "x",
      {{"a_i", true, 8}, {"y_o", false, 8}}};
  Model model = Model::load(source, kCache);
  Model::Instance instance(model);
  std::vector<std::uint8_t> in(256 * model.input_bytes()), out(256 * model.output_bytes());
  for (std::size_t a = 0; a < 256; ++a)
    set_field(in.data() + a * model.input_bytes(), model.input("a_i"), a);
  instance.run(256, in.data(), out.data());
  for (std::size_t a = 0; a < 256; ++a)
    EXPECT_EQ(get_bits(out.data() + a * model.output_bytes(), model.output("y_o"), 0, 8), 255 - a);
}

TEST(ModelCache, ASecondLoadDoesNotCompile) {
  FreshSource source;
  EXPECT_TRUE(Model::load(source.get(), kCache).compiled());
  EXPECT_FALSE(Model::load(source.get(), kCache).compiled());
}

// Each field of the sources and of what compiles them, changed alone.
TEST(ModelCache, WhateverGoesIntoAModelGoesIntoItsKey) {
  const Toolchain tools{"Verilator 5.006", "g++ 12.2.0", "-O3 -march=native", "Zen 4: avx2"};
  std::map<std::string, std::string> changes;  // key -> what was changed
  const auto add = [&](const std::string& what, const ModelSource& source, const Toolchain& with) {
    const auto [at, fresh] = changes.emplace(model_key(source, with), what);
    EXPECT_TRUE(fresh) << what << " has the key of " << at->second;
  };
  add("nothing", kAccumulate, tools);
  for (std::string Toolchain::*field :
       {&Toolchain::verilator, &Toolchain::compiler, &Toolchain::flags, &Toolchain::cpu}) {
    Toolchain other = tools;
    other.*field += "x";
    add("what compiles it: " + other.*field, kAccumulate, other);
  }
  // A text that moves over a border between two fields.
  add("a border", kAccumulate, {"Verilator 5.006g", "++ 12.2.0", tools.flags, tools.cpu});
  const auto change = [&](const std::string& what, auto edit) {
    ModelSource other = kAccumulate;
    edit(other);
    add(what, other, tools);
  };
  change("the Verilog", [](ModelSource& s) { s.verilog += " "; });
  change("the top", [](ModelSource& s) { s.top = "acc2"; });
  change("the bytes of a port", [](ModelSource& s) { s.ports[3].width = 64; });
  change("the clock", [](ModelSource& s) { s.clock = "valid_i"; });
  change("quick", [](ModelSource& s) { s.quick = true; });
  change("registered", [](ModelSource& s) { s.registered = true; });
  change("VCD", [](ModelSource& s) { s.wave = WaveFormat::kVcd; });
  change("FST", [](ModelSource& s) { s.wave = WaveFormat::kFst; });
  EXPECT_EQ(changes.size(), 14u);
  EXPECT_EQ(changes.count(model_key(kAccumulate, tools)), 1u);  // the same again
}

// Oracle: the tools and the kernel themselves.
TEST(ModelCache, KnowsTheToolsAndTheProcessor) {
  EXPECT_EQ(toolchain().verilator, require_tool({"verilator", "--version"}, "/"));
  EXPECT_EQ(toolchain().compiler, require_tool({"g++", "--version"}, "/"));
  EXPECT_NE(toolchain().flags.find("-march=native"), std::string::npos);
  EXPECT_NE(toolchain().flags.find("--x-assign"), std::string::npos);
  const std::string cpu = require_tool({"grep", "-m1", "^flags", "/proc/cpuinfo"}, "/");
  EXPECT_NE(toolchain().cpu.find(cpu), std::string::npos);
  FreshSource source;
  EXPECT_EQ(Model::load(source.get(), kCache).file().filename(),
            "model-" + model_key(source.get(), toolchain()) + ".so");
}

TEST(ModelCache, BuildsADamagedEntryAgain) {
  FreshSource source;
  std::filesystem::path file = Model::load(source.get(), kCache).file();
  std::string good = read_file(file);
  std::string flipped = good;
  flipped[good.size() / 2] ^= 1;
  for (const std::string& bad : {flipped, good.substr(0, good.size() / 2), std::string()}) {
    write_file_atomic(file, bad);
    Model model = Model::load(source.get(), kCache);
    EXPECT_TRUE(model.compiled());
    EXPECT_EQ(check_accumulate(model, 2), 999);
  }
  EXPECT_EQ(read_file(file), good);  // the same input gives the same bytes, wherever it is built
}

TEST(ModelCache, AModelWithWavesHasAnEntryOfItsOwn) {
  FreshSource plain;
  ModelSource source = plain.get();
  const std::filesystem::path file = Model::load(source, kCache).file();
  source.wave = WaveFormat::kVcd;
  const Model model = Model::load(source, kCache);
  EXPECT_TRUE(model.compiled());
  EXPECT_NE(model.file(), file);
  EXPECT_EQ(check_accumulate(model, 4), 999);
  std::filesystem::remove(model.file());
}

TEST(ModelCache, ServesTwoProcessesAtOnce) {
  TemporaryFolder cache;  // empty: both have to build runtime and model
  std::vector<pid_t> children;
  for (int i = 0; i < 2; ++i) {
    pid_t child = ::fork();
    if (child == 0) {
      int checked = 0;
      try {
        checked = check_accumulate(Model::load(kAccumulate, cache.path()), 3);
      } catch (...) {
      }
      ::_exit(checked == 999 && !::testing::Test::HasFailure() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_FALSE(Model::load(kAccumulate, cache.path()).compiled());
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(cache.path())) {
    EXPECT_TRUE(entry.is_regular_file()) << entry.path() << " is left over";
    ++files;
  }
  EXPECT_EQ(files, 2);
}

TEST(ModelErrors, ShowVerilatorsLastLines) {
  ModelSource bad = kAccumulate;
  bad.verilog = "module acc (input wire clk_i; endmodule\n";
  try {
    Model::load(bad, kCache);
    FAIL();
  } catch (const ConfigError& error) {
    std::string text = error.what();
    EXPECT_NE(text.find("verilator failed"), std::string::npos) << text;
    EXPECT_NE(text.find("unit.v:1"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

TEST(ModelErrors, NameTheDebianPackageOfAMissingTool) {
  const char* found = std::getenv("PATH");
  ASSERT_NE(found, nullptr);
  const std::string path = found;
  TemporaryFolder empty;
  ::setenv("PATH", empty.path().c_str(), 1);
  for (const char* tool : {"verilator", "g++", "iverilog"}) try {
      find_tool(tool);
      ADD_FAILURE() << tool;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(std::string("apt-get install ") + tool),
                std::string::npos);
    }
  ::setenv("PATH", path.c_str(), 1);
}

TEST(ModelErrors, SayThatTheCacheCannotBeWritten) {
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "file", "");
  try {
    Model::load(kAccumulate, folder.path() / "file" / "cache");
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_TRUE(text.starts_with("the cache of compiled units cannot be written: ")) << text;
    EXPECT_NE(text.find("set BLOCKDOT_CACHE"), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    EXPECT_EQ(entry.path().filename(), "file");  // nothing half-written
}

/// Words around the limits of the ways in which wide_words.h takes them.
constexpr int kWideWidths[] = {65,  66,  96,  97,  127, 128, 129, 142,
                               160, 192, 300, 512, 577, 640, 641};

// Oracle: the operation bit by bit.
TEST(Model, WideWordsAddSubtractNegateAndShiftAsBitsDo) {
  ModelSource source{"", "wide", {{"by_i", true, 10}}};
  std::string ports = "input wire [9:0] by_i", body;
  for (const int width : kWideWidths) {
    const auto port = [&](const char* name, bool is_input) {
      source.ports.push_back(
          {fmt::format("{}{}_{}", name, width, is_input ? "i" : "o"), is_input, width});
      ports += fmt::format(", {} wire [{}:0] {}", is_input ? "input" : "output", width - 1,
                           source.ports.back().name);
    };
    port("x", true);
    port("y", true);
    for (const auto& [name, text] : {std::pair{"add", "x{0}_i + y{0}_i"},
                                     {"sub", "x{0}_i - y{0}_i"},
                                     {"neg", "-x{0}_i"},
                                     {"shl", "x{0}_i << by_i"},
                                     {"shr", "x{0}_i >> by_i"}}) {
      port(name, false);
      body += fmt::format("  assign {} = {};\n", source.ports.back().name,
                          fmt::format(fmt::runtime(text), width));
    }
  }
  source.verilog = fmt::format("module wide ({});\n{}endmodule\n", ports, body);
  const Model model = Model::load(source, kCache);
  Model::Instance instance(model);
  std::mt19937_64 random(3);
  using Bits = std::vector<bool>;
  const auto sum = [](const Bits& x, const Bits& y, bool carry) {
    Bits out;
    for (std::size_t i = 0; i < x.size(); ++i) {
      out.push_back(x[i] ^ y[i] ^ carry);
      carry = (x[i] && y[i]) || (carry && (x[i] || y[i]));
    }
    return out;
  };
  const auto inverse = [](Bits x) {
    x.flip();
    return x;
  };
  int checked = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint8_t> in(model.input_bytes(), 0), out(model.output_bytes());
    const int near =
        kWideWidths[random() % std::size(kWideWidths)] + static_cast<int>(random() % 5) - 2;
    const int by = round % 3 == 0 ? near : static_cast<int>(random() % (round % 2 ? 1024 : 130));
    set_field(in.data(), model.input("by_i"), static_cast<std::uint64_t>(by));
    std::map<int, std::array<Bits, 2>> operands;
    for (const int width : kWideWidths)
      for (const int which : {0, 1}) {
        const ModelField field = model.input(fmt::format("{}{}_i", which == 0 ? "x" : "y", width));
        const auto kind = random() % 4;  // zeros and ones make the longest carries
        for (int i = 0; i < width; ++i) {
          const bool bit = kind < 2 ? kind == 1 : random() % 2;
          operands[width][static_cast<std::size_t>(which)].push_back(bit);
          put_bits(in.data(), field, i, 1, bit);
        }
      }
    instance.settle(in.data(), out.data());
    for (const int width : kWideWidths) {
      const auto& [x, y] = operands[width];
      const Bits zero(static_cast<std::size_t>(width));
      Bits left = zero, right = zero;
      for (int i = 0; i + by < width; ++i) {
        left[static_cast<std::size_t>(i + by)] = x[static_cast<std::size_t>(i)];
        right[static_cast<std::size_t>(i)] = x[static_cast<std::size_t>(i + by)];
      }
      for (const auto& [name, want] : {std::pair<const char*, Bits>{"add", sum(x, y, false)},
                                       {"sub", sum(x, inverse(y), true)},
                                       {"neg", sum(inverse(x), zero, true)},
                                       {"shl", left},
                                       {"shr", right}}) {
        const ModelField field = model.output(fmt::format("{}{}_o", name, width));
        Bits got;
        for (int i = 0; i < width; ++i) got.push_back(get_bits(out.data(), field, i, 1) != 0);
        ASSERT_EQ(got, want) << name << " of " << width << " bits by " << by;
        ++checked;
      }
    }
  }
  EXPECT_EQ(checked, 2000 * 5 * static_cast<int>(std::size(kWideWidths)));
}

TEST(Model, RowsOfValuesLieSideBySide) {
  for (int width = 1; width <= 32; ++width) {
    std::mt19937 random(static_cast<unsigned>(width));
    std::vector<std::uint32_t> values(13);
    for (std::uint32_t& value : values) value = random() & (0xFFFFFFFFu >> (32 - width));
    const ModelField field{2, 56, 13 * width};
    std::vector<std::uint8_t> row(64), want(64);
    put_row(row.data(), field, width, values);
    for (int j = 0; j < 13; ++j)
      put_bits(want.data(), field, j * width, width, values[static_cast<std::size_t>(j)]);
    EXPECT_EQ(row, want) << width;
  }
}

}  // namespace
}  // namespace blockdot::sim
