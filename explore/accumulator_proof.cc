// Registers become inputs and outputs (Yosys' expose -evert-dff), so that one step of both sides is
// a combinational function, and ABC compares them. An instance of the same name on both sides gives
// the registers the same names.
#include "explore/accumulator_proof.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <sstream>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "models/golden.h"
#include "models/multi.h"
#include "sim/cosim/lockstep.h"
#include "sim/cosim/model.h"
#include "sim/cosim/tool.h"

namespace blockdot::explore {

using formats::MultiSpec;
using models::Exact;

namespace {

constexpr const char* kFlags[] = {"nan", "plus_inf", "minus_inf"};

bool has_port(const rtl_gen::Unit& unit, std::string_view name) {
  return std::any_of(unit.report.ports.begin(), unit.report.ports.end(),
                     [&](const rtl_gen::Port& port) { return port.name == name; });
}

std::string declaration(const rtl_gen::Port& port) {
  return fmt::format("{} [{}:0] {}", port.is_input ? "input" : "output", port.width - 1, port.name);
}

// The module `held` of one side as a file of one step's gates: what the registers `kept`, and those
// they depend on, take next. The names of its ports, sorted, for the registers' order is Yosys'
// own; ABC matches by name.
std::vector<std::string> write_step(const TemporaryFolder& folder, const std::string& verilog,
                                    const std::string& kept) {
  write_file_atomic(folder.path() / "side.v", verilog);
  write_file_atomic(folder.path() / "cells.v", rtl_gen::kCellModels);
  sim::require_tool(
      {"yosys", "-q", "-p",
       fmt::format(
           "read_verilog side.v cells.v; hierarchy -check -top held; proc; flatten; expose {}; "
           "opt_clean -purge; expose -dff -evert-dff; opt_clean -purge; {}write_aiger -symbols "
           "held.aig; write_aiger -ascii -symbols held.aag",
           kept, kToGates)},
      folder.path());
  std::istringstream lines(read_file(folder.path() / "held.aag"));
  std::string format;
  int nodes = 0, inputs = 0, latches = -1, outputs = 0;
  lines >> format >> nodes >> inputs >> latches >> outputs;
  BLOCKDOT_CHECK(latches == 0, "{} registers are left", latches);
  // A symbol a line: i0 NAME or o0 NAME, then a comment.
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line) && line != "c";)
    if (line.starts_with("i") || line.starts_with("o"))
      names.push_back(line.substr(0, 1) + line.substr(line.find(' ')));
  BLOCKDOT_CHECK(outputs > 0 && static_cast<int>(names.size()) == inputs + outputs,
                 "{} names of {} inputs and {} outputs", names.size(), inputs, outputs);
  std::sort(names.begin(), names.end());
  return names;
}

Answer compare_steps(const std::string& left, const std::string& right, const std::string& kept,
                     int seconds) {
  TemporaryFolder of_left, of_right;
  const std::vector<std::string> a = write_step(of_left, left, kept),
                                 b = write_step(of_right, right, kept);
  BLOCKDOT_CHECK(a == b, "{} and {} ports and registers: {} | {}", a.size(), b.size(),
                 fmt::join(a, " "), fmt::join(b, " "));
  return equivalent(of_left.path() / "held.aig", of_right.path() / "held.aig", seconds);
}

// The largest |sum| of a beat in any mode, in units of 2^product_lsb.
Exact::Integer largest_sum(const MultiSpec& spec) {
  Exact most(0);
  for (const formats::ModeFormats& m : spec.modes) {
    const Exact product = Exact(formats::max_value(m.a)) * Exact(formats::max_value(m.b));
    const Exact sum = product * Exact(spec.lanes * spec.terms(m));
    if (most < sum) most = sum;
  }
  const int up = most.exponent() - formats::product_lsb(spec);
  return up >= 0 ? Exact::Integer(most.significand() << static_cast<unsigned>(up))
                 : Exact::Integer(most.significand() >> static_cast<unsigned>(-up));
}

}  // namespace

