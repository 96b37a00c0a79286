// The shells are text: instances, delays, counters. Whatever computes is a unit made by build_unit.
#include "rtl_gen/array/array.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "rtl_gen/array/open_loop.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/build/lower.h"
#include "rtl_gen/choose.h"
#include "rtl_gen/cost/cost.h"
#include "rtl_gen/ir/bits.h"
#include "rtl_gen/pipeline/schedule.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/unit.h"

namespace blockdot::rtl_gen {
namespace {

using formats::DotSpec;

int bits_for(std::int64_t most) { return unsigned_width(Int(most)); }
std::string last_of(int width) { return std::to_string(width - 1); }

void check_size(const char* field, int value, int most) {
  if (value < 1 || value > most)
    throw ConfigError("{} = {}: must be in [1, {}]", field, value, most);
}

// One side's operands as they travel: elements lowest, then scale, then micro exponents.
struct Side {
  struct Part {
    std::string port;  // of the unit
    int lo, width;
    std::string meaning;
  };
  std::vector<Part> parts;
  int width = 0;
};

Side side_of(const std::vector<Port>& ports, std::string_view name) {
  Side side;
  for (const Port& p : ports) {
    const bool mine =
        p.name == fmt::format("{}_i", name) || p.name == fmt::format("{}_scale_i", name) ||
        p.name == fmt::format("{}_micro_i", name) || p.name == fmt::format("{}_outer_i", name) ||
        p.name == fmt::format("{}_mean_i", name) || (name == "a" && p.name == "count_i");
    if (!mine) continue;
    side.parts.push_back({p.name, side.width, p.width, p.meaning});
    side.width += p.width;
  }
  return side;
}

void declare_side(std::vector<Port>& ports, const Side& side, int count, const char* of) {
  for (const Side::Part& p : side.parts)
    ports.push_back({p.port, true, p.width * count,
                     fmt::format("{} {} of {} bits: {}", count, of, p.width, p.meaning)});
}

// All slices of a side in one bus.
std::string pack(const Side& side, std::string_view bus, std::string_view count) {
  std::string parts;
  for (auto p = side.parts.rbegin(); p != side.parts.rend(); ++p)
    // A port of one bit has no parts to select.
    parts += (parts.empty() ? "" : ", ") +
             (p->width == 1 && count == "1"
                  ? p->port
                  : fmt::format("{}[at*{} +: {}]", p->port, p->width, p->width));
  return fmt::format(R"(
  wire [{0}*{1}-1:0] {2};
  generate
    for (at = 0; at < {0}; at = at + 1) begin : pack_{2}
      assign {2}[at*{1} +: {1}] = {{{3}}};
    end
  endgenerate
)",
                     count, side.width, bus, parts);
}

std::string connect(const Side& side, std::string_view slice) {
  std::string out;
  for (const Side::Part& p : side.parts)
    out += fmt::format(",\n          .{}({}[{} +: {}])", p.port, slice, p.lo, p.width);
  return out;
}

std::string delay(std::string_view module, std::string_view instance, std::string_view width,
                  std::string_view cycles, bool reset, std::string_view from, std::string_view to) {
  return fmt::format(
      "        {} #(.WIDTH({}), .CYCLES({}), .RESET({})) {} (\n"
      "          .clk_i(clk_i), .rst_ni(rst_ni), .d_i({}), .q_o({})\n        );\n",
      module, width, cycles, reset ? 1 : 0, instance, from, to);
}

std::string command_line(const ArraySpec& s, const Arch& arch, std::string_view top) {
  std::string text = fmt::format(
      "blockdot gen --unit array --rows {} --cols {} --dataflow {} {} {} --a '{}' --b '{}' "
      "--lanes {} --accumulator '{}' --output {} --rounding {} --specials {} --max-k {}",
      s.rows, s.cols, to_text(s.dataflow),
      s.dataflow == Dataflow::kOutputStationary ? "--banks" : "--depth",
      s.dataflow == Dataflow::kOutputStationary ? s.banks : s.depth, to_text(s.unit.a),
      to_text(s.unit.b), s.unit.lanes, to_text(s.unit.accumulator), to_text(s.unit.output),
      to_text(s.unit.rounding), s.unit.specials == formats::SpecialsPolicy::kNan ? "nan" : "ieee",
      s.unit.max_k);
  text += fmt::format(" --clock-ns {} --tech {}", arch.clock_ns, to_text(arch.technology));
  if (s.unit.lfsr != formats::LfsrSpec{}) text += " --lfsr " + to_text(s.unit.lfsr);
  if (arch.schedule != ScheduleKind::kMinRegister)
    text += fmt::format(" --schedule {}", to_text(arch.schedule));
  if (arch.schedule == ScheduleKind::kRandom)
    text += fmt::format(" --schedule-seed {}", arch.schedule_seed);
  return text + fmt::format(" --top {}", top);
}

// One stream a column instead of one a unit: results are rounded under the columns.
bool draws_by_column(const ArraySpec& spec) {
  return spec.dataflow == Dataflow::kWeightStationary && !formats::draws_each_beat(spec.unit);
}

// Random streams that start far apart: each may take that many steps before it meets another's
// first draw. Their states are loaded in the cycle after reset.
void start_streams(Array& array) {
  const ArraySpec& spec = array.spec;
  if (!formats::draws(spec.unit)) return;
  const formats::LfsrStreams streams = formats::lfsr_streams(
      spec.unit.lfsr,
      static_cast<std::uint64_t>((draws_by_column(spec) ? 1 : spec.rows) * spec.cols),
      formats::drawn_rounding(spec.unit).random_bits);
  array.seed_distance = streams.distance;
  array.seeds = streams.states;
}

void declare_seeds(Array& array) {
  const formats::LfsrSpec& lfsr = array.spec.unit.lfsr;
  if (!lfsr.port) return;
  const int count = static_cast<int>(array.seeds.size());
  const std::string of = draws_by_column(array.spec)
                             ? "the column"
                             : fmt::format("unit row * {} + column", array.spec.cols);
  array.ports.push_back({"seed_load_i", true, 1, "load a random stream"});
  array.ports.push_back({"seed_cell_i", true, bits_for(count - 1), "of " + of});
  array.ports.push_back({"seed_i", true, lfsr.width, "its state; 0 is read as 1"});
}

std::string seeding_text(const Array& array) {
  const int width = array.spec.unit.lfsr.width, count = static_cast<int>(array.seeds.size());
  std::string literal;
  for (std::uint64_t state : array.seeds)
    literal = sized(width, state) + (literal.empty() ? "" : ", ") + literal;
  return fill(R"(
  // ---- Random streams: after reset those of SEEDS, @DISTANCE@ steps apart ----
  localparam [@COUNT@*@WIDTH@-1:0] SEEDS = {@SEEDS@};
  reg seeding_q;
  always @(posedge clk_i) seeding_q <= !rst_ni;
@HERE@)",
              {{"DISTANCE", std::to_string(array.seed_distance)},
               {"WIDTH", std::to_string(width)},
               {"COUNT", std::to_string(count)},
               {"HERE", array.spec.unit.lfsr.port
                            ? fmt::format("  wire [{}:0] seed_here;\n  assign seed_here = "
                                          "{{{}{{seed_load_i}}}} & ({} << seed_cell_i);\n",
                                          count - 1, count, sized(count, 1))
                            : ""},
               {"SEEDS", literal}});
}

