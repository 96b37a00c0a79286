// Every module is one SC_METHOD on the clock's rising edge that reads what the others showed in the
// cycle that ended and writes what it shows in the cycle that begins, so the order of the processes
// does not matter. The one wire that depends on its cycle's own inputs, start_ready, has a method
// of its own. What is wide (words, rows) goes through a pair of registers beside its handshake: the
// sender writes the one that the receiver does not read.
#include "sim/systemc/machine.h"

#include <sysc/tracing/sc_tracing_ids.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <systemc>

#include "formats/error.h"
#include "sim/machine/tile_values.h"
#include "sim/systemc/kernel.h"

namespace blockdot::sim {

namespace {

using formats::QuantizedMatrix;
using sc_core::sc_signal;
using std::int64_t;

std::size_t at(int64_t i) { return static_cast<std::size_t>(i); }

int code_bytes(const formats::BlockFormat& format) {
  const int width = format.element.width();
  return width <= 8 ? 1 : width <= 16 ? 2 : 4;
}

/// What a feeder does in a cycle.
enum Doing : int { kOffers, kWaitsForLoad, kReads, kStalled, kDone };

/// Names what goes into a wave: `group.name`.
class Tracer {
 public:
  explicit Tracer(sc_core::sc_trace_file& file) : file_(file) {}
  template <typename Traced>
  void operator()(const char* group, const char* name, const Traced& what) const {
    sc_core::sc_trace(&file_, what, std::string(group) + "." + name);
  }

 private:
  sc_core::sc_trace_file& file_;
};

/// A stream of words into the array.
struct Lane {
  explicit Lane(const char* name)
      : valid((std::string(name) + "_valid").c_str()),
        ready((std::string(name) + "_ready").c_str()),
        ends((std::string(name) + "_ends").c_str()),
        slot((std::string(name) + "_slot").c_str()),
        doing((std::string(name) + "_doing").c_str(), kStalled) {}
  sc_signal<bool> valid, ready;
  sc_signal<bool> ends;  // the offer is its step's last
  sc_signal<int> slot;   // the register that holds the offer
  sc_signal<int> doing;

  struct Register {
    WordRow a, b;
    int64_t a_count = 0, b_count = 0;
    int64_t tile = 0, beat = 0, row = 0;
  };
  std::array<Register, 2> registers;

  void trace(const Tracer& tracer, const char* name) const {
    tracer(name, "valid", valid);
    tracer(name, "ready", ready);
    tracer(name, "ends", ends);
    tracer(name, "doing", doing);
  }

  bool taken() const { return valid.read() && ready.read(); }
  const Register& offer() const { return registers[at(slot.read())]; }
};

struct RowOut {
  std::vector<std::uint32_t> codes;
  int64_t tile = 0, number = 0;
};

/// All wires between the modules, and the SRAMs.
struct Bus {
  explicit Bus(const Schedule& s) : schedule(s) {
    const int64_t a_lines = std::min(s.height, s.m);
    const int64_t b_lines = std::min<int64_t>(s.machine.cols, s.n);
    a_half = a_lines * (s.a_stays ? s.beats() : s.chunk);
    b_half = b_lines * s.chunk;
    a = WordRow(s.spec.a, s.spec.lanes, code_bytes(s.spec.a), 2 * a_half);
    b = WordRow(s.spec.b, s.spec.lanes, code_bytes(s.spec.b),
                s.b_stays ? s.n * s.beats() : 2 * b_half);
    for (auto& half : c) half.resize(at(a_lines * b_lines));
    for (Lane* lane : {&rows, &weights})
      for (Lane::Register& r : lane->registers) {
        const bool os = s.os();
        if (lane == &rows)
          r.a = WordRow(s.spec.a, s.spec.lanes, code_bytes(s.spec.a), s.machine.rows);
        if ((lane == &rows) == os)
          r.b = WordRow(s.spec.b, s.spec.lanes, code_bytes(s.spec.b), s.machine.cols);
      }
    for (RowOut& row : out) row.codes.resize(at(s.machine.cols));
  }

  int64_t a_at(int64_t step, int64_t line, int64_t beat) const {
    const Schedule& s = schedule;
    if (s.a_stays) {
      const int64_t stripe = step / s.chunks / s.across;
      return stripe % 2 * a_half + line * s.beats() + beat;
    }
    return step % 2 * a_half + line * s.chunk + beat - s.first_beat(step);
  }
  int64_t b_at(int64_t step, int64_t line, int64_t beat) const {
    const Schedule& s = schedule;
    if (s.b_stays) return (s.tile(step / s.chunks).col + line) * s.beats() + beat;
    return step % 2 * b_half + line * s.chunk + beat - s.first_beat(step);
  }
  Lane& b_lane() { return schedule.os() ? rows : weights; }

