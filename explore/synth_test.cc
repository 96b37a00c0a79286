// Synthesis of one small unit by the real tools, and what is said when a tool is missing. The cell
// areas are pinned from the library (osu018_stdcells.lib: NAND2X1 has 24).
#include "explore/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/error.h"
#include "formats/temporary_folder.h"

namespace blockdot::explore {
namespace {

using rtl_gen::Technology;
using ::testing::HasSubstr;

// A hand-written module of one gate: its cost is known.
rtl_gen::Unit one_gate() {
  rtl_gen::Unit unit;
  unit.report.top = "one_gate";
  unit.verilog =
      "module one_gate(input a_i, input b_i, output y_o);\n  assign y_o = ~(a_i & "
      "b_i);\nendmodule\n";
  return unit;
}

// Sets an environment variable and puts it back.
class WithEnvironment {
 public:
  WithEnvironment(const char* name, const std::string& value) : name_(name) {
    const char* before = std::getenv(name);
    if (before != nullptr) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~WithEnvironment() {
    if (before_.empty())
      unsetenv(name_);
    else
      setenv(name_, before_.c_str(), 1);
  }

 private:
  const char* name_;
  std::string before_;
};

std::string missing(Technology technology) {
  try {
    require_synthesis_tools(technology);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing is missing";
}

TEST(Synthesis, OneNandHasTheAreaOfTheLibrarysCell) {
  TemporaryFolder folder;
  ResultStore store(folder.path());
  Figures osu = synthesise(one_gate(), Technology::kOsu018, store);
  EXPECT_EQ(osu.at("area").provenance, "synthesised");
  EXPECT_GE(osu.at("area").value, 24);  // NAND2X1; buffering may add a driver for the load
  EXPECT_LE(osu.at("area").value, 24 + 32);
  EXPECT_GT(osu.at("critical_path_ns").value, 0.01);
  EXPECT_LT(osu.at("critical_path_ns").value, 1);

  // The generic technology is the same run in units of that NAND, and comes from the store now:
  // no tool is needed.
  WithEnvironment no_tools("PATH", folder.path().string());
  Figures generic = synthesise(one_gate(), Technology::kGeneric, store);
  EXPECT_DOUBLE_EQ(generic.at("area").value, osu.at("area").value / 24);
}

TEST(Synthesis, FpgaCountsOneLut) {
  Figures xilinx = synthesise(one_gate(), Technology::kXilinx, ResultStore({}));
  EXPECT_EQ(xilinx.at("area").value, 1);
  EXPECT_EQ(xilinx.at("area").unit, "LUT");
  EXPECT_EQ(xilinx.at("register_bits").value, 0);
}

TEST(Synthesis, MissingToolsAreNamedWithTheirPackage) {
  TemporaryFolder folder;
  EXPECT_EQ(missing(Technology::kOsu018), "nothing is missing");
  {
    WithEnvironment no_library("LIBERTY", "/nonexistent.lib");
    EXPECT_THAT(missing(Technology::kOsu018), HasSubstr("apt-get install qflow-tech-osu018"));
  }
  WithEnvironment no_tools("PATH", folder.path().string());
  EXPECT_THAT(missing(Technology::kOsu018), HasSubstr("apt-get install yosys"));
  EXPECT_THROW(synthesise(one_gate(), Technology::kOsu018, ResultStore({})), ConfigError);
}

TEST(Synthesis, AToolsComplaintIsTheError) {
  rtl_gen::Unit broken = one_gate();
  broken.verilog = "module one_gate(input a_i);\n  assign = ;\nendmodule\n";
  try {
    synthesise(broken, Technology::kOsu018, ResultStore({}));
    FAIL() << "no error";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("synthesis of one_gate failed: "));
    EXPECT_THAT(error.what(), HasSubstr("syntax error"));
  }
}

}  // namespace
}  // namespace blockdot::explore
