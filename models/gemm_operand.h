// One side of a GEMM for results one at a time: integer units and real scales.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"

namespace blockdot::models {

/// Bounds of a row of an operand; what decides which integer is wide enough.
struct OperandRange {
  bool wild = false;            // the elements span more than 62 bits: units not usable
  std::uint64_t max_units = 0;  // |units| at most
  int units_low = 0;            // units are multiples of 2^units_low; 0 where all are 0
  int scale_low = 0;            // every scale that matters is a multiple of 2^scale_low
  int scale_high = 0;           // and at most 2^scale_high
  bool empty = true;            // no element differs from zero: the scales do not matter
};

/// The value of element (row, k) in chunk c is units(row, k) * scale(row, c), exactly; NaN and Inf
/// elements have units 0 and are told by the row's flags. A scale is significand * 2^exponent, 0
/// where the chunk's units are all 0 (and its scale may be anything).
struct Operand {
  struct Row {
    bool nan = false;                // a NaN among its elements or scales: its results are NaN
    std::vector<std::int64_t> infs;  // positions of Inf elements
    OperandRange range;
  };

  std::int64_t first = 0;  // row of the matrix that is row 0 here
  std::int64_t rows = 0;
  std::int64_t length = 0;
  std::int64_t chunks = 0;
  std::vector<std::int64_t> units;         // [rows][length]
  std::vector<std::int64_t> significands;  // [rows][chunks], below 2^24, two levels 2^48
  std::vector<std::int32_t> exponents;     // [rows][chunks]
  std::vector<Row> row;

  const std::int64_t* units_of(std::int64_t r) const { return units.data() + r * length; }
};

/// What the scales multiply the elements of the beat at k by (dot_spec.h, "Factors"): exact, also
/// the product of two scales; NaN and Inf are doubles too.
double beat_factor(const formats::QuantizedMatrix& matrix, std::int64_t r, std::int64_t k);
/// Exponent of that factor in the sense of the aligned accumulator; it is finite and not 0.
int beat_factor_exponent(const formats::QuantizedMatrix& matrix, std::int64_t r, std::int64_t k);
/// Significant bits of it at most; 1 for powers of two.
int beat_factor_bits(const formats::BlockFormat& format);

/// Exponent of element (r, k) in that sense, of its second level too; it is finite and not 0.
int element_exponent(const formats::QuantizedMatrix& matrix, std::int64_t r, std::int64_t k);

/// Decodes the elements of rows [first, first + rows); scales are still to be set. Inf counts as
/// NaN where `specials` says so.
Operand decode_operand(const formats::QuantizedMatrix& matrix, std::int64_t first,
                       std::int64_t rows, formats::SpecialsPolicy specials, int threads);

/// Sets the scales of the chunks (none straddles a block) and the rows' ranges. A negative factor
/// gives its sign to the units.
void set_chunks(Operand& operand, const formats::QuantizedMatrix& matrix,
                const std::vector<formats::BeatRange>& chunks, int threads);

}  // namespace blockdot::models
