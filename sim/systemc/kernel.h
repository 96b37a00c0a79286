// What every SystemC model here needs of the kernel.
#pragma once

#include <cstdint>
#include <random>

#include "formats/error.h"

namespace blockdot::sim {

/// SystemC elaborates once a context; a used one cannot be deleted, so all are kept.
void fresh_systemc_context();

/// True in a random share of the calls.
class Chance {
 public:
  Chance(double share, std::uint64_t seed)
      : random_(seed), limit_(static_cast<std::uint64_t>(share * 0x1p32)) {}
  bool hit() { return limit_ != 0 && (random_() & 0xFFFFFFFFu) < limit_; }

 private:
  std::mt19937_64 random_;
  std::uint64_t limit_;
};

/// ConfigError where a share of cycles is not in [0, 1).
inline void check_share(const char* name, double share) {
  if (!(share >= 0 && share < 1)) throw ConfigError("{} = {}: must be in [0, 1)", name, share);
}

}  // namespace blockdot::sim
