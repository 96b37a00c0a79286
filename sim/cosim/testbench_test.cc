// The shipped testbench in outside simulators. Oracle of its vectors: the golden model.
#include "sim/cosim/testbench.h"

#include <gtest/gtest.h>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
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

TEST_F(Testbench, RunsInVerilatorToo) {
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