// The seed ports of what holds stream `at`.
std::string connect_seeds(const Array& array, std::string_view at) {
  const int width = array.spec.unit.lfsr.width;
  if (!array.spec.unit.lfsr.port)
    return fmt::format(
        ",\n          .seed_load_i(seeding_q),\n          .seed_i(SEEDS[{0}*{1} +: {1}])", at,
        width);
  // A wire of one bit has no parts to select.
  const std::string here = array.seeds.size() == 1 ? "seed_here" : fmt::format("seed_here[{}]", at);
  return fmt::format(
      ",\n          .seed_load_i(seeding_q || {0}),\n"
      "          .seed_i(seeding_q ? SEEDS[{1}*{2} +: {2}] : seed_i)",
      here, at, width);
}

// Bits of a triangle of delays: 0 + 1 + ... + (n - 1) words.
std::int64_t triangle(std::int64_t n, std::int64_t width) { return n * (n - 1) / 2 * width; }

// ---- Output-stationary ----

constexpr std::string_view kOsControl = R"(
  // ---- Control: the beats of one tile enter; `left_q` are still to come ----
  reg busy_q;
  reg [@K1@:0] left_q;
  reg first_q;                                      // the next beat is the tile's first
  reg [@M1@:0] rows_q;
  reg [@N1@:0] cols_q;
  reg [@F1@:0] flight_q;                            // tiles between their last beat and their last row
  wire last;
  assign last = left_q == @K_ONE@;
  assign in_ready_o = busy_q && !(last && flight_q == @F_FULL@);
  wire take;
  assign take = in_valid_i && in_ready_o;
  wire close;                                       // the tile's last beat enters
  assign close = take && last;
  assign start_ready_o = @READY@(!busy_q || close);
  wire open;
  assign open = start_valid_i && start_ready_o;
  always @(posedge clk_i) begin
    if (!rst_ni) busy_q <= 1'b0;
    else if (open) busy_q <= 1'b1;
    else if (close) busy_q <= 1'b0;
    if (open) begin
      left_q <= beats_i;
      first_q <= 1'b1;
      rows_q <= rows_i;
      cols_q <= cols_i;
    end else if (take) begin
      left_q <= left_q - @K_ONE@;
      first_q <= 1'b0;
    end
  end
)";

constexpr std::string_view kOsDrain = R"(
  // ---- Drain: tiles leave in order, the rows of a bank move up ----
  reg [@F1@:0] complete_q;                          // tiles whose last result is in its bank
  reg [@B1@:0] slot_q;                              // one-hot: bank of the next tile to close
  reg [@M1@:0] out_left_q;                          // rows still to leave after the first; 0: at a tile's first
  assign out_valid_o = complete_q != @F_ZERO@;
  assign row_out = out_valid_o && out_ready_i;
  wire [@D1@:0] tile;                               // rows and columns of the tile that leaves
