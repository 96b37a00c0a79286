// The inner loops of the vector way (Google Highway): sums of products, six rows against a panel of
// columns at once, then one step of the accumulator a chunk. Every target gives the same bits,
// since every operation is exact, or the one rounding of the definition, or bounded (kChecked).
#pragma once

#include <cstdint>

namespace blockdot::models {

/// What the products are made of. A word of the packed operands is four bytes, two halves or one
/// double of consecutive k; of digits two halves of the high digits and, apart, two of the low
/// ones.
enum class Source { kBytes, kHalves, kDigits, kDoubles };

inline constexpr int kVectorRows = 6;
constexpr int vector_cols(Source source) {
  return source == Source::kDoubles || source == Source::kDigits ? 32 : 64;
}
constexpr int products_in_word(Source source) {
  return source == Source::kBytes ? 4 : source == Source::kDoubles ? 1 : 2;
}
/// Of a word of the columns.
constexpr int word_bytes(Source source) {
  return source == Source::kDoubles || source == Source::kDigits ? 8 : 4;
}

/// kDigits: an element x of a row is 2^kRowDigit * high + low, one of a column
/// 2^kColumnDigit * high + low; where all fit a half, high is x.
inline constexpr int kRowDigit = 3;
inline constexpr int kColumnDigit = 9;
inline constexpr int kMostVectorCols = 64;

/// How a beat value T = S * row_scale * column_scale joins the accumulator.
enum class StepKind {
  kAdd,          // acc + T, in binary64
  kShift,        // total + T in units of 2^lowest, which int32 holds; of kBytes and kHalves
  kFma32,        // RNE_binary32(acc + T) in binary32; |S| <= 2^24; of kBytes and kHalves
  kNearest32,    // the same by binary64
  kNearestEven,  // a float accumulator of any format, by its rounding
  kNearestAway,
  kTowardsZero,
  kStochastic,         // SRFF and SRF
  kStochasticNearest,  // SRC
  kSaturate,           // Kulisch windows
  kWrap,
};

/// What is known of T and of acc + T.
enum class Certainty {
  kSingle,   // binary32 holds T, and 24 bits what the rounding needs of the sum; below 2^100. For
             // the steps and formats of has_single_step
  kExact,    // binary64 holds both
  kOdd,      // it holds T. The sum is rounded to odd, which a later rounding does not see; kAdd has
             // a second accumulator for the rests
  kMixed,    // T is as kOdd where row_span + column_span <= span_limit, else as kChecked
  kChecked,  // T is known up to row_error * column_error. Where that could change the rounding,
             // `doubt` is set. kAdd: as kExact, and the caller bounds the error
};

/// The format of an accumulator as a step needs it.
struct StepFormat {
  // Float: a value is n units, a unit the power of two at or below it (but at least least_normal)
  // times 2^-man_bits.
  double to_units = 0;    // 2^man_bits
  double from_units = 0;  // 2^-man_bits
  double least_normal = 0;
  double most = 0;      // largest finite value
  double overflow = 0;  // what lies above becomes this
  // Rounds up when floor(or nearest)(fraction * random_range) + random_factor * draw +
  // random_offset >= random_range.
  double random_range = 0, random_factor = 0, random_offset = 0;
  // Window: acc is in units of the lowest bit.
  double to_lowest = 0;            // T in those units
  double half = 0;                 // 2^(width - 1)
  double span = 0, from_span = 0;  // 2^width and its inverse
  bool sticky = false;             // `rest` becomes 1 where T lost a bit that is not zero
};

/// A panel of rows against a panel of columns.
///
///   rows      [chunk][word][kVectorRows]   signed
///   columns   [chunk][word][cols]          bytes: unsigned, biased by 128; else signed
///             digits: [chunk][high, low][word][kVectorRows] and [chunk][word][high, low][cols];
///             S is the sum of row * column / 2^kRowDigit where rows are split
///   start     [chunk][kVectorRows]         bytes: what a sum starts from; takes the bias back
///   row_scale [chunk][kVectorRows], column_scale [chunk][cols]; spans and errors alike
///   draws     [chunk][kVectorRows][cols]   stochastic steps: random bits
///   acc       [kVectorRows][cols]          goes on from what it holds; the others alike
struct VectorTile {
  const void* rows;
  const void* columns;
  const std::int32_t* start;
  const std::uint8_t* row_low = nullptr;  // digits: [chunk]: some low digit of the rows is not zero
  bool column_low = false;                // digits: columns are split
  const double* row_scale;
  const double* column_scale;
  const std::int32_t* row_exponent;     // kFma32, kShift and kSingle: the scales as powers of two,
  const std::int32_t* column_exponent;  // where S is zero any that binary32 has
  int lowest = 0;                       // kShift: at or below every product of scales
  const double* row_span = nullptr;
  const double* column_span = nullptr;
  double span_limit = 0;
  const double* row_error = nullptr;
  const double* column_error = nullptr;
  const std::uint32_t* draws = nullptr;
  std::int64_t chunks;
  int words;
  StepFormat format;
  double* acc;
  float* acc32;         // kFma32: this instead of acc
  std::int32_t* total;  // kShift: the same
  double* rest;         // kAdd, kOdd and kMixed: acc + rest is the sum; windows: see `sticky`
  double* doubt;        // kMixed and kChecked: becomes 1; kAdd, kMixed: bound of the sum's error
};

/// The processor chooses the rounding of an instruction, and the step to a format of `man_bits`,
/// whose least number is 2^lowest, has a kSingle; `random_bits` of a draw.
bool has_single_step(StepKind step, int man_bits, int lowest, int random_bits);

/// kFma32 and kShift take no certainty.
void vector_tile(Source source, StepKind step, Certainty certainty, const VectorTile& tile);

/// The processor multiplies bytes four at a time.
bool has_fast_bytes();

inline constexpr int kAlignedCols = 32;
inline constexpr int kNoExponent = -12000;  // of a zero

/// The aligned accumulator (dot_spec.h): elements and their exponents, [beat][lane][kVectorRows] a
/// row's, each exponent twice in a word, and [beat][lane][kAlignedCols] a column's; scales as
/// significand * 2^exponent, [beat][...]; acc and draws as in VectorTile, acc from 0 on.
struct AlignedTile {
  const void* rows;  // float or double
  const void* columns;
  const std::int32_t* row_exponents;
  const std::int16_t* column_exponents;
  const void* row_scale;
  const void* column_scale;
  const std::int32_t* row_scale_exponent;
  const std::int32_t* column_scale_exponent;
  const std::uint32_t* draws;
  std::int64_t beats;
  int lanes;
  int fraction_bits;
  int least_exponent;  // of the accumulator's normal numbers
  StepFormat format;
  double* acc;
};

/// `step` is one of kNearest32 .. kStochasticNearest. `narrow`: products in binary32, which holds
/// them, and their cut sums in int32; else both in binary64.
void aligned_tile(bool narrow, StepKind step, const AlignedTile& tile);

/// The codes of an output format with at least one mantissa bit, or another rounding than RNE.
struct OutputFormat {
  StepFormat step;
  StepKind rounding = StepKind::kNearestEven;  // of kNearestEven .. kStochasticNearest
  int man_bits = 0;
  int least_exponent = 0;  // of binary64: the field of the least normal
  std::uint32_t overflow = 0, inf = 0, nan = 0;
  std::uint32_t sign = 0;  // NaN takes none
  bool negative_zero = true;
};

/// The codes that `count` values (a multiple of 16) round to, with these random bits.
void encode_values(const OutputFormat& format, const double* x, const std::uint32_t* draws,
                   int count, std::uint32_t* codes);

/// out[i] = table[codes[i] & mask], mask < 64.
void look_up(const std::uint8_t* codes, std::int64_t count, std::uint8_t mask,
             const std::int8_t* table, std::int8_t* out);
void look_up(const std::uint8_t* codes, std::int64_t count, std::uint8_t mask,
             const std::int16_t* table, std::int16_t* out);

/// Powers of a register's step over `bits` bits, as bit matrices of bytes: power[p] is p + 1 draws
/// on; [p][to][from] takes byte `from` of a state to its part of byte `to`, bit i of which is the
/// parity of the byte with bits 8 (7 - i) .. of the word.
struct DrawMatrices {
  static constexpr int kPowers = 8;
  int bits = 0;   // of a draw
  int bytes = 0;  // of a state: 4 or 8
  std::uint64_t power[kPowers][8][8] = {};
};

/// The processor multiplies bytes by bit matrices.
bool has_bit_matrices();

/// draws[chunk][i] for `count` results (a multiple of 64) whose streams are in these states; the
/// states move on.
void fill_draws(const DrawMatrices& matrices, std::uint64_t* states, int count, std::int64_t chunks,
                std::uint32_t* draws);

/// draws[chunk][i] for `count` results (a multiple of 16) whose streams are in these states: r bits
/// each; the states move on. For the 32-bit LFSR of formats/lfsr.h.
void fill_draws(std::uint32_t* states, int count, std::int64_t chunks, int r, std::uint32_t* draws);

}  // namespace blockdot::models
