// A design is seen as channels: each has a valid, a ready and data ports, and a list of items in
// the order in which they pass. vectors.hex holds the items of one channel after the other. What
// the items are is the business of the two functions below; the Verilog knows channels only.
#include "sim/cosim/handshake_testbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>

#include "formats/error.h"
#include "models/golden_array.h"
#include "rtl_gen/emit/shell.h"
#include "sim/cosim/vectors.h"

namespace blockdot::sim {
namespace {

using formats::DotSpec;
using rtl_gen::fill;

struct Channel {
  std::string name;               // in the testbench's text
  std::string valid, ready;       // ports
  std::vector<std::string> data;  // ports, the first one at the top of an item
  std::vector<Bits> items;
};

struct Transactions {
  std::vector<Channel> inputs;
  Channel output;
  std::vector<std::string> setup_ports;  // driven in the cycles after reset, zero later
  std::vector<Bits> setup;               // one a cycle
  std::int64_t cycles = 0;  // from the first item of the first input to the last output, counted
                            // where nothing stalls
};

class SideDraw {
 public:
  SideDraw(const DotSpec& spec, std::mt19937_64& random)
      : a_(spec.a, spec.lanes), b_(spec.b, spec.lanes), random_(random) {}
  SideBeat a() { return draw(a_); }
  SideBeat b() { return draw(b_); }

