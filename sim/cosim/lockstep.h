// A Verilated dot unit beside the model: every beat of a GEMM goes through the RTL, every result is
// compared, and every valid_o must come in the very cycle that the latency says.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/beats.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/model.h"

namespace blockdot::sim {

/// A generated unit as the model cache takes it.
ModelSource model_source(const rtl_gen::Unit& unit);

/// "beat 2 of 5 (k = 8..15)", t counted from 0.
std::string beat_name(const std::vector<formats::BeatRange>& ranges, std::size_t t);
/// The operands of a beat: scales, then a line for each of the `count` lanes.
std::string beat_text(const formats::DotSpec& spec, const models::BeatBuffer& beat, int count);

/// Expected results in order against what a unit shows cycle by cycle.
class Scoreboard {
 public:
  enum class Kind { kValue, kMissing, kSpurious };
  struct Mismatch {
    Kind kind = Kind::kValue;
    std::int64_t result = 0;  // its number; kSpurious: of the next result that was due
    std::int64_t cycle = 0;
    std::uint32_t expected = 0, got = 0;
  };

  explicit Scoreboard(int latency) : latency_(latency) {}

  /// The last beat of the next result goes in at `cycle`.
  void expect(std::int64_t cycle, std::uint32_t code) { due_.push_back({cycle + latency_, code}); }

  /// What the unit shows in `cycle`; cycles in order, each once.
  void observe(std::int64_t cycle, bool valid, std::uint32_t code) {
    bool due = !due_.empty() && due_.front().cycle == cycle;
    if (!due) {
      if (valid) note({Kind::kSpurious, seen_, cycle, 0, code});
      return;
    }
    Due want = due_.front();
    due_.pop_front();
    last_cycle_ = cycle;
    if (!valid)
      note({Kind::kMissing, seen_, cycle, want.code, 0});
    else if (want.code != code)
      note({Kind::kValue, seen_, cycle, want.code, code});
    ++seen_;
  }

  std::int64_t checked() const { return seen_; }
  std::int64_t pending() const { return static_cast<std::int64_t>(due_.size()); }
  std::int64_t mismatches() const { return mismatches_; }
  std::int64_t last_cycle() const { return last_cycle_; }  // of a result that was due
  const std::optional<Mismatch>& first() const { return first_; }

 private:
  struct Due {
    std::int64_t cycle;
    std::uint32_t code;
  };
  void note(const Mismatch& mismatch) {
    if (mismatches_++ == 0) first_ = mismatch;
  }

  int latency_;
  std::deque<Due> due_;
  std::int64_t seen_ = 0, mismatches_ = 0, last_cycle_ = -1;
  std::optional<Mismatch> first_;
};

/// Builds the input records of a dot unit (ports: docs/unit-interface.md).
class DotRecords {
 public:
  /// ConfigError where the model's ports are not those of the spec's unit.
  DotRecords(const Model& model, const formats::DotSpec& spec);

  using Record = std::vector<std::uint64_t>;  // input_bytes / 8 words

  Record reset() const;                         // rst_ni low
  Record idle() const;                          // rst_ni high, nothing else
  Record seed(std::uint64_t seed) const;        // loads the random stream; idle() without one
  Record beat(const models::Beat& beat) const;  // with valid_i
  /// The bits of one side of a beat alone: `beat` is the OR of both sides and the control bits.
  Record side(bool a, const models::Beat& beat) const;
  Record control(bool valid, bool first, bool last) const;

  bool valid(const std::uint8_t* output) const { return output[valid_.offset] & 1; }
  std::uint32_t result(const std::uint8_t* output) const {
    const std::uint8_t* at = output + result_.offset;
    std::uint32_t code = 0;
    if (result_.bytes == 4)
      std::memcpy(&code, at, 4);
    else
      code = result_.bytes == 1 ? at[0] : static_cast<std::uint32_t>(at[0] | at[1] << 8);
    return code;
  }

 private:
  Record blank() const { return Record(words_); }

  formats::DotSpec spec_;
  std::size_t words_;
  ModelField rst_, valid_in_, first_, last_, valid_, result_;
  std::array<ModelField, std::size(models::kBeatPorts)> a_, b_;  // those that the spec has
  std::optional<ModelField> seed_load_, seed_;
};

struct LockstepOptions {
  std::uint64_t seed = 1;  // of the unit's random stream, where it has a seed port
  double bubbles = 0;      // share of cycles, in [0, 1), in which valid_i stays low
  std::uint64_t bubble_seed = 1;
};

struct LockstepRun {
  std::int64_t beats = 0;
  std::int64_t results = 0;     // compared
  std::int64_t handshakes = 0;  // cycles whose valid_o was compared
  std::int64_t cycles = 0;      // first beat's to last result's, both counted
  std::int64_t idle = 0;        // bubbles
  std::int64_t mismatches = 0;
  std::string first_mismatch;  // explained, several lines; empty when there is none
};

/// Runs the product of `a` [M rows along K] and `b` [N rows along K] through a fresh instance and
/// compares each result with `expected` [M][N]. `name` is for the explanation. In a bubble the data
/// inputs hold other operands, not zero.
LockstepRun run_lockstep(const Model& model, const rtl_gen::UnitReport& unit,
                         const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                         const formats::QuantizedMatrix& b, std::span<const std::uint32_t> expected,
                         const std::string& name, const LockstepOptions& options = {});

}  // namespace blockdot::sim
