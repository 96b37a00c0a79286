#include "formats/rounding.h"

#include <utility>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

namespace {
constexpr std::pair<std::string_view, SrVariant> kVariants[] = {
    {"sr", SrVariant::kSrff}, {"srf", SrVariant::kSrf}, {"src", SrVariant::kSrc}};
}  // namespace

Rounding parse_rounding(std::string_view text) {
  std::string lower = to_lower(text);
  if (lower == "rne") return {RoundingMode::kRne, 0};
  if (lower == "rna") return {RoundingMode::kRna, 0};
  if (lower == "rtz") return {RoundingMode::kRtz, 0};
  for (auto [name, variant] : kVariants) {
    if (!lower.starts_with(name) || lower.substr(name.size(), 1) != ":") continue;
    Rounding rounding = stochastic_rounding(static_cast<int>(parse_int(
        fmt::format("rounding {} random bits", name), lower.substr(name.size() + 1), 1, 32)));
    rounding.variant = variant;
    return rounding;
  }
  throw ConfigError(
      "rounding = {}: must be rne, rna, rtz or sr:R (srf:R, src:R) with R random bits in [1, 32]",
      shown(text));
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
      for (auto [name, variant] : kVariants)
        if (variant == rounding.variant) return fmt::format("{}:{}", name, rounding.random_bits);
      break;
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
      // tail < 2^tail_bits and r <= 32: where the shift is to the left, tail_bits <= r.
      auto truncated = [&](int bits) {
        return tail_bits >= bits ? tail >> (tail_bits - bits) : tail << (bits - tail_bits);
      };
      std::uint64_t all = std::uint64_t{1} << r;
      switch (rounding.variant) {
        case SrVariant::kSrff:
          return kept + (truncated(r) + random >= all);
        case SrVariant::kSrf:
          return kept + (truncated(r + 1) + 2 * std::uint64_t{random} + 1 >= 2 * all);
        case SrVariant::kSrc: {
          std::uint64_t nearest = truncated(r);
          if (tail_bits > r) {
            int below = tail_bits - r;
            nearest = round_tail(nearest, tail & ((std::uint64_t{1} << below) - 1), below, {}, 0);
          }
          return kept + (nearest + random >= all);
        }
      }
      break;
    }
  }
  BLOCKDOT_CHECK(false, "rounding mode");
}

}  // namespace blockdot::formats
