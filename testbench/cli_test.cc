// The program as its user meets it: what it writes, what it prints, how it refuses. The outside
// oracles are Icarus Verilog for the shipped testbench and the outside vectors for `quantize`.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "formats/file_io.h"
#include "formats/temporary_folder.h"

namespace blockdot {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Outcome {
  int code;
  std::string out, err;
};

class Cli : public ::testing::Test {
 protected:
  // Runs a shell command in the test's own folder.
  Outcome shell(const std::string& command) {
    fs::path err = folder_ / "stderr.txt";
    std::string line =
        "cd '" + folder_.string() + "' && { " + command + "; } 2>'" + err.string() + "'";
    FILE* pipe = ::popen(line.c_str(), "r");
    std::string out;
    std::array<char, 4096> buffer;
    size_t n;
    while ((n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) out.append(buffer.data(), n);
    int status = ::pclose(pipe);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, out, read_file(err)};
  }
  Outcome blockdot(const std::string& arguments) {
    return shell("'" BLOCKDOT_BINARY_DIR "/bin/blockdot' " + arguments);
  }
  void write(const std::string& name, const std::string& bytes) {
    write_file_atomic(folder_ / name, bytes);
  }
  // The tensors of a safetensors file from a header text and data.
  static std::string safetensors(const std::string& header, const std::string& data) {
    std::uint64_t length = header.size();
    std::string bytes(reinterpret_cast<const char*>(&length), 8);
    return bytes + header + data;
  }
  // Bad input: exit 2, one line on standard error that holds `part`, nothing on standard output.
  void expect_refused(const std::string& arguments, const std::string& part) {
    Outcome outcome = blockdot(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments << "\n" << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments;
  }

  TemporaryFolder temporary_;
  const fs::path& folder_ = temporary_.path();
  const std::string source_ = BLOCKDOT_SOURCE_DIR;
  const std::string trace_ = source_ + "/sim/trace/data";
};

TEST_F(Cli, HelpOfEveryCommandHasExamplesAndVersionIsOneLine) {
  for (const char* command : {"gen", "sim", "compare", "synth", "prove", "formats", "quantize",
                              "gemm", "trace info", "doctor", "completion", "man"}) {
    Outcome outcome = blockdot(std::string(command) + " --help");
    EXPECT_EQ(outcome.code, 0) << command;
    EXPECT_NE(outcome.out.find("Examples:\n  "), std::string::npos) << command;
  }
  EXPECT_EQ(blockdot("--version").out.rfind("blockdot ", 0), 0u);
  EXPECT_EQ(blockdot("").code, 2);
  EXPECT_EQ(blockdot("gne").code, 2);
}

TEST_F(Cli, GenWritesVerilogAndItsTestbenchPassesInIcarus) {
  for (const char* options :
       {"--a mxfp8_e4m3 --lanes 4", "--a mx6 --accumulator fp32 --rounding sr:8 --lanes 4",
        "--a bm8 --lanes 3 --output bf16 --tech osu018 --clock-ns 20",
        "--a mxint8 --lanes 4 --unit block-dot --combinational"}) {
    Outcome outcome = blockdot(std::string("gen ") + options + " --out u");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    json unit = json::parse(read_file(folder_ / "u/unit.json"));
    EXPECT_EQ(unit["interval"], 1);
    EXPECT_GE(unit["latency"].get<int>(), 0);
    EXPECT_FALSE(unit["ports"].empty());
    Outcome run = shell("cd u && iverilog -Wall -g2005 -o tb unit.v unit_tb.v && vvp tb");
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_NE(run.out.find("PASS"), std::string::npos) << options << run.out << run.err;
    EXPECT_EQ(run.out.find("FAIL"), std::string::npos) << run.out;
    Outcome lint = shell("verilator --lint-only -Wall u/unit.v");
    EXPECT_EQ(lint.code, 0) << options << lint.err;
  }
}

// The page's own commands, as a reader types them. Oracles: the two simulators, and OpenSTA for the
// constraints.
TEST_F(Cli, GenWritesAPackageThatRunsAsItsReadmeSays) {
  const std::string library = "/usr/share/qflow/tech/osu018/osu018_stdcells.lib";
  for (const char* options : {"--a mxfp4 --lanes 2 --accumulator 'kulisch[20:-10]' --clock-ns 20",
                              "--a mxfp8_e5m2 --lanes 2 --unit block-dot --combinational"}) {
    Outcome outcome =
        blockdot(std::string("gen ") + options + " --tech osu018 --vectors 40 --out p");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const std::string page = read_file(folder_ / "p/README.md");
    std::vector<std::string> commands;
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("    iverilog") || line.starts_with("    verilator"))
        commands.push_back(line);
    ASSERT_EQ(commands.size(), 2u) << page;
    for (const std::string& command : commands) {
      Outcome run = shell("cd p && " + command);
      EXPECT_NE(run.out.find("PASS 40\n"), std::string::npos) << command << run.out << run.err;
    }
    // One bit of the last expected value: the last line holds the outputs on top.
    std::string vectors = read_file(folder_ / "p/vectors.hex");
    std::size_t at = vectors.rfind('\n', vectors.size() - 2) + 3;
    vectors[at] = vectors[at] == '0' ? '1' : '0';
    write("p/vectors.hex", vectors);
    for (const char* command : {"vvp unit_tb", "obj_dir/Vunit_tb"}) {
      Outcome run = shell(std::string("cd p && ") + command);
      EXPECT_NE(run.out.find("FAIL"), std::string::npos) << command << run.out << run.err;
      EXPECT_EQ(run.out.find("PASS"), std::string::npos) << command << run.out;
    }
    write("p/s.tcl", "read_liberty " + library +
                         "\nread_verilog net.v\nlink_design unit\nread_sdc unit.sdc\n"
                         "report_checks -path_delay max\nputs \"slack [worst_slack]\"\nexit\n");
    Outcome timing = shell(
        "cd p && yosys -q -p 'read_liberty -lib " + library +
        "; read_verilog unit.v; synth -flatten -top unit; dfflibmap -liberty " + library +
        "; abc -liberty " + library +
        "; splitnets -format __v; opt_clean -purge; write_verilog -noattr -noexpr -nohex -nodec "
        "net.v' && sta -no_splash -exit s.tcl 2>&1");
    EXPECT_EQ(timing.out.find("Error"), std::string::npos) << timing.out;
    EXPECT_EQ(timing.out.find("Warning"), std::string::npos) << timing.out;
    EXPECT_NE(timing.out.find("slack ("), std::string::npos) << "no constrained path" << timing.out;
    EXPECT_NE(timing.out.find("\nslack "), std::string::npos) << timing.out;
  }
  // A package takes the place of another; what is not of one stays.
  write("r/notes.txt", "mine");
  write("r/unit_unit.v", "mine too");
  ASSERT_EQ(blockdot("gen --unit stream --a mxfp4 --lanes 2 --top my --out r").code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "r/my_unit.v"));
  ASSERT_EQ(blockdot("gen --a mxfp4 --lanes 2 --tech osu018 --vectors 0 --out r").code, 0);
  std::set<std::string> here;
  for (const auto& entry : fs::directory_iterator(folder_ / "r"))
    here.insert(entry.path().filename());
  EXPECT_EQ(here,
            (std::set<std::string>{"README.md", "notes.txt", "timing.json", "timing.svg",
                                   "unit.core", "unit.json", "unit.sdc", "unit.v", "unit_unit.v"}));
  // A report that names files elsewhere, or is no report.
  for (const char* report : {R"({"package": ["../d.txt", "notes.txt/..", ".", 3]})", "no json"}) {
    write("d.txt", "mine");
    write("r/unit.json", report);
    ASSERT_EQ(blockdot("gen --a mxfp4 --lanes 2 --out r").code, 0);
    EXPECT_TRUE(fs::exists(folder_ / "d.txt") && fs::exists(folder_ / "r/notes.txt"));
  }
  // Nothing is written where one file cannot be.
  shell("mkdir -p q/unit.json");
  expect_refused("gen --a mxfp4 --lanes 2 --out q", "unit.json");
  EXPECT_FALSE(fs::exists(folder_ / "q/unit.v"));
}