MultiHalves multi_halves(const MultiSpec& spec, const rtl_gen::Arch& wanted) {
  rtl_gen::Arch arch = wanted;
  arch.combinational = true;
  arch.clock_ns = 0;
  return {rtl_gen::generate(spec, arch, "whole"), rtl_gen::generate_multi_beat(spec, arch, "beat"),
          rtl_gen::generate_multi_accumulator(spec, arch, "accumulator")};
}

Answer splits(const MultiHalves& halves, int mode, int seconds) {
  std::string ports, whole, of_beat, of_accumulator;
  for (const rtl_gen::Port& port : halves.whole.report.ports) {
    if (port.name == "mode_i") {
      whole += fmt::format("{}.mode_i({}'d{})", whole.empty() ? "" : ", ", port.width, mode);
      continue;
    }
    ports += (ports.empty() ? "" : ", ") + declaration(port);
    whole += fmt::format("{0}.{1}({1})", whole.empty() ? "" : ", ", port.name);
  }
  std::string wires;
  for (const rtl_gen::Port& port : halves.beat.report.ports) {
    const std::string value =
        port.name == "mode_i" ? fmt::format("{}'d{}", port.width, mode) : port.name;
    of_beat += fmt::format("{}.{}({})", of_beat.empty() ? "" : ", ", port.name, value);
    if (!port.is_input) wires += fmt::format("  wire [{}:0] {};\n", port.width - 1, port.name);
  }
  for (const rtl_gen::Port& port : halves.accumulator.report.ports) {
    std::string value = port.name;
    if (value == "sum_i") value = "sum_o";
    for (const char* flag : kFlags)
      if (value == fmt::format("{}_i", flag)) value = fmt::format("{}_o", flag);
    of_accumulator +=
        fmt::format("{}.{}({})", of_accumulator.empty() ? "" : ", ", port.name, value);
  }
  const std::string left = fmt::format("{}\nmodule held ({});\n  whole u ({});\nendmodule\n",
                                       halves.whole.verilog, ports, whole);
  const std::string right = fmt::format(
      "{}\n`default_nettype wire\n{}\nmodule held ({});\n{}  beat b ({});\n  accumulator u "
      "({});\nendmodule\n",
      halves.beat.verilog, halves.accumulator.verilog, ports, wires, of_beat, of_accumulator);
  return compare_steps(left, right, "w:u.*_q", seconds);
}

bool has_register_step(const formats::Accumulation& accumulation,
                       const rtl_gen::Unit& accumulator) {
  return !accumulation.accumulator.is_float() &&
         accumulator.verilog.find(" acc_q;") != std::string::npos;
}

