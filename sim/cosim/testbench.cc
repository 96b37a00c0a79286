// One line of vectors.hex is one cycle: whether outputs are due, the expected outputs but valid_o,
// then all inputs but clock and reset, each in the order of the ports. The testbench looks at the
// outputs of cycle c and at the vector of cycle c - LATENCY.
#include "sim/cosim/testbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <optional>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/lfsr.h"
#include "formats/quantize.h"
#include "models/golden.h"
#include "models/multi.h"
#include "sim/cosim/handshake_testbench.h"
#include "sim/cosim/vectors.h"

namespace blockdot::sim {
namespace {

std::optional<std::uint64_t> control_value(const std::string& port, bool valid,
                                           const models::Beat& beat, bool seed_load,
                                           std::uint64_t seed) {
  if (port == "valid_i") return valid;
  if (port == "first_i") return beat.first;
  if (port == "last_i") return beat.last;
  if (port == "seed_load_i") return seed_load;
  if (port == "seed_i") return seed;
  return std::nullopt;
}

bool is_clocking(const rtl_gen::Port& port) {
  return port.name == "clk_i" || port.name == "rst_ni" || port.name == "valid_o";
}

/// The line of one cycle.
std::string line(const rtl_gen::UnitReport& unit, const formats::DotSpec& spec, bool valid,
                 const models::Beat& beat, bool seed_load, std::uint64_t seed,
                 const Bits& expected) {
  Bits bits = expected;
  for (const rtl_gen::Port& port : unit.ports) {
    if (!port.is_input || is_clocking(port)) continue;
    if (auto value = control_value(port.name, valid, beat, seed_load, seed)) {
      bits.add(*value, port.width);
      continue;
    }
    std::vector<std::pair<std::uint64_t, int>> fields;  // from the lowest on
    for (bool a : {true, false})
      for_each_field(spec, beat, a, [&](models::BeatPort of, int, int width, std::uint32_t value) {
        if (port_name(of, a) == port.name) fields.emplace_back(value, width);
      });
    if (fields.empty())
      throw ConfigError("unit: input {} is none that a testbench can drive", port.name);
    for (auto field = fields.rbegin(); field != fields.rend(); ++field)
      bits.add(field->first, field->second);
  }
  return bits.hex() + "\n";
}

/// A sum in units of 2^lsb.
models::Exact::Integer whole_units(const models::Exact& sum, int lsb) {
  models::Exact units = ldexp(sum, -lsb);
  BLOCKDOT_CHECK(units.is_zero() || units.exponent() >= 0, "a sum below its unit's lowest bit");
  return models::Exact::Integer(units.significand() << static_cast<unsigned>(units.exponent()));
}

std::uint32_t addend_mask(const formats::MultiSpec& spec) {
  const int width = spec.addend.value().width();
  return width == 32 ? ~0u : (1u << width) - 1;
}

/// The outputs of a block dot for a beat, in the order of the ports.
Bits block_dot_outputs(const rtl_gen::UnitReport& unit, const formats::DotSpec& spec,
                       const models::Beat& beat) {
  models::BlockDot golden = golden_block_dot(spec, beat);
  Bits bits;
  for (const rtl_gen::Port& port : unit.ports) {
    if (port.is_input || is_clocking(port)) continue;
    if (port.name == "sum_o") {
      bits.add(whole_units(golden.sum, unit.sum_lsb), port.width);
    } else if (port.name == "scale_o") {
      bits.add(static_cast<std::uint64_t>(golden.scale_exponent), port.width);
    } else if (port.name == "scale_sig_o") {
      bits.add(golden.scale_significand, port.width);
    } else if (port.name == "nan_o") {
      bits.add(std::uint64_t{golden.nan || golden.scale_nan}, port.width);
    } else {
      throw ConfigError("unit: output {} is none that a testbench can check", port.name);
    }
  }
  return bits;
}

std::string testbench_text(const rtl_gen::UnitReport& unit, int cycles, int count,
                           const std::string& sources = "unit.v") {
  int low = 0, out = 0;
  std::string clocking, slices, outputs;
  bool has_valid_o = false;
  int nan_bit = -1;
  bool has_significand = false;
  for (const rtl_gen::Port& port : unit.ports) has_significand |= port.name == "scale_sig_o";
  std::string meaningless;  // under nan_o, bit by bit
  for (auto it = unit.ports.rbegin(); it != unit.ports.rend(); ++it) {
    if (it->name == "valid_o") has_valid_o = true;
    if (is_clocking(*it)) continue;
    int& from = it->is_input ? low : out;
    if (it->name == "nan_o") nan_bit = out;
    // An e8m0 code of NaN adds to scale_o as any other does; a minifloat's fields mean nothing.
    const bool of_sum = it->name == "sum_o", of_scale = it->name.starts_with("scale_");
    if (!it->is_input)
      meaningless = std::string(static_cast<std::size_t>(it->width),
                                of_sum || (of_scale && has_significand) ? '1' : '0') +
                    meaningless;
    std::string& text = it->is_input ? slices : outputs;
    std::string comma = text.empty() && !it->is_input ? "\n" : ",\n";
    text = fmt::format("    .{}({}[{}:{}]){}", it->name, it->is_input ? "now" : "result",
                       from + it->width - 1, from, comma) +
           text;
    from += it->width;
  }
  for (const rtl_gen::Port& port : unit.ports) {
    if (port.name == "clk_i") clocking += "    .clk_i(clk),\n";
    if (port.name == "rst_ni") clocking += "    .rst_ni(rst_n),\n";
    if (port.name == "valid_o") clocking += "    .valid_o(valid),\n";
  }
  std::string differ = fmt::format("result !== was[{}:{}]", low + out - 1, low);
  if (nan_bit >= 0 && meaningless.find('1') != std::string::npos)
    differ = fmt::format("(((result ^ was[{}:{}]) & ~({{{}{{was[{}]}}}} & {}'b{})) !== {}'d0)",
                         low + out - 1, low, out, low + nan_bit, out, meaningless, out);
  return fmt::format(
      R"(// Self-checking testbench of {top}: {results} checks from the golden model in vectors.hex.
//
//   spec  {spec}
//
// Prints "PASS {results}", or the mismatches and "FAIL". Icarus Verilog:
//   iverilog -g2005 -o unit_tb {sources} unit_tb.v && vvp unit_tb
//
// Generated by blockdot. Do not edit.
`default_nettype none

module unit_tb;
  localparam LATENCY = {latency};   // cycles from a last beat to its result
  localparam CYCLES = {cycles};
  localparam CHECKS = {results};

  // A vector: [ outputs are due : 1 ][ expected outputs : {out} ][ inputs : {low} ].
  reg [{top_bit}:0] vectors [0:CYCLES-1];
  reg [{top_bit}:0] now;  // drives the inputs
  reg [{top_bit}:0] was;  // of LATENCY cycles ago
  reg clk;
  reg rst_n;
  wire valid;
  wire [{result_bit}:0] result;
  reg due;
  integer cycle;
  integer checks;
  integer errors;

{always_valid}  {top} dut (
{clocking}{slices}{outputs}  );

{tick}
  task mismatch;
    begin
      errors = errors + 1;
      if (errors <= 10)
        $display("cycle %0d: valid_o %b outputs %h, expected valid_o %b outputs %h", cycle, valid,
                 result, due, was[{below_top}:{low}]);
    end
  endtask

  initial begin
    $readmemh("vectors.hex", vectors);
    clk = 1'b0;
    rst_n = 1'b0;
    now = {{{width}{{1'b0}}}};
    was = {{{width}{{1'b0}}}};
    due = 1'b0;
    checks = 0;
    errors = 0;
    for (cycle = 0; cycle < 4; cycle = cycle + 1) tick;
    rst_n = 1'b1;
    for (cycle = 0; cycle < CYCLES + LATENCY; cycle = cycle + 1) begin
      if (cycle < CYCLES) now = vectors[cycle];
      else now = {{{width}{{1'b0}}}};
      if (cycle >= LATENCY) was = vectors[cycle-LATENCY];
      due = (cycle >= LATENCY) && (cycle < CYCLES + LATENCY) && was[{top_bit}];
      #1;  // settle
      if (valid !== due) mismatch;
      else if (due && {differ}) mismatch;
      if (due) checks = checks + 1;
      tick;
    end
{verdict})",
      fmt::arg("top", unit.top), fmt::arg("tick", kTick), fmt::arg("verdict", kVerdict),
      fmt::arg("results", count), fmt::arg("sources", sources), fmt::arg("spec", unit.spec_text),
      fmt::arg("latency", unit.latency), fmt::arg("cycles", cycles), fmt::arg("out", out),
      fmt::arg("low", low), fmt::arg("top_bit", low + out), fmt::arg("below_top", low + out - 1),
      fmt::arg("width", low + out + 1), fmt::arg("result_bit", out - 1), fmt::arg("slices", slices),
      fmt::arg("outputs", outputs), fmt::arg("clocking", clocking), fmt::arg("differ", differ),
      fmt::arg("always_valid", has_valid_o ? "" : "  assign valid = due;  // no valid_o\n"));
}

}  // namespace

Testbench make_testbench(const rtl_gen::Unit& unit, const formats::DotSpec& spec, int count,
                         std::uint64_t seed) {
  if (count < 1) throw ConfigError("testbench vectors = {}: must be at least 1", count);
  bool block_dot = unit.report.kind == rtl_gen::UnitKind::kBlockDot;
  std::mt19937_64 random(seed);
  const std::uint64_t lfsr_seed = start_state(spec.lfsr, random() & spec.lfsr.mask());
  models::GoldenDot golden(spec, lfsr_seed);
  SideSource a(spec.a, spec.lanes), b(spec.b, spec.lanes);
  models::BeatBuffer buffer;
  auto fill = [&] {
    a.fill(random, buffer.a, buffer.a_scale, buffer.a_micro, buffer.a_outer, buffer.a_mean);
    b.fill(random, buffer.b, buffer.b_scale, buffer.b_micro, buffer.b_outer, buffer.b_mean);
    if (needs_count(spec))
      buffer.count = 1 + static_cast<int>(random() % static_cast<unsigned>(spec.lanes));
  };
  Testbench testbench;
  int cycles = 0;
  auto add = [&](bool valid, bool first, bool last, bool seed_load, std::uint32_t expected) {
    models::Beat beat = buffer.beat(first, last);
    Bits outputs;
    outputs.add(std::uint64_t{valid && last}, 1);  // every beat of a block dot is a last one
    if (block_dot)
      outputs.add(block_dot_outputs(unit.report, spec, beat));
    else
      outputs.add(std::uint64_t{expected}, spec.output.width());
    testbench.vectors += line(unit.report, spec, valid, beat, seed_load, lfsr_seed, outputs);
    ++cycles;
  };
  if (!block_dot) {
    fill();
    add(false, false, false, true, 0);
  }
  std::int64_t most = std::min<std::int64_t>(4, std::max<std::int64_t>(1, spec.max_k / spec.lanes));
  for (int r = 0; r < count; ++r) {
    auto beats =
        block_dot ? 1 : 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
    for (std::int64_t t = 0; t < beats; ++t) {
      while (!block_dot && random() % 4 == 0) {  // a pause: other operands, no valid_i
        fill();
        const bool first = random() & 1, last = random() & 1;
        add(false, first, last, false, 0);
      }
      fill();
      std::uint32_t expected = 0;
      if (!block_dot) expected = golden.step(buffer.beat(t == 0, t + 1 == beats)).value_or(0);
      add(true, t == 0, t + 1 == beats, false, expected);
    }
  }
  testbench.checks = count;
  testbench.verilog = testbench_text(unit.report, cycles, count);
  return testbench;
}

Testbench make_testbench(const rtl_gen::Unit& unit, const formats::MultiSpec& spec, int count,
                         std::uint64_t seed) {
  if (count < 1) throw ConfigError("testbench vectors = {}: must be at least 1", count);
  std::mt19937_64 random(seed);
  formats::Lfsr stream(spec.lfsr.seed, spec.lfsr);  // of a fused unit
  std::optional<models::GoldenMulti> accumulating;
  std::uint64_t lfsr_seed = 0;
  if (spec.accumulation) {
    const formats::LfsrSpec& lfsr = spec.accumulation->lfsr;
    lfsr_seed = start_state(lfsr, random() & lfsr.mask());
    accumulating.emplace(spec, lfsr_seed);
  }
  Testbench testbench;
  int cycles = 0;
  // One cycle: a beat of any mode, whose `valid_i` may be low.
  const auto add = [&](bool valid, bool first, bool last, bool seed_load) {
    const auto mode = static_cast<std::size_t>(random() % spec.modes.size());
    const int mode_code = static_cast<int>(mode);
    const formats::ModeFormats& m = spec.modes[mode];
    const int terms = spec.terms(m);
    const bool any = random() % 8 == 0;  // else all codes are finite
    const auto side = [&](const formats::ElementFormat& f) {
      std::vector<std::uint32_t> codes(static_cast<std::size_t>(spec.lanes * terms));
      for (std::uint32_t& code : codes) do
          code = static_cast<std::uint32_t>(random()) & ((1u << f.width()) - 1);
        while (!any && !std::isfinite(formats::decode(f, code)));
      return codes;
    };
    const std::vector<std::uint32_t> a = side(m.a), b = side(m.b);
    const auto c = static_cast<std::uint32_t>(random());
    const auto result = [&]() -> std::uint32_t {
      if (accumulating)
        return valid ? accumulating->step(mode_code, a, b, first, last).value_or(0) : 0;
      const std::uint32_t drawn =
          spec.rounding.stochastic() ? stream.draw(spec.rounding.random_bits) : 0;
      return models::golden_fused(spec, mode_code, a, b, c & addend_mask(spec), drawn);
    };
    Bits bits;
    bits.add(std::uint64_t{valid && last}, 1);
    for (const rtl_gen::Port& port : unit.report.ports) {
      if (port.is_input || is_clocking(port)) continue;
      if (port.name == "result_o") {
        bits.add(std::uint64_t{result()}, port.width);
        continue;
      }
      const models::MultiSum golden = models::golden_multi(spec, mode_code, a, b);
      if (port.name == "sum_o")
        bits.add(whole_units(golden.sum, unit.report.sum_lsb), port.width);
      else if (port.name == "nan_o")
        bits.add(std::uint64_t{golden.special}, port.width);
      else
        throw ConfigError("unit: output {} is none that a testbench can check", port.name);
    }
    for (const rtl_gen::Port& port : unit.report.ports) {
      if (!port.is_input || is_clocking(port)) continue;
      // From the last lane on; what lies above its codes in a slot is arbitrary.
      const auto slots = [&](const std::vector<std::uint32_t>& codes, int width, int slot) {
        for (int j = spec.lanes; j-- > 0;) {
          bits.add(random(), slot - terms * width);
          for (int t = terms; t-- > 0;)
            bits.add(codes[static_cast<std::size_t>(j * terms + t)], width);
        }
      };
      if (port.name == "valid_i")
        bits.add(std::uint64_t{valid}, port.width);
      else if (port.name == "first_i")
        bits.add(std::uint64_t{first}, port.width);
      else if (port.name == "last_i")
        bits.add(std::uint64_t{last}, port.width);
      else if (port.name == "mode_i")
        bits.add(std::uint64_t{mode}, port.width);
      else if (port.name == "a_i")
        slots(a, m.a.width(), spec.slot_a());
      else if (port.name == "b_i")
        slots(b, m.b.width(), spec.slot_b());
      else if (port.name == "c_i")
        bits.add(std::uint64_t{c}, port.width);
      else if (port.name == "seed_load_i")
        bits.add(std::uint64_t{seed_load}, port.width);
      else if (port.name == "seed_i")
        bits.add(lfsr_seed, port.width);
      else
        throw ConfigError("unit: input {} is none that a testbench can drive", port.name);
    }
    testbench.vectors += bits.hex() + "\n";
    ++cycles;
  };
  if (accumulating) add(false, false, false, true);
  const std::int64_t most =
      accumulating ? std::clamp<std::int64_t>(spec.accumulation->max_k / spec.most_products(), 1, 4)
                   : 1;
  for (int r = 0; r < count; ++r) {
    const auto beats =
        most == 1 ? 1 : 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
    for (std::int64_t t = 0; t < beats; ++t) {
      while (accumulating && random() % 4 == 0) {  // a pause: other operands, no valid_i
        const bool first = random() & 1, last = random() & 1;
        add(false, first, last, false);
      }
      add(true, t == 0, t + 1 == beats, false);
    }
  }
  testbench.checks = count;
  testbench.verilog = testbench_text(unit.report, cycles, count);
  return testbench;
}

namespace {

/// `count` blocks of floats of every size, now and then with ties, NaN or Inf; pauses, and blocks
/// that break off, between them.
Testbench quantizer_testbench(const rtl_gen::Design& design, int count, std::uint64_t seed) {
  const rtl_gen::QuantizerSpec& spec = design.spec.quantizer;
  const formats::BlockFormat& f = spec.format;
  const int block = row_of(spec), size = block * f.tile_rows;
  const int lanes = lanes_of(spec), beats = beats_of(spec);
  const bool given = f.block == 0 && f.has_scale();
  const bool narrow = spec.input.width() == 16;
  std::mt19937_64 random(seed);
  formats::QuantizeOptions options;
  options.scale_rule = spec.rule;
  options.rounding = spec.rounding;
  options.lfsr = spec.lfsr;
  options.seed = start_state(spec.lfsr, (random() & spec.lfsr.mask()) | 1);
  if (f.block == 0) options.specials = formats::BlockSpecials::kPerElement;
  std::vector<std::uint32_t> codes;  // binary32, of bf16 the upper half; a block row after row
  for (int b = 0; b < count; ++b) {
    // Under a scale of many blocks neighbours are of one size.
    const bool near = f.has_outer() || given;
    const auto centre = static_cast<std::uint32_t>(near ? 127 : 1 + random() % 254);
    const auto kind = random() % 8;
    for (int j = 0; j < size; ++j) {
      auto bits = static_cast<std::uint32_t>(random());
      // Most blocks hold one neighbourhood of exponents: elements of every size beside a scale.
      if (kind < 6) {
        const auto below = static_cast<std::uint32_t>(random() % 12);
        bits = (bits & 0x807FFFFFu) | (centre > below ? centre - below : 0u) << 23;
      }
      if (kind == 1) bits &= ~0u << (15 + random() % 8);  // ties
      if (kind == 7 && random() % 4 != 0) bits &= 0x80000000u;
      if ((bits >> 23 & 0xFF) == 0xFF && random() % 16 != 0) bits &= 0xBFFFFFFFu;
      codes.push_back(narrow ? bits & 0xFFFF0000u : bits);
    }
  }
  // Blocks or tiles side by side along one matrix.
  std::vector<float> values(codes.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const auto length = static_cast<std::size_t>(block);
    const std::size_t group = i / static_cast<std::size_t>(size);
    const std::size_t row = i % static_cast<std::size_t>(size) / length;
    values[(row * static_cast<std::size_t>(count) + group) * length + i % length] =
        std::bit_cast<float>(codes[i]);
  }
  const formats::QuantizedMatrix wanted = formats::quantize_by_definition(
      f, formats::row_major(values.data(), f.tile_rows, std::int64_t{count} * block), options);

  // What is to be seen for a beat of a block, in the order of the ports.
  const auto expected = [&](int b, int beat) {
    Bits bits;
    const int place = beat * lanes;  // of the beat's first value in its block
    const auto at = [&](int j) {
      const int i = place + j;
      return std::pair{std::int64_t{i / block}, std::int64_t{b} * block + i % block};
    };
    for (const rtl_gen::Port& port : design.report.ports) {
      if (port.is_input || is_clocking(port)) continue;
      if (port.name == "elements_o") {
        for (int j = lanes; j-- > 0;)
          bits.add(std::uint64_t{wanted.code(at(j).first, at(j).second)}, port.width / lanes);
      } else if (port.name == "scale_o") {
        bits.add(std::uint64_t{wanted.scale(at(0).first, at(0).second)}, port.width);
      } else if (port.name == "micro_o") {
        for (int g = lanes / f.micro.block; g-- > 0;) {
          const auto [row, k] = at(g * f.micro.block);
          bits.add(static_cast<std::uint64_t>(wanted.micro(row, k)), f.micro.bits);
        }
      } else if (port.name == "first_o") {
        bits.add(std::uint64_t{beat == 0}, port.width);
      } else if (port.name == "last_o") {
        bits.add(std::uint64_t{beat + 1 == beats}, port.width);
      } else {
        throw ConfigError("unit: output {} is none that a testbench can check", port.name);
      }
    }
    return bits;
  };
  // Inputs of every cycle, and the beats that are due `latency` cycles after one.
  std::vector<Bits> inputs;
  std::map<std::size_t, std::pair<int, int>> due;
  const auto add = [&](bool valid, int b, int beat, bool seed_load) {  // b < 0: any values
    Bits line;
    for (const rtl_gen::Port& port : design.report.ports) {
      if (!port.is_input || is_clocking(port)) continue;
      if (port.name == "valid_i") {
        line.add(std::uint64_t{valid}, port.width);
      } else if (port.name == "first_i") {
        line.add(valid ? std::uint64_t{beat == 0} : random(), port.width);
      } else if (port.name == "outer_i") {
        const bool read = b >= 0 && beat + 1 == beats;
        line.add(
            read
                ? std::uint64_t{wanted.outer_scales[wanted.outer_index(0, std::int64_t{b} * block)]}
                : random(),
            port.width);
      } else if (port.name == "scale_i") {
        line.add(b >= 0 ? std::uint64_t{wanted.scales[0]} : random(), port.width);
      } else if (port.name == "seed_load_i") {
        line.add(std::uint64_t{seed_load}, port.width);
      } else if (port.name == "seed_i") {
        line.add(options.seed, port.width);
      } else if (port.name == "x_i") {
        for (int j = lanes; j-- > 0;) {
          const auto at = static_cast<std::size_t>(std::max(b, 0) * size + beat * lanes + j);
          const std::uint32_t code = b >= 0 ? codes[at] : static_cast<std::uint32_t>(random());
          line.add(std::uint64_t{narrow ? code >> 16 : code}, port.width / lanes);
        }
      } else {
        throw ConfigError("unit: input {} is none that a testbench can drive", port.name);
      }
    }
    inputs.push_back(line);
  };
  const bool clocked = design.report.clock_ns > 0;
  if (spec.rounding.stochastic()) add(false, -1, 0, true);
  for (int b = 0; b < count; ++b) {
    if (beats > 1 && random() % 8 == 0)
      for (int beat = 0; beat < static_cast<int>(random() % static_cast<unsigned>(beats)); ++beat)
        add(true, -1, beat, false);
    for (int beat = 0; beat < beats; ++beat) {
      while (clocked && random() % 4 == 0) add(false, -1, beat, false);
      add(true, b, beat, false);
    }
    for (int beat = 0; beat < beats; ++beat)
      due[inputs.size() - 1 + static_cast<std::size_t>(beat)] = {b, beat};
  }
  while (inputs.size() <= due.rbegin()->first) add(false, -1, 0, false);
  Testbench testbench;
  testbench.checks = count * beats;
  for (std::size_t c = 0; c < inputs.size(); ++c) {
    const auto found = due.find(c);
    const bool is_due = found != due.end();
    Bits line;
    line.add(std::uint64_t{is_due}, 1);
    line.add(is_due ? expected(found->second.first, found->second.second) : expected(0, 0));
    line.add(inputs[c]);
    testbench.vectors += line.hex() + "\n";
  }
  testbench.verilog = testbench_text(design.report, static_cast<int>(inputs.size()),
                                     testbench.checks, design.sources());
  return testbench;
}

}  // namespace

Testbench make_testbench(const rtl_gen::Design& design, int count, std::uint64_t seed) {
  if (count < 1) throw ConfigError("testbench vectors = {}: must be at least 1", count);
  switch (design.report.kind) {
    case rtl_gen::UnitKind::kDot:
    case rtl_gen::UnitKind::kBlockDot:
      return make_testbench(std::get<rtl_gen::Unit>(design.made), design.spec.dot, count, seed);
    case rtl_gen::UnitKind::kMulti:
    case rtl_gen::UnitKind::kFused:
      return make_testbench(std::get<rtl_gen::Unit>(design.made), design.spec.multi, count, seed);
    case rtl_gen::UnitKind::kQuantizer:
      return quantizer_testbench(design, count, seed);
    case rtl_gen::UnitKind::kStream:
    case rtl_gen::UnitKind::kArray:
      return handshake_testbench(design, count, seed);
  }
  return {};
}

void write_testbench(const std::filesystem::path& folder, const Testbench& testbench) {
  write_file_atomic(folder / "vectors.hex", testbench.vectors);
  write_file_atomic(folder / "unit_tb.v", testbench.verilog);
}

}  // namespace blockdot::sim
