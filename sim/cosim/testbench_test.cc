// The shipped testbench in outside simulators. Oracle of its vectors: the golden model.
#include "sim/cosim/testbench.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <utility>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "rtl_gen/package/package.h"
#include "sim/cosim/faulty_unit.h"
#include "sim/cosim/tool.h"

namespace blockdot::sim {
namespace {

class Testbench : public ::testing::TestWithParam<const char*> {
 protected:
  void write(const std::string& verilog) { write_file_atomic(folder_.path() / "unit.v", verilog); }
  std::string icarus() {
    std::string warnings = require_tool(
        {"iverilog", "-g2005", "-Wall", "-o", "unit_tb", "unit.v", "unit_tb.v"}, folder_.path());
    EXPECT_EQ(warnings, "");
    return require_tool({"vvp", "unit_tb"}, folder_.path());
  }
  TemporaryFolder folder_;
};

TEST_P(Testbench, PassesInIcarusAndFailsWithAFaultInTheUnit) {
  auto spec = formats::parse_dot_spec(GetParam());
  auto unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  write(unit.verilog);
  write_testbench(folder_.path(), make_testbench(unit, spec, 200));
  EXPECT_EQ(icarus(), "PASS 200\n");

  write(faulty_unit(unit, {{"a_i", "a_i ^ 1'b1"}}).verilog);  // the lowest bit of lane 0
  std::string output = icarus();
  EXPECT_NE(output.find("FAIL"), std::string::npos) << output;
  EXPECT_NE(output.find("expected valid_o"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Specs, Testbench,
                         ::testing::Values("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]",
                                           "a=e4m3@e8m0/8 lanes=2 accumulator=fp32",
                                           "a=sm4@e8m0/8+u1/2 lanes=4 output=bf16 rounding=sr:7"));

TEST_F(Testbench, ChecksABlockDotToo) {
  for (const char* text :
       {"a=mxfp8_e5m2 lanes=4", "a=mxint8 lanes=4", "a=mx6 lanes=4", "a=bf16 lanes=2"}) {
    auto spec = formats::parse_dot_spec(text);
    for (bool combinational : {true, false}) {
      rtl_gen::Arch arch;
      arch.combinational = combinational;
      auto unit = rtl_gen::generate(rtl_gen::UnitKind::kBlockDot, spec, arch);
      write(unit.verilog);
      write_testbench(folder_.path(), make_testbench(unit, spec, 300));
      EXPECT_EQ(icarus(), "PASS 300\n") << text;
      write(faulty_unit(unit, {{"b_i", "b_i ^ 1'b1"}}).verilog);
      EXPECT_NE(icarus().find("FAIL"), std::string::npos) << text;
    }
  }
}

// ---- Designs of the other kinds ----

struct Fault {
  const char *from, *to;  // in the Verilog
};
struct Case {
  const char* name;
  rtl_gen::DesignText text;
  std::vector<Fault> faults;  // each must turn the testbench red
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// `accumulator`: of a quantizer its lanes.
rtl_gen::DesignText text(const char* unit, const char* a, const char* accumulator = "",
                         const char* rounding = "", const char* dataflow = "") {
  rtl_gen::DesignText t;
  t.unit = unit;
  if (t.unit == "multi" || t.unit == "fused") {
    t.modes = a;
    t.dot.lanes = "2";
    t.dot.accumulator = accumulator;
    t.dot.rounding = rounding;
    return t;
  }
  t.dot.a = a;
  t.dot.rounding = rounding;
  if (t.unit == "quantizer") {
    t.dot.lanes = accumulator;
    return t;
  }
  t.dot.lanes = "4";
  t.dot.accumulator = accumulator;
  t.dot.output = "bf16";
  if (t.unit == "array") {
    t.rows = "3";
    t.cols = "2";
    t.dataflow = dataflow;
  }
  return t;
}

rtl_gen::DesignText without_port(rtl_gen::DesignText t) {
  t.dot.lfsr = "galois:32:77:no-port";
  return t;
}

// Faults of the borders beside those of the values: a place too many in the queue, a seed that is
// not loaded, a tile that does not wait, columns beyond the tile, a mark that is lost.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"multi", text("multi", "e4m3,e5m2,e2m1"), {{"a_i[0]", "b_i[0]"}}},
      {"accumulating_multi",
       text("multi", "e4m3,e5m2,e2m1", "kulisch"),
       {{"a_i[0]", "b_i[0]"}, {"assign start = ", "assign start = 1'b1 | "}}},
      {"random_multi",
       text("multi", "e4m3,e2m1", "bf16:sr:6"),
       {{"assign seed = {seed_i", "assign seed = {~seed_i"}, {" = mode_i ? ", " = ~mode_i ? "}}},
      {"fused", text("fused", "e4m3,e2m1"), {{"c_i[", "~c_i["}}},
      {"quantizer", text("quantizer", "sm4@e8m0/8+u1/2"), {{"x_i[30:0]", "31'd5"}}},
      {"random_quantizer",
       text("quantizer", "e2m1@e8m0/4", "", "sr:5"),
       {{"assign seed = {seed_i", "assign seed = {~seed_i"}}},
      {"streamed_quantizer",
       text("quantizer", "e2m1@e4m3/8*fp32/tensor", "2"),
       {{"x_i[30:0]", "31'd5"}}},
      {"given_scale_quantizer",
       text("quantizer", "fp8_e4m3_tensor", "2"),
       {{"scale_i[30:24]", "~scale_i[30:24]"}}},
      {"scalar_quantizer", text("quantizer", "fp8_e5m2", "2"), {{"x_i[30:24]", "x_i[62:56]"}}},
      {"stream",
       text("stream", "mxfp4", "kulisch[20:-10]"),
       {{"first_q <= s_axis_tlast", "first_q <= 1'b0"},
        {"assign s_axis_tready = ", "assign s_axis_tready = 1'b1 || "},
        {"if (keep && !release_stored)", "if (keep)"}}},
      {"random_stream", text("stream", "mx6", "bf16:sr:6", "sr:6"), {{"(seed_i)", "(32'd1)"}}},
      {"stream_without_seed_port",
       without_port(text("stream", "mx6", "bf16:sr:6", "sr:6")),
       {{"SEED = 32'h4d", "SEED = 32'd1"}}},
      {"quantizer_without_seed_port",
       without_port(text("quantizer", "e2m1@e8m0/4", "", "sr:5")),
       {{"SEED = 32'h4d", "SEED = 32'd1"}}},
      {"array_without_seed_port",
       without_port(text("array", "mxfp4", "bf16:sr:6", "sr:6", "ws")),
       {{"32'h4d}", "32'h4c}"}}},
      {"array_os",
       text("array", "mxfp4", "bf16", "", "os"),
       {{"& {16{used[at]}}", ""},
        {"in_ready_o = busy_q && !(last && ", "in_ready_o = busy_q && !(1'b0 && "},
        {"first_q <= 1'b0", "first_q <= 1'b1"}}},
      {"random_array_os",
       text("array", "mxfp4", "bf16:sr:6", "sr:6", "os"),
       {{"<< seed_cell_i", "<< 1'b0"}}},
      {"array_ws",
       text("array", "mx6", "bf16", "", "ws"),
       {{"gap_q == ", "1'b1 || gap_q == "}, {"final_q <= shadow_final_q", "final_q <= 1'b1"}}},
      {"array_of_counted_lanes",
       text("array", "binary@e8m0/8", "bf16", "", "ws"),
       {{"count_i(a[", "count_i(~a["}}},
      {"random_array_ws",
       text("array", "mxfp4", "bf16:sr:6", "sr:6", "ws"),
       {{"<< seed_cell_i", "<< 1'b0"}, {".draw_i(draw)", ".draw_i(draw && r == 0)"}}}};
  return all;
}

class Kinds : public ::testing::TestWithParam<Case> {
 protected:
  Kinds() : design_(generate_design(resolve(GetParam().text), {})) {}
  void write(const std::string& from = "", const std::string& to = "") {
    bool replaced = from.empty();
    for (const rtl_gen::ModuleFile& file : design_.files) {
      std::string verilog = file.text;
      if (const std::size_t at = verilog.find(from); !replaced && at != std::string::npos) {
        verilog.replace(at, from.size(), to);
        replaced = true;
      }
      write_file_atomic(folder_.path() / design_.file_of(file), verilog);
    }
    EXPECT_TRUE(replaced) << from;
  }
  std::string run(const std::vector<std::string>& options) {
    std::vector<std::string> compile = {"iverilog", "-g2005", "-o", "unit_tb", "unit_tb.v"};
    compile.insert(compile.end(), options.begin(), options.end());
    for (const rtl_gen::ModuleFile& file : design_.files) compile.push_back(design_.file_of(file));
    EXPECT_EQ(require_tool(compile, folder_.path()), "");
    return require_tool({"vvp", "unit_tb"}, folder_.path());
  }

  rtl_gen::Design design_;
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Every, Kinds, ::testing::ValuesIn(cases()),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(Kinds, PassInIcarusAndFailWithAFaultInTheUnitOrInItsBorders) {
  const sim::Testbench testbench = make_testbench(design_, 60, 5);
  EXPECT_GE(testbench.checks, 60);
  write_testbench(folder_.path(), testbench);
  write();
  EXPECT_EQ(run({"-Wall"}), "PASS " + std::to_string(testbench.checks) + "\n");
  for (const Fault& fault : GetParam().faults) {
    write(fault.from, fault.to);
    const std::string output = run({});
    EXPECT_NE(output.find("FAIL"), std::string::npos) << fault.from << "\n" << output;
  }
}

// What a design states of its cycles is checked: here the statement is wrong.
TEST_P(Kinds, FailWhereTheLatencyIsNotTheOneThatIsStated) {
  rtl_gen::Design wrong = design_;
  if (auto* unit = std::get_if<rtl_gen::Unit>(&wrong.made)) ++unit->report.latency;
  if (auto* array = std::get_if<rtl_gen::Array>(&wrong.made)) {
    ++array->timing.unit;
    ++array->timing.term;
  }
  ++wrong.report.latency;
  write_testbench(folder_.path(), make_testbench(wrong, 20, 5));
  write();
  EXPECT_NE(run({}).find("FAIL"), std::string::npos);
}

TEST_F(Testbench, RunsInVerilatorToo) {
  // As the package's README says. Without the flag it gives, Verilator 5.006 computes a tree of
  // exclusive ors of the second wrong.
  rtl_gen::Arch osu018;
  osu018.technology = rtl_gen::Technology::kOsu018;
  for (const auto& [wanted, arch] :
       {std::pair(text("array", "mx6", "bf16", "", "ws"), rtl_gen::Arch()),
        std::pair(text("array", "bm8_e4m3", "aligned[0]:e5m2", "", "ws"), osu018)}) {
    const rtl_gen::Design design = generate_design(resolve(wanted), arch);
    for (const rtl_gen::ModuleFile& file : design.files)
      write_file_atomic(folder_.path() / design.file_of(file), file.text);
    const auto testbench = make_testbench(design, 40, 3);
    write_testbench(folder_.path(), testbench);
    const std::vector<std::string> command = {"sh", "-c", rtl_gen::verilator_command(design)};
    const std::string output = require_tool(command, folder_.path());
    const std::string passed = fmt::format("PASS {}\n", testbench.checks);
    EXPECT_NE(output.find(passed), std::string::npos) << output;
  }
  auto spec = formats::parse_dot_spec("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]");
  auto unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  write(unit.verilog);
  write_testbench(folder_.path(), make_testbench(unit, spec, 100, 3));
  require_tool({"verilator", "--binary", "--timing", "-Wno-fatal", "--top-module", "unit_tb",
                "-CFLAGS", "-O0", "unit.v", "unit_tb.v"},
               folder_.path());
  std::filesystem::path program = folder_.path() / "obj_dir/Vunit_tb";
  std::string output = require_tool({"env", program.string()}, folder_.path());
  EXPECT_TRUE(output.starts_with("PASS 100\n")) << output;
}

TEST_F(Testbench, SameArgumentsGiveTheSameBytes) {
  auto spec = formats::parse_dot_spec("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]");
  auto unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  write_testbench(folder_.path(), make_testbench(unit, spec, 20, 5));
  std::string vectors = read_file(folder_.path() / "vectors.hex");
  write_testbench(folder_.path(), make_testbench(unit, spec, 20, 5));
  EXPECT_EQ(read_file(folder_.path() / "vectors.hex"), vectors);
  write_testbench(folder_.path(), make_testbench(unit, spec, 20, 6));
  EXPECT_NE(read_file(folder_.path() / "vectors.hex"), vectors);
  EXPECT_THROW(make_testbench(unit, spec, 0), ConfigError);
}

}  // namespace
}  // namespace blockdot::sim
