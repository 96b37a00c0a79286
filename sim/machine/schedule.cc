#include "sim/machine/schedule.h"

#include <algorithm>
#include <numeric>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

using formats::BlockFormat;

constexpr std::int64_t kLongestChunk = 64;  // beats, where k-tile is not given

std::int64_t divide_up(std::int64_t x, std::int64_t y) { return x / y + (x % y != 0); }

/// Bits in DRAM of elements [k, k + count) of `rows` rows from `row` on, and of their block scales
/// alone. What a whole row or tensor shares is not counted, as in bits_per_element.
struct Bits {
  std::int64_t all = 0, scales = 0;
};
Bits packed_bits(const BlockFormat& f, std::int64_t row, std::int64_t rows, std::int64_t k,
                 std::int64_t count) {
  Bits bits;
  bits.all = rows * count * f.element.width();
  if (f.micro.bits > 0)
    bits.all += rows * ((k + count - 1) / f.micro.block - k / f.micro.block + 1) * f.micro.bits;
  if (f.block > 0) {
    const std::int64_t blocks = (k + count - 1) / f.block - k / f.block + 1;
    const std::int64_t stripes = (row + rows - 1) / f.tile_rows - row / f.tile_rows + 1;
    bits.scales = blocks * stripes * f.scale.storage_width();
  }
  bits.all += bits.scales;
  return bits;
}

/// Beats after which both operands are at a block's border, at most the whole reduction.
std::int64_t block_beats(const Schedule& s) {
  const std::int64_t block = std::max({s.spec.a.block, s.spec.b.block, 1});
  std::int64_t beats = 1;
  while (beats < s.beats() && s.ranges[static_cast<std::size_t>(beats)].k % block != 0) ++beats;
  return beats;
}

/// What one SRAM can hold.
struct Fit {
  const char* field;
  std::int64_t bytes;  // of the SRAM
  std::int64_t lines;  // rows or columns of a whole tile
  std::int64_t word;   // bytes
  bool stays;          // the whole reduction is kept
  std::int64_t beats() const { return stays ? INT64_MAX : bytes / 2 / (lines * word); }
  void require(std::int64_t need) const {
    if (beats() < need)
      throw ConfigError(
          "{} = {}: a half holds {} beats of {} words of {} bytes, and a tile needs {}; must be in "
          "[{}, 1099511627776]",
          field, bytes, beats(), lines, word, need, 2 * need * lines * word);
  }
};

void choose_chunk(Schedule& s) {
  const Machine& machine = s.machine;
  const std::int64_t a_word = divide_up(word_bits(s.spec.a, s.spec.lanes), 8);
  const std::int64_t b_word = divide_up(word_bits(s.spec.b, s.spec.lanes), 8);
  const std::int64_t a_lines = std::min(s.height, s.m);
  const std::int64_t b_lines = std::min<std::int64_t>(machine.cols, s.n);
  s.a_stays = a_lines * s.beats() * a_word <= machine.a_sram / 2;
  s.b_stays = s.n * s.beats() * b_word <= machine.b_sram;
  const Fit a{"a-sram", machine.a_sram, a_lines, a_word, s.a_stays};
  const Fit b{"b-sram", machine.b_sram, b_lines, b_word, s.b_stays};
  std::int64_t least = s.os() ? 1 : machine.rows;
  if (machine.operands != OperandSource::kPacked) least = std::lcm(least, block_beats(s));
  const std::int64_t whole = s.beats();
  if (machine.k_tile != 0) {
    s.chunk = std::min(machine.k_tile, whole);
    if (s.chunk < whole && s.chunk % least != 0)
      throw ConfigError("k-tile = {}: must be a multiple of {} beats ({}), or the whole {}",
                        machine.k_tile, least, s.os() ? "a block at the edge" : "a pass", whole);
    a.require(s.chunk);
    b.require(s.chunk);
  } else {
    a.require(std::min(least, whole));
    b.require(std::min(least, whole));
    const std::int64_t most = std::min({a.beats(), b.beats(), std::max(kLongestChunk, least)});
    s.chunk = whole;
    if (whole > most)
      for (s.chunk = least; 2 * s.chunk <= most;) s.chunk *= 2;
  }
  s.chunks = divide_up(whole, s.chunk);
  const std::int64_t result = divide_up(s.spec.output.width(), 8);
  const std::int64_t tile = a_lines * b_lines * result;
  if (machine.c_sram / 2 < tile)
    throw ConfigError(
        "c-sram = {}: a half does not hold a tile of {} x {} results of {} bytes; must be in [{}, "
        "1099511627776]",
        machine.c_sram, a_lines, b_lines, result, 2 * tile);
}

