// The value of a multi-format or fused unit, as its contract (formats/multi_spec.h) states it.
// Accumulators are those of models/golden.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "formats/multi_spec.h"
#include "models/exact.h"
#include "models/golden.h"

namespace blockdot::models {

struct MultiSum {
  Exact sum;                                      // of the finite products
  bool special = false;                           // some element is NaN or Inf
  GoldenAccumulator::Flags flags;                 // of the other products
  std::vector<GoldenAccumulator::Term> products;  // the finite ones
};

/// `a`, `b`: the codes of the mode's terms, lanes * terms of them; term t of lane j at j * terms +
/// t.
MultiSum golden_multi(const formats::MultiSpec& spec, int mode, std::span<const std::uint32_t> a,
                      std::span<const std::uint32_t> b);

/// A multi unit with an accumulator, beat by beat.
class GoldenMulti {
 public:
  /// ConfigError where the spec is not valid. `seed`: of the random stream, else the spec's.
  explicit GoldenMulti(const formats::MultiSpec& spec, std::optional<std::uint64_t> seed = {});

  /// Takes one beat; gives the result's code on a `last` beat. Codes as for golden_multi.
  std::optional<std::uint32_t> step(int mode, std::span<const std::uint32_t> a,
                                    std::span<const std::uint32_t> b, bool first, bool last);

 private:
  formats::MultiSpec spec_;
  formats::Lfsr random_;
  GoldenAccumulator accumulator_;
};

/// The result's code of a fused unit; `c` is a code of the addend's format, `random` the beat's
/// draw where the rounding is stochastic.
std::uint32_t golden_fused(const formats::MultiSpec& spec, int mode,
                           std::span<const std::uint32_t> a, std::span<const std::uint32_t> b,
                           std::uint32_t c, std::uint32_t random = 0);

}  // namespace blockdot::models
