// Jumps along the random stream, so that results can be computed in any order and streams can start
// far apart.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/lfsr.h"

namespace blockdot::formats {

/// `steps` steps of the LFSR at once. A step is linear over GF(2), so any power of it is a matrix,
/// kept as the images of the unit vectors.
class LfsrJump {
 public:
  explicit LfsrJump(std::uint64_t steps, const LfsrSpec& spec = {})
      : images_(static_cast<size_t>(spec.width)) {
    for (size_t i = 0; i < images_.size(); ++i) images_[i] = std::uint64_t{1} << i;
    std::vector<std::uint64_t> power = images_;  // of one step, then squared again and again
    for (std::uint64_t& image : power) {
      Lfsr stream(image, spec);
      stream.step();
      image = stream.state();
    }
    for (; steps != 0; steps >>= 1) {
      if (steps & 1)
        for (std::uint64_t& image : images_) image = apply(power, image);
      std::vector<std::uint64_t> square = power;
      for (std::uint64_t& image : square) image = apply(power, image);
      power = std::move(square);
    }
  }

  std::uint64_t operator()(std::uint64_t state) const { return apply(images_, state); }

 private:
  static std::uint64_t apply(const std::vector<std::uint64_t>& images, std::uint64_t state) {
    std::uint64_t result = 0;
    for (size_t i = 0; i < images.size(); ++i) result ^= images[i] & (0u - ((state >> i) & 1));
    return result;
  }

  std::vector<std::uint64_t> images_;
};

/// Where each of `count` streams starts so that none enters another's within `distance` steps:
/// stream i at the spec's seed, `distance` * i steps on, with distance = floor(period / count).
struct LfsrStreams {
  std::uint64_t distance = 0;
  std::vector<std::uint64_t> states;
};
/// ConfigError as of validate_draws, for one draw of `bits` bits of each.
LfsrStreams lfsr_streams(const LfsrSpec& spec, std::uint64_t count, int bits);

/// Width of the narrowest register, from 4 bits on, from which `count` draws of `bits` bits share
/// none: it has a draw's bits, and as many states as all draws step through.
int narrowest_lfsr(std::uint64_t count, int bits);
/// ConfigError that offers that width where the register is narrower; `of` names what draws in the
/// plural: lanes, streams.
void validate_draws(const LfsrSpec& spec, std::uint64_t count, int bits, std::string_view of);

}  // namespace blockdot::formats