Answer register_step(const rtl_gen::Unit& accumulator, const MultiSpec& spec, int seconds) {
  const formats::Accumulator& kind = spec.accumulation->accumulator;
  const bool window = kind.kind == formats::AccumulatorKind::kKulischWindow;
  const int width = accumulator.report.accumulator_width;
  const int of_sum = accumulator.report.sum_width;
  const int up = formats::product_lsb(spec) - accumulator.report.accumulator_lsb;
  // Wide enough for both and the shift.
  const int wide = width + of_sum + std::abs(up) + 2;
  std::string fitted = "next";
  if (window && kind.window.saturate)
    fitted = fmt::format("next > most ? most : next < least ? least : next");
  std::string pins, ports;
  for (const rtl_gen::Port& port : accumulator.report.ports) {
    if (!port.is_input) continue;
    ports += (ports.empty() ? "" : ", ") + declaration(port);
    pins += fmt::format("{}.{}({})", pins.empty() ? "" : ", ", port.name,
                        port.name == "sum_i" ? "sum" : port.name);
  }
  // What no beat gives counts as zero.
  const std::string sum = fmt::format(
      "  wire signed [{0}:0] sum = $signed(sum_i) > {1} || $signed(sum_i) < -{1} ? 0 : sum_i;\n",
      of_sum - 1, fmt::format("{}'sh{}", of_sum, largest_sum(spec).str(0, std::ios_base::hex)));
  const std::string left =
      fmt::format("{}\nmodule held ({});\n{}  accumulator u ({});\nendmodule\n",
                  accumulator.verilog, ports, sum, pins);
  const std::string right = fmt::format(
      R"(
module model (input clk_i, input valid_i, input first_i, input signed [{1}:0] sum_i);
  reg signed [{0}:0] acc_q;
  wire signed [{2}:0] sum = sum_i;
  wire signed [{2}:0] floored = {3};
  wire signed [{2}:0] before = first_i ? {4}'sd0 : acc_q;
  wire signed [{2}:0] next = before + floored;
  wire signed [{2}:0] most = {{{{{5}{{1'b0}}}}, {{{6}{{1'b1}}}}}};
  wire signed [{2}:0] least = ~most;
  wire signed [{2}:0] fitted = {7};
  always @(posedge clk_i) if (valid_i) acc_q <= fitted[{0}:0];
endmodule
module held ({8});
{9}  model u (.clk_i(clk_i), .valid_i(valid_i), .first_i(first_i), .sum_i(sum));
endmodule
)",
      width - 1, of_sum - 1, wide - 1,
      up >= 0 ? fmt::format("sum <<< {}", up) : fmt::format("sum >>> {}", -up), wide,
      wide - width + 1, width - 1, fitted, ports, sum);
  return compare_steps(left, right, "w:u.acc_q", seconds);
}

namespace {

constexpr std::size_t kReset = 3;  // cycles

// Counts the results of the cycles from `from` on; false, with the first difference, where the
// outputs are not those wanted.
bool as_wanted(const sim::Model& model, const std::vector<std::uint8_t>& out,
               const std::vector<std::optional<std::uint32_t>>& wanted, std::size_t from,
               int code_bits, AccumulatorRun& run) {
  for (std::size_t cycle = from; cycle < wanted.size(); ++cycle) {
    const std::uint8_t* record = out.data() + cycle * model.output_bytes();
    const auto& want = wanted[cycle];
    const bool valid = sim::get_bits(record, model.output("valid_o"), 0, 1) != 0;
    const auto code =
        static_cast<std::uint32_t>(sim::get_bits(record, model.output("result_o"), 0, code_bits));
    run.results += want.has_value();
    if (valid == want.has_value() && (!valid || code == *want)) continue;
    run.difference =
        want ? fmt::format("result {} of the accumulator is {:#x} (valid_o {}), golden {:#x}",
                           run.results, code, valid ? 1 : 0, *want)
             : fmt::format("valid_o after result {} where no result ends", run.results);
    return false;
  }
  return true;
}

}  // namespace

