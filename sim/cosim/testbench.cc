// One line of vectors.hex is one cycle: the expected result of a last beat, then all inputs but
// clock and reset, in the order of the ports. The testbench looks at the outputs of cycle c and at
// the vector of cycle c - LATENCY.
#include "sim/cosim/testbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/lfsr.h"
#include "models/golden.h"

namespace blockdot::sim {
namespace {

/// Bits from the most significant on, written as hexadecimal.
class Bits {
 public:
  void add(std::uint64_t value, int width) {
    for (int i = width - 1; i >= 0; --i) bits_ += (value >> i & 1) != 0 ? '1' : '0';
  }
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
            std::vector<std::uint8_t>& micros) const {
    codes.resize(static_cast<std::size_t>(lanes_));
    // Most beats hold finite numbers only, else nearly every wide beat would have a NaN.
    bool any = random() % 8 == 0;
    for (std::uint32_t& code : codes) do
        code = static_cast<std::uint32_t>(random()) & ((1u << format_.element.width()) - 1);
      while (!usable(code, any));
    scale = random_scale(random);
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

  std::uint32_t random_scale(std::mt19937_64& random) const {
    int width = format_.scale.width();
    if (width == 0) return 0;
    std::uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
    auto code = static_cast<std::uint32_t>(random()) & mask;
    if (format_.scale.kind == formats::ScaleKind::kE8M0)  // near 1, where sums of beats interact
      return random() % 16 == 0 ? code
                                : static_cast<std::uint32_t>(formats::kE8M0Bias) - 6 + code % 13;
    while (random() % 16 != 0 && !std::isfinite(formats::decode(format_.scale, code)))
      code = static_cast<std::uint32_t>(random()) & mask;
    return code;
  }

  formats::BlockFormat format_;
  int lanes_;
};

std::uint64_t control_value(const std::string& port, bool valid, const models::Beat& beat,
                            bool seed_load, std::uint64_t seed, bool& known) {
  known = true;
  if (port == "valid_i") return valid;
  if (port == "first_i") return beat.first;
  if (port == "last_i") return beat.last;
  if (port == "seed_load_i") return seed_load;
  if (port == "seed_i") return seed;
  if (port == "a_scale_i") return beat.a_scale;
  if (port == "b_scale_i") return beat.b_scale;
  known = false;
  return 0;
}

/// The line of one cycle.
std::string line(const rtl_gen::UnitReport& unit, const formats::DotSpec& spec, bool valid,
                 const models::Beat& beat, bool seed_load, std::uint64_t seed,
                 std::uint32_t expected) {
  Bits bits;
  bits.add(expected, spec.output.width());
  for (const rtl_gen::Port& port : unit.ports) {
    if (!port.is_input || port.name == "clk_i" || port.name == "rst_ni") continue;
    bool known = false;
    std::uint64_t value = control_value(port.name, valid, beat, seed_load, seed, known);
    if (known) {
      bits.add(value, port.width);
      continue;
    }
    auto array = [&](auto codes, int width) {
      for (std::size_t j = codes.size(); j-- > 0;) bits.add(codes[j], width);
    };
    if (port.name == "a_i")
      array(beat.a, spec.a.element.width());
    else if (port.name == "b_i")
      array(beat.b, spec.b.element.width());
    else if (port.name == "a_micro_i")
      array(beat.a_micro, spec.a.micro.bits);
    else if (port.name == "b_micro_i")
      array(beat.b_micro, spec.b.micro.bits);
    else
      throw ConfigError("unit: input {} is none of a dot unit's ports", port.name);
  }
  return bits.hex() + "\n";
}

std::string testbench_text(const rtl_gen::UnitReport& unit, const formats::DotSpec& spec,
                           int cycles, int results) {
  int low = 0, valid_at = 0, last_at = 0;
  std::string slices;
  for (auto it = unit.ports.rbegin(); it != unit.ports.rend(); ++it) {
    if (!it->is_input || it->name == "clk_i" || it->name == "rst_ni") continue;
    slices = fmt::format("    .{}(now[{}:{}]),\n", it->name, low + it->width - 1, low) + slices;
    if (it->name == "valid_i") valid_at = low;
    if (it->name == "last_i") last_at = low;
    low += it->width;
  }
  int out = spec.output.width();
  return fmt::format(
      R"(// Self-checking testbench of {top}: {results} results from the golden model in vectors.hex.
//
//   spec  {spec}
//
// Prints "PASS {results}", or the mismatches and "FAIL". Icarus Verilog:
//   iverilog -g2005 -o unit_tb unit.v unit_tb.v && vvp unit_tb
//
// Generated by blockdot. Do not edit.
`timescale 1ns / 1ps
`default_nettype none

module unit_tb;
  localparam LATENCY = {latency};   // cycles from a last beat to its result
  localparam CYCLES = {cycles};
  localparam RESULTS = {results};

  // A vector: [ expected result : {out} ][ inputs : {low} ].
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

  {top} dut (
    .clk_i(clk),
    .rst_ni(rst_n),
{slices}    .valid_o(valid),
    .result_o(result)
  );

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
        $display("cycle %0d: valid_o %b result_o %h, expected valid_o %b result_o %h", cycle, valid,
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
      due = (cycle >= LATENCY) && was[{valid_at}] && was[{last_at}];
      #1;  // settle
      if (valid !== due) mismatch;
      else if (due && result !== was[{top_bit}:{low}]) mismatch;
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
      fmt::arg("top", unit.top), fmt::arg("results", results),
      fmt::arg("spec", formats::to_text(spec)), fmt::arg("latency", unit.latency),
      fmt::arg("cycles", cycles), fmt::arg("out", out), fmt::arg("low", low),
      fmt::arg("top_bit", low + out - 1), fmt::arg("width", low + out),
      fmt::arg("result_bit", out - 1), fmt::arg("slices", slices), fmt::arg("valid_at", valid_at),
      fmt::arg("last_at", last_at));
}

}  // namespace

void write_testbench(const std::filesystem::path& folder, const rtl_gen::Unit& unit,
                     const formats::DotSpec& spec, int results, std::uint64_t seed) {
  if (unit.report.kind != rtl_gen::UnitKind::kDot)
    throw ConfigError("unit = {}: a testbench is written for dot units only",
                      to_text(unit.report.kind));
  if (results < 1) throw ConfigError("testbench results = {}: must be at least 1", results);
  std::mt19937_64 random(seed);
  std::uint64_t lfsr_seed = random() & 0xFFFFFFFFu;
  models::GoldenDot golden(spec, lfsr_seed);
  SideSource a(spec.a, spec.lanes), b(spec.b, spec.lanes);
  models::BeatBuffer buffer;
  auto fill = [&] {
    a.fill(random, buffer.a, buffer.a_scale, buffer.a_micro);
    b.fill(random, buffer.b, buffer.b_scale, buffer.b_micro);
  };
  std::string vectors;
  int cycles = 0;
  auto add = [&](bool valid, bool first, bool last, bool seed_load, std::uint32_t expected) {
    vectors +=
        line(unit.report, spec, valid, buffer.beat(first, last), seed_load, lfsr_seed, expected);
    ++cycles;
  };
  fill();
  add(false, false, false, true, 0);
  std::int64_t most = std::min<std::int64_t>(4, std::max<std::int64_t>(1, spec.max_k / spec.lanes));
  for (int r = 0; r < results; ++r) {
    auto beats = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
    for (std::int64_t t = 0; t < beats; ++t) {
      while (random() % 4 == 0) {  // a pause: other operands, no valid_i
        fill();
        add(false, random() & 1, random() & 1, false, 0);
      }
      fill();
      auto code = golden.step(buffer.beat(t == 0, t + 1 == beats));
      add(true, t == 0, t + 1 == beats, false, code.value_or(0));
    }
  }
  write_file_atomic(folder / "vectors.hex", vectors);
  write_file_atomic(folder / "unit_tb.v", testbench_text(unit.report, spec, cycles, results));
}

}  // namespace blockdot::sim
