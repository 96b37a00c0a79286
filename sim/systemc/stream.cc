// Every module is one SC_METHOD on the clock's rising edge that reads what its neighbours showed in
// the cycle before and writes what it shows in the cycle that begins: all outputs are registers, so
// the order of the processes does not matter. A unit of latency 0 looks at its input a delta cycle
// later, when the source has written what it offers in the same cycle.
#include "sim/systemc/stream.h"

#include <deque>
#include <ostream>
#include <systemc>

#include "formats/error.h"
#include "sim/systemc/kernel.h"

/// SystemC's library refers to the main of a SystemC program; ours has its own.
int sc_main(int, char**) { return 0; }

namespace blockdot::sim {
namespace {

/// What goes over the input stream: the position, the operands stay in memory.
struct StreamBeat {
  std::int64_t result = 0;
  std::int64_t beat = 0;
  bool last = false;

  bool operator==(const StreamBeat&) const = default;
};
// sc_signal<StreamBeat> finds these two by its argument's namespace.
std::ostream& operator<<(std::ostream& out, const StreamBeat& x) {
  return out << x.result << '/' << x.beat;
}
[[maybe_unused]] void sc_trace(sc_core::sc_trace_file* file, const StreamBeat& x,
                               const std::string& name) {
  sc_core::sc_trace(file, x.last, name + ".last");
}

SC_MODULE(Source) {
  sc_core::sc_in<bool> clk_i;
  sc_core::sc_out<bool> valid_o;
  sc_core::sc_out<StreamBeat> beat_o;
  sc_core::sc_in<bool> ready_i;

  SC_HAS_PROCESS(Source);
  Source(sc_core::sc_module_name name, const StreamShape& shape, Chance idle)
      : sc_module(name), shape_(shape), idle_(idle) {
    SC_METHOD(tick);
    sensitive << clk_i.pos();
    dont_initialize();
  }

  std::int64_t idle_cycles = 0, blocked_cycles = 0;

 private:
  void tick() {
    if (offering_) {  // the cycle that ended
      if (!ready_i.read()) {
        ++blocked_cycles;
        return;  // an offer stands until it is taken
      }
      if (++next_.beat == shape_.beats_per_result) {
        next_.beat = 0;
        ++next_.result;
      }
    }
    bool done = next_.result == shape_.results;
    offering_ = !done && !idle_.hit();
    if (!done && !offering_) ++idle_cycles;
    valid_o.write(offering_);
    if (offering_) {
      next_.last = next_.beat + 1 == shape_.beats_per_result;
      beat_o.write(next_);
    }
  }

  StreamShape shape_;
  Chance idle_;
  StreamBeat next_;  // to be offered, or on offer
  bool offering_ = false;
};

SC_MODULE(Unit) {
  sc_core::sc_in<bool> clk_i;
  sc_core::sc_in<bool> valid_i;
  sc_core::sc_in<StreamBeat> beat_i;
  sc_core::sc_out<bool> ready_o;
  sc_core::sc_out<bool> valid_o;
  sc_core::sc_out<std::uint32_t> result_o;
  sc_core::sc_in<bool> ready_i;

  SC_HAS_PROCESS(Unit);
  Unit(sc_core::sc_module_name name, const StreamShape& shape, int fifo_depth, Datapath& datapath)
      : sc_module(name), shape_(shape), depth_(fifo_depth), datapath_(datapath) {
    SC_METHOD(tick);
    sensitive << clk_i.pos();
    dont_initialize();
    SC_METHOD(pass_through);
    sensitive << began_;
    dont_initialize();
  }

  std::int64_t beats = 0;

 private:
  struct InFlight {
    std::uint32_t code;
    std::int64_t due;  // the cycle that shows it
  };

  void tick() {
    ++cycle_;  // the cycle that begins
    if (showing_ && ready_i.read()) fifo_.pop_front();
    if (shape_.latency > 0) {
      take(cycle_ - 1);
      show();
    }
    ready_ =
        cycle_ >= next_take_ && static_cast<std::int64_t>(pipeline_.size() + fifo_.size()) < depth_;
    ready_o.write(ready_);
    if (shape_.latency == 0) began_.notify(sc_core::SC_ZERO_TIME);
  }

  void pass_through() {
    take(cycle_);
    show();
  }

  /// Takes what was offered in `cycle`, if anything and if ready then.
  void take(std::int64_t cycle) {
    if (!ready_ || !valid_i.read()) return;
    StreamBeat beat = beat_i.read();
    auto code = datapath_.step(beat.result, beat.beat, beat.last);
    BLOCKDOT_CHECK(code.has_value() == beat.last);
    if (code) pipeline_.push_back({*code, cycle + shape_.latency});
    next_take_ = cycle + shape_.interval;
    ++beats;
  }

  void show() {
    while (!pipeline_.empty() && pipeline_.front().due <= cycle_) {
      fifo_.push_back(pipeline_.front().code);
      pipeline_.pop_front();
    }
    showing_ = !fifo_.empty();
    valid_o.write(showing_);
    if (showing_) result_o.write(fifo_.front());
  }

  StreamShape shape_;
  std::int64_t depth_;
  Datapath& datapath_;
  sc_core::sc_event began_;
  std::int64_t cycle_ = -1;
  std::int64_t next_take_ = 0;
  bool ready_ = false, showing_ = false;  // in the cycle that ended
  std::deque<InFlight> pipeline_;
  std::deque<std::uint32_t> fifo_;
};

SC_MODULE(Sink) {
  sc_core::sc_in<bool> clk_i;
  sc_core::sc_in<bool> valid_i;
  sc_core::sc_in<std::uint32_t> result_i;
  sc_core::sc_out<bool> ready_o;

  SC_HAS_PROCESS(Sink);
  Sink(sc_core::sc_module_name name, std::int64_t expected, Chance busy)
      : sc_module(name), expected_(expected), busy_(busy) {
    codes.reserve(static_cast<std::size_t>(expected));
    SC_METHOD(tick);
    sensitive << clk_i.pos();
    dont_initialize();
  }

  std::vector<std::uint32_t> codes;
  std::int64_t blocked_cycles = 0;
  std::int64_t cycles = 0;

  bool done() const { return static_cast<std::int64_t>(codes.size()) == expected_; }

 private:
  void tick() {
    if (done()) return;
    if (valid_i.read()) {  // in the cycle that ended
      if (ready_)
        codes.push_back(result_i.read());
      else
        ++blocked_cycles;
    }
    if (done()) {
      cycles = cycle_;  // ended ones: cycle 0 began at the first edge
      sc_core::sc_pause();
      return;
    }
    ++cycle_;
    ready_ = !busy_.hit();
    ready_o.write(ready_);
  }

  std::int64_t expected_;
  Chance busy_;
  bool ready_ = false;
  std::int64_t cycle_ = 0;
};

}  // namespace

void fresh_systemc_context() {
  // Never destroyed either: leak checkers run after static objects are gone.
  static auto& contexts = *new std::vector<sc_core::sc_simcontext*>;
  contexts.push_back(new sc_core::sc_simcontext());
  sc_core::sc_curr_simcontext = contexts.back();
}

std::int64_t stream_cycles(const StreamShape& shape) {
  return (shape.results * shape.beats_per_result - 1) * shape.interval + shape.latency + 1;
}

StreamRun run_stream(const StreamShape& shape, Datapath& datapath, const StreamOptions& options) {
  check_share("input stalls", options.input_stalls);
  check_share("output stalls", options.output_stalls);
  if (options.fifo_depth < 0)
    throw ConfigError("fifo depth = {}: must be at least 1, or 0 for latency + 2",
                      options.fifo_depth);
  BLOCKDOT_CHECK(shape.latency >= 0 && shape.interval >= 1 && shape.results >= 1 &&
                     shape.beats_per_result >= 1,
                 "latency {}, interval {}, {} results of {} beats", shape.latency, shape.interval,
                 shape.results, shape.beats_per_result);
  fresh_systemc_context();
  int depth = options.fifo_depth == 0 ? shape.latency + 2 : options.fifo_depth;
  sc_core::sc_clock clock("clock", sc_core::sc_time(1, sc_core::SC_NS));
  sc_core::sc_signal<bool> in_valid("in_valid"), in_ready("in_ready");
  sc_core::sc_signal<bool> out_valid("out_valid"), out_ready("out_ready");
  sc_core::sc_signal<StreamBeat> beat("beat");
  sc_core::sc_signal<std::uint32_t> result("result");
  Source source("source", shape, Chance(options.input_stalls, options.seed));
  Unit unit("unit", shape, depth, datapath);
  // An own stream of numbers: the sink's must not be the source's.
  Sink sink("sink", shape.results, Chance(options.output_stalls, ~options.seed));
  source.clk_i(clock);
  source.valid_o(in_valid);
  source.beat_o(beat);
  source.ready_i(in_ready);
  unit.clk_i(clock);
  unit.valid_i(in_valid);
  unit.beat_i(beat);
  unit.ready_o(in_ready);
  unit.valid_o(out_valid);
  unit.result_o(result);
  unit.ready_i(out_ready);
  sink.clk_i(clock);
  sink.valid_i(out_valid);
  sink.result_i(result);
  sink.ready_o(out_ready);
  sc_core::sc_start();
  BLOCKDOT_CHECK(sink.done());
  return {std::move(sink.codes), unit.beats,         sink.cycles, source.idle_cycles,
          source.blocked_cycles, sink.blocked_cycles};
}

}  // namespace blockdot::sim
