// blockdot gen: the package of a unit for a chosen format.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/command.h"
#include "cli/spec_options.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"
#include "rtl_gen/choose.h"
#include "rtl_gen/design.h"
#include "rtl_gen/package/package.h"
#include "sim/cosim/testbench.h"

namespace blockdot::cli {

namespace {

namespace fs = std::filesystem;

struct GenArguments {
  SpecArguments spec;
  ArchArguments arch;
  rtl_gen::DesignText design;  // beside `spec`
  std::string out;
  std::uint64_t seed = 1;
  std::optional<std::string> top;
  int vectors = 256;
  bool explain = false;
};

// Why the structure is what it is: the candidates as the cost model sees them.
template <typename Spec>
void explain(const Spec& spec, bool accumulates, const rtl_gen::Arch& arch) {
  constexpr size_t kShown = 12;
  const rtl_gen::Choice choice = rtl_gen::choose(spec, arch.technology, arch.structure);
  std::FILE* to = stderr;
  fmt::print(to, "structure  {}\n  because  {}\n", to_text(choice.structure), choice.reason);
  for (const std::string& line : describe(choice.structure)) fmt::print(to, "  {}\n", line);
  if (accumulates) {
    const rtl_gen::SegmentChoice accumulator =
        rtl_gen::choose_segment(spec, arch.technology, choice.structure, arch.clock_ns);
    if (!accumulator.reason.empty())
      fmt::print(
          to, "accumulator  {}\n  because  {}\n",
          accumulator.segment > 0 ? fmt::format("segmented:{}", accumulator.segment) : "word",
          accumulator.reason);
  }
  const rtl_gen::CostModel cost(arch.technology);
  if (!choice.roundings.empty()) {
    fmt::print(to, "rounding   {}\n  because  {}\n",
               choice.structure.rounding == rtl_gen::SrPlace::kEager ? "eager" : "lazy",
               choice.rounding_reason);
    for (const rtl_gen::Candidate& c : choice.roundings)
      fmt::print(to, "  {:>11.0f} {:>9.2f}  {}\n", c.area, c.delay_ns,
                 c.structure.rounding == rtl_gen::SrPlace::kEager ? "eager" : "lazy");
  }
  if (choice.candidates.empty()) return;
  fmt::print(to, "  {:>11} {:>9}  candidate (estimated)\n", cost.area_unit(), "ns");
  for (size_t i = 0; i < std::min(kShown, choice.candidates.size()); ++i) {
    const rtl_gen::Candidate& c = choice.candidates[i];
    fmt::print(to, "  {:>11.0f} {:>9.2f}  {}{}\n", c.area, c.delay_ns, to_text(c.structure),
               i == 0 ? "  <- chosen" : "");
  }
  if (choice.candidates.size() > kShown)
    fmt::print(to, "  and {} more\n", choice.candidates.size() - kShown);
}

void explain(const rtl_gen::DesignSpec& spec, const rtl_gen::Arch& arch) {
  if (const formats::DotSpec* contract = spec.contract())
    explain(*contract, spec.kind == rtl_gen::UnitKind::kDot, arch);
  else
    explain(spec.multi, spec.multi.accumulation.has_value(), arch);
}

// What an earlier package in `out` has, by its unit.json, and `files` have not.
std::vector<fs::path> left_over(const fs::path& out,
                                const std::vector<rtl_gen::PackageFile>& files) {
  std::vector<fs::path> old;
  if (!fs::is_regular_file(out / "unit.json")) return old;
  const nlohmann::json earlier =
      nlohmann::json::parse(read_file(out / "unit.json"), nullptr, /*allow_exceptions=*/false);
  if (!earlier.is_object() || !earlier.contains("package")) return old;
  for (const nlohmann::json& entry : earlier["package"]) {
    if (!entry.is_string()) continue;
    const std::string name = entry;
    const bool kept = std::any_of(files.begin(), files.end(),
                                  [&](const rtl_gen::PackageFile& f) { return f.name == name; });
    if (!kept && fs::path(name).filename() == name && fs::is_regular_file(out / name))
      old.push_back(out / name);
  }
  return old;
}

// Whether some rounding of the unit takes random bits.
bool draws(const rtl_gen::DesignSpec& spec) {
  if (const formats::DotSpec* contract = spec.contract())
    return spec.kind != rtl_gen::UnitKind::kBlockDot && formats::draws(*contract);
  if (spec.kind == rtl_gen::UnitKind::kQuantizer) return spec.quantizer.rounding.stochastic();
  if (spec.multi.accumulation)
    return formats::drawn_rounding(*spec.multi.accumulation, false).stochastic();
  return spec.multi.rounding.stochastic();
}

void run(const GenArguments& arguments, const Context& context) {
  if (arguments.out.empty()) throw ConfigError("out = (nothing): must name a folder");
  rtl_gen::DesignText text = arguments.design;
  text.dot = arguments.spec.text;
  const rtl_gen::DesignSpec spec = rtl_gen::resolve(text);
  if (!text.dot.lfsr.empty() && !draws(spec))
    throw ConfigError(
        "lfsr = {}: no rounding of this unit draws; add --rounding sr:8, or leave it out",
        formats::shown(text.dot.lfsr));
  const rtl_gen::Arch arch = resolve(arguments.arch);
  if (arguments.explain && spec.kind == rtl_gen::UnitKind::kQuantizer)
    throw ConfigError(
        "explain: the cost model weighs multipliers, alignments and sums of products; unit {} has "
        "none, each of its parts is built in one way: leave --explain out",
        to_text(spec.kind));
  if (arguments.top) rtl_gen::check_top(*arguments.top);
  const rtl_gen::Design design = rtl_gen::generate_design(spec, arch, arguments.top.value_or(""));
  if (arguments.explain) explain(spec, arch);
  sim::Testbench testbench;
  if (arguments.vectors > 0)
    testbench = sim::make_testbench(design, arguments.vectors, arguments.seed);
  std::vector<rtl_gen::PackageFile> files;
  for (const rtl_gen::ModuleFile& file : design.files)
    files.push_back({design.file_of(file), file.text});
  for (const rtl_gen::PackageFile& file : make_package(design, testbench.checks))
    files.push_back(file);
  if (arguments.vectors > 0) {
    files.push_back({"vectors.hex", testbench.vectors});
    files.push_back({"unit_tb.v", testbench.verilog});
  }
  nlohmann::json report = design.json;
  for (const rtl_gen::PackageFile& file : files) report["package"].push_back(file.name);
  const fs::path out = arguments.out;
  for (const rtl_gen::PackageFile& file : files) check_writable(out / file.name);
  check_writable(out / "unit.json");
  for (const rtl_gen::PackageFile& file : files) write_file_atomic(out / file.name, file.text);
  for (const fs::path& old : left_over(out, files)) fs::remove(old);
  // The report comes last, so that what it describes is there.
  files.push_back({"unit.json", report.dump(2) + "\n"});
  write_file_atomic(out / "unit.json", files.back().text);
  if (context.json) {
    print_json(report);
    return;
  }
  if (context.quiet) return;
  const rtl_gen::UnitReport& r = design.report;
  fmt::print("{}\n  spec     {}\n  arch     {}\n", r.top, r.spec_text, r.arch_text);
  fmt::print("  latency  {} cycles, interval {}\n", r.latency, r.interval);
  auto figure = [](const char* name, const rtl_gen::Figure& f) {
    if (!f.provenance.empty())
      fmt::print("  {:<8} {:.6g} {} ({})\n", name, f.value, f.unit, f.provenance);
  };
  figure("area", r.area);
  figure("path", r.critical_path_ns);
  figure("state", r.register_bits);
  fmt::print("  wrote    {} with", (out / "README.md").string());
  for (const rtl_gen::PackageFile& file : files)
    if (file.name != "README.md") fmt::print(" {}", file.name);
  fmt::print("\n");
  if (arguments.vectors > 0)
    fmt::print("Check it in any simulator:\n  (cd {} && {})\n", out.string(),
               icarus_command(design));
}

}  // namespace

void add_gen(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<GenArguments>();
  CLI::App* command = program.add_subcommand("gen", "Generate the Verilog of a unit");
  add_spec_options(*command, arguments->spec);
  add_arch_options(*command, arguments->arch);
  command
      ->add_option(
          "--unit,--kind", arguments->design.unit,
          "dot (accumulates and rounds), block-dot (the bare exact sum), multi (that sum in "
          "formats "
          "chosen by a mode input, accumulated and rounded where --accumulator is given), fused "
          "(multi with an addend, rounded once by --rounding), "
          "stream (a "
          "dot "
          "behind AXI4-Stream), array (rows x columns of dots) or quantizer (floats to --a)")
      ->default_str("dot")
      ->type_name("KIND");
  command->add_flag("--explain", arguments->explain,
                    "Print, to standard error and also with -q, which structures were weighed and "
                    "which was chosen");
  command
      ->add_option("--modes", arguments->design.modes,
                   "Formats of a multi or fused unit in the order of mode codes: e4m3,e5m2,e2m1 or "
                   "pairs as in e4m3xe2m1 (instead of --a and --b)")
      ->type_name("FORMAT,...");
  command
      ->add_option("--addend", arguments->design.addend,
                   "Addend and result of a fused unit (default fp32)")
      ->type_name("FLOAT");
  command->get_option("--a")->required(false);
  command
      ->add_option("--out", arguments->out,
                   "Folder for the package: Verilog, constraints, testbench, README. Files of an "
                   "earlier package there that this one has not are removed, others stay")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--top", arguments->top, "Name of the module [unit, stream, array or quantizer]")
      ->type_name("NAME");
  command
      ->add_option(
          "--input", arguments->design.input,
          "quantizer: fp32 or bf16, --lanes of them a beat (default: a row of the block, or "
          "its longest part of at most 1024)")
      ->default_str("fp32")
      ->type_name("FORMAT");
  command
      ->add_option("--scale-rule", arguments->design.scale_rule,
                   "quantizer: floor, ceil, even, rceil, rceil-reciprocal, amax, shift, "
                   "ceil-exponent or three-quarters; with another scale than e8m0 floor or ceil")
      ->default_str("floor")
      ->type_name("RULE");
  command->add_option("--rows", arguments->design.rows, "array: rows of units, 1 to 64")
      ->default_str("4")
      ->type_name("R");
  command->add_option("--cols", arguments->design.cols, "array: columns of units, 1 to 64")
      ->default_str("4")
      ->type_name("C");
  command
      ->add_option("--dataflow", arguments->design.dataflow,
                   "array: os (output-stationary) or ws (weight-stationary)")
      ->default_str("os")
      ->type_name("FLOW");
  command
      ->add_option("--banks", arguments->design.banks,
                   "array, os: tiles that may wait for their drain, 1 to 8")
      ->default_str("2")
      ->type_name("N");
  command
      ->add_option("--depth", arguments->design.depth,
                   "array, ws: rows of a tile that the partial sums' buffer holds")
      ->default_str("64")
      ->type_name("N");
  command
      ->add_option("--vectors", arguments->vectors,
                   "Test vectors of the self-checking testbench; 0: no testbench")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str()
      ->type_name("N");
  add_seed(*command, arguments->seed, "Seed of the test vectors");
  command->footer(examples(
      {"blockdot gen --a mxfp8_e4m3 --lanes 32 --out unit/",
       "blockdot gen --a mxfp8_e4m3 --b mxfp4 --accumulator fp32 --rounding sr:16 --out unit/",
       "blockdot gen --a mxint8 --unit block-dot --combinational --tech osu018 --out unit/",
       "blockdot gen --unit multi --modes e4m3,e5m2,e2m1 --lanes 8 --accumulator fp32 --out unit/",
       "blockdot gen --unit fused --modes e4m3,e5m2 --lanes 8 --combinational --out unit/",
       "blockdot gen --unit fused --modes e4m3,e2m1 --addend bf16 --rounding sr:8 --out unit/",
       "blockdot gen --a mxfp8_e4m3 --tech osu018 --arch adder=kogge-stone --explain --out unit/",
       "blockdot gen --a bm8 --lanes 16 --accumulator 'kulisch[40:-60]' --out unit/",
       "blockdot gen --unit stream --a mxfp8_e4m3 --accumulator fp32 --out stream/",
       "blockdot gen --unit array --dataflow ws --rows 8 --cols 8 --a mxfp4 --out array/",
       "blockdot gen --unit quantizer --a mxfp8_e4m3 --input bf16 --out quantizer/",
       "blockdot gen --unit quantizer --a bm8 --input bf16 --lanes 16 --rounding sr:8 --out tile/",
       "blockdot gen --unit quantizer --a nvfp4 --lanes 4 --out nvfp4/"}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