// The same of the kinds with other borders, and of those with modes.
TEST_F(Cli, GenWritesAPackageOfEveryKind) {
  for (const std::string options :
       {"--unit stream --a mxfp4 --lanes 2 --accumulator bf16 --output bf16 --clock-ns 20",
        "--unit array --dataflow ws --depth 3 --rows 2 --cols 2 --a mxfp4 --lanes 2 --accumulator "
        "bf16 --output bf16 --top grid",
        "--unit array --rows 3 --cols 1 --a mx6 --lanes 2 --accumulator bf16:sr:5",
        "--unit quantizer --a mxint8 --input bf16", "--unit multi --modes e4m3,e2m1 --lanes 2",
        "--unit multi --modes e4m3,e5m2,e2m1 --lanes 2 --accumulator fp32:sr:4 --clock-ns 20",
        "--unit multi --modes e4m3,e2m1 --lanes 2 --accumulator 'kulisch[16:-8]:sticky' --output "
        "bf16 --combinational",
        "--unit fused --modes e4m3,e2m1 --lanes 2 --combinational"}) {
    Outcome outcome = blockdot("gen " + options + " --vectors 40 --out k --json");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    json unit = json::parse(read_file(folder_ / "k/unit.json"));
    EXPECT_EQ(unit, json::parse(outcome.out));
    EXPECT_FALSE(unit["ports"].empty());
    for (const char* file : {"unit.sdc", "unit.xdc", "unit.core", "timing.json", "timing.svg",
                             "unit_tb.v", "vectors.hex", "README.md"})
      EXPECT_TRUE(fs::exists(folder_ / "k" / file)) << file;
    std::istringstream lines(read_file(folder_ / "k/README.md"));
    std::string icarus, verilator;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("    iverilog")) icarus = line;
      if (line.starts_with("    verilator")) verilator = line;
    }
    Outcome run = shell("cd k && " + icarus);
    EXPECT_NE(run.out.find("PASS "), std::string::npos) << options << run.out << run.err;
    if (options.find("stream") != std::string::npos) {
      Outcome other = shell("cd k && " + verilator);
      EXPECT_NE(other.out.find(run.out.substr(0, run.out.find('\n'))), std::string::npos)
          << other.out << other.err;
    }
    // One bit of an expected value.
    std::string vectors = read_file(folder_ / "k/vectors.hex");
    std::size_t at = vectors.rfind('\n', vectors.size() - 2) + 3;
    vectors[at] = vectors[at] == '0' ? '1' : '0';
    write("k/vectors.hex", vectors);
    Outcome red = shell("cd k && vvp unit_tb");
    EXPECT_NE(red.out.find("FAIL"), std::string::npos) << options << red.out << red.err;
    shell("rm -rf k");
  }
}

TEST_F(Cli, GenExplainsByWhatItWasAskedToOptimizeAlsoWhenQuiet) {
  for (const auto& [wish, merit] : {std::pair{"area", "least area of"},
                                    {"balanced", "least area^2 x delay of"},
                                    {"delay", "least area x delay^3 of"}}) {
    const Outcome outcome = blockdot(
        std::string("-q gen --explain --a mxfp4 --lanes 2 --accumulator bf16:sr:8 --tech osu018 "
                    "--vectors 0 --out u --arch optimize=") +
        wish);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "");
    std::size_t said = 0;
    for (std::size_t at = 0; (at = outcome.err.find(merit, at)) != std::string::npos; ++at) ++said;
    EXPECT_EQ(said, 2u) << "of the sum and of the rounding\n" << outcome.err;
  }
}

TEST_F(Cli, AQuantizerTakesTheLongestPartOfARowThatItCan) {
  const Outcome outcome = blockdot("gen --unit quantizer --a dynamic8_2048 --vectors 0 --out q");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("lanes=1024"), std::string::npos) << outcome.out;
}

TEST_F(Cli, GenExplainsUnitsOfSeveralFormats) {
  for (const char* unit : {"multi --accumulator bf16:sr:8", "fused"}) {
    const Outcome outcome =
        blockdot(fmt::format("-q gen --explain --unit {} --modes e4m3,e2m1 --lanes 2 --tech osu018 "
                             "--vectors 0 --out u --arch optimize=delay",
                             unit));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("least area x delay^3 of"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("  <- chosen\n"), std::string::npos) << outcome.err;
  }
}

// The golden vectors of another seed pass where the top's parameter has that seed.
TEST_F(Cli, SeedOfAStreamIsAParameterOfItsTop) {
  const std::string options =
      "gen --unit stream --a mxfp4 --lanes 2 --accumulator bf16:sr:8 --vectors 100 --lfsr ";
  ASSERT_EQ(blockdot(options + "galois:16:no-port --out one").code, 0);
  ASSERT_EQ(blockdot(options + "galois:16:9:no-port --out nine").code, 0);
  const std::string run =
      "cd one && iverilog -g2005 -o tb stream.v stream_unit.v ../nine/unit_tb.v && "
      "cp ../nine/vectors.hex . && vvp tb";
  EXPECT_NE(shell(run).out.find("FAIL"), std::string::npos);
  ASSERT_EQ(shell("sed -i 's/\\(parameter .*SEED = .*\\)1$/\\19/' one/stream.v").code, 0);
  const Outcome nine = shell(run);
  EXPECT_NE(nine.out.find("PASS"), std::string::npos) << nine.out << nine.err;
}

TEST_F(Cli, SynthKeepsEstimatesAndMeasurementsApartAndProveSaysWhatWasSampled) {
  write_file_atomic(folder_ / "small.toml",
                    "[defaults]\nlanes = 2\naccumulator = \"fp32\"\ntechnology = \"osu018\"\n"
                    "[[design]]\nname = \"E2M1\"\na = \"mxfp4_e2m1\"\n"
                    "[[design]]\nname = \"other one\"\na = \"mxint8\"\n");
  Outcome synth = blockdot("synth small.toml --point E2M1 --out s");
  ASSERT_EQ(synth.code, 0) << synth.err;
  json unit = json::parse(read_file(folder_ / "s/E2M1/unit.json"));
  EXPECT_EQ(unit["estimates"]["area"]["provenance"], "estimated");
  EXPECT_EQ(unit["synthesised"]["area"]["provenance"], "synthesised");
  EXPECT_GT(unit["synthesised"]["area"]["value"].get<double>(), 1000);
  EXPECT_GT(unit["synthesised"]["critical_path_ns"]["value"].get<double>(), 0.5);
  EXPECT_FALSE(fs::exists(folder_ / "s/other_one"));

  Outcome prove = blockdot("prove small.toml --point E2M1 --beats 1000 --netlist --json");
  ASSERT_EQ(prove.code, 0) << prove.err << prove.out;
  std::map<std::string, std::string> verdicts;
  json proof = json::parse(prove.out);
  for (const json& step : proof["points"][0]["steps"]) verdicts[step["step"]] = step["verdict"];
  EXPECT_EQ(verdicts, (std::map<std::string, std::string>{{"lint", "proved"},
                                                          {"lanes", "proved"},
                                                          {"sum", "proved"},
                                                          {"beats", "sampled"},
                                                          {"netlist", "sampled"}}));
  expect_refused("prove small.toml --point E2M2", "did you mean");
  expect_refused("synth nothing.toml", "nothing.toml");
}