  void trace(const Tracer& tracer) const {
    tracer("start", "valid", start_valid);
    tracer("start", "ready", start_ready);
    tracer("start", "rows", start_rows);
    tracer("start", "cols", start_cols);
    rows.trace(tracer, "rows");
    if (!schedule.os()) weights.trace(tracer, "weights");
    tracer("results", "valid", out_valid);
    tracer("results", "ready", out_ready);
    tracer("results", "last", out_last);
    tracer("results", "half_in_use", half_in_use);
    tracer("dma", "a_loaded", a_loaded);
    tracer("dma", "b_loaded", b_loaded);
    tracer("dma", "stored", stored);
  }

  const Schedule& schedule;
  sc_core::sc_clock clock{"clock", sc_core::sc_time(1, sc_core::SC_NS)};
  sc_signal<bool> start_valid{"start_valid"}, start_ready{"start_ready"};
  sc_signal<int64_t> start_rows{"start_rows"}, start_cols{"start_cols"};
  /// What start_ready is made of: nothing is being taken in; the next word taken is the last.
  sc_signal<bool> idle{"idle"}, closes{"closes"};
  Lane rows{"rows"};        // os: a and b; ws: a
  Lane weights{"weights"};  // ws: b
  sc_signal<bool> out_valid{"out_valid"}, out_ready{"out_ready"}, out_last{"out_last"};
  sc_signal<int> out_slot{"out_slot"};
  std::array<RowOut, 2> out;
  sc_signal<bool> half_in_use{"half_in_use"};  // results wait for a half of C
  sc_signal<int64_t> a_loaded{"a_loaded"}, b_loaded{"b_loaded"}, stored{"stored"};

  WordRow a, b;  // SRAM, both halves
  std::array<std::vector<std::uint32_t>, 2> c;
  int64_t a_half = 0, b_half = 0;  // words
  int64_t stalled = 0;
  bool done = false;  // all results are in DRAM
};

/// A module with one process on the clock.
class Clocked : public sc_core::sc_module {
 public:
  SC_HAS_PROCESS(Clocked);
  Clocked(sc_core::sc_module_name name, Bus& bus) : sc_module(name), bus_(bus), s_(bus.schedule) {
    SC_METHOD(edge);
    sensitive << bus.clock.posedge_event();
    dont_initialize();
  }

 protected:
  virtual void tick() = 0;

  Bus& bus_;
  const Schedule& s_;
  int64_t cycle_ = -1;  // in tick: the one that begins

 private:
  void edge() {
    ++cycle_;
    tick();
  }
};

// ---- DRAM and its channel ----

class Dma final : public Clocked {
 public:
  Dma(sc_core::sc_module_name name, Bus& bus, const MachineOperands& operands, Chance stall)
      : Clocked(name, bus), operands_(operands), stall_(stall) {
    codes.resize(at(s_.m * s_.n));
    for (std::size_t i = 0; i < s_.transfers.size(); ++i)
      (s_.machine.unlimited() ? queues_[at(static_cast<int>(s_.transfers[i].kind))] : queues_[0])
          .push_back(i);
  }

  std::vector<std::uint32_t> codes;
  int64_t cycles = 0;

 private:
  void tick() override {
    // The cycle that ended.
    for (int64_t tile : leaving_) copy_out(tile);
    leaving_.clear();
    if (bus_.rows.taken() && bus_.rows.ends.read()) ++a_used_;
    if (bus_.b_lane().taken() && bus_.b_lane().ends.read()) ++b_used_;
    if (bus_.out_valid.read() && bus_.out_ready.read() && bus_.out_last.read()) ++complete_;
    if (stored_ == s_.tiles() && cycle_ >= cycles) {  // the last store is in DRAM
      bus_.done = true;
      sc_core::sc_pause();
      return;
    }
    // The one that begins.
    if (stall_.hit())
      ++bus_.stalled;
    else if (s_.machine.unlimited())
      for (auto& queue : queues_)
        while (!queue.empty() && may_start(queue.front())) {
          finish(queue.front());
          queue.pop_front();
        }
    else
      move();
    while (!arriving_.empty() && arriving_.front().cycle <= cycle_) {
      copy_in(s_.transfers[arriving_.front().transfer]);
      arriving_.pop_front();
    }
    bus_.a_loaded.write(a_loaded_);
    bus_.b_loaded.write(b_loaded_);
    bus_.stored.write(stored_);
  }

