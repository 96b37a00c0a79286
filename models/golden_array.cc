#include "models/golden_array.h"

#include "formats/error.h"
#include "formats/lfsr_jump.h"

namespace blockdot::models {

using formats::Lfsr;

GoldenArray::GoldenArray(const formats::DotSpec& spec, const ArrayShape& shape,
                         std::vector<std::uint64_t> seeds)
    : spec_(spec),
      shape_(shape),
      bits_(formats::drawn_rounding(spec).random_bits),
      by_beat_(formats::draws_each_beat(spec)),
      unit_(spec) {
  const bool by_column = shape.weight_stationary && !by_beat_;
  const auto count = static_cast<std::uint64_t>(by_column ? 1 : shape.rows) *
                     static_cast<std::uint64_t>(shape.cols);
  if (seeds.empty() && bits_ > 0) seeds = formats::lfsr_streams(spec.lfsr, count, bits_).states;
  BLOCKDOT_CHECK(bits_ == 0 || seeds.size() == count, "{} seeds", seeds.size());
  for (std::uint64_t seed : seeds) streams_.emplace_back(seed, spec.lfsr);
}

void GoldenArray::begin(const Tile& tile) {
  parts_.clear();
  const std::int64_t R = shape_.rows;
  for (std::int64_t first = 0; first < tile.beats; first += R) {
    // A stream has drawn for all rows of the passes before.
    const auto draws = static_cast<std::uint64_t>(first / R * tile.rows * bits_);
    const formats::LfsrJump jump(draws, spec_.lfsr);
    for (std::int64_t t = first; t < std::min(first + R, tile.beats); ++t)
      for (std::int64_t c = 0; c < shape_.cols; ++c)
        parts_.emplace_back(jump(streams_[stream_of(t % R, c)].state()), spec_.lfsr);
  }
}

void GoldenArray::end(const Tile& tile) {
  // The last pass of a stream leaves it where the next tile begins.
  for (std::int64_t t = 0; t < tile.beats; ++t)
    for (std::int64_t c = 0; c < shape_.cols; ++c)
      streams_[stream_of(t % shape_.rows, c)] = parts_[stream_of(t, c)];
}

std::vector<std::uint32_t> GoldenArray::compute(const Tile& tile, std::int64_t count,
                                                const BeatAt& at) {
  const bool ws = shape_.weight_stationary, parted = ws && by_beat_ && bits_ > 0;
  BLOCKDOT_CHECK(count >= 1 && done_ + count <= tile.rows && (ws || count == tile.rows),
                 "{} rows after {} of {}", count, done_, tile.rows);
  if (parted && done_ == 0) begin(tile);
  Lfsr none;
  const auto stream = [&](std::int64_t row, std::int64_t col, std::int64_t beat) -> Lfsr& {
    if (bits_ == 0) return none;
    if (parted) return parts_[stream_of(beat, col)];
    return streams_[stream_of(ws ? 0 : row, col)];
  };
  std::vector<std::uint32_t> codes;
  for (std::int64_t i = 0; i < (ws ? count : shape_.rows); ++i)
    for (std::int64_t c = 0; c < shape_.cols; ++c) {
      const bool inside = i < count && c < tile.cols;
      for (std::int64_t t = 0; t < tile.beats; ++t) {
        const bool last = t + 1 == tile.beats;
        Lfsr& random = stream(i, c, t);
        if (!inside) {
          if (bits_ > 0 && (by_beat_ || last)) random.draw(bits_);
          continue;
        }
        Beat beat = at(done_ + i, c, t);
        beat.first = t == 0;
        beat.last = last;
        if (const auto code = unit_.step(beat, random)) codes.push_back(*code);
      }
    }
  done_ += count;
  if (done_ == tile.rows) {
    if (parted) end(tile);
    done_ = 0;
  }
  return codes;
}

}  // namespace blockdot::models