/// Steps that are likely used up between a tile's last beat and its last row: the DMA takes that
/// many steps' loads before the tile's store. At most what cannot wait for that store (docs).
std::int64_t store_lag(const Schedule& s) {
  const rtl_gen::ArrayTiming& t = s.timing;
  if (s.os()) {
    const std::int64_t drain = 2 * s.machine.rows + s.machine.cols + t.unit;
    return std::min(drain / s.chunk, t.banks * s.chunks - 1);
  }
  const std::int64_t passes = divide_up(s.chunk, s.machine.rows);
  const std::int64_t step = passes * std::max<std::int64_t>(std::min(s.height, s.m), t.turn());
  return std::min(t.through() / step, s.chunks);
}

class DmaList {
 public:
  explicit DmaList(Schedule& s) : s_(s) {}

  void build() {
    const std::int64_t lag = store_lag(s_);
    for (std::int64_t step = 0; step < s_.steps(); ++step) {
      // Weights are needed first.
      if (!s_.os()) load_b(step);
      load_a(step);
      if (s_.os()) load_b(step);
      const std::int64_t ended = step - 2 - lag;
      if (ended >= 0 && (ended + 1) % s_.chunks == 0) store(ended / s_.chunks);
    }
    while (stored_ < s_.tiles()) store(stored_);
  }

 private:
  void load_a(std::int64_t step) {
    if (!s_.a_stays) {
      add(Transfer::Kind::kA, step, std::max<std::int64_t>(0, step - 1));
      return;
    }
    // A stripe once, the next one beside the last tile of the one before.
    const std::int64_t t = step / s_.chunks, i = t / s_.across, j = t % s_.across;
    if (i == 0 && j == 0) add_stripe(step, 0);
    if (s_.across == 1 ? i > 0 : j + 1 == s_.across && i + 1 < s_.down)
      add_stripe(step, s_.across == 1 ? i : i + 1);
  }
  void add_stripe(std::int64_t step, std::int64_t i) {
    const std::int64_t of = i * s_.across * s_.chunks + step % s_.chunks;
    add(Transfer::Kind::kA, of, i < 2 ? 0 : (i - 1) * s_.across * s_.chunks);
  }
  void load_b(std::int64_t step) {
    if (!s_.b_stays)
      add(Transfer::Kind::kB, step, std::max<std::int64_t>(0, step - 1));
    else if (step / s_.chunks < s_.across)
      add(Transfer::Kind::kB, step, 0);
  }