  bool may_start(std::size_t transfer) const {
    const Transfer& x = s_.transfers[transfer];
    switch (x.kind) {
      case Transfer::Kind::kA:
        return x.after <= a_used_;
      case Transfer::Kind::kB:
        return x.after <= b_used_;
      case Transfer::Kind::kC:
        return x.after <= complete_;
    }
    return false;
  }

  /// One cycle of the channel.
  void move() {
    auto& queue = queues_[0];
    if (queue.empty()) return;
    const Transfer& x = s_.transfers[queue.front()];
    if (left_ == 0) {
      if (!may_start(queue.front())) return;
      left_ = x.bytes;
    }
    const int64_t rate =
        x.kind == Transfer::Kind::kC ? s_.machine.bandwidth : s_.machine.load_rate();
    left_ -= std::min(left_, rate);
    if (left_ > 0) return;
    finish(queue.front());
    queue.pop_front();
  }

  /// The last bytes are on the channel in the cycle that begins.
  void finish(std::size_t transfer) {
    const Transfer& x = s_.transfers[transfer];
    if (x.kind != Transfer::Kind::kC) {
      arriving_.push_back({cycle_ + x.latency, transfer});
      return;
    }
    leaving_.push_back(x.step);
    ++stored_;
    cycles = std::max(cycles, cycle_ + 1 + x.latency);
  }

  void copy_in(const Transfer& x) {
    const bool is_a = x.kind == Transfer::Kind::kA;
    const auto& first = s_.ranges[at(x.beat)];
    const auto& last = s_.ranges[at(x.beat + x.beats - 1)];
    const QuantizedMatrix* matrix = is_a ? operands_.a : operands_.b;
    QuantizedMatrix encoded;
    int64_t row = x.row, origin = 0;
    if (matrix == nullptr) {
      formats::MatrixView view = is_a ? operands_.a_reals : operands_.b_reals;
      view.data += x.row * view.row_stride + first.k * view.k_stride;
      view.rows = x.rows;
      view.length = last.k + last.count - first.k;
      encoded = formats::quantize(is_a ? s_.spec.a : s_.spec.b, view,
                                  is_a ? operands_.a_options : operands_.b_options);
      matrix = &encoded;
      row = 0;
      origin = first.k;
    }
    for (int64_t line = 0; line < x.rows; ++line)
      for (int64_t beat = x.beat; beat < x.beat + x.beats; ++beat) {
        if (is_a)
          bus_.a.load(bus_.a_at(x.step, line, beat), *matrix, row + line, origin,
                      s_.ranges[at(beat)]);
        else
          bus_.b.load(bus_.b_at(x.step, line, beat), *matrix, row + line, origin,
                      s_.ranges[at(beat)]);
      }
    ++(is_a ? a_loaded_ : b_loaded_);
  }

  void copy_out(int64_t t) {
    const MachineTile tile = s_.tile(t);
    for (int64_t r = 0; r < tile.rows; ++r)
      std::copy_n(bus_.c[at(t % 2)].begin() + r * tile.cols, tile.cols,
                  codes.begin() + (tile.row + r) * s_.n + tile.col);
  }

  struct Arrival {
    int64_t cycle;
    std::size_t transfer;
  };
  MachineOperands operands_;
  Chance stall_;
  std::array<std::deque<std::size_t>, 3> queues_;  // one list, or one a kind where unlimited
  std::deque<Arrival> arriving_;
  std::vector<int64_t> leaving_;
  int64_t left_ = 0;  // bytes of the transfer on the channel
  int64_t a_used_ = 0, b_used_ = 0, complete_ = 0;
  int64_t a_loaded_ = 0, b_loaded_ = 0, stored_ = 0;
};

// ---- A and B: from SRAM to the array ----

class Feeder final : public Clocked {
 public:
  enum class Kind { kBoth, kRows, kWeights };
  Feeder(sc_core::sc_module_name name, Bus& bus, Lane& lane, Kind kind, Chance stall)
      : Clocked(name, bus), lane_(lane), kind_(kind), stall_(stall) {}

  void trace(const Tracer& tracer, const char* name) const {
    tracer(name, "step", step_);
    tracer(name, "beat", beat_);
    if (kind_ == Kind::kRows) tracer(name, "row", row_);
  }

 private:
  void tick() override {
    if (offering_) {
      if (!lane_.ready.read()) return;  // an offer stands until it is taken
      offering_ = reading_ = false;
      advance();
    }
    Doing doing = prepare();
    if (doing == kOffers && stall_.hit()) {
      ++bus_.stalled;
      doing = kStalled;
    }
    offering_ = doing == kOffers;
    if (offering_) show();
    lane_.valid.write(offering_);
    lane_.doing.write(doing);
  }