@DESCRIPTORS@
  wire [@M1@:0] tile_rows;
  wire [@N1@:0] tile_cols;
  assign {tile_rows, tile_cols} = tile;
  wire [@M1@:0] out_left;
  assign out_left = out_left_q == @M_ZERO@ ? tile_rows : out_left_q;
  assign out_last_o = out_left == @M_ONE@;
  wire tile_out;
  assign tile_out = row_out && out_last_o;
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      flight_q <= @F_ZERO@;
      complete_q <= @F_ZERO@;
      slot_q <= @B_ONE@;
      read_q <= @B_ONE@;
      out_left_q <= @M_ZERO@;
    end else begin
      if (close && !tile_out) flight_q <= flight_q + @F_ONE@;
      else if (!close && tile_out) flight_q <= flight_q - @F_ONE@;
      if (completed && !tile_out) complete_q <= complete_q + @F_ONE@;
      else if (!completed && tile_out) complete_q <= complete_q - @F_ONE@;
      if (close) slot_q <= @SLOT_NEXT@;
      if (tile_out) read_q <= @READ_NEXT@;
      if (row_out) out_left_q <= out_left - @M_ONE@;
    end
  end
  wire [@COLS@*@W@-1:0] top_row;
  assign top_row = @TOP_ROW@;
  wire [@C1@:0] used;                             // columns of the tile
  assign used = ~({@COLS@{1'b1}} << tile_cols);
  generate
    for (at = 0; at < @COLS@; at = at + 1) begin : results
      assign out_result_o[at*@W@ +: @W@] = top_row[at*@W@ +: @W@] & {@W@{used[at]}};
    end
  endgenerate
)";

void build_os(Array& array, const Arch& arch, const std::string& top) {
  const ArraySpec& spec = array.spec;
  const int R = spec.rows, C = spec.cols, B = spec.banks;
  const std::string unit_name = top + "_unit", delay_name = top + "_delay";
  DotSpec of_unit = spec.unit;
  of_unit.lfsr.port = true;  // through which the array starts the streams
  array.units.push_back(generate(UnitKind::kDot, of_unit, arch, unit_name));
  array.counts = {R * C};
  const UnitReport& unit = array.units[0].report;
  array.timing.unit = unit.latency;
  const Side a = side_of(unit.ports, "a"), b = side_of(unit.ports, "b");
  const int w = spec.unit.output.width();
  const int k_bits = bits_for(formats::beats_for(spec.unit, spec.unit.max_k));
  const int m_bits = bits_for(R), n_bits = bits_for(C), f_bits = bits_for(B);
  const bool seeded = formats::draws(spec.unit);

  auto& ports = array.ports;
  ports = {{"clk_i", true, 1, "clock, rising edge"},
           {"rst_ni", true, 1, "synchronous reset, active low"},
           {"start_valid_i", true, 1, "a tile is described"},
           {"start_ready_o", false, 1, "the description is taken"},
           {"beats_i", true, k_bits, "beats of the tile, at least 1"},
           {"rows_i", true, m_bits, fmt::format("its rows, 1..{}", R)},
           {"cols_i", true, n_bits, fmt::format("its columns, 1..{}", C)}};
  if (seeded) declare_seeds(array);
  ports.push_back({"in_valid_i", true, 1, "a beat is offered"});
  ports.push_back({"in_ready_o", false, 1, "it is taken"});
  declare_side(ports, a, R, "rows");
  declare_side(ports, b, C, "columns");
  ports.insert(ports.end(),
               {{"out_valid_o", false, 1, "a row of results is offered"},
                {"out_ready_i", true, 1, "it is taken"},
                {"out_last_o", false, 1, "it is the tile's last"},
                {"out_result_o", false, C * w, fmt::format("{} codes, 0 beyond the columns", C)}});

  std::string held_declarations, held_cells, descriptors, tile, top_row;
  for (int k = 0; k < B; ++k) {
    held_declarations += fmt::format("  wire [{}*{}*{}-1:0] held{};\n", R, C, w, k);
    const std::string hot = B == 1 ? "" : fmt::format("[{}]", k);
    const std::string move =
        R == 1 ? R"(        always @(posedge clk_i) if (done && write_q@HOT@) held@K@_q <= result;
)"
               : R"(        if (r + 1 < @ROWS@) begin : move@K@
          always @(posedge clk_i) begin
            if (done && write_q@HOT@) held@K@_q <= result;
            else if (leaving@HOT@) held@K@_q <= held@K@[(AT+@COLS@)*@W@ +: @W@];
          end
        end else begin : keep@K@
          always @(posedge clk_i) if (done && write_q@HOT@) held@K@_q <= result;
        end
)";
    held_cells += fill(
        "\n        reg [@W1@:0] held@K@_q;\n        assign held@K@[AT*@W@ +: @W@] = held@K@_q;\n" +
            move,
        {{"K", std::to_string(k)},
         {"HOT", hot},
         {"W", std::to_string(w)},
         {"W1", last_of(w)},
         {"ROWS", std::to_string(R)},
         {"COLS", std::to_string(C)}});
    descriptors += fmt::format(
        "  reg [{0}:0] tile{1}_q;\n  always @(posedge clk_i) if (close && slot_q{2}) tile{1}_q <= "
        "{{rows_q, cols_q}};\n",
        m_bits + n_bits - 1, k, hot);
    tile +=
        fmt::format("{}({{{}{{read_q{}}}}} & tile{}_q)", k ? " | " : "", m_bits + n_bits, hot, k);
    top_row += fmt::format("{}({{{}{{read_q{}}}}} & held{}[{}:0])",
                           k ? " |\n                   " : "", C * w, hot, k, C * w - 1);
  }
  descriptors += fmt::format("  assign tile = {};", tile);

  std::string body = fill(kOsControl, {{"K1", last_of(k_bits)},
                                       {"M1", last_of(m_bits)},
                                       {"N1", last_of(n_bits)},
                                       {"F1", last_of(f_bits)},
                                       {"K_ONE", sized(k_bits, 1)},
                                       {"F_FULL", sized(f_bits, static_cast<std::uint64_t>(B))},
                                       {"READY", seeded ? "!seeding_q && " : ""}});
  std::string genvars = "\n  genvar at;\n  genvar r;\n  genvar c;\n";
  const std::string seeding = seeded ? seeding_text(array) : "";

  std::string cell = fill(
      R"(
  // ---- Units: a moves right, b down, valid/first/last with a ----
  wire [2:0] enter;
  assign enter = {take, first_q, last};
  wire [@ROWS@*@COLS@*3-1:0] ctrl;
  wire [@ROWS@*@COLS@*@AW@-1:0] a_at;
  wire [@ROWS@*@COLS@*@BW@-1:0] b_at;
  reg [@B1@:0] read_q;                              // one-hot: bank that leaves
  wire row_out;
@LEAVING@@HELD@  generate
    for (r = 0; r < @ROWS@; r = r + 1) begin : row
      for (c = 0; c < @COLS@; c = c + 1) begin : col
        localparam AT = r*@COLS@ + c;
        if (c == 0) begin : from_border
@SKEW_A@        end else begin : from_left
@MOVE_A@        end
        if (r == 0) begin : from_top
@SKEW_B@        end else begin : from_above
@MOVE_B@        end

        wire [@AW1@:0] a;
        wire [@BW1@:0] b;
        wire valid;
        wire first;
        wire final_beat;
        wire done;
        wire [@W1@:0] result;
        assign a = a_at[AT*@AW@ +: @AW@];
        assign b = b_at[AT*@BW@ +: @BW@];
        assign {valid, first, final_beat} = ctrl[AT*3 +: 3];
        @UNIT@ u_unit (
          .clk_i(clk_i),
          .rst_ni(rst_ni),
          .valid_i(valid),
          .first_i(first),
          .last_i(final_beat)@CONNECTIONS@,
          .valid_o(done),
          .result_o(result)
        );

        reg [@B1@:0] write_q;                       // one-hot: bank of the next result
        always @(posedge clk_i) begin
          if (!rst_ni) write_q <= @B_ONE@;
          else if (done) write_q <= @WRITE_NEXT@;
        end
@CELLS@      end
    end
  endgenerate

  // The last unit's result of a tile, @FILL@ cycles after its last beat entered.
  wire completed;
@COMPLETED@)",
      {{"ROWS", std::to_string(R)},
       {"COLS", std::to_string(C)},
       {"AW", std::to_string(a.width)},
       {"BW", std::to_string(b.width)},
       {"AW1", last_of(a.width)},
       {"BW1", last_of(b.width)},
       {"B1", last_of(B)},
       {"B_ONE", sized(B, 1)},
       {"W1", last_of(w)},
       {"UNIT", unit_name},
       {"HELD", held_declarations},
       {"LEAVING", R == 1 ? ""
                          : fmt::format("  wire [{0}:0] leaving;                            // "
                                        "one-hot: this bank moves up\n"
                                        "  assign leaving = read_q & {{{1}{{row_out}}}};\n",
                                        B - 1, B)},

       {"CELLS", held_cells},
       {"WRITE_NEXT", rotated("write_q", B)},
       {"FILL", std::to_string(R + C - 2 + unit.latency)},
       {"SKEW_A", delay(delay_name, "u_skew_ctrl", "3", "r", true, "enter", "ctrl[AT*3 +: 3]") +
                      delay(delay_name, "u_skew_a", std::to_string(a.width), "r", false,
                            fmt::format("a_bus[r*{0} +: {0}]", a.width),
                            fmt::format("a_at[AT*{0} +: {0}]", a.width))},
       {"MOVE_A",
        delay(delay_name, "u_ctrl", "3", "1", true, "ctrl[(AT-1)*3 +: 3]", "ctrl[AT*3 +: 3]") +
            delay(delay_name, "u_a", std::to_string(a.width), "1", false,
                  fmt::format("a_at[(AT-1)*{0} +: {0}]", a.width),
                  fmt::format("a_at[AT*{0} +: {0}]", a.width))},
       {"SKEW_B", delay(delay_name, "u_skew_b", std::to_string(b.width), "c", false,
                        fmt::format("b_bus[c*{0} +: {0}]", b.width),
                        fmt::format("b_at[AT*{0} +: {0}]", b.width))},
       {"MOVE_B", delay(delay_name, "u_b", std::to_string(b.width), "1", false,
                        fmt::format("b_at[(AT-{1})*{0} +: {0}]", b.width, C),
                        fmt::format("b_at[AT*{0} +: {0}]", b.width))},
       {"CONNECTIONS",
        connect(a, "a") + connect(b, "b") + (seeded ? connect_seeds(array, "AT") : "")},
       {"COMPLETED", delay(delay_name, "u_completed", "1", std::to_string(R + C - 2 + unit.latency),
                           true, "close", "completed")}});
  std::string drain = fill(kOsDrain, {{"F1", last_of(f_bits)},
                                      {"B1", last_of(B)},
                                      {"M1", last_of(m_bits)},
                                      {"N1", last_of(n_bits)},
                                      {"D1", last_of(m_bits + n_bits)},
                                      {"C1", last_of(C)},
                                      {"W", std::to_string(w)},
                                      {"COLS", std::to_string(C)},
                                      {"F_ZERO", sized(f_bits, 0)},
                                      {"F_ONE", sized(f_bits, 1)},
                                      {"B_ONE", sized(B, 1)},
                                      {"M_ZERO", sized(m_bits, 0)},
                                      {"M_ONE", sized(m_bits, 1)},
                                      {"SLOT_NEXT", rotated("slot_q", B)},
                                      {"READ_NEXT", rotated("read_q", B)},
                                      {"DESCRIPTORS", descriptors},
                                      {"TOP_ROW", top_row}});
  body = genvars + body + seeding + pack(a, "a_bus", std::to_string(R)) +
         pack(b, "b_bus", std::to_string(C)) + cell + drain;

  array.shell_register_bits =
      triangle(R, a.width + 3) + triangle(C, b.width) + std::int64_t{R} * (C - 1) * (a.width + 3) +
      std::int64_t{C} * (R - 1) * b.width + std::int64_t{R} * C * B * (w + 1) + R + C - 2 +
      unit.latency + B * (m_bits + n_bits + 2) + k_bits + 2 + 2 * m_bits + n_bits + 2 * f_bits;
  std::vector<std::string> header = {
      fmt::format("{}: output-stationary array of {} x {} dot units, {} banks of results.", top, R,
                  C, B),
      "",
      fmt::format("  spec   {}", unit.spec_text),
      fmt::format("  arch   {}", unit.arch_text),
      fmt::format("  cost   unit latency {}; a tile of K beats and m rows takes K + m + {} cycles",
                  unit.latency, R + C + unit.latency),
      "",
      "Generated by blockdot. Do not edit; regenerate with:",
      "  " + command_line(spec, arch, top)};
  array.files = {{top, shell_module(header, top, {}, ports, body)},
                 {unit_name, array.units[0].verilog},
                 delay_module(delay_name)};
}

