#include "formats/lfsr.h"

#include <algorithm>
#include <array>

#include "formats/lfsr_jump.h"
#include "formats/text.h"

namespace blockdot::formats {
namespace {

constexpr int kLeastWidth = 4, kMostWidth = 64;

// P. Alfke, XAPP052, table 3: taps of maximal-length registers of 4 to 64 bits.
const std::array<std::vector<int>, kMostWidth - kLeastWidth + 1> kExponents = {{
    {4, 3},           {5, 3},
    {6, 5},           {7, 6},
    {8, 6, 5, 4},     {9, 5},
    {10, 7},          {11, 9},
    {12, 6, 4, 1},    {13, 4, 3, 1},
    {14, 5, 3, 1},    {15, 14},
    {16, 15, 13, 4},  {17, 14},
    {18, 11},         {19, 6, 2, 1},
    {20, 17},         {21, 19},
    {22, 21},         {23, 18},
    {24, 23, 22, 17}, {25, 22},
    {26, 6, 2, 1},    {27, 5, 2, 1},
    {28, 25},         {29, 27},
    {30, 6, 4, 1},    {31, 28},
    {32, 22, 2, 1},   {33, 20},
    {34, 27, 2, 1},   {35, 33},
    {36, 25},         {37, 5, 4, 3, 2, 1},
    {38, 6, 5, 1},    {39, 35},
    {40, 38, 21, 19}, {41, 38},
    {42, 41, 20, 19}, {43, 42, 38, 37},
    {44, 43, 18, 17}, {45, 44, 42, 41},
    {46, 45, 26, 25}, {47, 42},
    {48, 47, 21, 20}, {49, 40},
    {50, 49, 24, 23}, {51, 50, 36, 35},
    {52, 49},         {53, 52, 38, 37},
    {54, 53, 18, 17}, {55, 31},
    {56, 55, 35, 34}, {57, 50},
    {58, 39},         {59, 58, 38, 37},
    {60, 59},         {61, 60, 46, 45},
    {62, 61, 6, 5},   {63, 62},
    {64, 63, 61, 60},
}};

void check_width(int width) {
  if (width < kLeastWidth || width > kMostWidth)
    throw ConfigError("lfsr width = {}: must be in [{}, {}]", width, kLeastWidth, kMostWidth);
}

}  // namespace

const std::vector<int>& lfsr_exponents(int width) {
  check_width(width);
  return kExponents[static_cast<size_t>(width - kLeastWidth)];
}

std::uint64_t lfsr_taps(const LfsrSpec& spec) {
  const bool galois = spec.kind == LfsrKind::kGalois;
  std::uint64_t taps = galois ? 0 : 1;
  for (int e : lfsr_exponents(spec.width)) {
    if (galois)
      taps |= std::uint64_t{1} << (e - 1);
    else if (e < spec.width)
      taps |= std::uint64_t{1} << e;
  }
  return taps;
}

void validate(const LfsrSpec& spec) {
  check_width(spec.width);
  if (spec.seed == 0 || spec.seed > spec.mask())
    throw ConfigError("lfsr seed = {}: must be in [1, {}], a state of {} bits that is not zero",
                      spec.seed, spec.mask(), spec.width);
}

LfsrSpec parse_lfsr(std::string_view text) {
  std::vector<std::string> parts = split(to_lower(text), ':');
  LfsrSpec spec;
  if (parts.size() > 1 && parts.back() == "no-port") {
    spec.port = false;
    parts.pop_back();
  }
  if (parts[0] == "fibonacci")
    spec.kind = LfsrKind::kFibonacci;
  else if (parts[0] != "galois" || parts.size() > 3)
    throw ConfigError(
        "lfsr = {}: must be galois:N or fibonacci:N with N in [4, 64], then :SEED and :no-port{}",
        shown(text), did_you_mean(parts[0], {"galois", "fibonacci"}));
  if (parts.size() > 1)
    spec.width = static_cast<int>(parse_int("lfsr width", parts[1], kLeastWidth, kMostWidth));
  if (parts.size() > 2) {
    try {
      size_t used = 0;
      spec.seed = std::stoull(parts[2], &used, 0);
      if (used != parts[2].size() || parts[2][0] == '-') throw std::invalid_argument(parts[2]);
    } catch (const std::exception&) {
      throw ConfigError("lfsr seed = {}: must be a whole number, or hexadecimal as in 0x1234",
                        shown(parts[2]));
    }
  }
  validate(spec);
  return spec;
}

std::string to_text(const LfsrSpec& spec) {
  std::string text =
      fmt::format("{}:{}", spec.kind == LfsrKind::kGalois ? "galois" : "fibonacci", spec.width);
  if (spec.seed != LfsrSpec{}.seed) text += fmt::format(":{}", spec.seed);
  if (!spec.port) text += ":no-port";
  return text;
}

int narrowest_lfsr(std::uint64_t count, int bits) {
  // The states that are not zero are as many as the draws' steps: 2^n - 1 >= count * bits.
  const int states = std::bit_width(count * static_cast<std::uint64_t>(bits));
  return std::max({kLeastWidth, bits, states});
}

void validate_draws(const LfsrSpec& spec, std::uint64_t count, int bits, std::string_view of) {
  LfsrSpec fits = spec;
  fits.width = narrowest_lfsr(count, bits);
  if (spec.width >= fits.width) return;
  if (spec.width < bits)
    throw ConfigError("lfsr = {}: has fewer bits than a draw of {}; take lfsr = {} or wider",
                      to_text(spec), bits, to_text(fits));
  throw ConfigError(
      "lfsr = {}: {} {} that draw {} bits each would share some: it has {} states; take lfsr = {} "
      "or wider",
      to_text(spec), count, of, bits, spec.mask(), to_text(fits));
}

LfsrStreams lfsr_streams(const LfsrSpec& spec, std::uint64_t count, int bits) {
  validate_draws(spec, count, bits, "streams");
  LfsrStreams streams{spec.mask() / count, {}};
  const LfsrJump jump(streams.distance, spec);
  std::uint64_t state = spec.seed;
  for (std::uint64_t i = 0; i < count; ++i, state = jump(state)) streams.states.push_back(state);
  return streams;
}

}  // namespace blockdot::formats