  Doing prepare() {
    if (step_ == s_.steps()) return kDone;
    if (!reading_) {
      if (kind_ != Kind::kWeights && bus_.a_loaded.read() < s_.a_loads(step_)) return kWaitsForLoad;
      if (kind_ != Kind::kRows && bus_.b_loaded.read() < s_.b_loads(step_)) return kWaitsForLoad;
      reading_ = true;
      tile_ = s_.tile(step_ / s_.chunks);
      left_ = read_cycles() - 1;
    } else if (left_ > 0) {
      --left_;
    }
    return left_ > 0 ? kReads : kOffers;
  }

  int64_t depth() const { return std::min<int64_t>(s_.machine.rows, s_.beat_count(step_) - beat_); }
  int64_t read_cycles() const {
    switch (kind_) {
      case Kind::kBoth:
        return std::max(s_.a_cycles(tile_.rows), s_.b_cycles(tile_.cols));
      case Kind::kRows:
        return s_.a_cycles(depth());
      case Kind::kWeights:
        return s_.b_cycles(tile_.cols);
    }
    return 1;
  }

  void show() {
    slot_ ^= 1;
    Lane::Register& r = lane_.registers[at(slot_)];
    const int64_t beat = s_.first_beat(step_) + beat_;
    r.tile = step_ / s_.chunks;
    r.beat = beat;
    r.row = row_;
    r.a_count = r.b_count = 0;
    bool ends = beat_ + 1 == s_.beat_count(step_);
    if (kind_ == Kind::kRows) {
      r.a_count = depth();
      for (int64_t w = 0; w < r.a_count; ++w) r.a.copy(w, bus_.a, bus_.a_at(step_, row_, beat + w));
      ends = row_ + 1 == tile_.rows && beat_ + r.a_count == s_.beat_count(step_);
    } else {
      r.b_count = tile_.cols;
      for (int64_t w = 0; w < r.b_count; ++w) r.b.copy(w, bus_.b, bus_.b_at(step_, w, beat));
    }
    if (kind_ == Kind::kBoth) {
      r.a_count = tile_.rows;
      for (int64_t w = 0; w < r.a_count; ++w) r.a.copy(w, bus_.a, bus_.a_at(step_, w, beat));
    }
    lane_.slot.write(slot_);
    lane_.ends.write(ends);
  }

  void advance() {
    if (kind_ == Kind::kRows) {
      if (++row_ < tile_.rows) return;
      row_ = 0;
      beat_ += depth();
    } else {
      ++beat_;
    }
    if (beat_ < s_.beat_count(step_)) return;
    beat_ = 0;
    ++step_;
  }

  Lane& lane_;
  Kind kind_;
  Chance stall_;
  MachineTile tile_;
  int64_t step_ = 0, beat_ = 0, row_ = 0;  // beat within the step
  int64_t left_ = 0;                       // cycles of reading before the offer
  bool offering_ = false, reading_ = false;
  int slot_ = 0;
};

/// Tells the array its tiles.
class Sequencer final : public Clocked {
 public:
  Sequencer(sc_core::sc_module_name name, Bus& bus, Chance stall)
      : Clocked(name, bus), stall_(stall) {}

 private:
  void tick() override {
    if (offering_) {
      if (!bus_.start_ready.read()) return;
      ++tile_;
    }
    const bool left = tile_ < s_.tiles();
    const bool stall = left && stall_.hit();
    if (stall) ++bus_.stalled;
    offering_ = left && !stall;
    bus_.start_valid.write(offering_);
    if (!offering_) return;
    const MachineTile tile = s_.tile(tile_);
    bus_.start_rows.write(tile.rows);
    bus_.start_cols.write(tile.cols);
  }

  Chance stall_;
  int64_t tile_ = 0;
  bool offering_ = false;
};

// ---- The array ----

class Array : public Clocked {
 public:
  SC_HAS_PROCESS(Array);
  Array(sc_core::sc_module_name name, Bus& bus)
      : Clocked(name, bus), t_(bus.schedule.timing), values_(bus.schedule) {
    SC_METHOD(answer_start);
    sensitive << bus.idle << bus.closes << bus.b_lane().valid;
  }

  void trace(const Tracer& tracer) const {
    for (const auto& [name, field] :
         {std::pair{"compute", &count.compute}, std::pair{"fill", &count.fill},
          std::pair{"load", &count.load}, std::pair{"bank", &count.bank},
          std::pair{"store", &count.store}, std::pair{"back_pressure", &count.back_pressure},
          std::pair{"drain", &count.drain}})
      tracer("cycles", name, *field);
  }

