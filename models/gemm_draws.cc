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

std::vector<std::uint64_t> random_states(const formats::DotSpec& spec, std::int64_t m,
                                         std::int64_t n, std::int64_t k, std::uint64_t seed,
                                         int threads) {
  const std::int64_t draws = formats::draws_each_beat(spec) ? beats_for(spec, k) : 1;
  const auto steps = static_cast<std::uint64_t>(draws * formats::drawn_rounding(spec).random_bits);
  if (steps == 0 || m == 0 || n == 0) return {};
  const ByteJump result_jump(steps, spec.lfsr);
  const ByteJump row_jump(steps * static_cast<std::uint64_t>(n), spec.lfsr);
  std::vector<std::uint64_t> states(static_cast<size_t>(m * n));
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
  return states;
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

}  // namespace blockdot::models