// ---- Weight-stationary ----

constexpr std::string_view kWsControl = R"(
  // ---- Weights: a pass is loaded row by row beside the one that is in use ----
  reg load_busy_q;
  reg [@K1@:0] load_left_q;                         // beats of the reduction still to load
  reg [@R1@:0] load_row_q;                          // one-hot: row of the next one
  reg load_first_q;                                 // of the tile's first pass
  reg [@M1@:0] load_rows_q;
  reg [@N1@:0] load_cols_q;
  reg shadow_full_q;                                // a pass is loaded and not begun
  reg shadow_first_q;
  reg shadow_final_q;
  reg [@M1@:0] shadow_rows_q;
  reg [@N1@:0] shadow_cols_q;
@HOLD_DECLARE@  wire swap;                                        // a pass begins
  assign w_ready_o = load_busy_q && !shadow_full_q@HOLD_FREE@;
  wire load;
  assign load = w_valid_i && w_ready_o;
  wire load_last;
  assign load_last = load_left_q == @K_ONE@;
  wire load_close;                                  // the pass is loaded
  assign load_close = load && (load_last || @LAST_ROW@);
  assign start_ready_o = !load_busy_q || (load && load_last);
  wire open;
  assign open = start_valid_i && start_ready_o;
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      load_busy_q <= 1'b0;
      shadow_full_q <= 1'b0;
    end else begin
      if (open) load_busy_q <= 1'b1;
      else if (load && load_last) load_busy_q <= 1'b0;
      if (load_close) shadow_full_q <= 1'b1;
      else if (swap) shadow_full_q <= 1'b0;
    end
    if (open) begin
      load_left_q <= beats_i;
      load_row_q <= @R_ONE@;
      load_first_q <= 1'b1;
      load_rows_q <= rows_i;
      load_cols_q <= cols_i;
    end else if (load) begin
      load_left_q <= load_left_q - @K_ONE@;
      load_row_q <= load_close ? @R_ONE@ : @ROW_NEXT@;
      if (load_close) load_first_q <= 1'b0;
    end
    if (load_close) begin
      shadow_first_q <= load_first_q;
      shadow_final_q <= load_last;
      shadow_rows_q <= load_rows_q;
      shadow_cols_q <= load_cols_q;
    end
    if (!rst_ni) begin  // nothing of this is read before it is written: for simulations of gates
      load_left_q <= @K_ZERO@;
      load_row_q <= @ROW_ZERO@;
      shadow_first_q <= 1'b0;
      shadow_final_q <= 1'b0;
      shadow_rows_q <= @M_ZERO@;
    end
  end
@HOLD_LOGIC@
  // ---- Rows of a: `left_q` of the pass are still to come ----
  reg [@M1@:0] left_q;
  reg [@M1@:0] rows_q;
  reg [@A1@:0] row_q;                               // number of the next row
  reg first_q;
  reg final_q;
  reg [@N1@:0] cols_q;
  reg [@G1@:0] gap_q;                               // cycles until the partial sums are back at the top
  wire between;                                     // no pass has rows to come
  assign between = left_q == @M_ZERO@;
  wire final_pass;
  assign final_pass = between ? shadow_final_q : final_q;
  wire first_pass;
  assign first_pass = between ? shadow_first_q : first_q;
  wire [@M1@:0] rows;
  assign rows = between ? shadow_rows_q : rows_q;
  wire [@M1@:0] left;
  assign left = between ? shadow_rows_q : left_q;
  wire [@N1@:0] cols;
  assign cols = between ? shadow_cols_q : cols_q;
  wire [@A1@:0] row_number;
  assign row_number = between ? @A_ZERO@ : row_q;
  wire ready;
  assign ready = !between || (shadow_full_q && (shadow_first_q || gap_q == @G_ZERO@));
  wire credit_left;
  assign a_ready_o = ready && (!final_pass || credit_left);
  wire take;
  assign take = a_valid_i && a_ready_o;
  assign swap = take && between;
  wire last_row;
  assign last_row = left == @M_ONE@;
  wire [@G1@:0] rows_wide;
  assign rows_wide = @ROWS_WIDE@;
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      left_q <= @M_ZERO@;
      gap_q <= @G_ZERO@;
    end else begin
      if (take) left_q <= left - @M_ONE@;
      if (take && last_row && !final_pass) gap_q <= rows_wide < @TURN@ ? @TURN@ - rows_wide : @G_ZERO@;
      else if (gap_q != @G_ZERO@) gap_q <= gap_q - @G_ONE@;
    end
    if (take) row_q <= row_number + @A_ONE@;
    if (swap) begin
      rows_q <= shadow_rows_q;
      first_q <= shadow_first_q;
      final_q <= shadow_final_q;
      cols_q <= shadow_cols_q;
    end
    if (!rst_ni) begin  // as above
      rows_q <= @M_ZERO@;
      first_q <= 1'b0;
      final_q <= 1'b0;
    end
  end
)";

constexpr std::string_view kWsHold = R"(
  always @(posedge clk_i) begin
    if (!rst_ni) hold_q <= @H_ZERO@;
    else if (swap) hold_q <= @HOLD@;
    else if (hold_q != @H_ZERO@) hold_q <= hold_q - @H_ONE@;
  end
)";

