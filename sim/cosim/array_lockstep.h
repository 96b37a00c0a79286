// A Verilated array beside the SystemC machine: in every cycle it gets what the machine's array
// gets, and every handshake and every value that it shows must be that array's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/array/array.h"
#include "sim/cosim/model.h"
#include "sim/cosim/wave.h"
#include "sim/machine/borders.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// Products that the arrays of the RTL engine may take in a beat: rows x cols x lanes.
inline constexpr std::int64_t kMostRtlProducts = 4096;

/// ConfigError where the array is larger, or has more rows or columns than generate_array takes.
void check_rtl_size(const Machine& machine, const formats::DotSpec& spec);

/// An array as the model cache takes it.
ModelSource model_source(const rtl_gen::Array& array, WaveFormat wave = WaveFormat::kNone);

class ArrayLockstep final : public ArrayWatcher {
 public:
  /// A fresh instance, reset. `name` and `schedule` are for the explanation.
  /// `wave`: of the window's cycles, by a model with that format.
  ArrayLockstep(const Model& model, const rtl_gen::Array& array, const Schedule& schedule,
                const std::string& name, const Wave* wave = nullptr);
  ~ArrayLockstep() override;

  void cycle(const ArrayBorders& borders) override;

  std::int64_t cycles() const { return cycles_; }
  std::int64_t handshakes() const { return handshakes_; }  // compared
  std::int64_t results() const { return results_; }        // of the product, compared when taken
  std::int64_t mismatches() const { return mismatches_; }

  struct Mismatch {
    std::string text;                    // of one line
    std::int64_t row = -1, column = -1;  // of the product, where a result differs
    std::uint32_t expected = 0, got = 0;
  };
  const Mismatch& first() const { return first_; }  // empty text: none

 private:
  struct Side {
    ModelField codes;
    std::optional<ModelField> scale, outer, micro, count;  // count: of a alone
  };
  Side side(const Model& model, const std::string& name) const;
  void put(const Side& side, const WordRow& words, const formats::BlockFormat& format,
           std::int64_t count);
  /// Lanes that count, of the words of a from that beat on.
  void put_counts(std::int64_t beat);
  void compare(const char* port, std::uint64_t want, const ArrayBorders& borders);
  /// What the channel of a handshake holds, and where the operands are.
  std::string channel_text(std::string_view port, const ArrayBorders& borders) const;
  void note(Mismatch mismatch);

  const Model& model_;
  const Schedule& schedule_;
  std::string name_;
  const Wave* wave_;
  Model::Instance instance_;
  std::vector<std::uint8_t> in_, out_;
  bool os_;
  Side a_, b_;
  std::int64_t cycles_ = 0, handshakes_ = 0, results_ = 0, mismatches_ = 0;
  Mismatch first_;
};

/// Where a wrong result comes from: runs its tile alone, after a reset, with 1, 2, 4, ... beats,
/// closes in on the beat after which it differs, and tells in which unit and stage, with that
/// beat's operands.
std::string explain(const ArrayLockstep::Mismatch& mismatch, const Model& model,
                    const rtl_gen::Array& array, const Schedule& schedule,
                    const formats::QuantizedMatrix& a, const formats::QuantizedMatrix& b);

}  // namespace blockdot::sim
