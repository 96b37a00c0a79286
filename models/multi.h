// The value of a multi-format or fused unit, as its contract (formats/multi_spec.h) states it.
#pragma once

#include <cstdint>
#include <span>

#include "formats/multi_spec.h"
#include "models/exact.h"

namespace blockdot::models {

struct MultiSum {
  Exact sum;             // of the finite products
  bool special = false;  // some element is NaN or Inf
};

/// `a`, `b`: the codes of the mode's terms, lanes * terms of them; term t of lane j at j * terms +
/// t.
MultiSum golden_multi(const formats::MultiSpec& spec, int mode, std::span<const std::uint32_t> a,
                      std::span<const std::uint32_t> b);

/// The result's code of a fused unit; `c` is a code of the addend's format, `random` the beat's
/// draw where the rounding is stochastic.
std::uint32_t golden_fused(const formats::MultiSpec& spec, int mode,
                           std::span<const std::uint32_t> a, std::span<const std::uint32_t> b,
                           std::uint32_t c, std::uint32_t random = 0);

}  // namespace blockdot::models