  /// The operands of step `of`.
  void add(Transfer::Kind kind, std::int64_t of, std::int64_t after) {
    const bool is_a = kind == Transfer::Kind::kA;
    const MachineTile tile = s_.tile(of / s_.chunks);
    Transfer x;
    x.kind = kind;
    x.step = of;
    x.row = is_a ? tile.row : tile.col;
    x.rows = is_a ? tile.rows : tile.cols;
    x.beat = s_.first_beat(of);
    x.beats = s_.beat_count(of);
    x.after = after;
    const BlockFormat& format = is_a ? s_.spec.a : s_.spec.b;
    const auto& first = s_.ranges[static_cast<std::size_t>(x.beat)];
    const auto& last = s_.ranges[static_cast<std::size_t>(x.beat + x.beats - 1)];
    const std::int64_t elements = last.k + last.count - first.k;
    const Machine& machine = s_.machine;
    x.latency = machine.unlimited() ? 0 : machine.latency;
    if (machine.operands == OperandSource::kPacked) {
      const Bits bits = packed_bits(format, x.row, x.rows, first.k, elements);
      x.bytes = divide_up(bits.all, 8);
      s_.traffic.scale_bits += bits.scales;
    } else {
      x.bytes = x.rows * elements * element_bytes(machine.operands);
      if (!machine.unlimited()) x.latency += machine.quantizer_latency;
    }
    finish(x, machine.load_rate());
    (is_a ? s_.traffic.sram_a : s_.traffic.sram_b).written +=
        x.rows * x.beats * divide_up(word_bits(format, s_.spec.lanes), 8);
    (is_a ? s_.traffic.a : s_.traffic.b) += x.bytes;
    s_.transfers.push_back(x);
  }

  void store(std::int64_t t) {
    BLOCKDOT_CHECK(t == stored_);
    ++stored_;
    const MachineTile tile = s_.tile(t);
    Transfer x;
    x.kind = Transfer::Kind::kC;
    x.step = t;
    x.rows = tile.rows;
    x.after = t + 1;
    x.bytes = divide_up(tile.rows * tile.cols * s_.spec.output.width(), 8);
    x.latency = s_.machine.unlimited() ? 0 : s_.machine.latency;
    finish(x, s_.machine.bandwidth);
    s_.traffic.c += x.bytes;
    const std::int64_t results = tile.rows * tile.cols * divide_up(s_.spec.output.width(), 8);
    s_.traffic.sram_c.written += results;
    s_.traffic.sram_c.read += results;
    s_.transfers.push_back(x);
  }

  void finish(Transfer& x, std::int64_t rate) const {
    x.bytes = divide_up(x.bytes, s_.machine.burst) * s_.machine.burst;
    x.cycles = s_.machine.unlimited() ? 1 : divide_up(x.bytes, rate);
  }

  Schedule& s_;
  std::int64_t stored_ = 0;
};

/// What the array reads, and the partial sums that a pass leaves for the next.
void count_array_traffic(Schedule& s) {
  const std::int64_t a_word = divide_up(word_bits(s.spec.a, s.spec.lanes), 8);
  const std::int64_t b_word = divide_up(word_bits(s.spec.b, s.spec.lanes), 8);
  // Every dataflow reads each word of a and of b once for each tile.
  s.traffic.sram_a.read = s.beats() * s.across * s.m * a_word;
  s.traffic.sram_b.read = s.beats() * s.down * s.n * b_word;
  if (s.os()) return;
  const std::int64_t spills = divide_up(s.beats(), s.machine.rows) - 1;
  s.traffic.spilled = 2 * spills * s.m * s.n * s.sum_bytes;
}

}  // namespace

MachineTile Schedule::tile(std::int64_t t) const {
  const std::int64_t i = t / across * height, j = t % across * machine.cols;
  return {i, std::min(height, m - i), j, std::min<std::int64_t>(machine.cols, n - j)};
}

std::int64_t Schedule::beat_count(std::int64_t step) const {
  return std::min(chunk, beats() - first_beat(step));
}

std::int64_t Schedule::a_loads(std::int64_t step) const {
  if (!a_stays) return step + 1;
  return step / chunks / across * chunks + step % chunks + 1;
}

std::int64_t Schedule::b_loads(std::int64_t step) const {
  if (!b_stays) return step + 1;
  return step % (across * chunks) + 1;
}

