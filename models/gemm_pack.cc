#include "models/gemm_pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <new>

namespace blockdot::models {

using formats::BlockFormat;
using formats::ElementFormat;

Units units_of(const BlockFormat& format, int most_bits) {
  Units units;
  const ElementFormat& element = format.element;
  if (element.width() > 8 || element.kind == formats::ElementKind::kCodeBook) return units;
  const double most = std::ldexp(1.0, most_bits) - 1;
  units.tau_most = (1 << format.micro.bits) - 1;
  const int lsb = lsb_exponent(element);
  units.unit = lsb - units.tau_most;
  for (std::uint32_t code = 0; code < 1u << element.width(); ++code) {
    double value = decode(element, code);
    units.nan[code] = std::isnan(value);
    units.inf[code] = std::isinf(value);
    if (!std::isfinite(value)) continue;
    value = std::ldexp(value, -lsb);
    if (std::fabs(value) > most) return units;
    units.value[code] = static_cast<std::int64_t>(value);
    const auto magnitude = static_cast<std::uint64_t>(std::abs(units.value[code]));
    units.magnitude[code] = static_cast<std::int64_t>(magnitude);
    units.most = std::max(units.most, units.magnitude[code]);
    units.highest = std::max(units.highest, units.value[code]);
    if (magnitude != 0)
      units.bits = std::max(
          units.bits, static_cast<int>(std::bit_width(magnitude)) - std::countr_zero(magnitude));
  }
  units.known = std::ldexp(static_cast<double>(units.most), units.tau_most) <= most;
  if (units.known) {
    units.most <<= units.tau_most;
    units.highest <<= units.tau_most;
  }
  return units;
}

bool has_nearest_fp32_accumulator(const formats::DotSpec& spec) {
  return spec.accumulator.kind == formats::AccumulatorKind::kFloat &&
         spec.accumulator.format == formats::minifloat(8, 23) &&
         spec.accumulator.rounding.mode == formats::RoundingMode::kRne;
}

namespace {

constexpr std::align_val_t kVectorAlignment{64};
constexpr size_t kMostKept = size_t{64} << 20;

struct KeptMemory {
  KeptMemory() = default;
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;
  ~KeptMemory() {
    for (const Memory& memory : blocks) ::operator delete(memory.data, kVectorAlignment);
  }
  std::vector<Memory> blocks;
  size_t bytes = 0;
};

thread_local KeptMemory kept;

}  // namespace

Memory Memory::take(size_t bytes) {
  // Not one that is much too large: a larger buffer may ask for it next.
  const auto fits = [&](const Memory& memory) {
    return memory.bytes >= bytes && memory.bytes / 2 <= bytes;
  };
  const auto found = std::find_if(kept.blocks.begin(), kept.blocks.end(), fits);
  if (found == kept.blocks.end()) return {::operator new(bytes, kVectorAlignment), bytes};
  const Memory memory = *found;
  kept.blocks.erase(found);
  kept.bytes -= memory.bytes;
  return memory;
}

void Memory::give_back(Memory memory) {
  kept.blocks.push_back(memory);
  kept.bytes += memory.bytes;
  while (kept.bytes > kMostKept) {  // the oldest go
    kept.bytes -= kept.blocks.front().bytes;
    ::operator delete(kept.blocks.front().data, kVectorAlignment);
    kept.blocks.erase(kept.blocks.begin());
  }
}

bool power_of_two_scale(const BlockFormat& format) {
  return (!format.has_scale() || format.scale.kind == formats::ScaleKind::kE8M0 ||
          scale_in_result(format)) &&
         !format.has_outer();
}

RowRange joint(const std::vector<RowRange>& rows, std::int64_t begin, std::int64_t end) {
  RowRange range;
  for (std::int64_t r = begin; r < std::min<std::int64_t>(end, std::ssize(rows)); ++r) {
    const RowRange& row = rows[static_cast<size_t>(r)];
    range.nan |= row.nan;
    range.inf |= row.inf;
    if (row.empty) continue;
    range.low = range.empty ? row.low : std::min(range.low, row.low);
    range.high = range.empty ? row.high : std::max(range.high, row.high);
    range.take_scale(row.scale_low, row.scale_high);
    range.span = std::max(range.span, row.span);
    range.spans += row.spans;
    range.chunks += row.chunks;
    range.empty = false;
  }
  return range;
}

bool chunk_scale(const formats::ScaleFormat& format, std::uint32_t code, ChunkScale& scale) {
  if (format.kind == formats::ScaleKind::kE8M0) return e8m0_scale(code, scale);
  const double value = decode(format, code);
  if (!std::isfinite(value)) return false;
  scale = {value, 0, 0};
  if (value == 0) return true;
  int exponent;
  const auto significand = static_cast<std::uint64_t>(std::ldexp(std::frexp(value, &exponent), 53));
  scale.low = exponent - 53 + std::countr_zero(significand);
  scale.high = scale.low == exponent - 1 ? exponent - 1 : exponent;
  return true;
}

bool chunk_scale(const formats::QuantizedMatrix& matrix, std::int64_t r, std::int64_t k,
                 ChunkScale& scale) {
  if (!matrix.format.has_scale() || scale_in_result(matrix.format)) {
    scale = {1, 0, 0};
    return true;
  }
  return chunk_scale(matrix.format.scale, matrix.scale(r, k), scale);
}

bool window_is_exact(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                     const formats::QuantizedMatrix& b) {
  int low = 0;
  double most = static_cast<double>(a.length);
  for (const formats::QuantizedMatrix* side : {&a, &b}) {
    const BlockFormat& format = side->format;
    const formats::ScaleKind kind = format.scale.kind;
    if (outer_in_beat(format) || kind == formats::ScaleKind::kCodeBook) return false;
    ChunkScale all{1, 0, 0};
    if (format.has_scale() && !scale_in_result(format)) {
      bool any = false;
      for (const std::uint32_t code : side->scales) {
        ChunkScale scale;
        if (!chunk_scale(format.scale, code, scale) || scale.value == 0) continue;
        all = any ? ChunkScale{0, std::min(all.low, scale.low), std::max(all.high, scale.high)}
                  : scale;
        any = true;
      }
    }
    const ElementFormat& element = format.element;
    low += all.low + lsb_exponent(element) - ((1 << format.micro.bits) - 1);
    // The most negative integer is the largest magnitude.
    most *= std::ldexp(element.kind == formats::ElementKind::kMinifloat
                           ? max_value(element)
                           : std::ldexp(1.0, max_exponent(element) + 1),
                       all.high);
  }
  return low >= spec.accumulator.window.lsb && most < std::ldexp(1.0, spec.accumulator.window.msb);
}

bool unit_exponent(const formats::QuantizedMatrix& matrix, const Units& units, std::int64_t r,
                   std::int64_t k, int& exponent) {
  exponent = units.unit;
  if (!matrix.format.has_scale()) return true;
  const std::uint32_t code = matrix.scale(r, k);
  exponent += static_cast<int>(code) - formats::kE8M0Bias;
  return code != formats::kE8M0Nan;
}

}  // namespace blockdot::models
