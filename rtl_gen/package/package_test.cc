// The package of a unit. Oracles: Icarus for the timing diagram, tclsh for the constraints, PyYAML
// for the FuseSoC core, and sums in binary32 and bfloat16 for the bounds.
#include "rtl_gen/package/package.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "rtl_gen/package/numbers.h"
#include "rtl_gen/package/timing.h"
#include "rtl_gen/package/wavedrom.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::rtl_gen {
namespace {

using formats::parse_dot_spec;
using nlohmann::json;

Design make(const DesignText& text, bool combinational = false, std::string_view top = "") {
  Arch arch;
  arch.combinational = combinational;
  return generate_design(resolve(text), arch, top);
}
Design make(const std::string& spec, UnitKind kind = UnitKind::kDot, bool combinational = false,
            std::string_view top = "") {
  Arch arch;
  arch.combinational = combinational;
  DesignSpec design;
  design.kind = kind;
  design.dot = design.array.unit = parse_dot_spec(spec);
  return generate_design(design, arch, top);
}

DesignText text_of_kind(const std::string& unit) {
  DesignText text;
  text.unit = unit;
  return text;
}
/// One or more of every kind but dot and block-dot.
std::vector<Design> others() {
  std::vector<Design> designs;
  for (const char* unit : {"multi", "fused"}) {
    DesignText text = text_of_kind(unit);
    text.modes = "e4m3,e2m1,e3m2xe4m3";
    text.dot.lanes = "2";
    for (bool combinational : {false, true}) designs.push_back(make(text, combinational));
  }
  for (const char* accumulator :
       {"kulisch", "kulisch[30:-12]:wrap:sticky", "bf16:sr:6", "aligned[5]:bf16"}) {
    DesignText text = text_of_kind("multi");
    text.modes = "e4m3,e2m1,e3m2xe4m3";
    text.dot.lanes = "2";
    text.dot.accumulator = accumulator;
    for (bool combinational : {false, true}) designs.push_back(make(text, combinational));
  }
  for (const char* rounding : {"rne", "sr:4"}) {
    DesignText text = text_of_kind("quantizer");
    text.dot.a = "sm4@e8m0/8+u1/2";
    text.dot.rounding = rounding;
    designs.push_back(make(text));
  }
  for (const char* rounding : {"rne", "sr:6"}) {
    DesignText text = text_of_kind("stream");
    text.dot = {"mx6", "", "4", "bf16", "bf16", rounding, "", "", ""};
    designs.push_back(make(text));
    text.unit = "array";
    text.rows = "2";
    text.cols = "3";
    designs.push_back(make(text));
  }
  for (const char* rows : {"1", "3"}) {
    DesignText text = text_of_kind("array");
    text.dot = {"mxfp4", "e4m3@e8m0/32", "2", "fp32", "", "", "", "", ""};
    text.rows = rows;
    text.cols = "2";
    text.dataflow = "ws";
    text.depth = "4";
    designs.push_back(make(text));
  }
  return designs;
}

std::string text_of(const std::vector<PackageFile>& files, const std::string& name) {
  for (const PackageFile& file : files)
    if (file.name == name) return file.text;
  ADD_FAILURE() << "no " << name;
  return "";
}

/// A wave with every '.' replaced by what it repeats.
std::string spelled(const json& row) {
  std::string wave = row.at("wave");
  for (std::size_t i = 1; i < wave.size(); ++i)
    if (wave[i] == '.') wave[i] = wave[i - 1];
  return wave;
}

/// Presents what the diagram shows to the emitted Verilog; counts the outputs compared.
int check_against_icarus(const Design& design, std::uint64_t seed) {
  const json diagram = timing_diagram(design);
  std::map<std::string, json> rows;
  for (const json& row : diagram["signal"]) rows[row["name"]] = row;
  const std::size_t cycles = spelled(diagram["signal"][0]).size();
  std::mt19937_64 random(seed);
  // In reset before the first cycle of the diagram.
  constexpr std::size_t kReset = 3;
  std::vector<testing::Cycle> inputs;
  for (std::size_t c = 0; c < kReset + cycles; ++c) {
    testing::Cycle cycle;
    for (const Port& port : design.report.ports) {
      if (!port.is_input || port.name == "clk_i") continue;
      const char now = port.name == "rst_ni" ? (c < kReset ? '0' : '1')
                       : c < kReset          ? '0'
                                             : spelled(rows.at(port.name))[c - kReset];
      Int value = 0;
      if (now == '1') value = 1;
      const bool described =
          port.name == "beats_i" || port.name == "rows_i" || port.name == "cols_i";
      if (now == '=' && described)  // the label is the number
        value = std::stoi(rows.at(port.name)["data"][0].get<std::string>());
      else if (now == 'x' || now == '=')  // any value will do, also where it does not matter
        for (int i = 0; i < port.width; ++i) value = value * 2 + static_cast<int>(random() & 1);
      cycle.push_back(value);
    }
    inputs.push_back(cycle);
  }
  const auto outputs = testing::simulate(testing::Simulator::kIcarus, design.verilog(),
                                         design.report.top, design.report.ports, inputs);
  int checked = 0;
  std::size_t o = 0;
  for (const Port& port : design.report.ports) {
    if (port.is_input) continue;
    const std::string wave = spelled(rows.at(port.name));
    for (std::size_t c = 0; c < cycles; ++c) {
      if (wave[c] != '0' && wave[c] != '1') continue;
      EXPECT_EQ(outputs[kReset + c][o], wave[c] - '0')
          << port.name << " of " << design.report.spec_text << " cycle " << c;
      ++checked;
    }
    // The other outputs have a label exactly where valid_o is high.
    for (const auto& [name, row] : rows)
      for (std::size_t c = 0; c < cycles && port.name == "valid_o"; ++c)
        if (name.ends_with("_o") && name != "valid_o") {
          EXPECT_EQ(spelled(row)[c] == '=', wave[c] == '1') << name << " cycle " << c;
        }
    ++o;
  }
  return checked;
}

TEST(TimingDiagram, ShowsTheCyclesInWhichIcarusSeesValidResults) {
  for (const char* spec :
       {"a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]", "a=e4m3@e8m0/8 lanes=2",
        "a=sm4@e8m0/8+u1/2 lanes=4 output=bf16 rounding=sr:7"}) {
    EXPECT_GT(check_against_icarus(make(spec), 1), 0) << spec;
    EXPECT_GT(check_against_icarus(make(spec, UnitKind::kDot, true), 2), 0) << spec;
    EXPECT_GT(check_against_icarus(make(spec, UnitKind::kBlockDot), 3), 0) << spec;
  }
  for (const Design& design : others())
    if (design.report.clock_ns > 0) {
      EXPECT_GT(check_against_icarus(design, 4), 4) << to_text(design.spec);
    }
}

TEST(TimingDiagram, OfACombinationalBlockDotHasInputsAndOutputsInOneColumn) {
  const json diagram = timing_diagram(make("a=mxint8 lanes=4", UnitKind::kBlockDot, true));
  for (const json& row : diagram["signal"]) {
    EXPECT_EQ(spelled(row).substr(0, 5), "=x==x") << row;
    EXPECT_EQ(row["data"], json({"A", "B", "C"})) << row;
  }
}

TEST(DrawWavedrom, DrawsEveryLabelAndTheNumberOfEachCycle) {
  const json diagram = {{"signal",
                         {{{"name", "clk"}, {"wave", "p..."}},
                          {{"name", "a<b"}, {"wave", "0.1."}},
                          {{"name", "d"}, {"wave", "x=3."}, {"data", {"one", "two"}}}}},
                        {"head", {{"text", "title"}, {"tick", 7}}}};
  const std::string svg = draw_wavedrom(diagram);
  for (const char* part : {">title<", ">one<", ">two<", ">a&lt;b<", ">7<", ">10<"})
    EXPECT_NE(svg.find(part), std::string::npos) << part << "\n" << svg;
  EXPECT_EQ(svg.find(">11<"), std::string::npos);
}

TEST(DrawWavedrom, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(draw_wavedrom({{"signal", {{{"name", "a"}, {"wave", "0z"}}}}}), ConfigError);
  EXPECT_THROW(draw_wavedrom({{"signal", {{{"name", "a"}, {"wave", ".0"}}}}}), ConfigError);
  EXPECT_THROW(draw_wavedrom({{"signal", json::array()}}), ConfigError);
  EXPECT_THROW(draw_wavedrom(json::object()), ConfigError);
}

TEST(ErrorBounds, HoldForSumsOfBinary32) {
  // Terms of one sign and of both: the worst relative error stays below gamma_n, and comes within
  // a factor of the largest error of one rounding.
  std::mt19937_64 random(5);
  const formats::ElementFormat fp32 = formats::parse_element("fp32");
  const double u = unit_roundoff(fp32, {});
  EXPECT_EQ(u, 0x1p-24);
  EXPECT_EQ(unit_roundoff(fp32, formats::stochastic_rounding(8)), 0x1p-23);
  EXPECT_EQ(gamma(1 << 24, u), INFINITY);
  double worst_one = 0;
  for (int n : {1, 8, 500})
    for (int trial = 0; trial < 2000; ++trial) {
      float sum = 0;
      double exact = 0, magnitude = 0;
      for (int t = 0; t < n; ++t) {
        const double term =
            std::ldexp(static_cast<double>(random() % (1u << 30)), -30) - (trial % 2 ? 0.5 : 0.0);
        sum = static_cast<float>(sum + term);
        exact += term;
        magnitude += std::abs(term);
      }
      const double error = std::abs(sum - exact);
      ASSERT_LE(error, gamma(n, u) * magnitude) << n;
      if (n == 1 && magnitude > 0) worst_one = std::max(worst_one, error / magnitude);
    }
  EXPECT_GT(worst_one, 0.9 * u);
}

TEST(ErrorBounds, OfStochasticRoundingHoldInNinetyNineOfAHundredSums) {
  std::mt19937_64 random(6);
  const formats::ElementFormat bf16 = formats::parse_element("bf16");
  constexpr int kTerms = 256, kTrials = 1000;
  for (int r : {2, 8}) {
    const formats::Rounding rounding = formats::stochastic_rounding(r);
    const double bound = stochastic_bound(kTerms, unit_roundoff(bf16, rounding), r);
    int beyond = 0;
    double worst = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      double sum = 0, exact = 0, largest = 0;
      for (int t = 0; t < kTerms; ++t) {
        const double term = std::ldexp(static_cast<double>(random() % (1u << 20)), -20);
        exact += term;
        largest = std::max(largest, sum + term);
        const auto bits = static_cast<std::uint32_t>(random() >> (64 - r));
        sum = formats::decode(bf16, formats::encode(bf16, sum + term, rounding, bits));
      }
      const double error = std::abs(sum - exact) / largest;
      beyond += error > bound;
      worst = std::max(worst, error);
    }
    EXPECT_LE(beyond, kTrials / 100) << r;
    EXPECT_GT(worst, bound / 20) << "a bound that says nothing";
  }
}