 private:
  SideBeat draw(const SideSource& source) {
    SideBeat beat;
    source.fill(random_, beat.codes, beat.scale, beat.micros, beat.outer, beat.mean);
    return beat;
  }
  SideSource a_, b_;
  std::mt19937_64& random_;
};

models::Beat beat_of(const SideBeat& a, const SideBeat& b, int count, bool first, bool last) {
  models::Beat beat;
  beat.a = a.codes;
  beat.b = b.codes;
  beat.a_scale = a.scale;
  beat.b_scale = b.scale;
  beat.a_micro = a.micros;
  beat.b_micro = b.micros;
  beat.a_outer = a.outer;
  beat.b_outer = b.outer;
  beat.a_mean = a.mean;
  beat.b_mean = b.mean;
  beat.count = count;
  beat.first = first;
  beat.last = last;
  return beat;
}

/// Beats of the longest reduction worth a testbench.
std::int64_t most_beats(const DotSpec& spec, std::int64_t wanted) {
  return std::clamp<std::int64_t>(spec.max_k / spec.lanes, 1, wanted);
}

bool has_port(const rtl_gen::UnitReport& report, std::string_view name) {
  return std::any_of(report.ports.begin(), report.ports.end(),
                     [&](const rtl_gen::Port& p) { return p.name == name; });
}

int width_of(const rtl_gen::UnitReport& report, std::string_view name) {
  for (const rtl_gen::Port& p : report.ports)
    if (p.name == name) return p.width;
  BLOCKDOT_CHECK(false, "no port {}", name);
  return 0;
}

Transactions stream_transactions(const rtl_gen::Design& design, int count,
                                 std::mt19937_64& random) {
  const auto& stream = std::get<rtl_gen::Stream>(design.made);
  const DotSpec& spec = design.spec.dot;
  Transactions t;
  Channel beats{"s_axis", "s_axis_tvalid", "s_axis_tready", {"s_axis_tlast", "s_axis_tdata"}, {}};
  Channel results{"m_axis", "m_axis_tvalid", "m_axis_tready", {"m_axis_tdata"}, {}};
  std::uint64_t seed = spec.lfsr.seed;
  if (has_port(design.report, "seed_load_i")) {
    seed = random() & spec.lfsr.mask();
    t.setup_ports = {"seed_load_i", "seed_i"};
    Bits bits;
    bits.add(std::uint64_t{1}, 1);
    bits.add(seed, spec.lfsr.width);
    t.setup.push_back(bits);
  }
  models::GoldenDot golden(spec, seed);
  SideDraw draw(spec, random);
  const std::int64_t most = most_beats(spec, 4);
  while (results.items.size() < static_cast<std::size_t>(count)) {
    const auto n = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
    for (std::int64_t k = 0; k < n; ++k) {
      const SideBeat a = draw.a(), b = draw.b();
      const bool last = k + 1 == n;
      Bits item;
      item.add(std::uint64_t{last}, 1);
      int used = 0;
      for (const rtl_gen::StreamField& f : stream.beat) used = std::max(used, f.lo + f.width);
      item.add(random(), stream.beat_bits - used);  // above the fields: not read
      for (auto f = stream.beat.rbegin(); f != stream.beat.rend(); ++f)
        if (f->name == "count")
          item.add(static_cast<std::uint64_t>(spec.lanes), f->width);
        else
          item.add(f->name[0] == 'a' ? side_bits(spec.a, a, f->name.substr(1))
                                     : side_bits(spec.b, b, f->name.substr(1)));
      beats.items.push_back(item);
      if (const auto code = golden.step(beat_of(a, b, spec.lanes, k == 0, last))) {
        Bits result;
        result.add(std::uint64_t{*code}, stream.result_bits);
        results.items.push_back(result);
      }
    }
  }
  t.cycles = static_cast<std::int64_t>(beats.items.size()) + design.report.latency;
  t.inputs = {beats};
  t.output = results;
  return t;
}

/// One start of an array.
struct Tile {
  int beats, rows, cols;
  // [slice][beat]; os also beyond rows and cols, where units run on what they are given.
  std::vector<std::vector<SideBeat>> a, b;
  std::vector<int> counts;  // lanes that count, of each beat, where the spec needs it
};

/// An item of one operand's ports: the slices of one cycle.
void add_side(Bits& item, const std::vector<std::string>& ports, std::string_view side,
              const formats::BlockFormat& format, const std::vector<const SideBeat*>& slices,
              const std::vector<int>& counts, int lanes) {
  for (const std::string& port : ports) {
    if (port == "count_i" && side == "a")
      for (std::size_t i = slices.size(); i-- > 0;)
        item.add(static_cast<std::uint64_t>(counts[i]),
                 std::bit_width(static_cast<unsigned>(lanes)));
    if (!port.starts_with(std::string(side) + "_")) continue;
    const std::string part = port.substr(1, port.size() - 3);  // a_scale_i -> _scale
    for (std::size_t i = slices.size(); i-- > 0;) item.add(side_bits(format, *slices[i], part));
  }
}

Transactions array_transactions(const rtl_gen::Design& design, int count, std::mt19937_64& random) {
  const auto& array = std::get<rtl_gen::Array>(design.made);
  const DotSpec& spec = array.spec.unit;
  const bool os = array.spec.dataflow == rtl_gen::Dataflow::kOutputStationary;
  const int R = array.spec.rows, C = array.spec.cols;
  const auto upto = [&](std::int64_t most) {
    return 1 + static_cast<int>(random() % static_cast<std::uint64_t>(most));
  };
  // ws: reductions of one to three passes; rows beyond a dozen show nothing new.
  const std::int64_t longest = most_beats(spec, os ? 4 : 2 * R + 1);
  const int height = os ? R : std::min(array.spec.depth, 12);

  Transactions t;
  Channel start{"start", "start_valid_i", "start_ready_o", {"beats_i", "rows_i", "cols_i"}, {}};
  Channel results{"out", "out_valid_o", "out_ready_i", {"out_last_o", "out_result_o"}, {}};
  std::vector<std::string> a_ports, b_ports;
  for (const rtl_gen::Port& p : design.report.ports) {
    const bool operand = p.name.ends_with("_i") && p.name.find("valid") == std::string::npos;
    if ((operand && p.name.starts_with("a_")) || p.name == "count_i") a_ports.push_back(p.name);
    if (operand && p.name.starts_with("b_")) b_ports.push_back(p.name);
  }
  std::vector<std::string> both = a_ports;
  both.insert(both.end(), b_ports.begin(), b_ports.end());
  Channel in{"in", "in_valid_i", "in_ready_o", both, {}};
  Channel weights{"w", "w_valid_i", "w_ready_o", b_ports, {}};
  Channel rows{"a", "a_valid_i", "a_ready_o", a_ports, {}};

  // Random streams start as after reset, but for one.
  std::vector<std::uint64_t> seeds = array.seeds;
  if (!seeds.empty() && spec.lfsr.port) {
    const auto cell = static_cast<std::size_t>(random() % seeds.size());
    seeds[cell] = (random() & spec.lfsr.mask()) | 1;
    t.setup_ports = {"seed_load_i", "seed_cell_i", "seed_i"};
    const int cell_bits = width_of(design.report, "seed_cell_i");
    Bits idle, load;
    idle.add(std::uint64_t{0},
             1 + cell_bits + spec.lfsr.width);  // the array loads its own in this cycle
    load.add(std::uint64_t{1}, 1);
    load.add(std::uint64_t{cell}, cell_bits);
    load.add(seeds[cell], spec.lfsr.width);
    t.setup = {idle, load};
  }
  models::GoldenArray golden(spec, {!os, R, C}, seeds);

  SideDraw draw(spec, random);
  std::vector<rtl_gen::ArrayTile> shapes;
  int checked = 0;
  constexpr std::size_t kLeastTiles = 4;
  while (checked < count || shapes.size() < kLeastTiles) {
    Tile tile{upto(longest), upto(height), upto(C), {}, {}, {}};
    if (shapes.empty()) tile.rows = height, tile.cols = C;  // one that is full
    const auto at = [](int i) { return static_cast<std::size_t>(i); };
    tile.a.resize(at(std::max(R, height)));
    tile.b.resize(at(C));
    // os: garbage beyond the tile; ws: beyond the last beat of the last pass.
    const int passes = (tile.beats + R - 1) / R;
    for (auto& slice : tile.a)
      for (int k = 0; k < (os ? tile.beats : passes * R); ++k) slice.push_back(draw.a());
    for (auto& slice : tile.b)
      for (int k = 0; k < tile.beats; ++k) slice.push_back(draw.b());
    for (int k = 0; k < passes * R; ++k) tile.counts.push_back(upto(spec.lanes));
    shapes.push_back({tile.beats, tile.rows});

    Bits described;
    for (const auto& [port, value] :
         {std::pair{"beats_i", tile.beats}, {"rows_i", tile.rows}, {"cols_i", tile.cols}})
      described.add(static_cast<std::uint64_t>(value), width_of(design.report, port));
    start.items.push_back(described);
    for (int k = 0; k < tile.beats; ++k) {
      std::vector<const SideBeat*> a, b;
      const std::vector<int> counts(at(R), tile.counts[at(k)]);
      for (int r = 0; r < R; ++r) a.push_back(os ? &tile.a[at(r)][at(k)] : nullptr);
      for (int c = 0; c < C; ++c) b.push_back(&tile.b[at(c)][at(k)]);
      Bits item;
      if (os) add_side(item, a_ports, "a", spec.a, a, counts, spec.lanes);
      add_side(item, b_ports, "b", spec.b, b, {}, spec.lanes);
      (os ? in : weights).items.push_back(item);
    }
    for (int pass = 0; !os && pass < passes; ++pass)
      for (int i = 0; i < tile.rows; ++i) {
        std::vector<const SideBeat*> a;
        for (int r = 0; r < R; ++r) a.push_back(&tile.a[at(i)][at(pass * R + r)]);
        const auto first = tile.counts.begin() + pass * R;
        Bits item;
        add_side(item, a_ports, "a", spec.a, a, {first, first + R}, spec.lanes);
        rows.items.push_back(item);
      }

    const std::vector<std::uint32_t> codes =
        golden.compute({tile.rows, tile.cols, tile.beats}, tile.rows,
                       [&](std::int64_t i, std::int64_t c, std::int64_t k) {
                         const auto beat = static_cast<std::size_t>(k);
                         return beat_of(tile.a[static_cast<std::size_t>(i)][beat],
                                        tile.b[static_cast<std::size_t>(c)][beat],
                                        tile.counts[beat], false, false);
                       });
    for (int i = 0; i < tile.rows; ++i) {
      Bits item;
      item.add(std::uint64_t{i + 1 == tile.rows}, 1);
      for (int c = C; c-- > 0;)
        item.add(std::uint64_t{c < tile.cols ? codes[at(i * tile.cols + c)] : 0},
                 spec.output.width());
      results.items.push_back(item);
    }
    checked += tile.rows * tile.cols;
  }
  t.cycles = array_cycles(array.timing, shapes);
  if (os)
    t.inputs = {start, in};
  else
    t.inputs = {start, weights, rows};
  t.output = results;
  return t;
}

/// ".a_i(in_now[95:64])" for every data port of a channel.
std::string connections(const rtl_gen::UnitReport& report, const std::vector<std::string>& ports,
                        const std::string& from) {
  int hi = 0;
  for (const std::string& port : ports) hi += width_of(report, port);
  std::string text;
  for (const std::string& port : ports) {
    const int width = width_of(report, port);
    text += fmt::format(",\n    .{}({}[{}:{}])", port, from, hi - 1, hi - width);
    hi -= width;
  }
  return text;
}

int item_width(const rtl_gen::UnitReport& report, const std::vector<std::string>& ports) {
  int width = 0;
  for (const std::string& port : ports) width += width_of(report, port);
  return width;
}

constexpr std::string_view kBench =
    R"(// Self-checking testbench of @TOP@: @ITEMS@ results from the golden model in vectors.hex, four times:
// without stalls, with stalls of what offers, of what takes, and of both.
//
//   spec  @SPEC@
//
// Prints "PASS @CHECKS@", or the mismatches and "FAIL". Icarus Verilog:
//   iverilog -g2005 -o unit_tb @SOURCES@ unit_tb.v && vvp unit_tb
//
// Generated by blockdot. Do not edit.
`default_nettype none

module unit_tb;
  localparam PHASES = 4;
  localparam CYCLES = @CYCLES@;  // from the first item in to the last one out, without stalls
  localparam LIMIT = 40 * CYCLES + 2000;  // more is a hang
  localparam IDLE = @IDLE@;  // cycles after the last result in which no other may come
  localparam CHECKS = @CHECKS@;

  // The items of one channel after the other.
  reg [@WIDTH1@:0] vectors [0:@TOTAL1@];
@BASES@
  reg clk;
  reg rst_n;
  reg [31:0] noise;
  integer phase;
  integer cycle;
  integer begun;  // cycle of the first item in
  integer ended;  // cycle of the last item out
  integer checks;
  integer errors;

  // A channel: an offer stands until it is taken. Where nothing is offered, data are noise.
@DECLARE@
  wire out_valid;
  reg out_ready;
  wire [@OUT1@:0] out_now;
  reg out_held;  // an offer that was not taken
  integer out_at;

  @TOP@ dut (
    .clk_i(clk),
    .rst_ni(rst_n)@CONNECT@,
    .@OUT_VALID@(out_valid),
    .@OUT_READY@(out_ready)@OUT_DATA@
  );

@TICK@
  task next_noise;
    begin
      noise = noise ^ (noise << 13);
      noise = noise ^ (noise >> 17);
      noise = noise ^ (noise << 5);
    end
  endtask

  task wrong;
    begin
      errors = errors + 1;
      if (errors <= 10)
        $display("phase %0d cycle %0d result %0d: valid %b data %h, expected %h", phase, cycle, out_at,
                 out_valid, out_now, vectors[OUT_BASE+out_at]);
    end
  endtask

  initial begin
    $readmemh("vectors.hex", vectors);
    clk = 1'b0;
    noise = 32'd2463534242;
    checks = 0;
    errors = 0;
    for (phase = 0; phase < PHASES; phase = phase + 1) begin
      rst_n = 1'b0;
@CLEAR@      out_ready = 1'b0;
      out_held = 1'b0;
      out_at = 0;
      begun = -1;
      ended = -1;
      for (cycle = 0; cycle < 4; cycle = cycle + 1) tick;
      rst_n = 1'b1;
@SETUP@      cycle = 0;
      while (out_at < OUT_ITEMS && cycle < LIMIT) begin
        next_noise;
@OFFER@        out_ready = phase < 2 || noise[31:30] == 2'd0;
        #1;  // settle
@TAKE@        if (out_valid === 1'b1) begin
          if (out_now !== vectors[OUT_BASE+out_at][@OUT1@:0]) wrong;
          out_held = !out_ready;
          if (out_ready) begin
            out_at = out_at + 1;
            checks = checks + 1;
            ended = cycle;
          end
        end else if (out_valid !== 1'b0 || out_held) wrong;
        tick;
@TAKEN@        cycle = cycle + 1;
      end
      if (cycle == LIMIT) begin
        errors = errors + 1;
        $display("phase %0d: hangs after %0d results of %0d", phase, out_at, OUT_ITEMS);
      end
      if (phase == 0 && ended - begun + 1 != CYCLES) begin
        errors = errors + 1;
        $display("%0d cycles, expected %0d", ended - begun + 1, CYCLES);
      end
      out_ready = 1'b0;
      for (cycle = 0; cycle < IDLE; cycle = cycle + 1) begin
        #1;
        if (out_valid !== 1'b0) begin
          errors = errors + 1;
          if (errors <= 10) $display("phase %0d: a result too many", phase);
        end
        tick;
      end
    end
@VERDICT@)";

constexpr std::string_view kDeclare = R"(  reg @C@_valid;
  wire @C@_ready;
  reg [@W1@:0] @C@_now;
  reg @C@_taken;
  integer @C@_at;
)";

constexpr std::string_view kOffer =
    R"(        if (!@C@_valid && @C@_at < @N@_ITEMS) @C@_valid = !phase[0] || noise[@HI@:@LO@] != 2'd0;
        if (@C@_valid) @C@_now = vectors[@N@_BASE+@C@_at][@W1@:0];
        else @C@_now = ~vectors[@N@_BASE][@W1@:0];
)";

constexpr std::string_view kTake = R"(        @C@_taken = @C@_valid && @C@_ready === 1'b1;
        if (@C@_ready !== 1'b0 && @C@_ready !== 1'b1) wrong;
)";

constexpr std::string_view kTaken = R"(        if (@C@_taken) begin
          @C@_valid = 1'b0;
          @C@_at = @C@_at + 1;
        end
)";

constexpr std::string_view kSetup =
    R"(      for (cycle = 0; cycle < @SETUPS@; cycle = cycle + 1) begin
        setup = vectors[SETUP_BASE+cycle][@S1@:0];
        tick;
      end
      setup = @ZERO@;
)";

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

Testbench bench_of(const rtl_gen::Design& design, const Transactions& t) {
  const rtl_gen::UnitReport& report = design.report;
  constexpr int kPhases = 4;
  Testbench bench;
  bench.checks = kPhases * static_cast<int>(t.output.items.size());
  std::string bases, declare, connect, clear, setup, offer, take, taken;
  std::size_t total = 0;
  int widest = 0;
  const auto store = [&](const std::string& name, const std::vector<Bits>& items) {
    bases += fmt::format("  localparam {0}_BASE = {1};\n  localparam {0}_ITEMS = {2};\n", name,
                         total, items.size());
    for (const Bits& item : items) bench.vectors += item.hex() + "\n";
    total += items.size();
  };
  const int out_width = item_width(report, t.output.data);
  widest = out_width;
  int noise = 0;
  for (const Channel& c : t.inputs) {
    const int width = item_width(report, c.data);
    widest = std::max(widest, width);
    const rtl_gen::Words words = {{"C", c.name},
                                  {"N", upper(c.name)},
                                  {"W1", std::to_string(width - 1)},
                                  {"HI", std::to_string(noise + 1)},
                                  {"LO", std::to_string(noise)}};
    noise += 4;
    store(upper(c.name), c.items);
    declare += fill(kDeclare, words);
    offer += fill(kOffer, words);
    take += fill(kTake, words);
    taken += fill(kTaken, words);
    clear += fmt::format(
        "      {0}_valid = 1'b0;\n      {0}_now = {{{1}{{1'b0}}}};\n      {0}_at = 0;\n", c.name,
        width);
    connect +=
        fmt::format(",\n    .{}({}_valid),\n    .{}({}_ready)", c.valid, c.name, c.ready, c.name) +
        connections(report, c.data, c.name + "_now");
  }
  // The first item in counts.
  take += fmt::format("        if (begun < 0 && {}_taken) begun = cycle;\n", t.inputs[0].name);
  if (!t.setup.empty()) {
    const int width = item_width(report, t.setup_ports);
    widest = std::max(widest, width);
    store("SETUP", t.setup);
    declare += fmt::format("  reg [{}:0] setup;  // in the cycles after reset\n", width - 1);
    const std::string zero = fmt::format("{{{}{{1'b0}}}}", width);
    clear += fmt::format("      setup = {};\n", zero);
    setup = fill(kSetup,
                 {{"SETUPS", "SETUP_ITEMS"}, {"S1", std::to_string(width - 1)}, {"ZERO", zero}});
    connect += connections(report, t.setup_ports, "setup");
  }
  store("OUT", t.output.items);
  bench.verilog = fill(kBench, {{"TOP", report.top},
                                {"TICK", std::string(kTick)},
                                {"VERDICT", std::string(kVerdict)},
                                {"ITEMS", std::to_string(t.output.items.size())},
                                {"SPEC", report.spec_text},
                                {"CHECKS", std::to_string(bench.checks)},
                                {"SOURCES", design.sources()},
                                {"CYCLES", std::to_string(t.cycles)},
                                {"IDLE", std::to_string(report.latency + 20)},
                                {"WIDTH1", std::to_string(widest - 1)},
                                {"TOTAL1", std::to_string(total - 1)},
                                {"BASES", bases},
                                {"DECLARE", declare},
                                {"OUT1", std::to_string(out_width - 1)},
                                {"CONNECT", connect},
                                {"OUT_VALID", t.output.valid},
                                {"OUT_READY", t.output.ready},
                                {"OUT_DATA", connections(report, t.output.data, "out_now")},
                                {"CLEAR", clear},
                                {"SETUP", setup},
                                {"OFFER", offer},
                                {"TAKE", take},
                                {"TAKEN", taken}});
  return bench;
}

}  // namespace

Testbench handshake_testbench(const rtl_gen::Design& design, int count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  return bench_of(design, design.report.kind == rtl_gen::UnitKind::kStream
                              ? stream_transactions(design, count, random)
                              : array_transactions(design, count, random));
}

}  // namespace blockdot::sim