AccumulatorRun run_accumulator(const rtl_gen::Unit& unit, const MultiSpec& spec, std::int64_t beats,
                               std::uint64_t seed) {
  const formats::Accumulation& accumulation = *spec.accumulation;
  const sim::Model model = sim::Model::load(sim::model_source(unit));
  sim::Model::Instance instance(model);
  const int lsb = formats::product_lsb(spec), width = unit.report.sum_width;
  const int code_bits = accumulation.output.width();
  const Exact::Integer most = largest_sum(spec), one = 1;
  const auto bits_of_most = static_cast<unsigned>(boost::multiprecision::msb(most)) + 1;
  std::vector<std::string> flags;
  for (const char* flag : kFlags)
    if (has_port(unit, fmt::format("{}_i", flag))) flags.emplace_back(flag);
  const std::int64_t longest = std::max<std::int64_t>(1, accumulation.max_k / spec.most_products());

  std::mt19937_64 random(seed);
  models::GoldenAccumulator golden(accumulation, false);
  formats::Lfsr draws(accumulation.lfsr.seed, accumulation.lfsr);
  AccumulatorRun run;
  Exact::Integer last_sum = 0;
  const auto draw_sum = [&] {
    Exact::Integer sum = 0;
    for (unsigned i = 0; i < bits_of_most / 32 + 2; ++i) sum = (sum << 32) + (random() >> 32);
    switch (random() % 8) {
      case 0:
      case 1:  // any size
        sum >>= random() % (static_cast<unsigned>(boost::multiprecision::msb(sum + 1)) + 1);
        break;
      case 2:  // what cancels, or all but one
        sum = -last_sum + static_cast<int>(random() % 3) - 1;
        break;
      case 3:
        sum = random() % 2 ? most : -most;
        break;
      case 4:  // beside a power of two
        sum = (one << random() % bits_of_most) + static_cast<int>(random() % 3) - 1;
        break;
      case 5:
        sum = static_cast<int>(random() % 3) - 1;
        break;
      default:
        sum %= most + 1;
        break;
    }
    if (random() % 2) sum = -sum;
    last_sum = std::clamp(sum, Exact::Integer(-most), most);
    return last_sum;
  };

  constexpr std::int64_t kBatch = 4096;
  std::int64_t to_go = 0;  // beats of this result
  bool first = true;
  for (bool reset = true; run.beats < beats; reset = false) {
    std::vector<std::uint8_t> in(static_cast<std::size_t>(kBatch) * model.input_bytes(), 0);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(kBatch) * model.output_bytes());
    std::vector<std::optional<std::uint32_t>> wanted(static_cast<std::size_t>(kBatch));
    for (std::int64_t cycle = 0; cycle < kBatch; ++cycle) {
      std::uint8_t* record = in.data() + static_cast<std::size_t>(cycle) * model.input_bytes();
      const auto put = [&](const std::string& port, std::uint64_t value) {
        sim::put_bits(record, model.input(port), 0, 1, value);
      };
      if (reset && cycle < static_cast<std::int64_t>(kReset)) continue;
      if (model.has_input("rst_ni")) put("rst_ni", 1);
      const Exact::Integer sum = draw_sum();
      const Exact::Integer word = sum < 0 ? Exact::Integer((one << width) + sum) : sum;
      for (int lo = 0; lo < width; lo += 32)
        sim::put_bits(record, model.input("sum_i"), lo, std::min(32, width - lo),
                      static_cast<std::uint64_t>((word >> lo) & 0xFFFFFFFFu));
      if (random() % 8 == 0) {  // a bubble of garbage
        put("first_i", random() % 2);
        put("last_i", random() % 2);
        for (const std::string& flag : flags) put(flag + "_i", random() % 2);
        continue;
      }
      if (first)
        to_go = 1 + static_cast<std::int64_t>(random() %
                                              static_cast<std::uint64_t>(std::min<std::int64_t>(
                                                  longest, random() % 8 ? 24 : 400)));
      models::GoldenAccumulator::Flags raised;
      if (random() % 64 == 0)
        for (const std::string& flag : flags) {
          const bool up = random() % 2 != 0;
          put(flag + "_i", up);
          (flag == "nan"        ? raised.nan
           : flag == "plus_inf" ? raised.plus_inf
                                : raised.minus_inf) = up;
        }
      put("valid_i", 1);
      put("first_i", first);
      put("last_i", to_go == 1);
      if (first) golden.clear();
      golden.add(raised, {{Exact(sum, lsb), 0}}, {Exact(1), 0}, draws);
      if (to_go == 1) wanted[static_cast<std::size_t>(cycle)] = golden.result({}, draws);
      first = --to_go == 0;
      ++run.beats;
    }
    instance.run(kBatch, in.data(), out.data());
    if (!as_wanted(model, out, wanted, reset ? kReset : 0, code_bits, run)) return run;
  }
  return run;
}

