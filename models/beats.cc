#include "models/beats.h"

#include "formats/error.h"

namespace blockdot::models {

using formats::BeatRange;
using formats::DotSpec;
using formats::QuantizedMatrix;

void check_length(const DotSpec& spec, std::int64_t k) {
  if (k < 1) throw ConfigError("k = {}: must be at least 1", k);
  const std::int64_t products = formats::beats_for(spec, k) * spec.lanes;
  if (products > spec.max_k)
    throw ConfigError(
        "k = {}: {} products with padding, more than max-k = {}; raise max-k in the spec", k,
        products, spec.max_k);
}

void check_operands(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b) {
  formats::validate(spec);
  if (a.format != spec.a)
    throw ConfigError("a: quantised as {}, but spec a = {}; quantise it to the spec's format",
                      to_text(a.format), to_text(spec.a));
  if (b.format != spec.b)
    throw ConfigError("b: quantised as {}, but spec b = {}; quantise it to the spec's format",
                      to_text(b.format), to_text(spec.b));
  if (a.length != b.length)
    throw ConfigError("k: a has {} elements along the reduction and b has {}; must be equal",
                      a.length, b.length);
  check_length(spec, a.length);
}

std::string port_name(BeatPort port, bool a) {
  switch (port) {
    case BeatPort::kElements:
      return a ? "a_i" : "b_i";
    case BeatPort::kScale:
      return a ? "a_scale_i" : "b_scale_i";
    case BeatPort::kMicro:
      return a ? "a_micro_i" : "b_micro_i";
    case BeatPort::kOuter:
      return a ? "a_outer_i" : "b_outer_i";
    case BeatPort::kMean:
      return a ? "a_mean_i" : "b_mean_i";
    case BeatPort::kCount:
      return "count_i";
  }
  BLOCKDOT_CHECK(false, "port");
}

int port_width(const DotSpec& spec, BeatPort port, bool a) {
  const formats::BlockFormat& format = a ? spec.a : spec.b;
  switch (port) {
    case BeatPort::kElements:
      return spec.lanes * format.element.width();
    case BeatPort::kScale:
      return format.scale.width();
    case BeatPort::kMicro:
      return format.micro.bits > 0 ? spec.lanes / format.micro.block * format.micro.bits : 0;
    case BeatPort::kOuter:
      return format.outer.scale.width();
    case BeatPort::kMean:
      return format.outer.mean ? 32 : 0;
    case BeatPort::kCount:
      return a && needs_count(spec) ? std::bit_width(static_cast<unsigned>(spec.lanes)) : 0;
  }
  BLOCKDOT_CHECK(false, "port");
}

namespace {

void fill_side(int lanes, const QuantizedMatrix& matrix, std::int64_t row, const BeatRange& range,
               std::vector<std::uint32_t>& codes, std::uint32_t& scale,
               std::vector<std::uint8_t>& micros, std::uint32_t& outer, float& mean) {
  codes.assign(static_cast<size_t>(lanes), zero_code(matrix.format.element));
  for (int j = 0; j < range.count; ++j)
    codes[static_cast<size_t>(j)] = matrix.code(row, range.k + j);
  scale = matrix.scale(row, range.k);
  outer = matrix.format.has_outer() ? matrix.outer_scales[matrix.outer_index(row, range.k)] : 0;
  mean = matrix.mean;
  int micro_block = matrix.format.micro.bits > 0 ? matrix.format.micro.block : 0;
  if (micro_block == 0) {
    micros.clear();
    return;
  }
  BLOCKDOT_CHECK(range.k % micro_block == 0, "a beat at k = {} splits a micro block of {}", range.k,
                 micro_block);
  micros.assign(static_cast<size_t>(lanes / micro_block), 0);
  for (int j = 0; j < range.count; j += micro_block)
    micros[static_cast<size_t>(j / micro_block)] =
        static_cast<std::uint8_t>(matrix.micro(row, range.k + j));
}

}  // namespace

void fill_beat(const DotSpec& spec, const QuantizedMatrix& a, std::int64_t row,
               const QuantizedMatrix& b, std::int64_t col, const BeatRange& range,
               BeatBuffer& buffer) {
  BLOCKDOT_CHECK(range.count >= 1 && range.count <= spec.lanes, "count {}", range.count);
  fill_side(spec.lanes, a, row, range, buffer.a, buffer.a_scale, buffer.a_micro, buffer.a_outer,
            buffer.a_mean);
  fill_side(spec.lanes, b, col, range, buffer.b, buffer.b_scale, buffer.b_micro, buffer.b_outer,
            buffer.b_mean);
  buffer.count = range.count;
}

}  // namespace blockdot::models