TEST(Package, ReadmeHasThePortsAndTheNumbersOfItsSpec) {
  struct Case {
    const char *spec, *part;
  };
  for (const Case& c :
       {Case{"a=mxint8 lanes=4 accumulator=fp32", "| 65536 | 16384 | 0.000978 |"},
        Case{"a=mxint8 lanes=4 accumulator=bf16:sr:8", "| 1024 | 256 | none |"},
        Case{"a=mxint8 lanes=4 accumulator=kulisch[40:-20]", "| 65536 | 16384 | 2^-6 = 0.0156 |"},
        Case{"a=mxint8 lanes=4", "half a unit in the last place"}}) {
    const Design design = make(c.spec);
    const std::string page = text_of(make_package(design, 10), "README.md");
    EXPECT_NE(page.find(c.part), std::string::npos) << c.spec << "\n" << page;
    for (const Port& port : design.report.ports)
      EXPECT_NE(page.find("| `" + port.name + "` |"), std::string::npos) << port.name;
    const std::string bare = text_of(make_package(design, 0), "README.md");
    EXPECT_EQ(bare.find("vvp"), std::string::npos);
  }
}

// n + 1 terms of the longest beat, each cut by less than 2^(e - W) (docs/numerics.md).
TEST(Package, ReadmeOfAnAlignedAccumulatorCountsTheTermsOfItsLongestBeat) {
  DesignText text = text_of_kind("multi");
  text.dot.lanes = "4";
  text.dot.accumulator = "aligned[13]:fp32";
  for (const auto& [modes, products] :
       {std::pair{"e4m3,e2m1", "at most 8 products"}, {"e4m3,e5m2", "a beat's 4 products"}}) {
    text.modes = modes;
    const std::string page = text_of(make_package(make(text), 10), "README.md");
    EXPECT_NE(page.find(products), std::string::npos) << page;
    EXPECT_NE(page.find(text.modes == "e4m3,e2m1" ? "< 9 x 2^(e - 13)" : "< 5 x 2^(e - 13)"),
              std::string::npos)
        << page;
    EXPECT_EQ(page.find("sum of a beat"), std::string::npos) << "no sum stands before it";
  }
}