TEST_F(Cli, GenOfTheSameSpecGivesTheSameBytes) {
  blockdot("gen --a mxfp6_e3m2 --lanes 8 --out one");
  blockdot("gen --a e3m2@e8m0/32 --lanes 8 --out two");
  EXPECT_EQ(read_file(folder_ / "one/unit.v"), read_file(folder_ / "two/unit.v"));
  EXPECT_EQ(read_file(folder_ / "one/unit.json"), read_file(folder_ / "two/unit.json"));
}

TEST_F(Cli, BlockDotHasThePortsThatOutsideChecksRelyOn) {
  ASSERT_EQ(
      blockdot("gen --a mxfp8_e4m3 --b mxfp8_e4m3 --lanes 32 --unit block-dot --combinational "
               "--out u")
          .code,
      0);
  json unit = json::parse(read_file(folder_ / "u/unit.json"));
  std::map<std::string, int> widths;
  for (const json& port : unit["ports"]) widths[port["name"]] = port["width"];
  // Widths of the exact sum: the table of accumulators in docs/numerics.md.
  EXPECT_EQ(widths, (std::map<std::string, int>{{"a_i", 256},
                                                {"b_i", 256},
                                                {"a_scale_i", 8},
                                                {"b_scale_i", 8},
                                                {"sum_o", 42},
                                                {"scale_o", 9},
                                                {"nan_o", 1}}));
  EXPECT_EQ(unit["latency"], 0);
}

TEST_F(Cli, QuantizeGivesTheOutsideVectors) {
  for (const char* format :
       {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8"}) {
    std::string vectors = source_ + "/testbench/vectors/";
    Outcome outcome = blockdot(std::string("quantize ") + format + " " + vectors +
                               "inputs.f32 out.f32 --codes c.bin --scales s.bin");
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    std::string ours = read_file(folder_ / "out.f32");
    std::string theirs = read_file(vectors + format + ".exact.f32");
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t i = 0; i < ours.size(); i += 4) {
      float x, y;
      std::memcpy(&x, ours.data() + i, 4);
      std::memcpy(&y, theirs.data() + i, 4);
      ASSERT_TRUE(x == y || (std::isnan(x) && std::isnan(y))) << format << " " << i / 4;
    }
    EXPECT_EQ(read_file(folder_ / "c.bin").size(), 1400u * 32);
    EXPECT_EQ(read_file(folder_ / "s.bin").size(), 1400u);
  }
}

TEST_F(Cli, GemmMultipliesAUsersMatrices) {
  // 2 x 32 by 32 x 1, exact in MXINT8: sums by hand.
  std::vector<float> a(64), b(32, 0.5f);
  for (size_t i = 0; i < 32; ++i) {
    a[i] = 1.0f;
    a[32 + i] = i % 2 ? -1.0f : 0.25f;
  }
  write("a.f32", std::string(reinterpret_cast<char*>(a.data()), 256));
  write("b.f32", std::string(reinterpret_cast<char*>(b.data()), 128));
  Outcome outcome = blockdot("gemm a.f32 b.f32 c.f32 --a-columns 32 --b-columns 1 --spec mxint8");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::string bytes = read_file(folder_ / "c.f32");
  ASSERT_EQ(bytes.size(), 8u);
  float c[2];
  std::memcpy(c, bytes.data(), 8);
  EXPECT_EQ(c[0], 16.0f);
  EXPECT_EQ(c[1], -6.0f);
}

TEST_F(Cli, FormatsListsTheCatalogueAndDrawsOne) {
  json list = json::parse(blockdot("formats --json").out);
  EXPECT_GE(list["formats"].size(), 20u);
  json one = json::parse(blockdot("formats mxfp4_e2m1 --json").out);
  EXPECT_EQ(one["values"][7], 6.0);
  EXPECT_NE(blockdot("formats mx9").out.find("9 bits an element"), std::string::npos);
}