constexpr std::string_view kWsCells = R"(
  // ---- Units: weights of column c enter c cycles late, row r of the array r * @STEP@ cycles late ----
  wire [2:0] enter;
  assign enter = {take, swap, first_pass};
  wire [@ROWS@*@COLS@*3-1:0] ctrl;
  wire [@ROWS@*@COLS@*@AW@-1:0] a_at;
  wire [@COLS@*@LW@-1:0] load_at;                   // row to load (one-hot, none: zero), weight
  wire [@ROWS@*@COLS@*@PW@-1:0] sum_at;             // partial sums under each unit
  wire [@COLS@*@PW@-1:0] sum_top;                   // and above the columns
  wire [@R1@:0] load_rows_hot;
  assign load_rows_hot = load_row_q & {@ROWS@{load}};
  generate
    for (c = 0; c < @COLS@; c = c + 1) begin : weights
      wire [@R1@:0] rows_hot;
      if (c == 0) begin : at_border
        assign rows_hot = load_rows_hot;
      end else begin : further
@LOAD_MOVE@      end
      wire [@BW1@:0] weight;
@LOAD_SKEW@      assign load_at[c*@LW@ +: @LW@] = {rows_hot, weight};
    end
    for (r = 0; r < @ROWS@; r = r + 1) begin : row
      for (c = 0; c < @COLS@; c = c + 1) begin : col
        localparam AT = r*@COLS@ + c;
        if (c == 0) begin : from_border
@SKEW_A@        end else begin : from_left
@MOVE_A@        end
        wire [@AW1@:0] a;
        wire valid;
        wire exchange;
        wire first;
        assign a = a_at[AT*@AW@ +: @AW@];
        assign {valid, exchange, first} = ctrl[AT*3 +: 3];

        // The weight in use, and the next pass's.
        reg [@BW1@:0] weight_q;
        reg weight_valid_q;
        reg [@BW1@:0] shadow_q;
        reg shadow_valid_q;
        wire write;
        assign write = load_at[c*@LW@ + @BW@ + r];
        wire [@BW1@:0] b;
        assign b = exchange ? shadow_q : weight_q;
        wire b_valid;
        assign b_valid = exchange ? shadow_valid_q : weight_valid_q;
        always @(posedge clk_i) begin
          if (!rst_ni) begin
            weight_valid_q <= 1'b0;
            shadow_valid_q <= 1'b0;
          end else begin
            weight_valid_q <= b_valid;
            if (write) shadow_valid_q <= 1'b1;
            else if (exchange) shadow_valid_q <= 1'b0;
          end
          weight_q <= b;
          if (write) shadow_q <= load_at[c*@LW@ +: @BW@];
        end

        wire [@XW1@:0] term;
        @TERM@ u_term (
          .clk_i(clk_i),
          .rst_ni(rst_ni)@TERM_CONNECT@
        );
        wire [@PW1@:0] sum_in;
        wire [@PW1@:0] sum;
        if (r == 0) begin : sum_from_top
          assign sum_in = sum_top[c*@PW@ +: @PW@];
        end else begin : sum_from_above
          assign sum_in = sum_at[(AT-@COLS@)*@PW@ +: @PW@];
        end
@BEAT_RANDOM@        @STEP_UNIT@ u_step (
          .clk_i(clk_i),
          .rst_ni(rst_ni)@STEP_CONNECT@
        );
        assign sum_at[AT*@PW@ +: @PW@] = sum;
      end
    end
  endgenerate

  // ---- Under the columns: partial sums that wait for the next pass, results that leave ----
  wire [@A1@:0] read_row;
  wire [@A2@:0] write_row;                          // valid, row number
@ROW_TOKENS@
  wire [@COLS@*(@A1@+1)-1:0] read_at;
  wire [@COLS@*(@A2@+1)-1:0] write_at;
@DRAW_DECLARE@  wire [@COLS@*@W@-1:0] out_row;
  generate
    for (c = 0; c < @COLS@; c = c + 1) begin : bottom
      if (c == 0) begin : at_border
        assign read_at[0 +: @A1@+1] = read_row;
        assign write_at[0 +: @A2@+1] = write_row;
@DRAW_BORDER@      end else begin : further
@TOKEN_MOVE@@DRAW_MOVE@      end
      wire [@PW1@:0] sum;
      assign sum = sum_at[(@ROWS1@*@COLS@ + c)*@PW@ +: @PW@];
      reg [@PW1@:0] store_q [0:@DEPTH1@];
      reg [@PW1@:0] read_q;
      always @(posedge clk_i) begin
        read_q <= store_q[read_at[c*(@A1@+1) +: @A1@+1]];
        if (write_at[c*(@A2@+1) + @A2@]) store_q[write_at[c*(@A2@+1) +: @A1@+1]] <= sum;
      end
      assign sum_top[c*@PW@ +: @PW@] = read_q;
      wire [@W1@:0] result;
@RESULT_RANDOM@      @FINISH@ u_finish (
        .clk_i(clk_i),
        .rst_ni(rst_ni)@FINISH_CONNECT@,
        .result_o(result)
      );
@DESKEW@    end
  endgenerate

  wire [@T1@:0] leave;                              // valid, last row, columns