  CycleCount count;
  int64_t last_row = -1;  // the cycle in which the last row so far left

 protected:
  /// Why the rows that are offered are not taken in the cycle that begins.
  enum class Full { kNo, kWeights, kTurn, kResults };

  bool start_taken() const { return bus_.start_valid.read() && bus_.start_ready.read(); }
  bool row_left() const { return bus_.out_valid.read() && bus_.out_ready.read(); }

  /// The input's share in the cycle that ended.
  void account(Full full) {
    if (cycle_ == 0) return;
    const Lane& lane = bus_.rows;
    if (row_left()) last_row = cycle_ - 1;
    if (lane.taken()) {
      ++count.compute;
      return;
    }
    const bool waits_for_half =
        bus_.out_valid.read() && !bus_.out_ready.read() && bus_.half_in_use.read();
    if (cycle_ == 1) {
      ++count.fill;
      return;
    }
    switch (static_cast<Doing>(lane.doing.read())) {
      case kDone:
        if (rows_out_ == s_.across * s_.m) {  // the last row is on its way to C, then to DRAM
          ++(cycle_ == last_row + 2 ? count.drain : count.store);
          return;
        }
        ++(waits_for_half ? count.store : count.drain);
        return;
      case kWaitsForLoad:
        ++count.load;
        return;
      case kReads:
        ++count.bank;
        return;
      case kStalled:
        ++count.back_pressure;
        return;
      case kOffers:
        break;
    }
    switch (full) {
      case Full::kNo:  // os: the array is not told its tile yet, by a random stall
        ++count.back_pressure;
        return;
      case Full::kWeights:
        ++(bus_.weights.doing.read() == kWaitsForLoad ? count.load : count.fill);
        return;
      case Full::kTurn:
        ++count.fill;
        return;
      case Full::kResults:
        ++(waits_for_half ? count.store : count.back_pressure);
        return;
    }
  }

  QuantizedMatrix operand(const formats::BlockFormat& format, int64_t rows) const {
    QuantizedMatrix m;
    m.format = format;
    m.rows = rows;
    m.length = m.padded_length = s_.k;
    if (format.block > 0) m.padded_length = (s_.k + format.block - 1) / format.block * format.block;
    m.code_bytes = code_bytes(format);
    m.codes.resize(at(rows * m.padded_length * m.code_bytes));
    if (format.has_scale()) m.scales.resize(at(rows * m.blocks_per_row()));
    if (format.has_outer())
      m.outer_scales.resize(at(format.outer.span == formats::Span::kRow ? rows : 1));
    if (format.micro.bits > 0) m.micros.resize(at(rows * m.padded_length / format.micro.block));
    return m;
  }

  /// Shows the row `codes` [cols] in the cycle that begins.
  void show(const std::uint32_t* codes, int64_t cols, int64_t tile, int64_t number, bool last) {
    slot_ ^= 1;
    RowOut& row = bus_.out[at(slot_)];
    std::copy_n(codes, cols, row.codes.begin());
    std::fill(row.codes.begin() + cols, row.codes.end(), 0u);
    row.tile = tile;
    row.number = number;
    bus_.out_slot.write(slot_);
    bus_.out_last.write(last);
  }

  const rtl_gen::ArrayTiming& t_;
  TileValues values_;
  int64_t rows_out_ = 0;

 private:
  void answer_start() {
    bus_.start_ready.write(bus_.idle.read() || (bus_.closes.read() && bus_.b_lane().valid.read()));
  }

  int slot_ = 0;
};

class OutputStationary final : public Array {
 public:
  using Array::Array;

 private:
  struct Held {
    std::vector<std::uint32_t> codes;
    int64_t tile, rows, cols, shown;
  };