TEST(Package, ReadmeOfEveryKindHasItsPortsAndFormatsAndNoEmptyPart) {
  for (const Design& design : others()) {
    const std::string page = text_of(make_package(design, 10), "README.md");
    for (const Port& port : design.report.ports)
      EXPECT_NE(page.find("| `" + port.name + "` |"), std::string::npos) << port.name;
    // What the page says of parameters is what Verilog has.
    const bool has_seed =
        design.files[0].text.find("\n  parameter [31:0] SEED = ") != std::string::npos;
    EXPECT_EQ(design.files[0].text.find("#(\n  parameter") != std::string::npos, has_seed);
    EXPECT_EQ(page.find("| `SEED` | 32 | 1 | ") != std::string::npos, has_seed) << page;
    EXPECT_EQ(page.find("The module has no parameter.") == std::string::npos, has_seed) << page;
    for (const char* empty : {"Exact: .", "``", "\n\n\n", "latency 0, interval 0"})
      EXPECT_EQ(page.find(empty), std::string::npos) << empty << "\n" << page;
    const std::size_t formats = page.find("## Number formats"),
                      bounds = page.find("## Error bounds");
    EXPECT_GE(std::count(page.begin() + static_cast<std::ptrdiff_t>(formats),
                         page.begin() + static_cast<std::ptrdiff_t>(bounds), '\n'),
              6)
        << page;
    EXPECT_NE(page.find(design.sources() + " unit_tb.v"), std::string::npos);
  }
}