AccumulatorRun run_beats(const rtl_gen::Unit& unit, const MultiSpec& spec, std::int64_t beats,
                         std::uint64_t seed) {
  const formats::Accumulation& accumulation = *spec.accumulation;
  const sim::Model model = sim::Model::load(sim::model_source(unit));
  sim::Model::Instance instance(model);
  const std::int64_t longest = std::max<std::int64_t>(1, accumulation.max_k / spec.most_products());
  std::mt19937_64 random(seed);
  models::GoldenMulti golden(spec);
  AccumulatorRun run;
  // Any codes, with or without NaN and Inf; few of them or many; or each term minus the one before.
  const auto draw_codes = [&](const formats::ModeFormats& m, std::vector<std::uint32_t>& a,
                              std::vector<std::uint32_t>& b) {
    const bool any = random() % 16 == 0, cancels = random() % 4 == 0;
    const auto zeros = random() % 5;
    const auto code = [&](const formats::ElementFormat& f) {
      for (;;) {
        const auto c = static_cast<std::uint32_t>(random()) & ((1u << f.width()) - 1);
        if (any || std::isfinite(formats::decode(f, c))) return c;
      }
    };
    for (std::size_t j = 0; j < a.size(); ++j) {
      const bool pair = cancels && j % 2 == 1;
      a[j] = pair ? a[j - 1] ^ 1u << (m.a.width() - 1) : random() % 4 < zeros ? 0 : code(m.a);
      b[j] = pair ? b[j - 1] : code(m.b);
    }
  };

  constexpr std::size_t kBatch = 4096;
  const auto latency = static_cast<std::size_t>(unit.report.latency);
  std::int64_t to_go = 0;  // beats of this result
  bool first = true;
  for (bool reset = true; run.beats < beats; reset = false) {
    // The last cycles empty the pipeline.
    std::vector<std::uint8_t> in((kBatch + latency) * model.input_bytes(), 0);
    std::vector<std::uint8_t> out((kBatch + latency) * model.output_bytes());
    std::vector<std::optional<std::uint32_t>> wanted(kBatch + latency);
    for (std::size_t cycle = reset ? kReset : 0; cycle < kBatch + latency; ++cycle) {
      std::uint8_t* record = in.data() + cycle * model.input_bytes();
      const auto put = [&](const char* port, int lo, int width, std::uint64_t value) {
        sim::put_bits(record, model.input(port), lo, width, value);
      };
      if (model.has_input("rst_ni")) put("rst_ni", 0, 1, 1);
      if (cycle >= kBatch) continue;
      const auto mode = static_cast<std::size_t>(random() % spec.modes.size());
      const formats::ModeFormats& m = spec.modes[mode];
      const int terms = spec.terms(m);
      std::vector<std::uint32_t> a(static_cast<std::size_t>(spec.lanes * terms)), b = a;
      draw_codes(m, a, b);
      if (spec.mode_bits() > 0) put("mode_i", 0, spec.mode_bits(), mode);
      for (std::size_t j = 0; j < a.size(); ++j) {
        const int lane = static_cast<int>(j) / terms, term = static_cast<int>(j) % terms;
        put("a_i", lane * spec.slot_a() + term * m.a.width(), m.a.width(), a[j]);
        put("b_i", lane * spec.slot_b() + term * m.b.width(), m.b.width(), b[j]);
      }
      const bool bubble = random() % 8 == 0;
      if (!bubble && first)
        to_go = 1 + static_cast<std::int64_t>(
                        random() % static_cast<std::uint64_t>(std::min<std::int64_t>(longest, 24)));
      const bool last = bubble ? random() % 2 != 0 : to_go == 1;
      put("valid_i", 0, 1, bubble ? 0 : 1);
      put("first_i", 0, 1, bubble ? random() % 2 : first);
      put("last_i", 0, 1, last);
      if (bubble) continue;
      wanted[cycle + latency] = golden.step(static_cast<int>(mode), a, b, first, last);
      first = --to_go == 0;
      ++run.beats;
    }
    instance.run(static_cast<std::int64_t>(kBatch + latency), in.data(), out.data());
    if (!as_wanted(model, out, wanted, reset ? kReset : 0, accumulation.output.width(), run))
      return run;
  }
  return run;
}

}  // namespace blockdot::explore
