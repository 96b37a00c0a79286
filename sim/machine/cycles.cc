// Evaluated in the order of the DMA's list: a transfer that waits for a step to be used up, or for
// a tile to be complete, has the array's recurrence carried on until that is known. All times
// depend on earlier ones through `max` and `+` alone, with transfer times as the only terms that
// know the bandwidth: a faster memory can never cost a cycle.
#include "sim/machine/cycles.h"

#include <algorithm>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

using std::int64_t;

/// Cycles [begin, end) in which a result waits for a half of C, in order; how many of an interval
/// are among them.
class Refusals {
 public:
  void add(int64_t begin, int64_t end) {
    if (begin < end) spans_.push_back({begin, end});
  }
  int64_t within(int64_t begin, int64_t end) const {
    int64_t sum = 0;
    for (auto span = spans_.rbegin(); span != spans_.rend() && span->end > begin; ++span)
      sum += std::max<int64_t>(0, std::min(end, span->end) - std::max(begin, span->begin));
    return sum;
  }

 private:
  struct Span {
    int64_t begin, end;
  };
  std::vector<Span> spans_;
};

class Evaluation {
 public:
  Evaluation(const Schedule& schedule, MachineTimes* times)
      : s_(schedule),
        t_(schedule.timing),
        times_(times),
        a_used_(count(s_.steps())),
        b_used_(count(s_.steps())),
        free_(count(s_.tiles()), -1),
        out_(count(s_.tiles())) {}

  CycleCount run() {
    int64_t channel = 0;  // free from this cycle on
    for (const Transfer& x : s_.transfers) {
      const bool store = x.kind == Transfer::Kind::kC;
      int64_t begin = s_.machine.unlimited() ? 0 : channel;
      if (x.after > 0) {
        advance(store ? x.after * s_.chunks : x.after);
        if (store) let_out(x.after - 1);
        const std::vector<int64_t>& when = store                          ? out_
                                           : x.kind == Transfer::Kind::kA ? a_used_
                                                                          : b_used_;
        begin = std::max(begin, when[count(x.after - 1)] + 1);
      }
      channel = begin + x.cycles;
      if (times_ != nullptr) times_->transfers.push_back({begin, channel - 1});
      switch (x.kind) {
        case Transfer::Kind::kA:
          a_ready_.push_back(channel + x.latency);
          break;
        case Transfer::Kind::kB:
          b_ready_.push_back(channel + x.latency);
          break;
        case Transfer::Kind::kC:
          free_[count(x.step)] = channel;
          c_.cycles = std::max(c_.cycles, channel + x.latency);
          break;
      }
    }
    BLOCKDOT_CHECK(step_ == s_.steps());
    const int64_t last_row = out_.back();
    const int64_t waits = refused_.within(taken_ + 1, last_row + 1);
    c_.drain += last_row + 1 - taken_ - waits;
    c_.store += waits + c_.cycles - (last_row + 2);
    BLOCKDOT_CHECK(c_.compute + c_.stalls() == c_.cycles, "{} + {} of {} cycles", c_.compute,
                   c_.stalls(), c_.cycles);
    return c_;
  }

 private:
  static std::size_t count(int64_t x) { return static_cast<std::size_t>(x); }

  void advance(int64_t steps) {
    for (; step_ < steps; ++step_) {
      BLOCKDOT_CHECK(static_cast<int64_t>(a_ready_.size()) >= s_.a_loads(step_) &&
                         static_cast<int64_t>(b_ready_.size()) >= s_.b_loads(step_),
                     "the DMA's list waits for itself at step {}", step_);
      tile_ = step_ / s_.chunks;
      shape_ = s_.tile(tile_);
      final_step_ = (step_ + 1) % s_.chunks == 0;
      a_at_ = a_ready_[count(s_.a_loads(step_) - 1)];
      b_at_ = b_ready_[count(s_.b_loads(step_) - 1)];
      if (s_.os())
        output_stationary();
      else
        weight_stationary();
    }
  }

  /// The next cycle in which the input takes something is `at` or later, for this cause.
  void wait(int64_t at, int64_t& cause) {
    if (at <= next_) return;
    cause += at - next_;
    next_ = at;
  }
  /// The same, for a result that leaves.
  void wait_for_result(int64_t at) {
    if (at <= next_) return;
    const int64_t stored = refused_.within(next_, at);
    c_.store += stored;
    c_.back_pressure += at - next_ - stored;
    next_ = at;
  }
  void take(int64_t cycles) {
    c_.compute += cycles;
    taken_ = next_ + cycles - 1;
    next_ += cycles;
  }

  void output_stationary() {
    const int64_t gap = std::max(s_.a_cycles(shape_.rows), s_.b_cycles(shape_.cols));
    const int64_t beats = s_.beat_count(step_);
    if (step_ == 0) wait(1, c_.fill);
    wait(std::max(a_at_, b_at_), c_.load);
    int64_t first = 0;
    for (int64_t rest = beats; rest > 0; --rest) {
      if (gap == 1 && rest > 1) {  // nothing holds them back
        if (rest == beats) first = next_;
        take(rest - 1);
        rest = 1;
      }
      wait(next_ + gap - 1, c_.bank);
      if (final_step_ && rest == 1 && tile_ >= t_.banks) {
        let_out(tile_ - t_.banks);
        wait_for_result(out_[count(tile_ - t_.banks)] + 1);
      }
      if (rest == beats) first = next_;
      take(1);
    }
    a_used_[count(step_)] = b_used_[count(step_)] = taken_;
    if (times_ != nullptr) times_->steps.push_back({first, taken_});
    if (final_step_) complete_.push_back(taken_ + t_.rows + t_.cols - 1 + t_.unit);
  }