  void tick() override {
    // The cycle that ended.
    Lane& lane = bus_.rows;
    const bool take = lane.taken(), close = take && left_ == 1, open = start_taken();
    account(busy_ ? Full::kResults : Full::kNo);
    if (take) {
      const Lane::Register& in = lane.offer();
      const auto& range = s_.ranges[at(s_.beats() - left_)];
      for (int64_t r = 0; r < rows_; ++r) in.a.unload(r, a_, r, range);
      for (int64_t c = 0; c < cols_; ++c) in.b.unload(c, b_, c, range);
      --left_;
    }
    if (close)
      held_.push_back({values_.compute(a_, b_, rows_), tile_++, rows_, cols_,
                       cycle_ - 1 + t_.rows + t_.cols - 1 + t_.unit});
    if (row_left()) {
      ++rows_out_;
      showing_ = false;
      if (++row_ == held_.front().rows) {
        row_ = 0;
        held_.pop_front();
      }
    }
    if (open) {
      busy_ = true;
      left_ = s_.beats();
      rows_ = bus_.start_rows.read();
      cols_ = bus_.start_cols.read();
      a_ = operand(s_.spec.a, rows_);
      b_ = operand(s_.spec.b, cols_);
    } else if (close) {
      busy_ = false;
    }
    // The one that begins.
    const bool last = busy_ && left_ == 1;
    const bool ready = busy_ && !(last && static_cast<int64_t>(held_.size()) == t_.banks);
    lane.ready.write(ready);
    bus_.idle.write(!busy_);
    bus_.closes.write(ready && last);
    const bool valid = !held_.empty() && held_.front().shown <= cycle_;
    bus_.out_valid.write(valid);
    if (!valid || showing_) return;
    const Held& out = held_.front();
    show(out.codes.data() + row_ * out.cols, out.cols, out.tile, row_, row_ + 1 == out.rows);
    showing_ = true;
  }

  bool busy_ = false, showing_ = false;
  int64_t left_ = 0, rows_ = 0, cols_ = 0;  // of the tile that enters
  int64_t tile_ = 0;                        // closed ones
  QuantizedMatrix a_, b_;
  std::deque<Held> held_;  // closed and not out
  int64_t row_ = 0;        // next one of the first held tile
};

class WeightStationary final : public Array {
 public:
  WeightStationary(sc_core::sc_module_name name, Bus& bus)
      : Array(name, bus), credit_(bus.schedule.timing.through() + 2) {}

 private:
  struct Loading {
    bool busy = false, first = false;
    int64_t left = 0, row = 0, rows = 0, cols = 0;
  };
  struct Shadow {
    bool full = false, first = false, final = false;
    int64_t rows = 0, cols = 0;
  };
  struct Leaving {
    int64_t tile, number, cols, shown;
    bool last;
  };
  struct Computed {
    int64_t rows = 0;                  // so far
    std::vector<std::uint32_t> codes;  // [rows][cols]
  };

  void tick() override {
    // The cycle that ended.
    Lane &weights = bus_.weights, &rows = bus_.rows;
    const bool load = weights.taken(), load_last = load && load_.left == 1;
    const bool load_close = load && (load_last || load_.row == t_.rows - 1);
    const bool open = start_taken(), take = rows.taken();
    account(full_);
    if (load) take_weights(weights.offer());
    const bool between = left_ == 0, swap = take && between;
    if (swap) pass_ = shadow_;
    if (hold_ > 0) --hold_;
    if (gap_ > 0) --gap_;
    if (row_left()) {
      ++rows_out_;
      ++credit_;
      if (leaving_.front().last) results_.pop_front();
      leaving_.pop_front();
      showing_ = false;
    }
    if (swap) {
      left_ = pass_.rows;
      row_ = 0;
      hold_ = t_.hold();
      if (pass_.first) begin_tile();
    }
    if (take) take_row(rows.offer());
    if (load_close)
      shadow_ = {true, load_.first, load_last, load_.rows, load_.cols};
    else if (swap)
      shadow_.full = false;
    if (open) {
      load_ = {true, true, s_.beats(), 0, bus_.start_rows.read(), bus_.start_cols.read()};
      ++load_tile_;
    } else if (load) {
      if (load_last) load_.busy = false;
      --load_.left;
      load_.row = load_close ? 0 : load_.row + 1;
      if (load_close) load_.first = false;
    }
    // The one that begins.
    const bool w_ready = load_.busy && !shadow_.full && hold_ == 0;
    weights.ready.write(w_ready);
    bus_.idle.write(!load_.busy);
    bus_.closes.write(w_ready && load_.left == 1);
    const Shadow& next = left_ == 0 ? shadow_ : pass_;
    full_ = left_ == 0 && !shadow_.full                ? Full::kWeights
            : left_ == 0 && !shadow_.first && gap_ > 0 ? Full::kTurn
            : next.final && credit_ == 0               ? Full::kResults
                                                       : Full::kNo;
    rows.ready.write(full_ == Full::kNo);
    const bool valid = !leaving_.empty() && leaving_.front().shown <= cycle_;
    bus_.out_valid.write(valid);
    if (!valid || showing_) return;
    const Leaving& out = leaving_.front();
    if (out.number >= results_.front().rows) compute();
    show(results_.front().codes.data() + out.number * out.cols, out.cols, out.tile, out.number,
         out.last);
    showing_ = true;
  }

