#include "formats/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

namespace {

int bytes_for(int width) { return width <= 8 ? 1 : width <= 16 ? 2 : 4; }

void store(QuantizedMatrix& q, std::int64_t index, std::uint32_t code) {
  // Little-endian, as every machine this runs on.
  std::memcpy(q.codes.data() + index * q.code_bytes, &code, static_cast<size_t>(q.code_bytes));
}

// floor(log2 x) of a positive finite float, subnormals too: from the exponent, never a logarithm.
int floor_log2(float x) { return std::ilogb(x); }

/// What a block shares: its scale, as code and as value. `exponent`: of an e8m0 scale.
struct Shared {
  std::uint32_t code = 0;
  double value = 1;
  int exponent = 0;
  bool is_nan = false;
};

Shared choose_scale(const BlockFormat& format, float amax, bool finite, ScaleRule rule) {
  Shared shared;
  switch (format.scale.kind) {
    case ScaleKind::kNone:
      return shared;
    case ScaleKind::kE8M0: {
      if (!finite) {
        shared.code = kE8M0Nan;
        shared.is_nan = true;
        return shared;
      }
      int exponent = -kE8M0Bias;
      if (amax > 0) {
        exponent = floor_log2(amax) - max_exponent(format.element);
        if (rule == ScaleRule::kCeil) {
          // The floor exponent or the next: the least whose maximum reaches amax.
          double max = max_value(format.element);
          while (std::ldexp(max, exponent) < amax) ++exponent;
          while (std::ldexp(max, exponent - 1) >= amax) --exponent;
        }
      }
      shared.exponent = std::clamp(exponent, -kE8M0Bias, kE8M0Bias);
      shared.code = static_cast<std::uint32_t>(shared.exponent + kE8M0Bias);
      shared.value = std::ldexp(1.0, shared.exponent);
      return shared;
    }
    case ScaleKind::kMinifloat: {
      const ElementFormat& scale = format.scale.minifloat;
      if (!finite && has_nan(scale)) {
        shared.code = nan_code(scale);
        shared.is_nan = true;
        return shared;
      }
      if (!finite) amax = std::numeric_limits<float>::max();
      // amax / max in double, then to the scale format: the double quotient is far finer than any
      // scale format's halfway points (see quantize below).
      double wanted = amax > 0 ? amax / max_value(format.element) : 1.0;
      shared.code = std::max(encode(scale, wanted), amax > 0 ? 1u : 0u);
      shared.value = decode(scale, shared.code);
      return shared;
    }
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

}  // namespace

ScaleRule parse_scale_rule(std::string_view text) {
  if (text == "floor") return ScaleRule::kFloor;
  if (text == "ceil") return ScaleRule::kCeil;
  throw ConfigError("scale-rule = {}: must be floor or ceil", text);
}

std::string to_text(ScaleRule rule) { return rule == ScaleRule::kFloor ? "floor" : "ceil"; }

std::uint32_t QuantizedMatrix::code(std::int64_t r, std::int64_t k) const {
  std::uint32_t code = 0;
  std::memcpy(&code, codes.data() + (r * padded_length + k) * code_bytes,
              static_cast<size_t>(code_bytes));
  return code;
}

std::uint32_t QuantizedMatrix::scale(std::int64_t r, std::int64_t k) const {
  if (scales.empty()) return 0;
  return scales[static_cast<size_t>(r * blocks_per_row() + k / format.block)];
}

int QuantizedMatrix::micro(std::int64_t r, std::int64_t k) const {
  if (micros.empty()) return 0;
  return micros[static_cast<size_t>((r * padded_length + k) / format.micro.block)];
}

double QuantizedMatrix::value(std::int64_t r, std::int64_t k) const {
  double element = decode(format.element, code(r, k));
  return std::ldexp(element * decode(format.scale, scale(r, k)), -micro(r, k));
}

QuantizedMatrix quantize(const BlockFormat& format, const MatrixView& x,
                         const QuantizeOptions& options) {
  validate(format);
  BLOCKDOT_CHECK(x.rows >= 0 && x.length >= 0, "shape {} x {}", x.rows, x.length);
  QuantizedMatrix q;
  q.format = format;
  q.rows = x.rows;
  q.length = x.length;
  std::int64_t block = format.block > 0 ? format.block : x.length;
  q.padded_length = format.block > 0 ? (x.length + block - 1) / block * block : x.length;
  q.code_bytes = bytes_for(format.element.width());
  q.codes.assign(static_cast<size_t>(q.rows * q.padded_length * q.code_bytes), 0);
  if (format.block > 0) q.scales.assign(static_cast<size_t>(q.rows * q.blocks_per_row()), 0);
  if (format.micro.bits > 0)
    q.micros.assign(static_cast<size_t>(q.rows * q.padded_length / format.micro.block), 0);
  if (x.length == 0 || x.rows == 0) return q;

  Lfsr stream(options.seed);
  auto random = [&]() {
    return options.rounding.stochastic() ? stream.draw(options.rounding.random_bits) : 0u;
  };
  Overflow overflow =
      format.scale.kind == ScaleKind::kNone ? Overflow::kToSpecial : Overflow::kSaturate;
  int tau_max = (1 << format.micro.bits) - 1;

  for (std::int64_t row0 = 0; row0 < x.rows; row0 += format.tile_rows) {
    std::int64_t row1 = std::min<std::int64_t>(row0 + format.tile_rows, x.rows);
    for (std::int64_t k0 = 0; k0 < x.length; k0 += block) {
      std::int64_t k1 = std::min(k0 + block, x.length);
      float amax = 0;
      bool finite = true;
      for (std::int64_t r = row0; r < row1; ++r) {
        for (std::int64_t k = k0; k < k1; ++k) {
          float magnitude = std::fabs(x.at(r, k));
          if (!std::isfinite(magnitude)) finite = false;
          if (magnitude > amax) amax = magnitude;  // NaN compares false
        }
      }
      Shared shared = choose_scale(format, amax, finite, options.scale_rule);
      for (std::int64_t r = row0; r < row1; ++r) {
        if (format.block > 0)
          q.scales[static_cast<size_t>(r * q.blocks_per_row() + k0 / block)] = shared.code;
        if (shared.is_nan) continue;  // codes stay 0
        // Without a second level the whole block is one sub-block with tau = 0.
        std::int64_t sub = format.micro.bits > 0 ? format.micro.block : block;
        for (std::int64_t s0 = k0; s0 < k1; s0 += sub) {
          std::int64_t s1 = std::min(s0 + sub, k1);
          double divisor = shared.value;
          if (format.micro.bits > 0) {
            float largest = 0;
            for (std::int64_t k = s0; k < s1; ++k)
              largest = std::max(largest, std::fabs(x.at(r, k)));
            int tau = largest > 0 ? std::clamp(shared.exponent - floor_log2(largest), 0, tau_max)
                                  : tau_max;
            q.micros[static_cast<size_t>((r * q.padded_length + s0) / sub)] =
                static_cast<std::uint8_t>(tau);
            divisor = std::ldexp(divisor, -tau);
          }
          // Dividing by a power of two is exact in double. By a minifloat scale it is rounded once,
          // which decides nothing: a quotient of two 24-bit significands that is not a halfway
          // point of p <= 24 bits is at least 2^-49 of itself away from one, and double has 53
          // bits. Only the truncated tail of stochastic rounding may see the rounded quotient.
          for (std::int64_t k = s0; k < s1; ++k)
            store(
                q, r * q.padded_length + k,
                encode(format.element, x.at(r, k) / divisor, options.rounding, random(), overflow));
        }
      }
    }
  }
  return q;
}

std::vector<float> dequantize(const QuantizedMatrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.length));
  for (std::int64_t r = 0; r < matrix.rows; ++r)
    for (std::int64_t k = 0; k < matrix.length; ++k)
      values[static_cast<size_t>(r * matrix.length + k)] = static_cast<float>(matrix.value(r, k));
  return values;
}

}  // namespace blockdot::formats
