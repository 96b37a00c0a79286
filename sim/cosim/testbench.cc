// One line of vectors.hex is one cycle: the expected outputs but valid_o, then all inputs but clock
// and reset, each in the order of the ports. The testbench looks at the outputs of cycle c and at
// the vector of cycle c - LATENCY.
#include "sim/cosim/testbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/lfsr.h"
#include "models/golden.h"
#include "models/multi.h"

namespace blockdot::sim {
namespace {

/// Bits from the most significant on, written as hexadecimal.
class Bits {
 public:
  void add(std::uint64_t value, int width) {
    for (int i = width - 1; i >= 0; --i) bits_ += (value >> i & 1) != 0 ? '1' : '0';
  }
  /// The low `width` bits of a two's complement integer.
  void add(models::Exact::Integer value, int width) {
    models::Exact::Integer modulus = models::Exact::Integer(1) << static_cast<unsigned>(width);
    if (value < 0) value += modulus;
    for (int i = width - 1; i >= 0; --i)
      bits_ += bit_test(value, static_cast<unsigned>(i)) ? '1' : '0';
  }
  void add(const Bits& other) { bits_ += other.bits_; }
  std::string hex() const {
    std::string padded = std::string((4 - bits_.size() % 4) % 4, '0') + bits_, text;
    for (std::size_t i = 0; i < padded.size(); i += 4)
      text += "0123456789abcdef"[std::stoi(padded.substr(i, 4), nullptr, 2)];
    return text;
  }

 private:
  std::string bits_;
};

/// Random operands of one side.
class SideSource {
 public:
  SideSource(const formats::BlockFormat& format, int lanes) : format_(format), lanes_(lanes) {}

  void fill(std::mt19937_64& random, std::vector<std::uint32_t>& codes, std::uint32_t& scale,
            std::vector<std::uint8_t>& micros, std::uint32_t& outer, float& mean) const {
    codes.resize(static_cast<std::size_t>(lanes_));
    // Most beats hold finite numbers only, else nearly every wide beat would have a NaN.
    bool any = random() % 8 == 0;
    for (std::uint32_t& code : codes) do
        code = static_cast<std::uint32_t>(random() >> (64 - format_.element.width()));
      while (!usable(code, any));
    scale = random_scale(format_.scale, random);
    outer = random_scale(format_.outer.scale, random);
    mean = 0;
    if (format_.outer.mean)  // of the order of the product it is added to, and beyond
      mean =
          std::ldexp(static_cast<float>(random() >> 40), -24 - 6 + static_cast<int>(random() % 13));
    micros.clear();
    if (format_.micro.bits > 0)
      for (int i = 0; i < lanes_ / format_.micro.block; ++i)
        micros.push_back(static_cast<std::uint8_t>(random() % (1u << format_.micro.bits)));
  }

 private:
  bool usable(std::uint32_t code, bool any) const {
    const formats::ElementFormat& e = format_.element;
    // The most negative code of a symmetric integer never occurs.
    if (e.kind == formats::ElementKind::kInteger && e.symmetric)
      return code != 1u << (e.width() - 1);
    return any || std::isfinite(formats::decode(e, code));
  }

  static std::uint32_t random_scale(const formats::ScaleFormat& scale, std::mt19937_64& random) {
    if (scale.kind == formats::ScaleKind::kNone) return 0;
    auto code = static_cast<std::uint32_t>(random() >> (64 - scale.width()));
    // Near 1, where sums of beats interact and results stay within the output; now and then any.
    const bool any = random() % 16 == 0;
    const double near = std::ldexp(1 + static_cast<double>(random() >> 40) * 0x1p-24,
                                   static_cast<int>(random() % 13) - 6);
    switch (scale.kind) {
      case formats::ScaleKind::kE8M0:
        return any ? code : static_cast<std::uint32_t>(formats::kE8M0Bias) - 6 + code % 13;
      case formats::ScaleKind::kMinifloat:
        return any ? code : encode(scale, near);
      case formats::ScaleKind::kNone:
      case formats::ScaleKind::kInteger:
      case formats::ScaleKind::kCodeBook:
        return code;
    }
    return code;
  }

