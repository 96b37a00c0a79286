#include "cli/spec_options.h"

#include <charconv>

#include "cli/command.h"
#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::cli {
namespace {

double parse_clock(const std::string& text) {
  double ns = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ns);
  if (error != std::errc() || end != text.data() + text.size())
    throw ConfigError("clock-ns = {}: must be a number in (0, {}], as in 2.5, or 0 for the default",
                      formats::shown(text), rtl_gen::kMaxClockNs);
  return ns;
}

}  // namespace

void add_spec_options(CLI::App& command, SpecArguments& arguments) {
  formats::DotSpecText& text = arguments.text;
  command.add_option("--a", text.a, "Format of the first operand, e.g. mxfp8_e4m3")
      ->required()
      ->type_name("FORMAT");
  command.add_option("--b", text.b, "Format of the second operand (default: as --a)")
      ->type_name("FORMAT");
  command.add_option("--lanes", text.lanes, "Products a beat (default: 32 or the shorter block)")
      ->type_name("N");
  command
      .add_option("--accumulator", text.accumulator,
                  "kulisch (exact, default), kulisch[MSB:LSB][:saturate|:wrap|:exact][:sticky], a "
                  "float: fp32, "
                  "bf16:rtz, or terms cut W bits below the largest: aligned[W]:fp32")
      ->type_name("ACC");
  command.add_option("--output", text.output, "Format of the result (default fp32)")
      ->type_name("FLOAT");
  command.add_option("--rounding", text.rounding, "rne (default), rna, rtz or sr:R (srf:R, src:R)")
      ->type_name("MODE");
  command
      .add_option("--specials", text.specials,
                  "ieee (default): Inf operands stay Inf; nan: they count as NaN")
      ->type_name("POLICY");
  command
      .add_option("--max-k", text.max_k,
                  "Longest reduction that a full Kulisch accumulator must hold (default 65536)")
      ->type_name("K");
  command
      .add_option(
          "--lfsr", text.lfsr,
          "Register of stochastic rounding: galois:N or fibonacci:N, N in [4, 64], then :SEED and "
          ":no-port for a unit without seed port (default galois:32)")
      ->type_name("LFSR");
}

void add_arch_options(CLI::App& command, ArchArguments& arguments) {
  command
      .add_option("--clock-ns", arguments.clock_ns,
                  "Clock target in ns (default: one that suits technology and accumulator)")
      ->type_name("T");
  command.add_flag("--combinational", arguments.combinational, "No registers: latency 0");
  command.add_option("--tech", arguments.technology, "generic, osu018 or xilinx")
      ->capture_default_str()
      ->type_name("TECH");
  command
      .add_option("--schedule", arguments.schedule,
                  "Where registers go: asap, min-register (default) or random")
      ->type_name("KIND");
  command
      .add_option(
          "--arch", arguments.structure,
          "How the parts are built, e.g. multiplier=booth,sum=timed; fields: multiplier, "
          "align, signs, sum, counters, adder, cells, rounding, and accumulator=segmented:BITS "
          "(default: chosen by the cost model, for optimize=balanced, area or delay)")
      ->type_name("FIELD=CHOICE,...");
  command.add_option("--schedule-seed", arguments.schedule_seed, "Seed of --schedule random")
      ->type_name("SEED");
}

rtl_gen::Arch resolve(const ArchArguments& arguments) {
  rtl_gen::Arch arch;
  arch.structure = rtl_gen::parse_structure(arguments.structure);
  arch.technology = rtl_gen::parse_technology(arguments.technology);
  if (!arguments.clock_ns.empty()) arch.clock_ns = parse_clock(arguments.clock_ns);
  arch.combinational = arguments.combinational;
  if (arch.combinational && !arguments.schedule.empty())
    throw ConfigError(
        "schedule = {}: a combinational unit has no registers to place; leave out --schedule or "
        "--combinational",
        formats::shown(arguments.schedule));
  if (!arguments.schedule.empty()) arch.schedule = rtl_gen::parse_schedule_kind(arguments.schedule);
  if (!arguments.schedule_seed.empty()) {
    arch.schedule_seed = parse_seed("schedule-seed", arguments.schedule_seed);
    if (arch.schedule != rtl_gen::ScheduleKind::kRandom)
      throw ConfigError("schedule-seed = {}: schedule {} draws nothing; add --schedule random",
                        arguments.schedule_seed, to_text(arch.schedule));
  }
  return arch;
}

}  // namespace blockdot::cli
