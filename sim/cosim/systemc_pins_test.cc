// A unit behind SystemC pins (verilator --sc) against the plain C++ model that every other test
// drives: the same records, the same outputs in every cycle.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/lockstep.h"
#include "sim/cosim/tool.h"

namespace blockdot::sim {
namespace {

constexpr int kCycles = 2000;

/// A program that reads a line of numbers a cycle, one an input, and prints the outputs as they are
/// before the clock's rising edge.
std::string driver(const ModelSource& source) {
  std::string signals, bind, drive, show;
  for (const ModelPort& port : source.ports) {
    const char* type = port.width == 1 ? "bool" : port.width <= 32 ? "uint32_t" : "uint64_t";
    signals += fmt::format("  sc_signal<{}> {};\n", type, port.name);
    bind += fmt::format("  unit.{0}({0});\n", port.name);
    if (port.name == source.clock) continue;
    if (port.is_input)
      drive += fmt::format("    std::cin >> value; {}.write(static_cast<{}>(value));\n", port.name,
                           type);
    else
      show += fmt::format("    std::cout << +{}.read() << ' ';\n", port.name);
  }
  return fmt::format(R"(#include "Vunit.h"
#include <iostream>
#include <systemc>
using namespace sc_core;
int sc_main(int, char**) {{
{}  Vunit unit("unit");
{}  for (int i = 0; i < {}; ++i) {{
    unsigned long long value = 0;
{}    clk_i.write(false);
    sc_start(1, SC_NS);
{}    std::cout << '\n';
    clk_i.write(true);
    sc_start(1, SC_NS);
  }}
  return 0;
}}
)",
                     signals, bind, kCycles, drive, show);
}

TEST(SystemcPins, ShowWhatThePlainModelShowsInEveryCycle) {
  const auto spec = formats::parse_dot_spec("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]");
  ModelSource source = model_source(rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {}));
  source.registered = false;  // outputs are looked at with the cycle's inputs in place
  const Model model = Model::load(source, BLOCKDOT_BINARY_DIR "/test-cache");

  // Random bits on every input; reset in the first cycles.
  std::mt19937_64 random(1);
  std::vector<std::uint8_t> in(kCycles * model.input_bytes()), out(kCycles * model.output_bytes());
  std::string lines;
  for (std::size_t i = 0; i < kCycles; ++i) {
    for (const ModelPort& port : source.ports) {
      if (!port.is_input || port.name == source.clock) continue;
      ASSERT_LE(port.width, 64);
      std::uint64_t value = random() >> (64 - port.width);
      if (port.name == "rst_ni") value = i >= 3;
      set_field(in.data() + i * model.input_bytes(), model.input(port.name), value);
      lines += fmt::format("{} ", value);
    }
    lines += "\n";
  }
  Model::Instance(model).run(kCycles, in.data(), out.data());

  TemporaryFolder folder;
  write_file_atomic(folder.path() / "unit.v", source.verilog);
  write_file_atomic(folder.path() / "driver.cc", driver(source));
  write_file_atomic(folder.path() / "input", lines);
  require_tool({"verilator",
                "--sc",
                "--exe",
                "--build",
                "-j",
                "1",
                "-O1",
                "--prefix",
                "Vunit",
                "--x-assign",
                "0",
                "--x-initial",
                "0",
                "-Wno-lint",
                "-Wno-style",
                "-CFLAGS",
                "-O0 -w -std=gnu++17",
                "--top-module",
                source.top,
                "unit.v",
                "driver.cc"},
               folder.path());
  const std::string shown = require_tool({"sh", "-c", "obj_dir/Vunit < input"}, folder.path());

  std::istringstream output(shown.substr(shown.find("ALL RIGHTS RESERVED") + 19));
  int checked = 0, results = 0;
  for (std::size_t i = 0; i < kCycles; ++i)
    for (const ModelPort& port : source.ports) {
      if (port.is_input) continue;
      std::uint64_t value = 0;
      ASSERT_TRUE(output >> value) << shown;
      if (i < 3) continue;  // before reset is over registers hold anything
      const ModelField field = model.output(port.name);
      const std::uint64_t want =
          get_bits(out.data() + i * model.output_bytes(), field, 0, port.width);
      ASSERT_EQ(value, want) << port.name << " in cycle " << i;
      ++checked;
      results += port.name == "valid_o" && want == 1;
    }
  EXPECT_GE(checked, 2 * (kCycles - 3));
  EXPECT_GT(results, 100);
}

}  // namespace
}  // namespace blockdot::sim
