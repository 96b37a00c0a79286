// blockdot gen: the package of a unit for a chosen format.
#include <fmt/core.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/spec_options.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"
#include "rtl_gen/array/array.h"
#include "rtl_gen/choose.h"
#include "rtl_gen/generate.h"
#include "rtl_gen/package/package.h"
#include "rtl_gen/stream/stream.h"
#include "rtl_gen/units/quantizer.h"
#include "sim/cosim/testbench.h"

namespace blockdot::cli {

namespace {

namespace fs = std::filesystem;

struct GenArguments {
  SpecArguments spec;
  ArchArguments arch;
  std::string unit = "dot", out, top;
  std::string modes, addend;
  std::string dataflow = "os", input = "fp32", scale_rule = "floor";
  int rows = 4, cols = 4, banks = 2, depth = 64;
  int vectors = 256;
  bool explain = false;
  std::uint64_t seed = 1;
};

formats::MultiSpec multi_spec(const GenArguments& arguments, rtl_gen::UnitKind kind) {
  const formats::DotSpecText& text = arguments.spec.text;
  for (const auto& [field, value] : {std::pair{"a", text.a},
                                     {"b", text.b},
                                     {"accumulator", text.accumulator},
                                     {"output", text.output},
                                     {"rounding", text.rounding},
                                     {"specials", text.specials},
                                     {"max-k", text.max_k}})
    if (!value.empty())
      throw ConfigError("{} = {}: unit {} takes --modes, --lanes and --addend only", field, value,
                        arguments.unit);
  const bool fused = kind == rtl_gen::UnitKind::kFused;
  if (!fused && !arguments.addend.empty())
    throw ConfigError("addend = {}: unit multi adds none; use --unit fused", arguments.addend);
  return formats::resolve_multi(arguments.modes, text.lanes,
                                fused && arguments.addend.empty() ? "fp32" : arguments.addend);
}

// A design of several modules: one file each, and what describes them.
void write_design(const fs::path& out, const std::vector<rtl_gen::ModuleFile>& files,
                  const nlohmann::json& report, const Context& context) {
  for (const rtl_gen::ModuleFile& file : files) write_file_atomic(out / file.file(), file.text);
  write_file_atomic(out / "unit.json", report.dump(2) + "\n");
  if (context.json) {
    print_json(report);
    return;
  }
  if (context.quiet) return;
  fmt::print("{}\n  kind     {}\n  spec     {}\n  arch     {}\n", files[0].name,
             report["kind"].get<std::string>(), report["spec"].get<std::string>(),
             report["arch"].get<std::string>());
  if (report.contains("latency"))
    fmt::print("  latency  {} cycles, interval {}\n", report["latency"].get<int>(),
               report["interval"].get<int>());
  if (report.contains("timing")) fmt::print("  timing   {}\n", report["timing"].dump());
  if (report.contains("estimates"))
    for (const auto& [name, figure] : report["estimates"].items())
      fmt::print("  {:<20} {:.6g} {} ({})\n", name, figure["value"].get<double>(),
                 figure["unit"].get<std::string>(), figure["provenance"].get<std::string>());
  fmt::print("  wrote    {}\n", (out / "unit.json").string());
  for (const rtl_gen::ModuleFile& file : files)
    fmt::print("           {}\n", (out / file.file()).string());
}

void run_array(const GenArguments& arguments, const formats::DotSpec& spec,
               const Context& context) {
  rtl_gen::ArraySpec array;
  array.unit = spec;
  array.rows = arguments.rows;
  array.cols = arguments.cols;
  array.dataflow = rtl_gen::parse_dataflow(arguments.dataflow);
  array.banks = arguments.banks;
  array.depth = arguments.depth;
  const rtl_gen::Array made = generate_array(array, resolve(arguments.arch),
                                             arguments.top.empty() ? "array" : arguments.top);
  write_design(arguments.out, made.files, to_json(made), context);
}

// A quantiser takes one format and no contract of a dot product.
void run_quantizer(const GenArguments& arguments, const Context& context) {
  const formats::DotSpecText& text = arguments.spec.text;
  for (const auto& [option, value] :
       {std::pair{"b", &text.b}, std::pair{"accumulator", &text.accumulator},
        std::pair{"output", &text.output}, std::pair{"specials", &text.specials},
        std::pair{"max-k", &text.max_k}})
    if (!value->empty())
      throw ConfigError(
          "{} = {}: a quantizer takes --a, --input, --scale-rule, --rounding and --lanes", option,
          *value);
  rtl_gen::QuantizerSpec spec;
  spec.format = formats::parse_block_format(text.a);
  spec.input = formats::parse_element(arguments.input);
  spec.rule = formats::parse_scale_rule(arguments.scale_rule);
  if (!text.rounding.empty()) spec.rounding = formats::parse_rounding(text.rounding);
  if (!text.lanes.empty())
    spec.lanes = static_cast<int>(formats::parse_int("lanes", text.lanes, 1, 1024));
  const rtl_gen::Unit unit = generate_quantizer(
      spec, resolve(arguments.arch), arguments.top.empty() ? "quantizer" : arguments.top);
  write_design(arguments.out, {{unit.report.top, unit.verilog}}, quantizer_json(unit, spec),
               context);
}

// Why the structure is what it is: the candidates as the cost model sees them.
void explain(const formats::DotSpec& spec, const rtl_gen::Arch& arch) {
  constexpr size_t kShown = 12;
  const rtl_gen::Choice choice = rtl_gen::choose(spec, arch.technology, arch.structure);
  std::FILE* to = stderr;
  fmt::print(to, "structure  {}\n  because  {}\n", to_text(choice.structure), choice.reason);
  if (choice.candidates.empty()) return;
  const rtl_gen::CostModel cost(arch.technology);
  fmt::print(to, "  {:>11} {:>9}  candidate (estimated)\n", cost.area_unit(), "ns");
  for (size_t i = 0; i < std::min(kShown, choice.candidates.size()); ++i) {
    const rtl_gen::Candidate& c = choice.candidates[i];
    fmt::print(to, "  {:>11.0f} {:>9.2f}  {}{}\n", c.area, c.delay_ns, to_text(c.structure),
               i == 0 ? "  <- chosen" : "");
  }
  if (choice.candidates.size() > kShown)
    fmt::print(to, "  and {} more\n", choice.candidates.size() - kShown);
}

void run(const GenArguments& arguments, const Context& context) {
  if (arguments.out.empty()) throw ConfigError("out = (nothing): must name a folder");
  const bool multi = arguments.unit == "multi" || arguments.unit == "fused";
  if (!multi && (!arguments.modes.empty() || !arguments.addend.empty()))
    throw ConfigError("unit = {}: takes no modes and no addend; use --unit multi or fused",
                      arguments.unit);
  if (!multi && arguments.spec.text.a.empty())
    throw ConfigError("--a is required by --unit {}: a format, e.g. mxfp8_e4m3", arguments.unit);
  if (arguments.unit == "quantizer") return run_quantizer(arguments, context);
  const formats::DotSpec spec = multi ? formats::DotSpec{} : formats::resolve(arguments.spec.text);
  if (arguments.unit == "array") return run_array(arguments, spec, context);
  if (arguments.unit == "stream") {
    const rtl_gen::Stream stream = rtl_gen::generate_stream(
        spec, resolve(arguments.arch), arguments.top.empty() ? "stream" : arguments.top);
    return write_design(arguments.out, stream.files, to_json(stream), context);
  }
  if (!multi && arguments.unit != "dot" && arguments.unit != "block-dot")
    throw ConfigError(
        "unit = {}: must be dot, block-dot, multi, fused, stream, array or quantizer{}",
        arguments.unit,
        formats::did_you_mean(arguments.unit, {"dot", "block-dot", "multi", "fused", "stream",
                                               "array", "quantizer"}));
  const rtl_gen::UnitKind kind = rtl_gen::parse_unit_kind(arguments.unit);
  const std::string top = arguments.top.empty() ? "unit" : arguments.top;
  fs::path out = arguments.out;
  rtl_gen::Unit unit;
  std::vector<rtl_gen::PackageFile> files;
  sim::Testbench testbench;
  if (multi) {
    const formats::MultiSpec modes = multi_spec(arguments, kind);
    if (arguments.explain)
      throw ConfigError(
          "explain: the cost model chooses structures of dot and block-dot units only");
    unit = rtl_gen::generate(modes, resolve(arguments.arch), top);
    if (arguments.vectors > 0)
      testbench = sim::make_testbench(unit, modes, arguments.vectors, arguments.seed);
  } else {
    unit = rtl_gen::generate(kind, spec, resolve(arguments.arch), top);
    if (arguments.explain && !context.quiet) explain(spec, resolve(arguments.arch));
    files = rtl_gen::make_package(unit, spec, arguments.vectors);
    if (arguments.vectors > 0)
      testbench = sim::make_testbench(unit, spec, arguments.vectors, arguments.seed);
  }
  const std::string first = files.empty() ? "unit.v" : "README.md";
  files.insert(files.begin(), {"unit.v", unit.verilog});
  if (arguments.vectors > 0) {
    files.push_back({"vectors.hex", testbench.vectors});
    files.push_back({"unit_tb.v", testbench.verilog});
  }
  // The report comes last, so that what it describes is there.
  nlohmann::json report = rtl_gen::to_json(unit.report);
  files.push_back({"unit.json", report.dump(2) + "\n"});
  for (const rtl_gen::PackageFile& file : files) check_writable(out / file.name);
  for (const rtl_gen::PackageFile& file : files) write_file_atomic(out / file.name, file.text);
  if (context.json) {
    print_json(report);
    return;
  }
  if (context.quiet) return;
  const rtl_gen::UnitReport& r = unit.report;
  fmt::print("{}\n  spec     {}\n  arch     {}\n", r.top, r.spec_text, r.arch_text);
  fmt::print("  latency  {} cycles, interval {}\n", r.latency, r.interval);
  auto figure = [](const char* name, const rtl_gen::Figure& f) {
    if (!f.provenance.empty())
      fmt::print("  {:<8} {:.6g} {} ({})\n", name, f.value, f.unit, f.provenance);
  };
  figure("area", r.area);
  figure("path", r.critical_path_ns);
  figure("state", r.register_bits);
  fmt::print("  wrote    {} with", (out / first).string());
  for (const rtl_gen::PackageFile& file : files)
    if (file.name != first) fmt::print(" {}", file.name);
  fmt::print("\n");
  if (arguments.vectors > 0)
    fmt::print(
        "Check it in any simulator:\n"
        "  (cd {} && iverilog -g2005 -o unit_tb unit.v unit_tb.v && vvp unit_tb)\n",
        out.string());
}

}  // namespace

void add_gen(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<GenArguments>();
  CLI::App* command = program.add_subcommand("gen", "Generate the Verilog of a unit");
  add_spec_options(*command, arguments->spec);
  add_arch_options(*command, arguments->arch);
  command
      ->add_option(
          "--unit,--kind", arguments->unit,
          "dot (accumulates and rounds), block-dot (the bare exact sum), multi (that sum in "
          "formats "
          "chosen by a mode input), fused (multi with an addend, rounded once), stream (a dot "
          "behind AXI4-Stream), array (rows x columns of dots) or quantizer (floats to --a)")
      ->capture_default_str()
      ->type_name("KIND");
  command->add_flag("--explain", arguments->explain,
                    "Print, to standard error, which structures were weighed and which was chosen");
  command
      ->add_option("--modes", arguments->modes,
                   "Formats of a multi or fused unit in the order of mode codes: e4m3,e5m2,e2m1 or "
                   "pairs as in e4m3xe2m1 (instead of --a and --b)")
      ->type_name("FORMAT,...");
  command
      ->add_option("--addend", arguments->addend,
                   "Addend and result of a fused unit (default fp32)")
      ->type_name("FLOAT");
  command->get_option("--a")->required(false);
  command
      ->add_option("--out", arguments->out,
                   "Folder for the package: Verilog, constraints, testbench, README")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--top", arguments->top, "Name of the module [unit, stream, array or quantizer]")
      ->type_name("NAME");
  command
      ->add_option("--input", arguments->input,
                   "quantizer: fp32 or bf16, --lanes of them a beat (default: a row of the block)")
      ->capture_default_str()
      ->type_name("FORMAT");
  command
      ->add_option("--scale-rule", arguments->scale_rule,
                   "quantizer: floor, ceil, even, rceil, rceil-reciprocal, amax, shift, "
                   "ceil-exponent or three-quarters; with another scale than e8m0 floor or ceil")
      ->capture_default_str()
      ->type_name("RULE");
  command->add_option("--rows", arguments->rows, "array: rows of units, 1 to 64")
      ->capture_default_str()
      ->type_name("R");
  command->add_option("--cols", arguments->cols, "array: columns of units, 1 to 64")
      ->capture_default_str()
      ->type_name("C");
  command
      ->add_option("--dataflow", arguments->dataflow,
                   "array: os (output-stationary) or ws (weight-stationary)")
      ->capture_default_str()
      ->type_name("FLOW");
  command
      ->add_option("--banks", arguments->banks,
                   "array, os: tiles that may wait for their drain, 1 to 8")
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--depth", arguments->depth,
                   "array, ws: rows of a tile that the partial sums' buffer holds")
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option("--vectors", arguments->vectors,
                   "Test vectors of the self-checking testbench; 0: no testbench")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--seed", arguments->seed, "Seed of the test vectors")->capture_default_str();
  command->footer(examples(
      {"blockdot gen --a mxfp8_e4m3 --lanes 32 --out unit/",
       "blockdot gen --a mxfp8_e4m3 --b mxfp4 --accumulator fp32 --rounding sr:16 --out unit/",
       "blockdot gen --a mxint8 --unit block-dot --combinational --tech osu018 --out unit/",
       "blockdot gen --unit fused --modes e4m3,e5m2 --lanes 8 --combinational --out unit/",
       "blockdot gen --a mxfp8_e4m3 --tech osu018 --arch adder=kogge-stone --explain --out unit/",
       "blockdot gen --a bm8 --lanes 16 --accumulator 'kulisch[40:-60]' --out unit/",
       "blockdot gen --unit stream --a mxfp8_e4m3 --accumulator fp32 --out stream/",
       "blockdot gen --unit array --dataflow ws --rows 8 --cols 8 --a mxfp4 --accumulator fp32 "
       "--out array/",
       "blockdot gen --unit quantizer --a mxfp8_e4m3 --input bf16 --out quantizer/",
       "blockdot gen --unit quantizer --a bm8 --input bf16 --lanes 16 --rounding sr:8 --out tile/",
       "blockdot gen --unit quantizer --a nvfp4 --lanes 4 --out nvfp4/"}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