// The page has the numbers of the JSON, under the products' names.
TEST_F(Cli, SimWritesThePageOfItsReports) {
  write("d.toml",
        "title = \"two units\"\n[[design]]\nname = \"p\"\na = \"mxfp8_e4m3\"\nlanes = 8\n"
        "[[design]]\nname = \"q\"\na = \"mxint8\"\nmachine = \"rows=2 cols=2\"\n");
  Outcome outcome = blockdot("sim d.toml --trace " + trace_ +
                             " --gemm cnn/step0800/fc2/dgrad --gemm cnn/step0800/fc2/fprop"
                             " --engine systemc --json r.json --html r.html");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(read_file(folder_ / "r.json"));
  const std::string page = read_file(folder_ / "r.html");
  const std::string open = "id=\"data\">";
  const std::size_t at = page.find(open);
  ASSERT_NE(at, std::string::npos);
  const std::size_t from = at + open.size();
  const json table = json::parse(page.substr(from, page.find("</script>", from) - from));
  EXPECT_EQ(table["schema"], "blockdot.compare/1");
  EXPECT_EQ(table["title"], "two units");
  EXPECT_EQ(table["engine"], "systemc");
  ASSERT_EQ(table["points"].size(), 2u);
  ASSERT_EQ(table["results"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const json& shown = table["results"][i];
    const json& run = report["runs"][i / 2];
    const json& gemm = run["gemms"][i % 2];
    EXPECT_EQ(shown["point"], i / 2);
    EXPECT_EQ(table["gemms"][shown["gemm"].get<std::size_t>()]["name"], gemm["name"]);
    for (const char* key : {"name", "cycles", "utilisation", "results_sha256", "agree", "error"})
      EXPECT_EQ(shown[key], gemm[key]) << key;
    EXPECT_EQ(shown.contains("machine"), i >= 2);
    EXPECT_EQ(table["points"][i / 2]["name"], run["name"]);
    EXPECT_EQ(table["points"][i / 2]["clock_ns"], run["clock_ns"]);
    EXPECT_EQ(table["points"][i / 2]["verification"]["checked"], run["totals"]["checked"]);
    EXPECT_EQ(table["points"][i / 2]["verification"]["disagree"], 0);
  }
}

TEST_F(Cli, SimReportsNumbersThatAgreeAcrossEngines) {
  write("d.toml", "[[design]]\nname = \"p\"\na = \"mxfp8_e4m3\"\nlanes = 8\n");
  Outcome outcome = blockdot("sim d.toml --trace " + trace_ +
                             " --gemm cnn/step0800/fc2/fprop --engine all --json r.json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json report = json::parse(read_file(folder_ / "r.json"));
  EXPECT_EQ(report["schema"], "blockdot.sim/1");
  Outcome piped =
      blockdot("sim d.toml --trace " + trace_ + " --gemm cnn/step0800/fc2/fprop --json -");
  EXPECT_EQ(json::parse(piped.out)["runs"][0]["gemms"][0]["cycles"],
            report["runs"][0]["gemms"][0]["cycles"]);
  EXPECT_FALSE(fs::exists(folder_ / "-"));
  EXPECT_NE(blockdot("sim d.toml --trace " + trace_ + " --gemm cnn/step0800/fc2/fprop")
                .out.find("nothing compared"),
            std::string::npos);
  expect_refused("sim d.toml --trace " + trace_ + " --json /proc/nowhere/x.json", "cannot be");
  expect_refused("sim d.toml --trace " + trace_ + " --html /proc/nowhere/x.html", "cannot be");
  expect_refused("sim d.toml --trace " + trace_ + " --json x --html x", "two outputs");
  json gemm = report["runs"][0]["gemms"][0];
  // By SystemC and by the RTL; valid_o in every cycle until nothing can come any more.
  EXPECT_EQ(report["runs"][0]["totals"]["checked"], 2 * 64 * 10);
  EXPECT_GE(report["runs"][0]["totals"]["handshakes"], gemm["cycles"]);
  EXPECT_NE(outcome.out.find("1280 values and "), std::string::npos) << outcome.out;
  // 64 x 10 results of K = 100: three whole blocks of 4 beats and one beat of the last 4 elements.
  EXPECT_EQ(gemm["beats"], 64 * 10 * 13);
  EXPECT_EQ(gemm["mismatches"], 0);
  EXPECT_GT(gemm["error"]["fp64"]["snr_db"].get<double>(), 20);
  EXPECT_EQ(gemm["engines"].size(), 3u);
  for (const json& engine : gemm["engines"]) EXPECT_EQ(engine["cycles"], gemm["cycles"]);
}

TEST_F(Cli, SimOnAMachineAgreesAcrossEnginesAndSaysWhereEveryCycleWent) {
  write("d.toml",
        "[[design]]\na = \"mxfp8_e4m3\"\nlanes = 8\naccumulator = \"fp32\"\n"
        "machine = [\"rows=2 cols=2 bandwidth=16\", "
        "\"rows=2 cols=2 dataflow=ws depth=16 bandwidth=16 operands=bf16\"]\n");
  Outcome outcome = blockdot("--json sim d.toml --trace '" + trace_ +
                             "' --gemm lm/step1000/head/wgrad --engine all");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json runs = json::parse(outcome.out).at("runs");
  ASSERT_EQ(runs.size(), 2u);
  for (const json& run : runs) {
    const json& gemm = run.at("gemms")[0];
    EXPECT_EQ(gemm.at("agree"), true);
    ASSERT_EQ(gemm.at("engines").size(), 3u);
    EXPECT_EQ(gemm.at("engines")[2].at("checked"), 63 * 72);  // compared with the RTL
    EXPECT_GT(gemm.at("engines")[2].at("handshakes"), gemm.at("cycles"));
    std::int64_t sum = gemm.at("machine").at("compute");
    for (const json& engine : gemm.at("engines")) {
      EXPECT_EQ(engine.at("beats"), gemm.at("machine").at("compute")) << engine;
      EXPECT_EQ(engine.at("stalled"), 0);
      EXPECT_FALSE(engine.contains("input_idle"));
    }
    for (const json& part : gemm.at("machine").at("stalls")) sum += part.get<std::int64_t>();
    EXPECT_EQ(sum, gemm.at("cycles"));
    EXPECT_EQ(run.at("machine").at("groups")[0].at("report").at("cycles"), gemm.at("cycles"));
  }
  const std::string stalled = "sim d.toml --trace '" + trace_ +
                              "' --gemm lm/step1000/head/wgrad --engine all --input-stalls 0.5 ";
  outcome = blockdot(stalled);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("bit and cycle"), std::string::npos) << outcome.out;
  json engines = json::parse(blockdot("--json " + stalled).out)["runs"][0]["gemms"][0]["engines"];
  EXPECT_GT(engines[1]["stalled"], 0);
  EXPECT_GT(engines[1]["cycles"], engines[0]["cycles"]);
  EXPECT_NE(outcome.out.find("systemc " + engines[1]["cycles"].dump()), std::string::npos)
      << outcome.out;
  write("one.toml", "[[design]]\na = \"mxfp8_e4m3\"\n");
  outcome =
      blockdot("sim one.toml --trace '" + trace_ +
               "' --gemm lm/step1000/head/wgrad --machine 'rows=300 cols=200' --timeline t.json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json timeline = json::parse(read_file(folder_ / "t.json"));
  std::int64_t stores = 0;
  for (const json& event : timeline.at("traceEvents")) stores += event.at("name") == "store c";
  EXPECT_EQ(stores, 1);  // one tile holds all 63 x 72 results
}

TEST_F(Cli, SimWritesAWaveOfTheChosenCyclesOfAMachine) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\n");
  const std::string sim = "sim d.toml --trace '" + trace_ +
                          "' --gemm lm/step1000/head/fprop --machine 'rows=4 cols=4' ";
  Outcome outcome = blockdot("-q " + sim + "--engine systemc --vcd w.vcd --wave-window 100:120");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  const std::string wave = read_file(folder_ / "w.vcd");
  EXPECT_NE(wave.find("$scope module rows $end"), std::string::npos);
  EXPECT_NE(wave.find("\n#119000\n"), std::string::npos);
  EXPECT_EQ(wave.find("\n#99000\n"), std::string::npos);
  EXPECT_EQ(wave.find("\n#121000\n"), std::string::npos);
  const std::string machine = "--engine systemc --vcd x.vcd ";
  expect_refused(sim + machine + "--wave-window 9:9", "TO = 9: must be a whole number in [10, ");
  expect_refused(sim + machine + "--wave-window 9", "must be FROM:TO");
  expect_refused(sim + machine + "--wave-window 90000000:90000001", "FROM must be in [0, ");
  expect_refused(sim + "--wave-window 1:9", "add --vcd FILE or --fst FILE");
  expect_refused(sim + "--engine fast --vcd x.vcd", "engine = fast moves nothing");
  expect_refused(sim + "--engine systemc --fst x.vcd", "VCD alone");
  expect_refused(sim + machine + "--fst y.fst", "one wave at a time");
  expect_refused(sim + "--engine systemc --vcd /proc/none/x.vcd",
                 "/proc/none: the folder cannot be made");
  expect_refused("sim d.toml --trace '" + trace_ + "' --machine rows=1 " + machine,
                 "needs one product, one design point and a machine");
  EXPECT_FALSE(fs::exists(folder_ / "x.vcd"));
}

TEST_F(Cli, RefusesACacheThatCannotBeWritten) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\nlanes = 4\n");
  Outcome outcome = shell("BLOCKDOT_CACHE=/proc/none '" BLOCKDOT_BINARY_DIR
                          "/bin/blockdot' sim d.toml --trace '" +
                          trace_ + "' --gemm lm/step1000/head/fprop --engine rtl --json r.json");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find("set BLOCKDOT_CACHE to a folder you may write to"), std::string::npos)
      << outcome.err;
  EXPECT_FALSE(fs::exists(folder_ / "r.json"));
}