  /// os: the rows of all tiles up to `tile`. Not before they are asked for: they may wait for
  /// stores that stand later in the list than what their tile's beats needed.
  void let_out(int64_t tile) {
    if (!s_.os()) return;
    for (; tiles_out_ <= tile; ++tiles_out_) {
      const MachineTile shape = s_.tile(tiles_out_);
      int64_t row = leave(tiles_out_, shape.cols, complete_[count(tiles_out_)], true);
      for (int64_t r = 1; r < shape.rows; ++r) row = leave(tiles_out_, shape.cols, row + 1, false);
    }
  }

  void weight_stationary() {
    const int64_t weight_gap = s_.b_cycles(shape_.cols);
    const int64_t first_beat = s_.first_beat(step_), beats = s_.beat_count(step_);
    int64_t begun = 0;
    for (int64_t done = 0; done < beats; done += t_.rows) {
      const int64_t depth = std::min<int64_t>(t_.rows, beats - done);
      const int64_t row_gap = s_.a_cycles(depth);
      // Weights.
      const int64_t loading = weights_ + 1;  // waiting for DRAM from here on, until
      const int64_t loaded = done == 0 ? std::max(b_at_, loading) : loading;
      int64_t first_weight = loaded + weight_gap - 1;
      if (swap_ >= 0) first_weight = std::max(first_weight, swap_ + t_.hold() + 1);
      weights_ = first_weight + (depth - 1) * weight_gap;
      // Rows.
      const bool first_pass = first_beat + done == 0;
      const bool final_pass = first_beat + done + depth == s_.beats();
      for (int64_t r = 0; r < shape_.rows; ++r) {
        if (r == 0 && step_ == 0 && done == 0) wait(1, c_.fill);
        if (r == 0 && done == 0) wait(a_at_, c_.load);
        wait(next_ + row_gap - 1, c_.bank);
        if (r == 0) {
          // Weights that come late from DRAM are loads.
          const int64_t late = std::min(weights_ + 1, loaded) - std::max(next_, loading);
          const int64_t before = std::max(next_, loading);
          if (late > 0) {
            wait(before, c_.fill);
            wait(before + late, c_.load);
          }
          wait(weights_ + 1, c_.fill);
          if (!first_pass)
            wait(pass_end_ + 1 + std::max<int64_t>(0, t_.turn() - shape_.rows), c_.fill);
        }
        if (final_pass && static_cast<int64_t>(rows_out_.size()) >= t_.through() + 2)
          wait_for_result(rows_out_[rows_out_.size() - count(t_.through() + 2)] + 1);
        if (r == 0) swap_ = next_;
        if (r == 0 && done == 0) begun = next_;
        take(1);
        if (final_pass)
          rows_out_.push_back(leave(tile_, shape_.cols, taken_ + t_.through(), r == 0));
      }
      pass_end_ = taken_;
    }
    a_used_[count(step_)] = taken_;
    b_used_[count(step_)] = weights_;
    if (times_ != nullptr) times_->steps.push_back({begun, taken_});
  }

  /// A row of results that the array shows from `shown` on: the cycle in which C takes it.
  int64_t leave(int64_t tile, int64_t cols, int64_t shown, bool first_of_tile) {
    shown = std::max(shown, row_out_ + 1);
    int64_t at = shown;
    if (first_of_tile && tile >= 2) {
      const int64_t half = free_[count(tile - 2)];
      BLOCKDOT_CHECK(half >= 0, "the DMA's list waits for itself at tile {}", tile);
      refused_.add(shown, half);
      at = std::max(at, half);
    }
    at = std::max(at, row_out_ + row_gap_);
    row_out_ = at;
    row_gap_ = s_.c_cycles(cols);
    out_[count(tile)] = at;
    if (times_ != nullptr) {
      if (first_of_tile) times_->tiles.push_back({at, at});
      times_->tiles.back().end = at;
    }
    return at;
  }

  const Schedule& s_;
  const rtl_gen::ArrayTiming& t_;
  MachineTimes* times_;
  CycleCount c_;
  std::vector<int64_t> a_ready_,
      b_ready_;  // loads, in order: first cycle in which the array may see them
  std::vector<int64_t> a_used_, b_used_;  // steps: the cycle that takes their last word
  std::vector<int64_t> free_;  // tiles: first cycle in which their half of C is free again
  std::vector<int64_t> out_;   // tiles: cycle of the last row
  Refusals refused_;
  // The step that is evaluated.
  int64_t step_ = 0, tile_ = 0, a_at_ = 0, b_at_ = 0;
  MachineTile shape_;
  bool final_step_ = false;
  int64_t next_ = 0;    // earliest cycle in which the input can take something
  int64_t taken_ = -1;  // the last cycle in which it did
  // ws
  int64_t weights_ = 0, swap_ = -1, pass_end_ = -1;
  std::vector<int64_t> rows_out_;  // cycles in which rows left
  // Results.
  int64_t row_out_ = -1, row_gap_ = 1;
  std::vector<int64_t> complete_;  // os, tiles: first cycle in which their results are there
  int64_t tiles_out_ = 0;          // os
};

}  // namespace

CycleCount machine_cycles(const Schedule& schedule, MachineTimes* times) {
  return Evaluation(schedule, times).run();
}

}  // namespace blockdot::sim