class PackageFiles : public ::testing::Test {
 protected:
  // Standard output and error of a command in the folder.
  std::string run(const std::string& command) {
    const int status =
        std::system(("cd '" + folder_.string() + "' && ( " + command + " ) >log 2>&1").c_str());
    std::string log = read_file(folder_ / "log");
    EXPECT_EQ(status, 0) << log;
    return log;
  }
  TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
};

TEST_F(PackageFiles, ConstraintsUseKnownCommandsAndNameEveryPort) {
  // Stubs of the commands; any other is an error of tclsh. Each call is printed.
  std::string stubs;
  for (const char* name : {"create_clock", "set_input_delay", "set_output_delay", "set_false_path",
                           "set_max_delay", "set_units"})
    stubs += std::string("proc ") + name + " args {puts \"" + name + " $args\"}\n";
  stubs += "proc get_ports list {return $list}\n";
  std::vector<Design> designs = others();
  for (bool combinational : {false, true})
    for (UnitKind kind : {UnitKind::kDot, UnitKind::kBlockDot})
      designs.push_back(make("a=mxfp8_e5m2 lanes=2", kind, combinational));
  for (const Design& design : designs) {
    const auto files = make_package(design, 1);
    for (const std::string name : {"unit.sdc", "unit.xdc"}) {
      write_file_atomic(folder_ / "t.tcl", stubs + text_of(files, name));
      const std::string calls = run("tclsh t.tcl");
      for (const Port& port : design.report.ports)
        EXPECT_NE(calls.find(port.name), std::string::npos) << port.name << "\n" << calls;
      const bool clocked = calls.find("create_clock -name clk_i") != std::string::npos;
      EXPECT_EQ(clocked, design.report.ports[0].name == "clk_i") << calls;
      EXPECT_EQ(calls.find("set_max_delay") == std::string::npos, clocked) << calls;
      EXPECT_EQ(calls.find("set_units") != std::string::npos, name == "unit.sdc");
    }
  }
}