// Oracle: the kernel. What is in the folders, and which processes still work in them.
class Interrupted : public Cli {
 protected:
  /// Processes whose folder is the test's or below.
  std::set<pid_t> processes() const {
    std::set<pid_t> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string at = fs::read_symlink(entry.path() / "cwd", error).string();
      if (!error && at.starts_with(folder_.string())) found.insert(std::stoi(name));
    }
    return found;
  }
  /// None is left, or soon: what was killed takes a moment to go.
  ::testing::AssertionResult all_ended() const {
    for (int i = 0; i < 200 && !processes().empty(); ++i) ::usleep(10000);
    for (pid_t process : processes())
      return ::testing::AssertionFailure()
             << process << " " << read_file("/proc/" + std::to_string(process) + "/cmdline");
    return ::testing::AssertionSuccess();
  }
  /// What the program and its tools keep for a while: all of TMPDIR, temporary names elsewhere.
  std::string left() const {
    std::string names;
    std::error_code error;
    for (const char* place : {"tmp", "cache", "out"})
      if (fs::exists(folder_ / place))
        for (fs::recursive_directory_iterator at(folder_ / place, error), end; !error && at != end;
             at.increment(error)) {  // the program removes what it is at
          const std::string name = at->path().filename();
          if (place == std::string("tmp") || name.starts_with("blockdot.") ||
              name.ends_with(".tmp"))
            names += name + "\n";
        }
    return names;
  }
  /// Starts the program, sends the signal once `ready`, and gives that which the program dies of.
  template <typename Ready>
  int interrupt(const std::string& arguments, int signal, Ready ready) {
    fs::create_directory(folder_ / "tmp");
    const std::string line =
        "cd '" + folder_.string() +
        "' && export TMPDIR=$PWD/tmp BLOCKDOT_CACHE=$PWD/cache && exec '" BLOCKDOT_BINARY_DIR
        "/bin/blockdot' " +
        arguments + " >out.txt 2>err.txt";
    const pid_t process = ::fork();
    if (process == 0) {
      ::signal(SIGINT, SIG_DFL);
      ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      ::_exit(99);
    }
    bool was_ready = false;
    int status = 0;
    for (int i = 0; i < 12000 && !was_ready && ::waitpid(process, &status, WNOHANG) == 0; ++i) {
      was_ready = ready();
      ::usleep(10000);
    }
    EXPECT_TRUE(was_ready) << "ended by itself: " << read_file(folder_ / "err.txt");
    if (!was_ready) return -1;
    ::kill(process, signal);
    ::waitpid(process, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "a shell's loop would go on";
    return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
  }
};

TEST_F(Interrupted, ACompilingSimulationLeavesNeitherFoldersNorProcesses) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\nlanes = 32\nmachine = \"rows=4 cols=4\"\n");
  const int signal =
      interrupt("sim d.toml --trace '" + trace_ + "' --gemm lm/step1000/head/wgrad --engine rtl",
                SIGINT, [&] { return !left().empty() && processes().size() > 1; });
  EXPECT_EQ(signal, SIGINT);
  EXPECT_EQ(left(), "");
  EXPECT_TRUE(all_ended());
  EXPECT_EQ(read_file(folder_ / "err.txt"), "");
}

TEST_F(Interrupted, AComparisonEndsItsWorkersAndWritesNothing) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\nlanes = 4\nmachine = \"rows=4 cols=4\"\n");
  const int signal =
      interrupt("compare d.toml --trace '" + trace_ + "' --engine systemc --jobs 2 --out out",
                SIGTERM, [&] { return processes().size() > 2; });
  EXPECT_EQ(signal, SIGTERM);
  EXPECT_EQ(left(), "");
  EXPECT_TRUE(all_ended());
  EXPECT_FALSE(fs::exists(folder_ / "out/results.json"));
  EXPECT_EQ(read_file(folder_ / "err.txt"), "");
}

TEST_F(Interrupted, ASynthesisEndsItsToolsAndTakesItsFolderAlong) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\nlanes = 32\ntechnology = \"osu018\"\n");
  const int signal =
      interrupt("synth d.toml", SIGINT, [&] { return !left().empty() && processes().size() > 1; });
  EXPECT_EQ(signal, SIGINT);
  EXPECT_EQ(left(), "");
  EXPECT_TRUE(all_ended());
}

// ABC keeps a folder of its own, and does not remove it at SIGTERM.
TEST_F(Interrupted, ANetlistThatIsMappedLeavesNoFolderOfItsTools) {
  write("d.toml", "[[design]]\na = \"mxfp4\"\nlanes = 4\naccumulator = \"bf16\"\n");
  const int signal = interrupt("energy d.toml --trace '" + trace_ + "'", SIGINT,
                               [&] { return left().find("yosys-abc") != std::string::npos; });
  EXPECT_EQ(signal, SIGINT);
  EXPECT_EQ(left(), "");
  EXPECT_TRUE(all_ended());
}

TEST_F(Cli, RefusesMachinesThatCannotRun) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\n");
  const std::string sim = "sim d.toml --trace '" + trace_ + "' --gemm lm/step1000/head/fprop ";
  expect_refused(sim + "--machine bandwidth=0",
                 "bandwidth = 0: must be a whole number in [1, 1099511627776]");
  expect_refused(sim + "--machine a-sram=100", "a-sram = 100: a half holds 0 beats of 16 words");
  expect_refused(sim + "--machine 'rows=64 cols=64' --engine rtl",
                 "the RTL engine builds arrays of at most 4096 products a beat");
  expect_refused(sim + "--machine 'rows=1 cols=65' --engine rtl",
                 "cols = 65: the RTL engine builds arrays of at most 64 rows and 64 columns");
  expect_refused(sim + "--machine 'rows=1 cols=1' --timeline /proc/none/t.json",
                 "/proc/none: the folder cannot be made");
  expect_refused("sim d.toml --trace '" + trace_ + "' --machine rows=1 --timeline t.json",
                 "needs one product, one design point and a machine");
  write("bad.toml", "[[design]]\na = \"mxint8\"\nmachine = \"row=3\"\n");
  expect_refused("sim bad.toml --trace '" + trace_ + "'", "bad.toml:3:11: machine");
  EXPECT_FALSE(fs::exists(folder_ / "t.json"));
}

