// The random stream of a GEMM: where each result's draws start, and the draws of many results.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/lfsr.h"
#include "models/gemm.h"
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

/// Which random bits each result of a product takes.
class RandomStreams {
 public:
  /// One unit that takes the results row by row, its register in the state `seed`.
  static RandomStreams of_unit(const formats::DotSpec& spec, std::int64_t m, std::int64_t n,
                               std::int64_t k, std::uint64_t seed, int threads);
  static RandomStreams of_array(const formats::DotSpec& spec, const ArrayTiles& tiles,
                                std::int64_t m, std::int64_t n, std::int64_t k);

  /// State of the register before the first draw of result (i, j); 1 where the spec draws nothing
  /// and outside of the product.
  std::uint64_t first(std::int64_t i, std::int64_t j) const {
    if (first_.empty() || i >= m_ || j >= n_) return 1;
    return first_[static_cast<std::size_t>(i * n_ + j)];
  }
  /// Its stream at beat t, if `lfsr` is what the beat before has left (or first(i, j)).
  void enter(std::int64_t i, std::int64_t j, std::int64_t t, formats::Lfsr& lfsr) const;

  /// For a beat's rounding: states of the rows [i0, i0 + rows) and columns [j0, j0 + cols), and
  /// then their draws beat after beat, [beats][rows][cols]. rows * cols as Draws takes it.
  void begin(std::int64_t i0, int rows, std::int64_t j0, int cols, std::uint64_t* states) const;
  void draw(std::int64_t i0, int rows, std::int64_t j0, int cols, std::int64_t t,
            std::int64_t beats, std::uint64_t* states, std::uint32_t* out) const;

 private:
  RandomStreams(const formats::DotSpec& spec, std::int64_t m, std::int64_t n);
  void fill_parts(const ArrayTiles& tiles, std::vector<std::uint64_t> streams);
  void fill_first(const ArrayTiles& tiles, std::vector<std::uint64_t> streams);
  std::uint64_t part(std::int64_t i, std::int64_t j, std::int64_t t) const {
    if (i >= m_ || j >= n_) return 1;
    return parts_[static_cast<std::size_t>((i / height_ * beats_ + t) * n_ + j)];
  }

  formats::LfsrSpec lfsr_;
  std::int64_t m_, n_, beats_ = 0;
  int bits_;                          // of a draw
  std::vector<std::uint64_t> first_;  // [m][n]
  std::optional<Draws> draws_;        // where every beat draws
  // Weight-stationary arrays that draw every beat: each beat of a tile's column has a part of a
  // stream, from which its rows draw one after the other.
  std::int64_t height_ = 1;
  std::vector<std::uint64_t> parts_;    // [tile row][beat][n], at the tile's first row
  std::vector<ByteJump> rows_further_;  // by so many rows
};

}  // namespace blockdot::models
