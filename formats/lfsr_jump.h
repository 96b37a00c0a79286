// Jumps along the random stream, so that results can be computed in any order.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/lfsr.h"

namespace blockdot::formats {

/// `steps` steps of the LFSR at once. A step is linear over GF(2), so any power of it is a matrix,
/// kept as the images of the unit vectors.
class LfsrJump {
 public:
  explicit LfsrJump(std::uint64_t steps) : images_(identity()) {
    std::vector<std::uint32_t> power = identity();  // of one step, then squared again and again
    for (std::uint32_t& image : power) {
      Lfsr stream(image);
      stream.step();
      image = static_cast<std::uint32_t>(stream.state());
    }
    for (; steps != 0; steps >>= 1) {
      if (steps & 1)
        for (std::uint32_t& image : images_) image = apply(power, image);
      std::vector<std::uint32_t> square = power;
      for (std::uint32_t& image : square) image = apply(power, image);
      power = std::move(square);
    }
  }

  std::uint32_t operator()(std::uint32_t state) const { return apply(images_, state); }

 private:
  static_assert(kLfsrWidth == 32);

  static std::vector<std::uint32_t> identity() {
    std::vector<std::uint32_t> images(32);
    for (size_t i = 0; i < images.size(); ++i) images[i] = std::uint32_t{1} << i;
    return images;
  }

  static std::uint32_t apply(const std::vector<std::uint32_t>& images, std::uint32_t state) {
    std::uint32_t result = 0;
    for (size_t i = 0; i < images.size(); ++i) result ^= images[i] & (0u - ((state >> i) & 1));
    return result;
  }

  std::vector<std::uint32_t> images_;
};

}  // namespace blockdot::formats