// Whatever cannot be done is said for all points and products before any of it is done.
TEST_F(Cli, LeavesNothingBehindWhereOnePointOrProductDoesNotFit) {
  write("d.toml", "[[design]]\na = \"mxfp8_e4m3\"\n");
  write("two.toml",
        "[[design]]\na = \"mxfp8_e4m3\"\n[[design]]\nname = \"short\"\na = \"mxfp8_e4m3\"\n"
        "max-k = 32\n");
  write("sr.toml", "[[design]]\na = \"mxfp8_e4m3\"\nquantize = \"sr:8\"\n");
  write("mean.toml",
        "[[design]]\na = [\"mxfp8_e4m3\", \"nf4_dq\"]\nb = \"mxfp8_e4m3\"\nlanes = 4\n");
  write("clash.toml",
        "[[design]]\nname = \"a b\"\na = \"mxint8\"\n[[design]]\nname = \"a_b\"\na = \"mxfp4\"\n");
  write("comb.toml",
        "[[design]]\na = \"mxfp4\"\n[[design]]\nname = \"comb\"\na = \"mxfp4\"\n"
        "combinational = true\n");
  fs::copy(trace_, folder_ / "t", fs::copy_options::recursive);
  std::string bytes = read_file(folder_ / "t/lm-step1000.safetensors");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write("t/lm-step1000.safetensors", bytes);
  const auto names = [&] {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_))
      if (entry.path().filename() != "stderr.txt") found.insert(entry.path().filename());
    return found;
  };
  std::set<std::string> before = names();
  const std::string all = " --trace '" + trace_ + "'", one = all + " --gemm lm/step1000/head/fprop";
  for (const auto& [arguments, part] : std::vector<std::pair<std::string, std::string>>{
           {"two.toml" + all,
            "design point 'short': cnn/step0000/conv1/wgrad: k = 192: 192 products "
            "with padding, more than max-k = 32"},
           {"d.toml" + all + " --machine a-sram=100", "a-sram = 100: a half holds 0 beats"},
           {"d.toml" + all + " --machine c-sram=100", "must be in [2048, 1099511627776]"},
           {"d.toml" + all + " --machine bandwidth=0", "bandwidth = 0: must be"},
           {"d.toml" + all + " --machine ''", "machine = (nothing)"},
           {"d.toml" + all + " --machine 'rows=64 cols=64' --engine rtl", "at most 4096 products"},
           {"mean.toml" + all + " --machine rows=2", "a machine moves outer scales"},
           {"sr.toml" + one + " --machine 'rows=2 operands=fp32' --engine systemc",
            "must be rne, rna or rtz, or operands=packed"},
           {"sr.toml" + one + " --machine 'rows=2 operands=fp32'",
            "must be rne, rna or rtz, or operands=packed"},
           {"d.toml" + one + " --gemm lm/step1000/head/fprop", "head/fprop: is given twice"},
           {"d.toml --trace t", "the data were changed or damaged"},
           {"d.toml" + all + " --point q", "there is no such design point"}}) {
    expect_refused("sim " + arguments + " --json new/r.json", part);
    expect_refused("compare " + arguments + " --out new/o", part);
  }
  for (const char* command : {"energy comb.toml", "compare comb.toml --energy --out new/o"})
    expect_refused(command + one, "combinational = true: energy is counted cycle by cycle");
  expect_refused("compare clash.toml" + all + " --out o", "both have the folder o/units/a_b");
  expect_refused("compare d.toml" + all + " --out d.toml/o", "the folder cannot be made");
  write("long.toml", "[[design]]\nname = \"" + std::string(300, 'x') + "\"\na = \"mxfp4\"\n");
  write("dots.toml", "[[design]]\nname = \"..\"\na = \"mxfp4\"\nlanes = 2\n");
  fs::create_symlink("nowhere", folder_ / "dangling");
  before = names();
  expect_refused("compare long.toml" + all + " --out o", "a name of 300 characters; at most 240");
  expect_refused("synth long.toml --out o", "a name of 300 characters; at most 240");
  expect_refused("sim d.toml" + one + " --json dangling/r.json", "the folder cannot be made");
  expect_refused("sim d.toml" + one + " --machine rows=2 --json r --timeline r",
                 "is named for two outputs");
  for (const char* same : {"./r", "o/../r"})
    expect_refused("sim d.toml" + one + " --json r --html " + same, "is named for two outputs");
  expect_refused("sim d.toml" + one + " --input-stalls 0.5", "must be systemc, rtl or all");
  expect_refused("sim d.toml" + one +
                     " --machine rows=2 --engine systemc --output-stalls 0.5 "
                     "--timeline t.json",
                 "has no stalls");
  expect_refused("sim d.toml" + one + " --stall-seed -3", "--stall-seed");
  const std::string machine = "sim d.toml" + one + " --machine 'rows=2 cols=2' --timeline t.json ";
  expect_refused(machine + "--engine fast --vcd w.vcd", "engine = fast moves nothing");
  expect_refused(machine + "--engine systemc --vcd w.vcd --wave-window 90000000:90000001",
                 "FROM must be in [0, ");
  for (const std::string& command :
       {machine + "--engine rtl --vcd w.vcd", "compare d.toml" + all + " --engine rtl --out o"}) {
    Outcome outcome =
        shell("BLOCKDOT_CACHE=/proc/none '" BLOCKDOT_BINARY_DIR "/bin/blockdot' " + command);
    EXPECT_EQ(outcome.code, 2) << command;
    EXPECT_NE(outcome.err.find("the cache of compiled units cannot be written"), std::string::npos)
        << outcome.err;
  }
  EXPECT_EQ(names(), before);

  // A point's folder is within the one that was asked for, whatever its name.
  const Outcome dots = blockdot("compare dots.toml" + one + " --out o/p");
  EXPECT_EQ(dots.code, 0) << dots.err;
  EXPECT_TRUE(fs::exists(folder_ / "o/p/units/_./unit.v"));
  EXPECT_FALSE(fs::exists(folder_ / "o/p/unit.v"));
}

