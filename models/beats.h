// Beats: what a unit takes in one step, and how they are cut out of two quantised matrices. Shared
// by everything that drives a unit: the golden model, the SystemC machine and the co-simulation.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"

namespace blockdot::models {

/// One beat: `lanes` element codes of each side, the scales that all of a side share, and the
/// second level's codes where the side has one.
struct Beat {
  std::span<const std::uint32_t> a, b;             // lanes element codes each
  std::uint32_t a_scale = 0, b_scale = 0;          // scale codes; 0 without a scale
  std::span<const std::uint8_t> a_micro, b_micro;  // lanes / micro.block taus; empty without
  bool first = false;                              // of a result
  bool last = false;                               // of a result
  std::uint32_t a_outer = 0, b_outer = 0;          // outer scale codes; 0 without
  float a_mean = 0, b_mean = 0;                    // under :mean
  int count = 0;  // lanes that count, 1..lanes, where the spec needs it; else not read
};

/// The memory behind a Beat.
struct BeatBuffer {
  std::vector<std::uint32_t> a, b;
  std::uint32_t a_scale = 0, b_scale = 0;
  std::vector<std::uint8_t> a_micro, b_micro;
  std::uint32_t a_outer = 0, b_outer = 0;
  float a_mean = 0, b_mean = 0;
  int count = 0;

  Beat beat(bool first, bool last) const {
    return {a,    b,       a_scale, b_scale, a_micro, b_micro, first,
            last, a_outer, b_outer, a_mean,  b_mean,  count};
  }
};

/// ConfigError for a reduction of no element, or of more products (with padding) than max_k.
void check_length(const formats::DotSpec& spec, std::int64_t k);

/// ConfigError where the operands do not suit the spec or each other: formats, lengths, a length of
/// zero, or more products (with padding) than max_k (check_length).
void check_operands(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                    const formats::QuantizedMatrix& b);

/// Fills `buffer` with the beat `range` of the dot product of row `row` of `a` and row `col` of `b`
/// (column `col` of the product): codes from range.k on, in the lanes beyond range.count
/// the codes of zero (of +1 where a format has none: `count` tells).
void fill_beat(const formats::DotSpec& spec, const formats::QuantizedMatrix& a, std::int64_t row,
               const formats::QuantizedMatrix& b, std::int64_t col, const formats::BeatRange& range,
               BeatBuffer& buffer);

/// Fills one side of `buffer`, and its count, with what fill_beat takes from row `row` of `matrix`.
void fill_side(const formats::DotSpec& spec, bool is_a, const formats::QuantizedMatrix& matrix,
               std::int64_t row, const formats::BeatRange& range, BeatBuffer& buffer);

// ---- The ports of a unit that hold a beat (docs/unit-interface.md) ----

/// One side's ports: {side}_i, {side}_scale_i, ...; count_i for both.
enum class BeatPort { kElements, kScale, kMicro, kOuter, kMean, kCount };
inline constexpr BeatPort kBeatPorts[] = {BeatPort::kElements, BeatPort::kScale, BeatPort::kMicro,
                                          BeatPort::kOuter,    BeatPort::kMean,  BeatPort::kCount};

/// "a_scale_i".
std::string port_name(BeatPort port, bool a);
/// 0 where the unit has no such port. kCount is a's.
int port_width(const formats::DotSpec& spec, BeatPort port, bool a);

/// put(port, lo, width, value) for each field of one side that the unit has a port for, but for the
/// elements.
template <typename Put>
void for_each_shared_field(const formats::DotSpec& spec, const Beat& beat, bool a, const Put& put) {
  const formats::BlockFormat& format = a ? spec.a : spec.b;
  const auto whole = [&](BeatPort port, std::uint32_t value) {
    if (const int bits = port_width(spec, port, a)) put(port, 0, bits, value);
  };
  whole(BeatPort::kScale, a ? beat.a_scale : beat.b_scale);
  const std::span<const std::uint8_t> micros = a ? beat.a_micro : beat.b_micro;
  const int micro_bits = format.micro.bits;
  for (std::size_t g = 0; g < micros.size(); ++g)
    put(BeatPort::kMicro, static_cast<int>(g) * micro_bits, micro_bits, std::uint32_t{micros[g]});
  whole(BeatPort::kOuter, a ? beat.a_outer : beat.b_outer);
  whole(BeatPort::kMean, std::bit_cast<std::uint32_t>(a ? beat.a_mean : beat.b_mean));
  whole(BeatPort::kCount, static_cast<std::uint32_t>(beat.count));
}

/// The same with the elements first.
template <typename Put>
void for_each_field(const formats::DotSpec& spec, const Beat& beat, bool a, const Put& put) {
  const std::span<const std::uint32_t> codes = a ? beat.a : beat.b;
  const int width = (a ? spec.a : spec.b).element.width();
  for (std::size_t j = 0; j < codes.size(); ++j)
    put(BeatPort::kElements, static_cast<int>(j) * width, width, codes[j]);
  for_each_shared_field(spec, beat, a, put);
}

}  // namespace blockdot::models
