#include "models/gemm_draws.h"

#include <algorithm>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::LfsrSpec;

ByteJump::ByteJump(std::uint64_t steps, const LfsrSpec& lfsr)
    : bytes_(static_cast<size_t>(lfsr.width + 7) / 8) {
  const formats::LfsrJump jump(steps, lfsr);
  for (size_t byte = 0; byte < bytes_; ++byte)
    for (std::uint64_t value = 0; value < 256; ++value)
      image_[byte][value] = jump(value << (8 * byte) & lfsr.mask());
}

Draws::Draws(const LfsrSpec& lfsr, int bits)
    : bits_(bits),
      mask_(static_cast<std::uint32_t>((std::uint64_t{1} << bits) - 1)),
      default_(lfsr.kind == formats::LfsrKind::kGalois && lfsr.width == 32),
      jump_(static_cast<std::uint64_t>(bits), lfsr) {
  matrices_.bits = bits;
  matrices_.bytes = lfsr.width <= 32 ? 4 : 8;
  for (int power = 0; power < DrawMatrices::kPowers; ++power) {
    const formats::LfsrJump jump(static_cast<std::uint64_t>((power + 1) * bits), lfsr);
    for (int from = 0; from < lfsr.width; ++from) {
      const std::uint64_t image = jump(std::uint64_t{1} << from);
      for (int to = 0; to < lfsr.width; ++to)
        if ((image >> to & 1) != 0)
          matrices_.power[power][to / 8][from / 8] |= std::uint64_t{1}
                                                      << (8 * (7 - to % 8) + from % 8);
    }
  }
}

void Draws::operator()(std::uint64_t* states, int count, std::int64_t chunks,
                       std::uint32_t* draws) const {
  BLOCKDOT_CHECK(count <= kMost && count % 64 == 0, "{} streams", count);
  if (has_bit_matrices()) return fill_draws(matrices_, states, count, chunks, draws);
  if (default_) {
    std::uint32_t narrow[kMost];
    std::copy(states, states + count, narrow);
    fill_draws(narrow, count, chunks, bits_, draws);
    std::copy(narrow, narrow + count, states);
    return;
  }
  for (std::int64_t c = 0; c < chunks; ++c)
    for (int i = 0; i < count; ++i) {
      draws[c * count + i] = static_cast<std::uint32_t>(states[i]) & mask_;
      states[i] = jump_(states[i]);
    }
}

RandomStreams::RandomStreams(const formats::DotSpec& spec, std::int64_t m, std::int64_t n)
    : lfsr_(spec.lfsr), m_(m), n_(n), bits_(formats::drawn_rounding(spec).random_bits) {
  if (formats::draws_each_beat(spec)) draws_.emplace(lfsr_, bits_);
}

RandomStreams RandomStreams::of_unit(const formats::DotSpec& spec, std::int64_t m, std::int64_t n,
                                     std::int64_t k, std::uint64_t seed, int threads) {
  RandomStreams streams(spec, m, n);
  const std::int64_t draws = formats::draws_each_beat(spec) ? beats_for(spec, k) : 1;
  const auto steps = static_cast<std::uint64_t>(draws * streams.bits_);
  if (steps == 0 || m == 0 || n == 0) return streams;
  const ByteJump result_jump(steps, spec.lfsr);
  const ByteJump row_jump(steps * static_cast<std::uint64_t>(n), spec.lfsr);
  std::vector<std::uint64_t>& states = streams.first_;
  states.resize(static_cast<size_t>(m * n));
  std::uint64_t state = formats::Lfsr(seed, spec.lfsr).state();
  for (std::int64_t i = 0; i < m; ++i) {
    states[static_cast<size_t>(i * n)] = state;
    state = row_jump(state);
  }
  parallel_ranges(m, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t j = 1; j < n; ++j) {
        const auto at = static_cast<size_t>(i * n + j);
        states[at] = result_jump(states[at - 1]);
      }
  });
  return streams;
}

RandomStreams RandomStreams::of_array(const formats::DotSpec& spec, const ArrayTiles& tiles,
                                      std::int64_t m, std::int64_t n, std::int64_t k) {
  RandomStreams streams(spec, m, n);
  if (streams.bits_ == 0 || m == 0 || n == 0) return streams;
  streams.beats_ = beats_for(spec, k);
  const ArrayShape& shape = tiles.shape;
  const bool by_column = shape.weight_stationary && !streams.draws_;
  const auto count = static_cast<std::uint64_t>(by_column ? 1 : shape.rows) *
                     static_cast<std::uint64_t>(shape.cols);
  std::vector<std::uint64_t> states = formats::lfsr_streams(spec.lfsr, count, streams.bits_).states;
  if (shape.weight_stationary && streams.draws_)
    streams.fill_parts(tiles, std::move(states));
  else
    streams.fill_first(tiles, std::move(states));
  return streams;
}