@LEAVE@  wire arrive;
  wire arrive_last;
  wire [@N1@:0] arrive_cols;
  assign {arrive, arrive_last, arrive_cols} = leave;
  wire [@C1@:0] used;                             // columns of the tile
  assign used = ~({@COLS@{1'b1}} << arrive_cols);
  wire [@COLS@*@W@-1:0] masked;
  generate
    for (at = 0; at < @COLS@; at = at + 1) begin : results
      assign masked[at*@W@ +: @W@] = out_row[at*@W@ +: @W@] & {@W@{used[at]}};
    end
  endgenerate
  wire row_out;
  assign row_out = out_valid_o && out_ready_i;
  wire [@COLS@*@W@:0] out_word;
  assign {out_last_o, out_result_o} = out_word;
)";

void build_ws(Array& array, const Arch& wanted, const std::string& top) {
  const ArraySpec& spec = array.spec;
  const int R = spec.rows, C = spec.cols;
  const std::string delay_name = top + "_delay";
  Arch arch = wanted;
  arch.structure = choose(spec.unit, arch.technology, arch.structure).structure;
  arch.structure.segment =
      choose_segment(spec.unit, arch.technology, arch.structure, arch.clock_ns).segment;
  UnitFacts facts;
  OpenedUnit opened =
      open_loop(build_dot_unit(spec.unit, &facts, arch.structure, arch.technology, true));
  const formats::Rounding drawn = formats::drawn_rounding(spec.unit);
  const bool seeded = drawn.stochastic(), by_beat = formats::draws_each_beat(spec.unit);
  if (seeded) {
    // A rounding of results that are exact (bf16 to fp32) reads no draw; the port stays.
    Graph& drawing = by_beat ? opened.step : opened.finish;
    const auto is_random = [&](NodeId id) { return drawing.node(id).name == "random_i"; };
    if (std::none_of(drawing.inputs().begin(), drawing.inputs().end(), is_random))
      drawing.input("random_i", drawn.random_bits);
  }
  const auto make = [&](const Graph& graph, const Arch& built, const char* part,
                        const std::string& what) {
    UnitText text;
    text.purpose = what;
    text.spec = to_text(spec.unit);
    text.exact = exact_level(UnitKind::kDot, spec.unit);
    text.meaning = [&](const std::string& port) -> std::string {
      if (port.ends_with("_o")) return "to the next part";
      if (port == kSeedParameter || port.starts_with("seed_")) return port_meaning(port, spec.unit);
      const bool operand = port.starts_with("a_") || port.starts_with("b_");
      return operand ? port_meaning(port, spec.unit) : "from the part before, or a mark";
    };
    text.command = [&](const Arch&) { return command_line(spec, arch, top); };
    return build_unit(graph, built, fmt::format("{}_{}", top, part), text);
  };
  struct Part {
    const Graph& graph;
    const char *name, *what;
    double fastest_ns;
  };
  const CostModel cost(arch.technology);
  const auto part = [&](const Graph& graph, const char* name, const char* what) {
    const Graph lowered = lower(graph, sum_options(arch.structure, arch.technology));
    return Part{graph, name, what, fastest_clock_ns(lowered, cost)};
  };
  const std::array<Part, 3> parts = {
      part(opened.term, "term", "what a beat adds to a partial sum."),
      part(opened.step, "step", "a partial sum and a beat's term to the next sum."),
      part(opened.finish, "finish", "a partial sum to a result.")};
  const Part& slowest =
      *std::max_element(parts.begin(), parts.end(),
                        [](const Part& x, const Part& y) { return x.fastest_ns < y.fastest_ns; });
  if (arch.clock_ns == 0)
    arch.clock_ns = std::max(cost.default_clock_ns(), std::ceil(slowest.fastest_ns * 100) / 100);
  // Refuses a clock that is too fast for it, with one that fits all parts.
  if (arch.clock_ns < slowest.fastest_ns) make(slowest.graph, arch, slowest.name, slowest.what);
  for (const Part& p : parts) array.units.push_back(make(p.graph, arch, p.name, p.what));
  if (seeded) {
    // A register whose draw stands at its port: there are no stages to schedule.
    Arch bare = arch;
    bare.clock_ns = 0;
    bare.combinational = true;
    formats::LfsrSpec lfsr = spec.unit.lfsr;
    lfsr.port = true;  // through which the array starts the streams
    Graph random;
    const Fx draw = control(input(random, "draw_i", 1));
    output("random_o", build_lfsr(random, lfsr, drawn.random_bits, draw));
    array.units.push_back(make(random, bare, "random", "random bits of one stream."));
  }
  const UnitReport &term = array.units[0].report, &step = array.units[1].report,
                   &finish = array.units[2].report;
  ArrayTiming& t = array.timing;
  t.term = term.latency;
  t.step = step.latency;
  t.finish = finish.latency;
  BLOCKDOT_CHECK(t.term >= 1 && t.step >= 1, "latencies {} {}", t.term, t.step);
  array.sum_width = opened.sum_width();
  array.counts = {R * C, R * C, C};
  if (seeded) array.counts.push_back(by_beat ? R * C : C);
  note_facts(array.units[0].report, facts);

  const Side a = side_of(term.ports, "a"), b = side_of(term.ports, "b");
  const int w = spec.unit.output.width(), PW = opened.sum_width(), XW = opened.cross_width();
  const int k_bits = bits_for(formats::beats_for(spec.unit, spec.unit.max_k));
  const int m_bits = bits_for(spec.depth), n_bits = bits_for(C), a_bits = bits_for(spec.depth - 1);
  const int g_bits = std::max(m_bits, bits_for(t.turn()));
  const int h_bits = bits_for(t.hold());
  const int queue_depth = t.through() + 2;

  auto& ports = array.ports;
  ports = {{"clk_i", true, 1, "clock, rising edge"},
           {"rst_ni", true, 1, "synchronous reset, active low"},
           {"start_valid_i", true, 1, "a tile is described"},
           {"start_ready_o", false, 1, "the description is taken"},
           {"beats_i", true, k_bits, "beats of the reduction, at least 1"},
           {"rows_i", true, m_bits, fmt::format("rows of a, 1..{}", spec.depth)},
           {"cols_i", true, n_bits, fmt::format("columns, 1..{}", C)},
           {"w_valid_i", true, 1, "a beat of weights is offered"},
           {"w_ready_o", false, 1, "it is taken"}};
  declare_side(ports, b, C, "columns");
  if (seeded) declare_seeds(array);
  ports.push_back({"a_valid_i", true, 1, "a row of a is offered"});
  ports.push_back({"a_ready_o", false, 1, "it is taken"});
  declare_side(ports, a, R, "beats");
  ports.insert(ports.end(),
               {{"out_valid_o", false, 1, "a row of results is offered"},
                {"out_ready_i", true, 1, "it is taken"},
                {"out_last_o", false, 1, "it is the tile's last"},
                {"out_result_o", false, C * w, fmt::format("{} codes, 0 beyond the columns", C)}});

  // Names of a part's ports as slices of the buses.
  const auto connect_wires = [](const std::vector<Port>& have, const std::vector<Wire>& wires,
                                std::string_view suffix, std::string_view bus) {
    std::string out;
    int lo = 0;
    for (const Wire& wire : wires) {
      const std::string port = fmt::format("{}{}", wire.name, suffix);
      if (std::any_of(have.begin(), have.end(), [&](const Port& p) { return p.name == port; }))
        out += fmt::format(",\n          .{}({}[{} +: {}])", port, bus, lo, wire.width);
      lo += wire.width;
    }
    return out;
  };
  std::string term_connect;
  for (const Port& p : term.ports) {
    if (p.name == "valid_i") term_connect += ",\n          .valid_i(valid && b_valid)";
    if (p.name == "first_i") term_connect += ",\n          .first_i(first && r == 0)";
  }
  term_connect +=
      connect(a, "a") + connect(b, "b") + connect_wires(term.ports, opened.cross, "_o", "term");
  const std::string random_connect = ",\n          .random_i(random)";
  const std::string step_connect = connect_wires(step.ports, opened.sum, "_i", "sum_in") +
                                   connect_wires(step.ports, opened.cross, "_i", "term") +
                                   connect_wires(step.ports, opened.sum, "_o", "sum") +
                                   (seeded && by_beat ? random_connect : "");
  const std::string finish_connect = connect_wires(finish.ports, opened.sum, "_i", "sum") +
                                     (seeded && !by_beat ? random_connect : "");

  // A stream moves on as its unit, or its column, takes a draw.
  const auto stream = [&](std::string_view draw, std::string_view at) {
    return fmt::format(R"(        wire [{}:0] random;
        {}_random u_random (
          .clk_i(clk_i),
          .rst_ni(rst_ni),
          .draw_i({}){},
          .random_o(random)
        );
)",
                       drawn.random_bits - 1, top, draw, connect_seeds(array, at));
  };
  std::string beat_random, result_random;
  if (seeded && by_beat)
    beat_random =
        "        wire draw;\n" +
        delay(delay_name, "u_draw", "1", std::to_string(t.term), true, "valid && b_valid", "draw") +
        stream("draw", "AT");
  if (seeded && !by_beat) result_random = stream("draw_at[c]", "c");
  const auto slice = [](std::string_view bus, std::string_view at, int width) {
    return fmt::format("{0}[({1})*{2} +: {2}]", bus, at, width);
  };
  const std::string step_cycles = t.step == 1 ? "r" : fmt::format("r*{}", t.step);
  Words words = {
      {"K1", last_of(k_bits)},
      {"M1", last_of(m_bits)},
      {"N1", last_of(n_bits)},
      {"R1", last_of(R)},
      {"A1", last_of(a_bits)},
      {"A2", std::to_string(a_bits)},
      {"G1", last_of(g_bits)},
      {"C1", last_of(C)},
      {"T1", std::to_string(n_bits + 1)},
      {"K_ZERO", sized(k_bits, 0)},
      {"M_ZERO", sized(m_bits, 0)},
      {"ROW_ZERO", sized(R, 0)},
      {"K_ONE", sized(k_bits, 1)},
      {"M_ONE", sized(m_bits, 1)},
      {"A_ZERO", sized(a_bits, 0)},
      {"A_ONE", sized(a_bits, 1)},
      {"G_ZERO", sized(g_bits, 0)},
      {"G_ONE", sized(g_bits, 1)},
      {"R_ONE", sized(R, 1)},
      {"TURN", sized(g_bits, static_cast<std::uint64_t>(t.turn()))},
      {"LAST_ROW", R == 1 ? "load_row_q" : fmt::format("load_row_q[{}]", R - 1)},
      {"ROW_NEXT", rotated("load_row_q", R)},
      {"ROWS_WIDE",
       g_bits == m_bits ? "rows" : fmt::format("{{{}, rows}}", sized(g_bits - m_bits, 0))},
      {"ROWS", std::to_string(R)},
      {"COLS", std::to_string(C)},
      {"ROWS1", std::to_string(R - 1)},
      {"STEP", std::to_string(t.step)},
      {"DEPTH1", std::to_string(spec.depth - 1)},
      {"AW", std::to_string(a.width)},
      {"AW1", last_of(a.width)},
      {"BW", std::to_string(b.width)},
      {"BW1", last_of(b.width)},
      {"LW", std::to_string(b.width + R)},
      {"PW", std::to_string(PW)},
      {"PW1", last_of(PW)},
      {"XW1", last_of(XW)},
      {"W", std::to_string(w)},
      {"W1", last_of(w)},
      {"TERM", term.top},
      {"STEP_UNIT", step.top},
      {"FINISH", finish.top},
      {"TERM_CONNECT", term_connect},
      {"STEP_CONNECT", step_connect},
      {"FINISH_CONNECT", finish_connect},
      {"HOLD_DECLARE", t.hold() == 0 ? "" : fmt::format("  reg [{}:0] hold_q;\n", h_bits - 1)},
      {"HOLD_FREE", t.hold() == 0 ? "" : fmt::format(" && hold_q == {}", sized(h_bits, 0))},
      {"HOLD_LOGIC",
       t.hold() == 0
           ? ""
           : fill(kWsHold, {{"H_ZERO", sized(h_bits, 0)},
                            {"H_ONE", sized(h_bits, 1)},
                            {"HOLD", sized(h_bits, static_cast<std::uint64_t>(t.hold()))}})},
      {"LOAD_MOVE",
       delay(delay_name, "u_rows_hot", std::to_string(R), "1", true,
             fmt::format("load_at[(c-1)*{} + {} +: {}]", b.width + R, b.width, R), "rows_hot")},
      {"LOAD_SKEW", delay(delay_name, "u_weight", std::to_string(b.width), "c", false,
                          slice("b_bus", "c", b.width), "weight")},
      {"SKEW_A",
       delay(delay_name, "u_skew_ctrl", "3", step_cycles, true, "enter", "ctrl[AT*3 +: 3]") +
           delay(delay_name, "u_skew_a", std::to_string(a.width), step_cycles, false,
                 slice("a_bus", "r", a.width), slice("a_at", "AT", a.width))},
      {"MOVE_A",
       delay(delay_name, "u_ctrl", "3", "1", true, "ctrl[(AT-1)*3 +: 3]", "ctrl[AT*3 +: 3]") +
           delay(delay_name, "u_a", std::to_string(a.width), "1", false,
                 slice("a_at", "AT-1", a.width), slice("a_at", "AT", a.width))},
      {"ROW_TOKENS", delay(delay_name, "u_read_row", std::to_string(a_bits),
                           std::to_string(t.term - 1), false, "row_number", "read_row") +
                         delay(delay_name, "u_write_row", std::to_string(a_bits + 1),
                               std::to_string(t.term + R * t.step), true,
                               "{take && !final_pass, row_number}", "write_row")},
      {"TOKEN_MOVE",
       delay(delay_name, "u_read", std::to_string(a_bits), "1", false,
             slice("read_at", "c-1", a_bits), slice("read_at", "c", a_bits)) +
           delay(delay_name, "u_write", std::to_string(a_bits + 1), "1", true,
                 slice("write_at", "c-1", a_bits + 1), slice("write_at", "c", a_bits + 1))},
      {"BEAT_RANDOM", beat_random},
      {"RESULT_RANDOM", result_random},
      {"DRAW_DECLARE",
       result_random.empty()
           ? ""
           : "  wire [" + last_of(C) + ":0] draw_at;                     // a result is rounded\n"},
      {"DRAW_BORDER", result_random.empty()
                          ? ""
                          : delay(delay_name, "u_draw", "1", std::to_string(t.term + R * t.step),
                                  true, "take && final_pass", "draw_at[0]")},
      {"DRAW_MOVE", result_random.empty() ? ""
                                          : delay(delay_name, "u_draw", "1", "1", true,
                                                  "draw_at[c-1]", "draw_at[c]")},
      {"DESKEW", delay(delay_name, "u_deskew", std::to_string(w), fmt::format("{}-c", C - 1), false,
                       "result", slice("out_row", "c", w))},
      {"LEAVE",
       delay(delay_name, "u_leave", std::to_string(n_bits + 2), std::to_string(t.through()), true,
             "{take && final_pass, last_row, cols}", "leave")}};
  CreditQueue queue;
  queue.depth = queue_depth;
  queue.width = C * w + 1;
  queue.reserve = "take && final_pass";
  queue.push = "arrive";
  queue.push_data = "arriving";
  queue.pop = "row_out";
  queue.shown = "out_valid_o";
  queue.credit = "credit_left";
  queue.data = "out_word";
  std::string body =
      "\n  genvar at;\n  genvar r;\n  genvar c;\n" + fill(kWsControl, words) +
      pack(a, "a_bus", std::to_string(R)) + pack(b, "b_bus", std::to_string(C)) +
      (seeded ? seeding_text(array) : "") + fill(kWsCells, words) +
      fmt::format("  wire [{}:0] arriving;\n  assign arriving = {{arrive_last, masked}};\n",
                  C * w) +
      credit_queue(queue);

  array.shell_register_bits = t.step * triangle(R, a.width + 3) + triangle(C, b.width) +
                              std::int64_t{R} * (C - 1) * (a.width + 3) +
                              std::int64_t{R} * C * (2 * b.width + 2) + (C - 1) * R +
                              std::int64_t{C} * PW + triangle(C, w) + (t.term - 1) * a_bits +
                              (t.term + R * t.step) * (a_bits + 1) + (C - 1) * (2 * a_bits + 1) +
                              t.through() * (n_bits + 2) + k_bits + R + 4 * m_bits + 3 * n_bits +
                              g_bits + h_bits + a_bits + 8 + 4 * bits_for(queue_depth);
  if (seeded)
    array.shell_register_bits +=
        1 + (by_beat ? std::int64_t{R} * C * t.term : t.term + R * t.step + C - 1);
  array.memory_bits = std::int64_t{C} * PW * spec.depth + std::int64_t{queue_depth} * (C * w + 1);
  std::vector<std::string> header = {
      fmt::format("{}: weight-stationary array of {} x {} units, {} rows of partial sums.", top, R,
                  C, spec.depth),
      "",
      fmt::format("  spec   {}", term.spec_text),
      fmt::format("  arch   {}", term.arch_text),
      fmt::format(
          "  cost   term {}, step {}, finish {} cycles; a row of a to its results {}; partial "
          "sums of {} bits",
          t.term, t.step, t.finish, t.through(), PW),
      "",
      "Generated by blockdot. Do not edit; regenerate with:",
      "  " + command_line(spec, arch, top)};
  array.files = {{top, shell_module(header, top, {}, ports, body)}};
  for (const Unit& u : array.units) array.files.push_back({u.report.top, u.verilog});
  array.files.push_back(delay_module(delay_name));
}

}  // namespace

