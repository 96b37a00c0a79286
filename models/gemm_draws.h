// The random stream of a GEMM: where each result's draws start, and the draws of many results.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/lfsr.h"
#include "models/vector_kernels.h"

namespace blockdot::models {

/// An LfsrJump by tables of a byte each: for many jumps by the same way.
class ByteJump {
 public:
  ByteJump(std::uint64_t steps, const formats::LfsrSpec& lfsr);
  std::uint64_t operator()(std::uint64_t state) const {
    std::uint64_t image = 0;
    for (size_t byte = 0; byte < bytes_; ++byte) image ^= image_[byte][state >> (8 * byte) & 255];
    return image;
  }

 private:
  size_t bytes_;  // of a state
  std::array<std::array<std::uint64_t, 256>, 8> image_;
};

/// State of the register before each result's first draw, [m][n], in the order of results; empty
/// where the spec draws nothing.
std::vector<std::uint64_t> random_states(const formats::DotSpec& spec, std::int64_t m,
                                         std::int64_t n, std::int64_t k, std::uint64_t seed,
                                         int threads);

/// Draws of `bits` bits each from streams of one register.
class Draws {
 public:
  Draws(const formats::LfsrSpec& lfsr, int bits);
  /// draws[chunk][i] for `count` results (a multiple of 64, at most kMost) whose streams are in
  /// these states; the states move on.
  void operator()(std::uint64_t* states, int count, std::int64_t chunks,
                  std::uint32_t* draws) const;
  static constexpr int kMost = 512;

 private:
  int bits_;
  std::uint32_t mask_;
  bool default_;  // galois:32
  DrawMatrices matrices_;
  ByteJump jump_;
};

}  // namespace blockdot::models