TEST_F(Cli, CompareWritesTheReportTheDataAndTheUnits) {
  write("d.toml", "[[design]]\na = [\"mxfp4\", \"mxint8\"]\nlanes = 16\n");
  Outcome outcome =
      blockdot("compare d.toml --trace " + trace_ +
               " --gemm cnn/step0000/fc2/fprop --gemm cnn/step0000/fc2/wgrad --out o");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  json table = json::parse(read_file(folder_ / "o/results.json"));
  EXPECT_EQ(table["points"].size(), 2u);
  EXPECT_EQ(table["results"].size(), 4u);
  EXPECT_GT(fs::file_size(folder_ / "o/report.html"), 10'000u);
  std::string csv = read_file(folder_ / "o/results.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  int units = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "o/units")) {
    EXPECT_TRUE(fs::exists(entry.path() / "unit.v"));
    ++units;
  }
  EXPECT_EQ(units, 2);
  outcome = blockdot("-q compare d.toml --trace " + trace_ +
                     " --gemm cnn/step0000/fc2/fprop --machine 'rows=4 cols=4' --out m");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  table = json::parse(read_file(folder_ / "m/results.json"));
  for (const json& point : table["points"]) EXPECT_EQ(point["units"], 16);
  for (const json& result : table["results"])
    EXPECT_EQ(result.at("machine").at("cycles"), result.at("cycles"));
  expect_refused("compare d.toml --trace " + trace_ + " --machine rows=0 --out m", "rows = 0");
}

TEST_F(Cli, TraceInfoChecksTheShippedTrace) {
  json info = json::parse(blockdot("trace info " + trace_ + " --json").out);
  EXPECT_GE(info["gemms"].size(), 18u);
  EXPECT_GT(info["bytes_checked"].get<std::int64_t>(), 1'000'000);
}

TEST_F(Cli, RefusesBadInputInOneLineWithExit2) {
  expect_refused("gen --a mxfp8_e4m4 --out u", "did you mean mxfp8_e4m3");
  expect_refused("gen --a mxint8 --lanes 64 --out u", "lanes = 64: must be in [1, 32]");
  expect_refused("gen --a mxint8 --b bm8 --out u", "do not divide each other");
  expect_refused("gen --a mxint8 --rounding up --out u", "rounding = up");
  expect_refused("gen --a mxint8 --tech tsmc7 --out u", "tech");
  expect_refused("gen --a mxint8 --unit adder --out u", "unit");
  expect_refused("gen --a mxint8 --clock-ns 0.01 --out u", "clock");
  expect_refused("gen --a mxint8 --accumulator fp32 --tech osu018 --clock-ns 5 --out u",
                 "accumulator kulisch fits this one with --arch accumulator=segmented:");
  expect_refused("gen --a int8 --accumulator kulisch[12:-12]:exact --max-k 4096 --out u",
                 "try kulisch[14:-12]:exact");
  expect_refused("gen --a int8 --accumulator kulisch[12:-12] --max-k 4096 --out u",
                 "try kulisch[14:-12], a smaller max-k, or kulisch[12:-12]:saturate or :wrap");
  expect_refused("gen --a mxint8 --lanes 4 --out /proc/nowhere", "cannot be");
  expect_refused("gen --lanes 4 --out u", "a = (nothing)");
  expect_refused("gen --unit quantizer --out u", "a = (nothing)");
  expect_refused("gen --unit quantizer --a mxint8 --lanes 5 --out u", "must divide the 32 values");
  expect_refused("gen --unit quantizer --a fp8_e4m3_128x128 --lanes 64 --out u",
                 "wait for their scale");
  expect_refused("gen --unit fused --out u", "e.g. e4m3,e5m2");
  expect_refused("gen --unit multi --modes e4m3 --a e4m3 --out u", "unit multi takes modes, lanes");
  expect_refused("gen --unit fused --modes e4m3 --addend fp16 --out u", "try fp32 or bf16");
  expect_refused("gen --unit multi --modes e4m3 --accumulator 'aligned[129]:fp32' --out u",
                 "fraction bits = 129: must be a whole number in [0, 128]");
  expect_refused("gen --unit multi --modes e4m3 --output bf16 --out u",
                 "such as accumulator = kulisch or fp32");
  expect_refused("gen --unit multi --modes e4m3 --accumulator fp32 --specials nan --out u",
                 "unit multi takes modes, lanes, accumulator");
  expect_refused("gen --unit multi --modes e4m3 --arch rounding=eager --out u",
                 "needs unit multi with a float accumulator");
  expect_refused("gen --unit fused --modes e4m3 --accumulator fp32 --out u",
                 "is of unit dot, multi");
  expect_refused("gen --unit multi --modes e4m3 --accumulator fp32 --clock-ns 1.5 --out u",
                 "accumulator kulisch fits");
  expect_refused("gen --a mxint8 --modes e4m3 --out u", "is of unit multi, fused");
  // Options of another kind, and sizes that no design of the kind has.
  expect_refused("gen --unit block-dot --a mxint8 --accumulator fp32 --out u", "takes a, b, lanes");
  expect_refused("gen --unit quantizer --a mxint8 --output fp32 --out u", "unit quantizer takes");
  expect_refused("gen --a mxint8 --rows 4 --out u", "rows = 4: is of unit array");
  expect_refused("gen --unit multi --modes e4m3 --addend fp32 --out u", "is of unit fused");
  expect_refused("gen --unit array --a mxint8 --depth 8 --out u", "it takes banks");
  expect_refused("gen --unit array --a mxint8 --rows 65 --out u",
                 "rows = 65: must be a whole number in [1, 64]");
  expect_refused("gen --unit array --a mxint8 --rows 70000 --out u", "in [1, 64]");
  expect_refused("gen --unit array --a mxint8 --banks 9 --out u",
                 "banks = 9: must be a whole number in [1, 8]");
  // What names the option, and what was taken without a word.
  expect_refused("gen --a foo --out u", "a = foo, column 1: unknown;");
  expect_refused("gen --a mxint8 --b foo --out u", "b = foo, column 1: unknown;");
  expect_refused("gen --unit quantizer --a foo --out u", "a = foo, column 1");
  expect_refused("gen --unit quantizer --a mxint8 --input foo --out u", "input = foo, column 1");
  expect_refused("gen --unit multi --modes e4m3,foo --out u", "modes = foo, column 1");
  expect_refused("gen --unit fused --modes e4m3 --addend foo --out u", "addend = foo, column 1");
  expect_refused("gen --unit multi --modes e4m3 --arch adder=plus,align=bucket --out u",
                 "arch align=bucket: a unit of several formats takes align=shift or split");
  expect_refused("gen --unit quantizer --a mxint8 --explain --out u", "unit quantizer has none");
  expect_refused("gen --unit quantizer --a mxint8 --scale-rule optimum --out u",
                 "three-quarters, shift, ceil-exponent, rceil-reciprocal\n");
  expect_refused("gen --unit quantizer --a mxint8 --scale-rule optimal --out u",
                 "try floor or ceil");
  expect_refused("gen --a mxint8 --schedule-seed 3 --out u", "add --schedule random");
  expect_refused("gen --a mxint8 --combinational --unit block-dot --schedule asap --out u",
                 "schedule = asap: a combinational unit has no registers");
  for (const char* unit : {"dot --a mxint8", "multi --modes e4m3 --accumulator fp32",
                           "fused --modes e4m3", "quantizer --a mxint8", "array --a mxint8"})
    expect_refused(fmt::format("gen --unit {} --lfsr galois:16 --out u", unit),
                   "lfsr = galois:16: no rounding of this unit draws");
  expect_refused("gemm a.npy b.npy c.npy --spec mxint8 --seed 3", "seed = 3: no rounding draws");
  expect_refused("gemm a.npy b.npy c.npy --spec 'a=mxint8 rounding=sr:4 lfsr=galois:8' --seed 256",
                 "seed = 256: must be in [1, 255]");
  expect_refused(
      "gemm a.npy b.npy c.npy --spec 'a=mxint8 rounding=sr:4 lfsr=galois:8:5:no-port' --seed 9",
      "seed = 9: lfsr = galois:8:5:no-port has no port");
  expect_refused("gemm a.npy b.npy c.npy --spec mxint8 --a-columns 4",
                 "columns = 4: is for raw .f32 input");
  expect_refused("quantize mxint8 a.npy q.npy --tensor z", "tensor = z: is for .safetensors");
  expect_refused("gen --unit quantizer --a nf4_dq --out u", "mean is known after");
  expect_refused("gen --a mxint8 --schedule random --schedule-seed -3 --out u",
                 "schedule-seed = -3: must be a whole number in [0, ");
  expect_refused("gen --a mxint8 --seed -1 --out u", "seed = -1: must be a whole number in [0, ");
  expect_refused("gen --a mxint8 --clock-ns 1,5 --out u", "clock-ns = 1,5: must be a number in (0");
  expect_refused("gen --a mxint8 --top '' --out u", "top = (nothing)");
  for (const std::string top : {"FAX1", "HAX1", "always", "unit_tb", "1st"})
    for (const char* unit : {"dot", "stream", "array", "quantizer"})
      expect_refused("gen --unit " + (unit + (" --a mxint8 --out u --top " + top)),
                     "top = " + top + ": must be a Verilog identifier");
  expect_refused("gen --unit array --a mxint8 --rows two --out u", "rows = two");
  expect_refused("gen --unit array --a mxint8 --dataflow rs --out u", "must be os");
  expect_refused("gen --unit arrray --a mxint8 --out u", "did you mean array");
  expect_refused("gen --unit stream --a mxint8 --combinational --out u", "leave it out");
  expect_refused("gen --unit array --a mxint8 --explain --clock-ns 0.01 --out u", "clock");
  expect_refused("gen --unit stream --a mxint8 --accumulator fp32 --clock-ns 0.5 --out u", "clock");
  // The clock that a refusal offers is one that is taken.
  for (const char* options :
       {"--unit array --dataflow ws --a mxfp4 --accumulator fp32 --tech osu018",
        "--unit array --dataflow ws --a mxint8 --lanes 4", "--unit array --a mxfp4 --tech osu018",
        "--a mxfp8_e4m3 --lanes 4 --accumulator bf16 --tech xilinx"}) {
    const std::string gen = std::string("gen --vectors 0 --out clock ") + options + " --clock-ns ";
    const std::string said = blockdot(gen + "0.4").err;
    const std::size_t at = said.find("a clock of ");
    ASSERT_NE(at, std::string::npos) << said;
    EXPECT_EQ(blockdot(gen + std::to_string(std::stod(said.substr(at + 11)))).code, 0) << said;
  }
  expect_refused("gen --unit quantizer --a mxint8 --arch sum=timed --out u",
                 "a quantiser has none");
  expect_refused("gen --unit quantizer --a mxint8 --explain --out u",
                 "unit quantizer has none, each of its parts is built in one way");
  expect_refused("gen --unit multi --modes e4m3,int8 --out u",
                 "integers, code books and fnuz formats are not taken");
  write("f.toml", "[[design]]\nunit = \"multi\"\nmodes = \"e4m3\"\nlanes = 2\n");
  expect_refused("sim f.toml --trace " + trace_, "dot units only");
  expect_refused("compare f.toml --trace " + trace_ + " --out o", "dot units only");
  write("g.toml", "[[design]]\nunit = \"array\"\na = \"mxint8\"\nmodes = \"e4m3\"\n");
  expect_refused("synth g.toml", "is of unit multi, fused");
  expect_refused("formats mxfp9", "did you mean");
  expect_refused("formta", "is no command; `blockdot --help` lists them; did you mean formats");
  expect_refused("gen --a mxint8 --bogus --out u", "blockdot gen --help");
  expect_refused("gen --a mxint8 --out ''", "out = (nothing)");
  expect_refused("quantize mxint8 " + source_ + "/testbench/vectors/inputs.f32 o.f32 --codes o.f32",
                 "named for two outputs");
  expect_refused("quantize mxint8 " + source_ + "/testbench/vectors/inputs.f32 o.f32 --seed 0",
                 "seed = 0");
  expect_refused("quantize mxint8 none.npy out.npy", "none.npy");
  expect_refused("sim none.toml --trace " + trace_, "none.toml");
  expect_refused("trace info none", "none");
  write("d.toml", "[[design]]\na = \"mxint8\"\nlanez = 4\n");
  expect_refused("sim d.toml --trace " + trace_, "did you mean lanes");
  write("e.toml", "[[design]]\na = \"mxint8\"\n");
  expect_refused("sim e.toml --trace " + trace_ + " --engine warp",
                 "must be fast, systemc, rtl or all");
  expect_refused("sim e.toml --trace " + trace_ + " --gemm cnn/step0000/fc2/fpro", "did you mean");
  write("short.f32", "abc");
  expect_refused("quantize mxint8 short.f32 out.f32", "short.f32");
  EXPECT_FALSE(fs::exists(folder_ / "u")) << "something half-written was left";
  EXPECT_FALSE(fs::exists(folder_ / "out.f32"));
}

TEST_F(Cli, RefusesDamagedSafetensorsInOneLine) {
  write("short.safetensors", "\x01\x02");
  write("far.safetensors", std::string("\xFF\xFF\xFF\xFF\xFF\x00\x00\x00{}", 10));
  write("range.safetensors",
        safetensors(R"({"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,99]}})",
                    "0123456789abcdef"));
  write("overlap.safetensors",
        safetensors(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                    R"("y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                    "0123456789abcdef"));
  write(
      "dtype.safetensors",
      safetensors(R"({"x":{"dtype":"Q9","shape":[4],"data_offsets":[0,16]}})", "0123456789abcdef"));
  for (const char* name : {"short", "far", "range", "overlap", "dtype"})
    expect_refused(std::string("quantize mxint8 ") + name + ".safetensors out.f32",
                   std::string(name) + ".safetensors");
}