std::string_view to_text(Dataflow dataflow) {
  switch (dataflow) {
    case Dataflow::kOutputStationary:
      return "os";
    case Dataflow::kWeightStationary:
      return "ws";
  }
  return "?";
}

Dataflow parse_dataflow(std::string_view text) {
  for (Dataflow d : {Dataflow::kOutputStationary, Dataflow::kWeightStationary})
    if (to_text(d) == text) return d;
  throw ConfigError("dataflow = {}: must be os (output-stationary) or ws (weight-stationary)",
                    text);
}

std::int64_t array_cycles(const ArrayTiming& t, std::span<const ArrayTile> tiles) {
  BLOCKDOT_CHECK(!tiles.empty());
  // The first start is taken in cycle 0.
  if (t.dataflow == Dataflow::kOutputStationary) {
    std::vector<std::int64_t> out;  // cycle of each tile's last row
    std::int64_t in = 0;            // of the last beat taken so far
    for (const ArrayTile& tile : tiles) {
      in += tile.beats;
      const auto banks = static_cast<std::size_t>(t.banks);
      if (out.size() >= banks) in = std::max(in, out[out.size() - banks] + 1);
      std::int64_t first_row = in + t.rows + t.cols - 1 + t.unit;
      if (!out.empty()) first_row = std::max(first_row, out.back() + 1);
      out.push_back(first_row + tile.rows - 1);
    }
    return out.back() + 1;
  }
  std::int64_t loaded = 0;  // cycle of the last beat of weights taken so far
  std::int64_t begun = -1;  // of the first row of the pass before
  std::int64_t next = 0;    // earliest cycle for the next pass's first row
  std::int64_t last_row = 0;
  for (const ArrayTile& tile : tiles)
    for (std::int64_t done = 0; done < tile.beats; done += t.rows) {
      const std::int64_t rows_loaded = std::min<std::int64_t>(t.rows, tile.beats - done);
      const std::int64_t from = begun < 0 ? loaded + 1 : std::max(loaded + 1, begun + 1 + t.hold());
      loaded = from + rows_loaded - 1;
      begun = std::max(loaded + 1, next);
      last_row = begun + tile.rows - 1;
      const bool more = done + t.rows < tile.beats;
      next = more ? begun + std::max<std::int64_t>(tile.rows, t.turn()) : last_row + 1;
    }
  return last_row + t.through() + 1;
}

