// blockdot gen: the package of a unit for a chosen format.
#include <fmt/core.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/spec_options.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "rtl_gen/choose.h"
#include "rtl_gen/generate.h"
#include "rtl_gen/package/package.h"
#include "sim/cosim/testbench.h"

namespace blockdot::cli {

namespace {

namespace fs = std::filesystem;

struct GenArguments {
  SpecArguments spec;
  ArchArguments arch;
  std::string unit = "dot", out, top = "unit";
  int vectors = 256;
  bool explain = false;
  std::uint64_t seed = 1;
};

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
  formats::DotSpec spec = formats::resolve(arguments.spec.text);
  rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::parse_unit_kind(arguments.unit), spec,
                                         resolve(arguments.arch), arguments.top);
  if (arguments.explain && !context.quiet) explain(spec, resolve(arguments.arch));
  fs::path out = arguments.out;
  std::vector<rtl_gen::PackageFile> files = rtl_gen::make_package(unit, spec, arguments.vectors);
  files.insert(files.begin(), {"unit.v", unit.verilog});
  if (arguments.vectors > 0) {
    sim::Testbench testbench = sim::make_testbench(unit, spec, arguments.vectors, arguments.seed);
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
  fmt::print("  wrote    {} with", (out / "README.md").string());
  for (const rtl_gen::PackageFile& file : files)
    if (file.name != "README.md") fmt::print(" {}", file.name);
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
      ->add_option("--unit", arguments->unit,
                   "dot (accumulates and rounds) or block-dot (the bare exact sum)")
      ->capture_default_str()
      ->type_name("KIND");
  command->add_flag("--explain", arguments->explain,
                    "Print, to standard error, which structures were weighed and which was chosen");
  command
      ->add_option("--out", arguments->out,
                   "Folder for the package: Verilog, constraints, testbench, README")
      ->required()
      ->type_name("DIR");
  command->add_option("--top", arguments->top, "Name of the module")
      ->capture_default_str()
      ->type_name("NAME");
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
       "blockdot gen --a mxfp8_e4m3 --tech osu018 --arch adder=kogge-stone --explain --out unit/",
       "blockdot gen --a bm8 --lanes 16 --accumulator 'kulisch[40:-60]' --out unit/"}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