TEST_F(Cli, RefusesATraceWhoseTensorIsNotTheOneThatWasRecorded) {
  fs::copy(trace_, folder_ / "t", fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(folder_ / "t")) {
    if (entry.path().extension() != ".safetensors") continue;
    std::string bytes = read_file(entry.path());
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file_atomic(entry.path(), bytes);
  }
  expect_refused("trace info t", "sha256");
}

TEST_F(Cli, MissingToolIsNamedWithItsDebianPackage) {
  write("d.toml", "[[design]]\na = \"mxint8\"\nlanes = 4\n");
  Outcome outcome = shell("PATH=/nowhere BLOCKDOT_CACHE=" + folder_.string() +
                          "/cache '" BLOCKDOT_BINARY_DIR "/bin/blockdot' sim d.toml --trace " +
                          trace_ + " --gemm cnn/step0000/fc2/fprop --engine rtl");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("verilator"), std::string::npos) << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
}

TEST_F(Cli, TwoRunsIntoOneFolderDoNotCorruptEachOther) {
  std::string program = "'" BLOCKDOT_BINARY_DIR "/bin/blockdot' -q gen --lanes 8 --out u ";
  Outcome outcome = shell("for i in 1 2 3 4 5; do " + program + "--a mxint8 & " + program +
                          "--a mxfp4 & done; wait");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  blockdot("gen --lanes 8 --a mxint8 --out x");
  blockdot("gen --lanes 8 --a mxfp4 --out y");
  std::string seen = read_file(folder_ / "u/unit.v");
  EXPECT_TRUE(seen == read_file(folder_ / "x/unit.v") || seen == read_file(folder_ / "y/unit.v"));
  for (const auto& entry : fs::directory_iterator(folder_ / "u"))
    EXPECT_NE(entry.path().extension(), ".tmp");
}

TEST_F(Cli, CompletionAndManualAreAcceptedByBashAndMan) {
  EXPECT_EQ(blockdot("completion bash > c.sh && bash -n c.sh").err, "");
  Outcome completed = shell(
      "bash -c 'source c.sh; COMP_WORDS=(blockdot gen --a mxfp8); COMP_CWORD=3; _blockdot; "
      "echo ${COMPREPLY[*]}'");
  EXPECT_EQ(completed.out, "mxfp8_e4m3 mxfp8_e5m2\n") << completed.err;
  std::string manual = blockdot("man").out;
  EXPECT_EQ(manual.rfind(".TH BLOCKDOT 1", 0), 0u);
  EXPECT_NE(manual.find("accumulator"), std::string::npos);
}

TEST_F(Cli, DoctorNamesToolsAndPackages) {
  Outcome outcome = blockdot("doctor --json");
  json doctor = json::parse(outcome.out);
  EXPECT_GE(doctor["tools"].size(), 8u);
  Outcome nothing = shell("PATH=/bin:/nowhere '" BLOCKDOT_BINARY_DIR "/bin/blockdot' doctor");
  EXPECT_TRUE(nothing.code == 0 || nothing.out.find("apt-get install") != std::string::npos);
}

}  // namespace
}  // namespace blockdot