std::int64_t Schedule::a_cycles(std::int64_t words) const {
  return machine.a_banks == 0 ? 1 : divide_up(words, machine.a_banks);
}
std::int64_t Schedule::b_cycles(std::int64_t words) const {
  return machine.b_banks == 0 ? 1 : divide_up(words, machine.b_banks);
}
std::int64_t Schedule::c_cycles(std::int64_t cols) const {
  return machine.c_banks == 0 ? 1 : divide_up(cols, machine.c_banks);
}

std::int64_t Schedule::bank_cycles() const {
  struct Port {
    std::int64_t cycles = 0, least = 0;  // least: with banks for a whole row of words
    void add(std::int64_t rows, std::int64_t each) {
      cycles += rows * each;
      least += rows;
    }
  };
  Port a, b, c;
  const std::int64_t passes = beats() / machine.rows, rest = beats() % machine.rows;  // ws
  for (std::int64_t t = 0; t < tiles(); ++t) {
    const MachineTile shape = tile(t);
    c.add(shape.rows, c_cycles(shape.cols));
    if (os()) {  // a beat waits for both
      a.add(beats(), std::max(a_cycles(shape.rows), b_cycles(shape.cols)));
      continue;
    }
    a.add(shape.rows * passes, a_cycles(machine.rows));
    if (rest > 0) a.add(shape.rows, a_cycles(rest));
    b.add(beats(), b_cycles(shape.cols));
  }
  std::int64_t most = 0;
  for (const Port& port : {a, b, c})
    if (port.cycles > port.least) most = std::max(most, port.cycles);
  return most;
}

int word_bits(const BlockFormat& format, int lanes) {
  int bits = lanes * format.element.width() + format.scale.width();
  if (format.outer.span == formats::Span::kRow) bits += format.outer.scale.width();
  if (format.micro.bits > 0) bits += lanes / format.micro.block * format.micro.bits;
  return bits;
}

Schedule make_schedule(const Machine& machine, const rtl_gen::ArrayTiming& timing, int sum_width,
                       const formats::DotSpec& spec, std::int64_t m, std::int64_t n,
                       std::int64_t k) {
  validate(machine);
  BLOCKDOT_CHECK(timing.rows == machine.rows && timing.cols == machine.cols &&
                     timing.dataflow == machine.dataflow && m >= 1 && n >= 1 && k >= 1,
                 "{} x {}, product {} x {} x {}", timing.rows, timing.cols, m, n, k);
  for (const auto& [side, format] : {std::pair{'a', &spec.a}, std::pair{'b', &spec.b}}) {
    if (format->has_outer() && (format->outer.span == formats::Span::kBlock || format->outer.mean))
      throw ConfigError(
          "{} = {}: a machine moves outer scales of a row or the tensor, without a mean; replay "
          "this one without a machine",
          side, to_text(*format));
    if (machine.operands != OperandSource::kPacked &&
        (format->has_outer() || (format->has_scale() && format->block == 0)))
      throw ConfigError(
          "operands: {} = {}: a scale of a whole row or tensor is not known before all of it has "
          "arrived, and the quantiser at the edge meets one step at a time; must be packed",
          side, to_text(*format));
    if (machine.operands != OperandSource::kPacked && format->tile_rows > 1)
      throw ConfigError(
          "operands: {} = {}: a tile spans rows that arrive at different times, and no quantiser "
          "at the edge can scale it; must be packed",
          side, to_text(*format));
  }
  Schedule s;
  s.machine = machine;
  s.timing = timing;
  s.spec = spec;
  s.m = m;
  s.n = n;
  s.k = k;
  s.ranges = formats::beat_ranges(spec, k);
  s.height = s.os() ? machine.rows : machine.depth;
  s.down = divide_up(m, s.height);
  s.across = divide_up(n, machine.cols);
  choose_chunk(s);
  DmaList(s).build();
  if (!s.os()) s.sum_bytes = divide_up(sum_width, 8);
  count_array_traffic(s);
  return s;
}

}  // namespace blockdot::sim