/// Every tile takes the same from a stream of an output-stationary array; in a weight-stationary
/// one every row does.
void RandomStreams::fill_first(const ArrayTiles& tiles, std::vector<std::uint64_t> streams) {
  const ArrayShape& shape = tiles.shape;
  const std::int64_t height = shape.weight_stationary ? 1 : tiles.height;
  const ByteJump jump(static_cast<std::uint64_t>((draws_ ? beats_ : 1) * bits_), lfsr_);
  first_.resize(static_cast<size_t>(m_ * n_));
  for (std::int64_t i0 = 0; i0 < m_; i0 += tiles.height)
    for (std::int64_t j0 = 0; j0 < n_; j0 += shape.cols)
      for (std::int64_t i = i0; i < std::min(i0 + tiles.height, m_); i += height)
        for (std::int64_t r = 0; r < height; ++r)
          for (std::int64_t c = 0; c < shape.cols; ++c) {
            std::uint64_t& state = streams[static_cast<size_t>(r * shape.cols + c)];
            if (i + r < m_ && j0 + c < n_)
              first_[static_cast<size_t>((i + r) * n_ + j0 + c)] = state;
            state = jump(state);
          }
}

/// Beat t is rounded in row t mod R of the array, in a pass that takes a draw for each row of the
/// tile.
void RandomStreams::fill_parts(const ArrayTiles& tiles, std::vector<std::uint64_t> streams) {
  const std::int64_t R = tiles.shape.rows, C = tiles.shape.cols;
  height_ = tiles.height;
  const auto pass = [&](std::int64_t rows) {
    return ByteJump(static_cast<std::uint64_t>(rows * bits_), lfsr_);
  };
  const std::int64_t down = (m_ + height_ - 1) / height_;
  const ByteJump whole = pass(height_), rest = pass(m_ - (down - 1) * height_);
  parts_.resize(static_cast<size_t>(down * beats_ * n_));
  for (std::int64_t tile_row = 0; tile_row < down; ++tile_row) {
    const ByteJump& jump = tile_row + 1 < down ? whole : rest;
    for (std::int64_t j0 = 0; j0 < n_; j0 += C)
      for (std::int64_t t = 0; t < beats_; ++t)
        for (std::int64_t c = 0; c < C; ++c) {
          std::uint64_t& state = streams[static_cast<size_t>(t % R * C + c)];
          if (j0 + c < n_)
            parts_[static_cast<size_t>((tile_row * beats_ + t) * n_ + j0 + c)] = state;
          state = jump(state);
        }
  }
  for (std::int64_t row = 0; row < std::min(height_, m_); ++row) rows_further_.push_back(pass(row));
}

void RandomStreams::enter(std::int64_t i, std::int64_t j, std::int64_t t,
                          formats::Lfsr& lfsr) const {
  if (parts_.empty()) return;
  lfsr = formats::Lfsr(rows_further_[static_cast<size_t>(i % height_)](part(i, j, t)), lfsr_);
}

void RandomStreams::begin(std::int64_t i0, int rows, std::int64_t j0, int cols,
                          std::uint64_t* states) const {
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < cols; ++c) states[r * cols + c] = first(i0 + r, j0 + c);
}

void RandomStreams::draw(std::int64_t i0, int rows, std::int64_t j0, int cols, std::int64_t t,
                         std::int64_t beats, std::uint64_t* states, std::uint32_t* out) const {
  if (parts_.empty()) return (*draws_)(states, rows * cols, beats, out);
  const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << bits_) - 1);
  for (std::int64_t beat = t; beat < t + beats; ++beat)
    for (int r = 0; r < rows; ++r) {
      const ByteJump& further =
          rows_further_[static_cast<size_t>((i0 + r) % height_) % rows_further_.size()];
      for (int c = 0; c < cols; ++c)
        *out++ = static_cast<std::uint32_t>(further(part(i0 + r, j0 + c, beat))) & mask;
    }
}

}  // namespace blockdot::models
