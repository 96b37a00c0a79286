#include "models/gemm_operand.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>

#include "formats/code_book.h"
#include "formats/error.h"
#include "models/parallel.h"
#include "models/wide_int.h"

namespace blockdot::models {

using formats::BeatRange;
using formats::ElementFormat;
using formats::QuantizedMatrix;
using formats::SpecialsPolicy;

namespace {

constexpr int kUnitBits = 62;

/// x = significand * 2^exponent with an odd significand, x finite and not 0.
struct Dyadic {
  std::int64_t significand;
  int exponent;
};
Dyadic dyadic(double x) {
  int exponent;
  auto m = static_cast<std::int64_t>(std::ldexp(std::frexp(x, &exponent), 53));
  int zeros = std::countr_zero(static_cast<std::uint64_t>(m));
  return {m >> zeros, exponent - 53 + zeros};
}

/// Bits from the smallest step to the largest value.
int span_bits(const ElementFormat& format) {
  return max_exponent(format) + 1 - lsb_exponent(format);
}

/// Meaning of the codes of a narrow format: the same for every row.
struct Table {
  explicit Table(const ElementFormat& its_element) : element(its_element) {
    for (std::uint32_t code = 0; code < (1u << element.width()); ++code) {
      const double value = decode(element, code);
      const bool finite = std::isfinite(value);
      values.push_back(value);
      special.push_back(finite ? 0 : 1);
      units.push_back(finite ? static_cast<std::int64_t>(std::ldexp(value, -lsb_exponent(element)))
                             : 0);
    }
  }
  ElementFormat element;
  std::vector<std::int64_t> units;  // of the format's lsb; 0 for NaN and Inf
  std::vector<double> values;
  std::vector<std::uint8_t> special;  // NaN or Inf
};

/// Kept from call to call: to make it takes longer than to decode a row.
const Table& table_of(const ElementFormat& element) {
  constexpr size_t kMost = 4;
  thread_local std::deque<Table> known;
  for (const Table& table : known)
    if (table.element == element) return table;
  if (known.size() == kMost) known.pop_front();
  return known.emplace_back(element);
}

}  // namespace

double beat_factor(const QuantizedMatrix& matrix, std::int64_t r, std::int64_t k) {
  const formats::BlockFormat& format = matrix.format;
  if (scale_in_result(format)) return 1;
  double scale = decode(format.scale, matrix.scale(r, k));
  if (!outer_in_beat(format)) return scale;
  double outer = decode(format.outer.scale, matrix.outer_scales[matrix.outer_index(r, k)]);
  const double both = scale * outer;  // 24 bits each
  if (!format.outer.mean) return both;
  // The scales need not be binary32 numbers: by way of the exact sum rounded to odd.
  if (!std::isfinite(both) || !std::isfinite(matrix.mean)) return both + matrix.mean;
  if (both == 0) return matrix.mean;
  const Dyadic product = dyadic(both);
  return static_cast<float>(round_sum(static_cast<double>(matrix.mean), Int128{product.significand},
                                      product.exponent, odd_double<Int128>));
}

int beat_factor_exponent(const QuantizedMatrix& matrix, std::int64_t r, std::int64_t k) {
  auto exponent = [](const formats::ScaleFormat& scale, double value) {
    switch (scale.kind) {
      case formats::ScaleKind::kMinifloat:
        return exponent_of(scale.minifloat, value);
      case formats::ScaleKind::kInteger:
        return scale.int_bits - 1;
      case formats::ScaleKind::kCodeBook:
        return exponent_of(formats::code_book(scale.book), value);
      case formats::ScaleKind::kNone:
      case formats::ScaleKind::kE8M0:
        break;
    }
    return std::ilogb(value);
  };
  const formats::BlockFormat& format = matrix.format;
  if (scale_in_result(format)) return 0;
  if (format.outer.mean && outer_in_beat(format))
    return exponent_of(formats::minifloat(8, 23), beat_factor(matrix, r, k));
  const int inner = exponent(format.scale, decode(format.scale, matrix.scale(r, k)));
  if (!outer_in_beat(format)) return inner;
  return inner +
         exponent(format.outer.scale,
                  decode(format.outer.scale, matrix.outer_scales[matrix.outer_index(r, k)]));
}

int beat_factor_bits(const formats::BlockFormat& format) {
  auto bits = [](const formats::ScaleFormat& scale) {
    switch (scale.kind) {
      case formats::ScaleKind::kNone:
      case formats::ScaleKind::kE8M0:
        return 1;
      case formats::ScaleKind::kMinifloat:
        return scale.minifloat.man_bits + 1;
      case formats::ScaleKind::kInteger:
        return scale.int_bits;
      case formats::ScaleKind::kCodeBook:
        return 24;
    }
    return 24;
  };
  if (scale_in_result(format)) return 1;
  if (!outer_in_beat(format)) return bits(format.scale);
  return format.outer.mean ? 24 : bits(format.scale) + bits(format.outer.scale);
}

int element_exponent(const QuantizedMatrix& matrix, std::int64_t r, std::int64_t k) {
  const ElementFormat& element = matrix.format.element;
  return exponent_of(element, decode(element, matrix.code(r, k))) - matrix.micro(r, k);
}

Operand decode_operand(const QuantizedMatrix& matrix, std::int64_t first, std::int64_t rows,
                       SpecialsPolicy specials, int threads) {
  const ElementFormat& element = matrix.format.element;
  Operand operand;
  operand.first = first;
  operand.rows = rows;
  operand.length = matrix.length;
  operand.units.assign(static_cast<size_t>(rows * matrix.length), 0);
  operand.row.resize(static_cast<size_t>(rows));
  // Until set_chunks: scale_low holds the exponent of the row's unit.
  int tau_max = (1 << matrix.format.micro.bits) - 1;
  bool narrow = element.width() <= 8 && span_bits(element) + tau_max <= 40;

  auto mark = [&](Operand::Row& row, double value, std::int64_t k) {
    if (std::isnan(value) || specials == SpecialsPolicy::kNan)
      row.nan = true;
    else
      row.infs.push_back(k);
  };

  auto measure = [&](const std::int64_t* units, OperandRange& range) {
    std::int64_t bits = 0, largest = 0;
    for (std::int64_t k = 0; k < matrix.length; ++k) {
      bits |= units[k];
      largest = std::max(largest, std::abs(units[k]));
    }
    range.max_units = static_cast<std::uint64_t>(largest);
    range.units_low = bits == 0 ? 0 : std::countr_zero(static_cast<std::uint64_t>(bits));
  };

  const Table* table = narrow ? &table_of(element) : nullptr;

  auto decode_narrow_row = [&](std::int64_t r) {
    Operand::Row& row = operand.row[static_cast<size_t>(r)];
    const std::uint8_t* codes = matrix.codes.data() + (first + r) * matrix.padded_length;
    std::int64_t* units = operand.units.data() + r * matrix.length;
    const auto mask = static_cast<std::uint8_t>(table->units.size() - 1);
    std::uint8_t special = 0;
    for (std::int64_t k = 0; k < matrix.length; ++k) {
      const std::uint8_t code = codes[k] & mask;
      units[k] = table->units[code];
      special |= table->special[code];
    }
    if (special != 0)
      for (std::int64_t k = 0; k < matrix.length; ++k)
        if (const double value = table->values[codes[k] & mask]; !std::isfinite(value))
          mark(row, value, k);
    if (tau_max > 0)
      for (std::int64_t k = 0; k < matrix.length; ++k)
        units[k] *= std::int64_t{1} << (tau_max - matrix.micro(first + r, k));
    measure(units, row.range);
    row.range.scale_low = lsb_exponent(element) - tau_max;
  };

  // A wide format spans more than its data do: the unit follows from the row.
  auto decode_wide_row = [&](std::int64_t r) {
    Operand::Row& row = operand.row[static_cast<size_t>(r)];
    std::vector<double> values(static_cast<size_t>(matrix.length));
    int low = 0, high = 0;
    bool any = false;
    for (std::int64_t k = 0; k < matrix.length; ++k) {
      double value = decode(element, matrix.code(first + r, k));
      if (!std::isfinite(value)) {
        mark(row, value, k);
        continue;
      }
      if (value == 0) continue;
      value = std::ldexp(value, -matrix.micro(first + r, k));
      values[static_cast<size_t>(k)] = value;
      int lsb = dyadic(value).exponent, top = std::ilogb(value) + 1;
      low = any ? std::min(low, lsb) : lsb;
      high = any ? std::max(high, top) : top;
      any = true;
    }
    row.range.scale_low = low;
    if (high - low > kUnitBits) {
      row.range.wild = true;
      return;
    }
    std::int64_t* units = operand.units.data() + r * matrix.length;
    for (std::int64_t k = 0; k < matrix.length; ++k)
      units[k] = static_cast<std::int64_t>(std::ldexp(values[static_cast<size_t>(k)], -low));
    measure(units, row.range);
  };

  parallel_ranges(rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) narrow ? decode_narrow_row(r) : decode_wide_row(r);
  });
  return operand;
}