  void take_weights(const Lane::Register& in) {
    const int64_t beat = s_.beats() - load_.left;
    QuantizedMatrix& b = b_[at(load_tile_ % 2)];
    if (beat == 0) b = operand(s_.spec.b, load_.cols);
    for (int64_t c = 0; c < load_.cols; ++c) in.b.unload(c, b, c, s_.ranges[at(beat)]);
  }

  void begin_tile() {
    ++tile_;
    a_ = operand(s_.spec.a, pass_.rows);
    beat_ = taken_ = 0;
    results_.emplace_back();
  }

  void take_row(const Lane::Register& in) {
    const int64_t depth = std::min<int64_t>(t_.rows, s_.beats() - beat_);
    for (int64_t w = 0; w < depth; ++w) in.a.unload(w, a_, row_, s_.ranges[at(beat_ + w)]);
    const bool last = --left_ == 0;
    if (pass_.final) {
      --credit_;
      leaving_.push_back({tile_, row_, pass_.cols, cycle_ - 1 + t_.through(), last});
      ++taken_;
      if (last) compute();  // the tile after next takes the place of its weights
    }
    ++row_;
    if (!last) return;
    if (!pass_.final) gap_ = std::max<int64_t>(0, t_.turn() - pass_.rows);
    beat_ += depth;
  }

  /// Results of the rows that have all their operands, of the tile that enters.
  void compute() {
    Computed& to = results_.back();
    if (to.rows == taken_) return;
    const auto codes =
        values_.compute(rows_of(a_, to.rows, taken_ - to.rows), b_[at(tile_ % 2)], a_.rows);
    to.codes.insert(to.codes.end(), codes.begin(), codes.end());
    to.rows = taken_;
  }

  Loading load_;
  Shadow shadow_, pass_;
  QuantizedMatrix a_;                 // of the tile whose rows enter
  std::array<QuantizedMatrix, 2> b_;  // of that one and of the next
  std::deque<Computed> results_;      // tiles that have begun and are not out
  std::deque<Leaving> leaving_;
  Full full_ = Full::kNo;
  int64_t load_tile_ = -1, tile_ = -1;
  int64_t left_ = 0, row_ = 0, beat_ = 0;  // of the pass whose rows enter
  int64_t taken_ = 0;                      // rows of the tile's final pass
  int64_t hold_ = 0, gap_ = 0, credit_;
  bool showing_ = false;
};

// ---- C: rows of results ----

class Results final : public Clocked {
 public:
  Results(sc_core::sc_module_name name, Bus& bus, Chance stall)
      : Clocked(name, bus), stall_(stall) {}

 private:
  void tick() override {
    if (bus_.out_valid.read() && bus_.out_ready.read()) {
      const MachineTile tile = s_.tile(tile_);
      const RowOut& row = bus_.out[at(bus_.out_slot.read())];
      std::copy_n(row.codes.begin(), tile.cols, bus_.c[at(tile_ % 2)].begin() + row_ * tile.cols);
      free_ = cycle_ - 1 + s_.c_cycles(tile.cols);
      if (bus_.out_last.read()) {
        row_ = 0;
        ++tile_;
      } else {
        ++row_;
      }
    }
    const bool in_use = row_ == 0 && bus_.stored.read() < tile_ - 1;
    const bool stall = stall_.hit();
    if (stall) ++bus_.stalled;
    bus_.half_in_use.write(in_use);
    bus_.out_ready.write(!in_use && cycle_ >= free_ && !stall && tile_ < s_.tiles());
  }

  Chance stall_;
  int64_t tile_ = 0, row_ = 0;
  int64_t free_ = 0;  // C can be written from this cycle on
};

/// Shows every cycle that ended to the watcher.
class Watch final : public Clocked {
 public:
  Watch(sc_core::sc_module_name name, Bus& bus, ArrayWatcher& watcher)
      : Clocked(name, bus), watcher_(watcher) {}

 private:
  void tick() override {
    if (cycle_ == 0) return;
    ArrayBorders seen;
    seen.cycle = cycle_ - 1;
    seen.start_valid = bus_.start_valid.read();
    seen.start_ready = bus_.start_ready.read();
    seen.start_beats = s_.beats();
    seen.start_rows = bus_.start_rows.read();
    seen.start_cols = bus_.start_cols.read();
    const auto offer = [](const Lane& lane, bool a) {
      const Lane::Register& r = lane.offer();
      return ArrayBorders::Offer{lane.valid.read(),
                                 lane.ready.read(),
                                 a ? &r.a : &r.b,
                                 a ? r.a_count : r.b_count,
                                 r.tile,
                                 r.beat,
                                 r.row};
    };
    seen.a = offer(bus_.rows, true);
    seen.b = offer(bus_.b_lane(), false);
    seen.out_valid = bus_.out_valid.read();
    seen.out_ready = bus_.out_ready.read();
    seen.out_last = bus_.out_last.read();
    const RowOut& row = bus_.out[at(bus_.out_slot.read())];
    seen.out_row = row.codes;
    seen.out_tile = row.tile;
    seen.out_number = row.number;
    watcher_.cycle(seen);
  }