  formats::BlockFormat format_;
  int lanes_;
};

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

std::string testbench_text(const rtl_gen::UnitReport& unit, int cycles, int count) {
  int low = 0, out = 0;
  std::string due = "(cycle >= LATENCY) && (cycle < CYCLES + LATENCY)";
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
    // Only cycles with valid_i count, and of a dot unit only last beats.
    if (it->name == "valid_i" || it->name == "last_i") due += fmt::format(" && was[{}]", from);
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
//   iverilog -g2005 -o unit_tb unit.v unit_tb.v && vvp unit_tb
//
// Generated by blockdot. Do not edit.
`default_nettype none

module unit_tb;
  localparam LATENCY = {latency};   // cycles from a last beat to its result
  localparam CYCLES = {cycles};
  localparam RESULTS = {results};

  // A vector: [ expected outputs : {out} ][ inputs : {low} ].
  reg [{top_bit}:0] vectors [0:CYCLES-1];
  reg [{top_bit}:0] now;  // drives the inputs
  reg [{top_bit}:0] was;  // of LATENCY cycles ago
  reg clk;
  reg rst_n;
  wire valid;
  wire [{result_bit}:0] result;
  reg due;
  integer cycle;
  integer checked;
  integer errors;

{always_valid}  {top} dut (
{clocking}{slices}{outputs}  );

  task tick;  // the rest of a cycle: both edges of the clock
    begin
      #5 clk = 1'b1;
      #5 clk = 1'b0;
    end
  endtask

  task mismatch;
    begin
      errors = errors + 1;
      if (errors <= 10)
        $display("cycle %0d: valid_o %b outputs %h, expected valid_o %b outputs %h", cycle, valid,
                 result, due, was[{top_bit}:{low}]);
    end
  endtask

  initial begin
    $readmemh("vectors.hex", vectors);
    clk = 1'b0;
    rst_n = 1'b0;
    now = {{{width}{{1'b0}}}};
    was = {{{width}{{1'b0}}}};
    due = 1'b0;
    checked = 0;
    errors = 0;
    for (cycle = 0; cycle < 4; cycle = cycle + 1) tick;
    rst_n = 1'b1;
    for (cycle = 0; cycle < CYCLES + LATENCY; cycle = cycle + 1) begin
      if (cycle < CYCLES) now = vectors[cycle];
      else now = {{{width}{{1'b0}}}};
      if (cycle >= LATENCY) was = vectors[cycle-LATENCY];
      due = {due};
      #1;  // settle
      if (valid !== due) mismatch;
      else if (due && {differ}) mismatch;
      if (due) checked = checked + 1;
      tick;
    end
    if (errors == 0 && checked == RESULTS) $display("PASS %0d", checked);
    else $display("FAIL %0d mismatches in %0d results of %0d", errors, checked, RESULTS);
    $finish;
  end
endmodule

`default_nettype wire
)",
      fmt::arg("top", unit.top), fmt::arg("results", count), fmt::arg("spec", unit.spec_text),
      fmt::arg("latency", unit.latency), fmt::arg("cycles", cycles), fmt::arg("out", out),
      fmt::arg("low", low), fmt::arg("top_bit", low + out - 1), fmt::arg("width", low + out),
      fmt::arg("result_bit", out - 1), fmt::arg("slices", slices), fmt::arg("outputs", outputs),
      fmt::arg("clocking", clocking), fmt::arg("due", due), fmt::arg("differ", differ),
      fmt::arg("always_valid", has_valid_o ? "" : "  assign valid = due;  // no valid_o\n"));
}

}  // namespace

Testbench make_testbench(const rtl_gen::Unit& unit, const formats::DotSpec& spec, int count,
                         std::uint64_t seed) {
  if (count < 1) throw ConfigError("testbench vectors = {}: must be at least 1", count);
  bool block_dot = unit.report.kind == rtl_gen::UnitKind::kBlockDot;
  std::mt19937_64 random(seed);
  std::uint64_t lfsr_seed = random() & 0xFFFFFFFFu;
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
    if (block_dot)
      outputs = block_dot_outputs(unit.report, spec, beat);
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
        add(false, random() & 1, random() & 1, false, 0);
      }
      fill();
      std::uint32_t expected = 0;
      if (!block_dot) expected = golden.step(buffer.beat(t == 0, t + 1 == beats)).value_or(0);
      add(true, t == 0, t + 1 == beats, false, expected);
    }
  }
  testbench.verilog = testbench_text(unit.report, cycles, count);
  return testbench;
}

Testbench make_testbench(const rtl_gen::Unit& unit, const formats::MultiSpec& spec, int count,
                         std::uint64_t seed) {
  if (count < 1) throw ConfigError("testbench vectors = {}: must be at least 1", count);
  std::mt19937_64 random(seed);
  Testbench testbench;
  for (int r = 0; r < count; ++r) {
    const auto mode = static_cast<std::size_t>(random() % spec.modes.size());
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
    Bits bits;
    for (const rtl_gen::Port& port : unit.report.ports) {
      if (port.is_input || is_clocking(port)) continue;
      if (port.name == "result_o") {
        bits.add(std::uint64_t{models::golden_fused(spec, static_cast<int>(mode), a, b,
                                                    c & addend_mask(spec))},
                 port.width);
        continue;
      }
      const models::MultiSum golden = models::golden_multi(spec, static_cast<int>(mode), a, b);
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
        bits.add(std::uint64_t{1}, port.width);
      else if (port.name == "mode_i")
        bits.add(std::uint64_t{mode}, port.width);
      else if (port.name == "a_i")
        slots(a, m.a.width(), spec.slot_a());
      else if (port.name == "b_i")
        slots(b, m.b.width(), spec.slot_b());
      else if (port.name == "c_i")
        bits.add(std::uint64_t{c}, port.width);
      else
        throw ConfigError("unit: input {} is none that a testbench can drive", port.name);
    }
    testbench.vectors += bits.hex() + "\n";
  }
  testbench.verilog = testbench_text(unit.report, count, count);
  return testbench;
}

void write_testbench(const std::filesystem::path& folder, const Testbench& testbench) {
  write_file_atomic(folder / "vectors.hex", testbench.vectors);
  write_file_atomic(folder / "unit_tb.v", testbench.verilog);
}

}  // namespace blockdot::sim
