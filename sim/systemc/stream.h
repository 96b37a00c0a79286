// A SystemC model of one dot-product unit behind a stream: clocked, valid/ready on both sides.
//
//             beat, valid              +------------------------------+      result, valid
//   source ------------------------->  | pipeline  ->  result FIFO    |  ------------------> sink
//          <-------------------------  | latency L     (credits)      |  <------------------
//                ready                 +------------------------------+      ready
//
// The unit has no stall input, so back-pressure stops at its door: a beat is taken only while every
// result under way has a place in the FIFO. A transfer happens in a cycle with valid and ready. A
// beat taken in cycle c that is its result's last shows the result in cycle c + L (if the FIFO is
// empty); the next beat is taken in cycle c + interval or later. Without stalls
//
//   cycles = (beats - 1) * interval + L + 1
//
// from the cycle of the first beat to that of the last result, both counted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace blockdot::sim {

struct StreamShape {
  int latency = 1;                    // cycles from the last beat to the result, >= 1
  int interval = 1;                   // cycles between beats, >= 1
  std::int64_t results = 0;           // >= 1
  std::int64_t beats_per_result = 1;  // >= 1
};

struct StreamOptions {
  double input_stalls = 0;   // share of cycles, in [0, 1), in which the source begins no offer
  double output_stalls = 0;  // share of cycles, in [0, 1), in which the sink is not ready
  std::uint64_t seed = 1;    // of both
  int fifo_depth = 0;        // places for results; 0: latency + 2, enough for full speed
};

/// What the unit computes. `beat` counts from 0 within the result; gives a code on the last one.
class Datapath {
 public:
  virtual ~Datapath() = default;
  virtual std::optional<std::uint32_t> step(std::int64_t result, std::int64_t beat, bool last) = 0;
};

/// Results known beforehand.
class PrecomputedDatapath final : public Datapath {
 public:
  explicit PrecomputedDatapath(std::span<const std::uint32_t> codes) : codes_(codes) {}
  std::optional<std::uint32_t> step(std::int64_t result, std::int64_t, bool last) override {
    if (!last) return std::nullopt;
    return codes_[static_cast<std::size_t>(result)];
  }

 private:
  std::span<const std::uint32_t> codes_;
};

struct StreamRun {
  std::vector<std::uint32_t> codes;  // as they came to the sink
  std::int64_t beats = 0;            // taken by the unit
  std::int64_t cycles = 0;
  std::int64_t input_idle = 0;      // cycles before the last beat in which none was offered
  std::int64_t input_blocked = 0;   // cycles in which an offered beat was not taken
  std::int64_t output_blocked = 0;  // cycles in which an offered result was not taken
};

/// Simulates until the last result is taken. ConfigError for options out of range. Not to be called
/// from two threads at once: SystemC has one simulation at a time in a process.
StreamRun run_stream(const StreamShape& shape, Datapath& datapath,
                     const StreamOptions& options = {});

/// The closed form above.
std::int64_t stream_cycles(const StreamShape& shape);

}  // namespace blockdot::sim