  ArrayWatcher& watcher_;
};

void check_operands(const Schedule& s, const MachineOperands& operands) {
  const bool packed = s.machine.operands == OperandSource::kPacked;
  BLOCKDOT_CHECK(packed == (operands.a != nullptr) && packed == (operands.b != nullptr));
  if (packed) {
    models::check_operands(s.spec, *operands.a, *operands.b);
    BLOCKDOT_CHECK(operands.a->rows == s.m && operands.b->rows == s.n && operands.a->length == s.k);
    return;
  }
  check_edge(operands.a_options);
  check_edge(operands.b_options);
  BLOCKDOT_CHECK(operands.a_reals.rows == s.m && operands.b_reals.rows == s.n &&
                 operands.a_reals.length == s.k && operands.b_reals.length == s.k);
}

}  // namespace

void check_edge(const formats::QuantizeOptions& options) {
  if (options.rounding.stochastic())
    throw ConfigError(
        "quantize = {}: the quantiser at the edge meets the elements in the order of the tiles, "
        "and a stream of draws has another; must be rne, rna or rtz, or operands=packed",
        to_text(options.rounding));
}

MachineRun run_machine(const Schedule& schedule, const MachineOperands& operands,
                       const MachineOptions& options) {
  check_share("stalls", options.stalls);
  check_operands(schedule, operands);
  fresh_systemc_context();
  Bus bus(schedule);
  // Every channel has its own stream of numbers.
  std::uint64_t seed = options.seed;
  const auto chance = [&] {
    seed = seed * 0x9E3779B97F4A7C15u + 1;
    return Chance(options.stalls, seed);
  };
  Dma dma("dma", bus, operands, chance());
  Sequencer sequencer("sequencer", bus, chance());
  const bool os = schedule.os();
  Feeder rows("feed_rows", bus, bus.rows, os ? Feeder::Kind::kBoth : Feeder::Kind::kRows, chance());
  std::unique_ptr<Feeder> weights;
  std::unique_ptr<Array> array;
  if (os) {
    array = std::make_unique<OutputStationary>("array", bus);
  } else {
    weights = std::make_unique<Feeder>("feed_weights", bus, bus.weights, Feeder::Kind::kWeights,
                                       chance());
    array = std::make_unique<WeightStationary>("array", bus);
  }
  Results results("results", bus, chance());
  std::unique_ptr<Watch> watch;
  if (options.watcher != nullptr) watch = std::make_unique<Watch>("watch", bus, *options.watcher);
  if (options.wave != nullptr) {
    const auto run_for = [](int64_t cycles) {
      if (cycles > 0)
        sc_core::sc_start(sc_core::sc_time(static_cast<double>(cycles), sc_core::SC_NS));
    };
    run_for(options.wave->from);
    if (!bus.done) {
      sc_core::sc_report_handler::set_actions(sc_core::SC_ID_TRACING_TIMESCALE_UNIT_,
                                              sc_core::SC_DO_NOTHING);
      sc_core::sc_report_handler::set_actions(sc_core::SC_ID_TRACING_CLOSE_EMPTY_FILE_,
                                              sc_core::SC_DO_NOTHING);
      // SystemC puts the ending to the name itself.
      std::filesystem::path name = options.wave->file;
      sc_core::sc_trace_file* file =
          sc_core::sc_create_vcd_trace_file(name.replace_extension().c_str());
      file->set_time_unit(1, sc_core::SC_PS);
      const Tracer tracer(*file);
      sc_core::sc_trace(file, bus.clock, "clock");
      bus.trace(tracer);
      array->trace(tracer);
      rows.trace(tracer, "rows");
      if (weights) weights->trace(tracer, "weights");
      run_for(options.wave->to - options.wave->from);
      sc_core::sc_close_vcd_trace_file(file);
    }
  }
  if (!bus.done) sc_core::sc_start();
  MachineRun run;
  run.codes = std::move(dma.codes);
  run.count = array->count;
  run.count.cycles = dma.cycles;
  run.beats = array->count.compute;
  run.stalled = bus.stalled;
  return run;
}

}  // namespace blockdot::sim