void set_chunks(Operand& operand, const QuantizedMatrix& matrix,
                const std::vector<BeatRange>& chunks, int threads) {
  operand.chunks = static_cast<std::int64_t>(chunks.size());
  operand.significands.assign(static_cast<size_t>(operand.rows * operand.chunks), 0);
  operand.exponents.assign(operand.significands.size(), 0);
  auto set_row = [&](std::int64_t r) {
    Operand::Row& row = operand.row[static_cast<size_t>(r)];
    OperandRange& range = row.range;
    int unit = range.scale_low;
    std::int64_t* units = operand.units.data() + r * operand.length;
    range.scale_low = range.scale_high = 0;
    range.empty = true;
    for (std::int64_t c = 0; c < operand.chunks; ++c) {
      const BeatRange& chunk = chunks[static_cast<size_t>(c)];
      double value = beat_factor(matrix, operand.first + r, chunk.k);
      if (!std::isfinite(value)) {
        row.nan = true;
        continue;  // significand 0
      }
      std::int64_t any = 0;
      for (int j = 0; j < chunk.count; ++j) any |= units[chunk.k + j];
      if (any == 0 || value == 0) continue;
      if (value < 0) {
        for (int j = 0; j < chunk.count; ++j) units[chunk.k + j] = -units[chunk.k + j];
        value = -value;
      }
      Dyadic scale = dyadic(value);
      int exponent = scale.exponent + unit;
      int top = exponent +
                static_cast<int>(std::bit_width(static_cast<std::uint64_t>(scale.significand - 1)));
      auto at = static_cast<size_t>(r * operand.chunks + c);
      operand.significands[at] = scale.significand;
      operand.exponents[at] = exponent;
      range.scale_low = range.empty ? exponent : std::min(range.scale_low, exponent);
      range.scale_high = range.empty ? top : std::max(range.scale_high, top);
      range.empty = false;
    }
  };
  parallel_ranges(operand.rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) set_row(r);
  });
}

}  // namespace blockdot::models