TEST_F(PackageFiles, FusesocCoreIsYamlAndItsFilesAreInThePackage) {
  std::vector<std::pair<Design, int>> cases;
  for (int results : {0, 10})
    cases.emplace_back(make("a=mxfp4 lanes=2", UnitKind::kDot, false, "my_dot"), results);
  for (const Design& design : others()) cases.emplace_back(design, 10);
  for (const auto& [design, results] : cases) {
    const auto files = make_package(design, results);
    const std::string& top = design.report.top;
    write_file_atomic(folder_ / "unit.core", text_of(files, "unit.core"));
    // CAPI2: "CAPI=2:" is a key without a value.
    const json core =
        json::parse(run("/usr/bin/python3 -c 'import json, yaml; "
                        "print(json.dumps(yaml.safe_load(open(\"unit.core\"))))'"));
    EXPECT_TRUE(core.contains("CAPI=2"));
    EXPECT_EQ(core["name"], "blockdot:units:" + top + ":0.1.0");
    std::vector<std::string> known;
    for (const ModuleFile& file : design.files) known.push_back(design.file_of(file));
    for (const std::string& source : known)
      EXPECT_NE(text_of(files, "unit.core").find("- " + source + ":"), std::string::npos);
    if (results > 0) known.insert(known.end(), {"unit_tb.v", "vectors.hex"});
    for (const PackageFile& file : files) known.push_back(file.name);
    for (const json& fileset : core["filesets"])
      for (const json& file : fileset["files"])
        EXPECT_EQ(std::count(known.begin(), known.end(), file.items().begin().key()), 1) << file;
    for (const char* target : {"default", "lint", "sim", "synth"}) {
      EXPECT_EQ(core["targets"].contains(target), results > 0 || std::string("sim") != target);
      if (!core["targets"].contains(target)) continue;
      const json& t = core["targets"][target];
      EXPECT_EQ(t["toplevel"], std::string("sim") == target ? "unit_tb" : top);
      for (const std::string fileset : t["filesets"])
        EXPECT_TRUE(core["filesets"].contains(fileset)) << fileset;
      if (std::string("default") == target) continue;
      EXPECT_TRUE(t["tools"].contains(t["default_tool"].get<std::string>())) << target;
    }
  }
}

// Oracle: Yosys, which finds no module for a cell whose library it has not read.
TEST_F(PackageFiles, OfACellLibraryNamesItsCellsAndLeavesFpgasOut) {
  const std::string library = "/usr/share/qflow/tech/osu018/osu018_stdcells.lib";
  for (const auto& [structure, cells] : {std::pair{"", "instantiates `FAX1` of"},
                                         {"cells=library", "instantiates `FAX1` and `HAX1` of"},
                                         {"cells=none,adder=sklansky", ""}}) {
    Arch arch;
    arch.technology = Technology::kOsu018;
    arch.structure = parse_structure(structure);
    DesignSpec spec;
    spec.dot = parse_dot_spec("a=mxfp8_e4m3 lanes=4");
    const Design design = generate_design(spec, arch);
    const auto files = make_package(design, 10);
    const std::string page = text_of(files, "README.md"), core = text_of(files, "unit.core");
    for (const std::string* text : {&page, &core})
      for (const char* part : {"xdc", "synth:", "target=synth", "vivado"})
        EXPECT_EQ(text->find(part), std::string::npos) << part << "\n" << *text;
    for (const PackageFile& file : files) EXPECT_NE(file.name, "unit.xdc");
    EXPECT_EQ(page.find("## Cells") != std::string::npos, cells[0] != '\0');
    EXPECT_NE(page.find(cells), std::string::npos) << page;
    write_file_atomic(folder_ / "unit.v", design.verilog());
    const std::string read = "read_verilog -DSYNTHESIS unit.v; hierarchy -check -top unit";
    run("yosys -q -p 'read_liberty -lib " + library + "; " + read + "'");
    run((cells[0] != '\0' ? "! " : "") + ("yosys -q -p '" + read + "'"));
  }
}

}  // namespace
}  // namespace blockdot::rtl_gen
