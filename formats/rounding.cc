#include "formats/rounding.h"

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

Rounding parse_rounding(std::string_view text) {
  std::string lower = to_lower(text);
  if (lower == "rne") return {RoundingMode::kRne, 0};
  if (lower == "rna") return {RoundingMode::kRna, 0};
  if (lower == "rtz") return {RoundingMode::kRtz, 0};
  if (lower.starts_with("sr:"))
    return stochastic_rounding(
        static_cast<int>(parse_int("rounding sr random bits", lower.substr(3), 1, 32)));
  throw ConfigError("rounding = {}: must be rne, rna, rtz or sr:R with R random bits in [1, 32]",
                    text);
}

std::string to_text(const Rounding& rounding) {
  switch (rounding.mode) {
    case RoundingMode::kRne:
      return "rne";
    case RoundingMode::kRna:
      return "rna";
    case RoundingMode::kRtz:
      return "rtz";
    case RoundingMode::kStochastic:
      return fmt::format("sr:{}", rounding.random_bits);
  }
  BLOCKDOT_CHECK(false, "rounding mode");
}

std::uint64_t round_tail(std::uint64_t kept, std::uint64_t tail, int tail_bits,
                         const Rounding& rounding, std::uint32_t random) {
  if (tail == 0) return kept;
  std::uint64_t half = std::uint64_t{1} << (tail_bits - 1);
  switch (rounding.mode) {
    case RoundingMode::kRne:
      return kept + (tail > half || (tail == half && kept % 2 == 1));
    case RoundingMode::kRna:
      return kept + (tail >= half);
    case RoundingMode::kRtz:
      return kept;
    case RoundingMode::kStochastic: {
      int r = rounding.random_bits;
      // tail < 2^tail_bits and r <= 32: where the shift is to the left, tail_bits < r.
      std::uint64_t truncated = tail_bits >= r ? tail >> (tail_bits - r) : tail << (r - tail_bits);
      return kept + (truncated + random >= (std::uint64_t{1} << r));
    }
  }
  BLOCKDOT_CHECK(false, "rounding mode");
}

}  // namespace blockdot::formats
