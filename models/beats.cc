#include "models/beats.h"

#include <cstring>

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

namespace {

/// What a matrix holds is as much as its shape says.
void check_sizes(const char* name, const QuantizedMatrix& m) {
  const auto expect = [&](const char* field, std::size_t size, std::int64_t wanted) {
    if (static_cast<std::int64_t>(size) != wanted)
      throw ConfigError("{}.{}: has {} entries, its {} rows of {} need {}", name, field, size,
                        m.rows, m.padded_length, wanted);
  };
  expect("codes", m.codes.size(), m.rows * m.padded_length * m.code_bytes);
  expect("scales", m.scales.size(), m.format.has_scale() ? m.rows * m.blocks_per_row() : 0);
  if (m.format.has_outer() && m.rows > 0 && m.padded_length > 0 &&
      m.outer_scales.size() <= m.outer_index(m.rows - 1, m.padded_length - 1))
    throw ConfigError("{}.outer_scales: has {} entries, fewer than its {} rows of {} need", name,
                      m.outer_scales.size(), m.rows, m.padded_length);
  const int micros = m.format.micro.bits;
  expect("micros", m.micros.size(),
         micros == 0 ? 0 : m.rows * (m.padded_length / m.format.micro.block));
  for (const std::uint8_t tau : m.micros)
    if (tau >> micros != 0)
      throw ConfigError("{}.micros: {} has more than {} bits", name, tau, micros);
}

}  // namespace

void check_operands(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b) {
  formats::validate(spec);
  if (a.format != spec.a)
    throw ConfigError("a: quantised as {}, but spec a = {}; quantise it to the spec's format",
                      to_text(a.format), to_text(spec.a));
  if (b.format != spec.b)
    throw ConfigError("b: quantised as {}, but spec b = {}; quantise it to the spec's format",
                      to_text(b.format), to_text(spec.b));
  for (const QuantizedMatrix* side : {&a, &b}) {
    const char* name = side == &a ? "a" : "b";
    if (side->factor != 1)
      throw ConfigError(
          "{}: has a factor of {} on every value (scale-rule three-quarters) that no unit applies; "
          "quantise it by another rule",
          name, side->factor);
    check_sizes(name, *side);
  }
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

template <typename Code>
void copy_codes(const QuantizedMatrix& matrix, std::int64_t row, const BeatRange& range,
                std::vector<std::uint32_t>& codes) {
  const std::uint8_t* from = matrix.codes.data() + (row * matrix.padded_length + range.k) *
                                                       static_cast<std::int64_t>(sizeof(Code));
  for (int j = 0; j < range.count; ++j) {
    Code code;
    std::memcpy(&code, from + static_cast<std::size_t>(j) * sizeof code, sizeof code);
    codes[static_cast<std::size_t>(j)] = code;
  }
}

}  // namespace

void fill_side(const DotSpec& spec, bool is_a, const QuantizedMatrix& matrix, std::int64_t row,
               const BeatRange& range, BeatBuffer& buffer) {
  BLOCKDOT_CHECK(range.count >= 1 && range.count <= spec.lanes, "count {}", range.count);
  buffer.count = range.count;
  std::vector<std::uint32_t>& codes = is_a ? buffer.a : buffer.b;
  codes.assign(static_cast<size_t>(spec.lanes), zero_code(matrix.format.element));
  if (matrix.code_bytes == 1)
    copy_codes<std::uint8_t>(matrix, row, range, codes);
  else if (matrix.code_bytes == 2)
    copy_codes<std::uint16_t>(matrix, row, range, codes);
  else
    copy_codes<std::uint32_t>(matrix, row, range, codes);
  (is_a ? buffer.a_scale : buffer.b_scale) = matrix.scale(row, range.k);
  (is_a ? buffer.a_outer : buffer.b_outer) =
      matrix.format.has_outer() ? matrix.outer_scales[matrix.outer_index(row, range.k)] : 0;
  (is_a ? buffer.a_mean : buffer.b_mean) = matrix.mean;
  std::vector<std::uint8_t>& micros = is_a ? buffer.a_micro : buffer.b_micro;
  int micro_block = matrix.format.micro.bits > 0 ? matrix.format.micro.block : 0;
  if (micro_block == 0) {
    micros.clear();
    return;
  }
  BLOCKDOT_CHECK(range.k % micro_block == 0, "a beat at k = {} splits a micro block of {}", range.k,
                 micro_block);
  micros.assign(static_cast<size_t>(spec.lanes / micro_block), 0);
  for (int j = 0; j < range.count; j += micro_block)
    micros[static_cast<size_t>(j / micro_block)] =
        static_cast<std::uint8_t>(matrix.micro(row, range.k + j));
}

void fill_beat(const DotSpec& spec, const QuantizedMatrix& a, std::int64_t row,
               const QuantizedMatrix& b, std::int64_t col, const BeatRange& range,
               BeatBuffer& buffer) {
  fill_side(spec, true, a, row, range, buffer);
  fill_side(spec, false, b, col, range, buffer);
}

}  // namespace blockdot::models