std::string Array::verilog() const {
  std::string text;
  for (const ModuleFile& file : files) text += file.text;
  return text;
}

Array generate_array(const ArraySpec& spec, const Arch& arch, std::string_view top) {
  check_size("rows", spec.rows, kMostArrayUnits);
  check_size("cols", spec.cols, kMostArrayUnits);
  check_size("banks", spec.banks, kMostArrayBanks);
  check_size("depth", spec.depth, kMostArrayDepth);
  if (arch.combinational)
    throw ConfigError("combinational = true: an array is clocked; leave it out");
  formats::validate(spec.unit);
  Array array;
  array.spec = spec;
  array.top = top;
  start_streams(array);
  array.timing.dataflow = spec.dataflow;
  array.timing.rows = spec.rows;
  array.timing.cols = spec.cols;
  array.timing.banks = spec.banks;
  array.timing.depth = spec.depth;
  switch (spec.dataflow) {
    case Dataflow::kOutputStationary:
      build_os(array, arch, array.top);
      break;
    case Dataflow::kWeightStationary:
      build_ws(array, arch, array.top);
      break;
  }
  const CostModel cost(arch.technology);
  double area = static_cast<double>(array.shell_register_bits) * cost.register_area();
  for (std::size_t i = 0; i < array.units.size(); ++i)
    area += array.units[i].report.area.value * static_cast<double>(array.counts[i]);
  array.area = {std::round(area), std::string(cost.area_unit()), "estimated"};
  return array;
}

nlohmann::json to_json(const Array& x) {
  nlohmann::json files = nlohmann::json::array(), units = nlohmann::json::array();
  for (const ModuleFile& f : x.files) files.push_back(f.file());
  double path = 0, clock = 0;
  for (const Unit& u : x.units) {
    units.push_back({{"top", u.report.top},
                     {"latency", u.report.latency},
                     {"area", u.report.area.value},
                     {"register_bits", u.report.register_bits.value}});
    path = std::max(path, u.report.critical_path_ns.value);
    clock = std::max(clock, u.report.clock_ns);
  }
  const ArrayTiming& t = x.timing;
  nlohmann::json timing;
  if (t.dataflow == Dataflow::kOutputStationary)
    timing = {{"unit", t.unit}, {"banks", t.banks}};
  else
    timing = {{"term", t.term},   {"step", t.step},          {"finish", t.finish},
              {"depth", t.depth}, {"through", t.through()},  {"turn", t.turn()},
              {"hold", t.hold()}, {"sum_width", x.sum_width}};
  nlohmann::json json = {
      {"schema", "blockdot.array/1"},
      {"top", x.top},
      {"kind", "array"},
      {"dataflow", to_text(t.dataflow)},
      {"rows", t.rows},
      {"cols", t.cols},
      {"spec", to_text(x.spec.unit)},
      {"arch", x.units[0].report.arch_text},
      {"clock_ns", clock},
      {"interval", 1},
      {"timing", timing},
      {"files", files},
      {"ports", ports_json(x.ports)},
      {"units", units},
      {"estimates",
       {{"area",
         {{"value", x.area.value}, {"unit", x.area.unit}, {"provenance", x.area.provenance}}},
        {"critical_path_ns", {{"value", path}, {"unit", "ns"}, {"provenance", "estimated"}}},
        {"shell_register_bits",
         {{"value", x.shell_register_bits}, {"unit", "bits"}, {"provenance", "estimated"}}},
        {"memory_bits",
         {{"value", x.memory_bits}, {"unit", "bits"}, {"provenance", "estimated"}}}}}};
  if (!x.seeds.empty()) {
    json["seeds"] = x.seeds;
    json["seed_distance"] = x.seed_distance;
  }
  return json;
}

}  // namespace blockdot::rtl_gen
