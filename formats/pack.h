// Bit-packed storage: how a quantised matrix lies in memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/quantize.h"

namespace blockdot::formats {

/// Where the scales of blocks go.
enum class PackLayout {
  kPlanes,       // elements, block scales, taus and outer scales each side by side
  kInterleaved,  // [ scale | taus | elements ] block after block: one fetch brings all of a block
};

/// A matrix in memory. All streams are little-endian bit streams: bit i is bit i % 8 of byte i / 8,
/// and an item of w bits takes w bits from its lowest on, without gaps:
///
///   e2m1, planes       byte 0 [ e1 : 4 | e0 : 4 ]   byte 1 [ e3 | e2 ]            low nibble first
///   e3m2, planes       bytes 2..0 [ e3 : 6 | e2 : 6 | e1 : 6 | e0 : 6 ]           4 in 3 bytes
///   mx9, interleaved   bits 151..0 [ e15 : 8 ... e0 : 8 | tau7 ... tau0 : 1 | E : 8 ]
///
/// Rows are padded to whole blocks and, in planes, to whole bytes; an interleaved block to whole
/// bytes. A tile, a row or the tensor stores its scale once. Scales take storage_width() bits
/// (signed minifloats with their sign bit 0), each rounded up to whole bytes in the scales' plane;
/// integer and code-book scales stay packed there.
struct PackedMatrix {
  BlockFormat format;
  PackLayout layout = PackLayout::kPlanes;
  std::int64_t rows = 0;
  std::int64_t length = 0;
  std::vector<std::uint8_t> elements;  // interleaved: whole blocks
  std::vector<std::uint8_t> scales;    // planes only
  std::vector<std::uint8_t> micros;    // planes only
  std::vector<std::uint8_t> outers;
  float mean = 0;
  double factor = 1;

  std::size_t bytes() const {
    return elements.size() + scales.size() + micros.size() + outers.size() +
           (format.outer.mean ? sizeof(float) : 0);
  }
};

/// Bytes of each part of a matrix [rows x length] without making it.
struct PackedSize {
  std::int64_t elements = 0, scales = 0, micros = 0, outers = 0, mean = 0;
  std::int64_t total() const { return elements + scales + micros + outers + mean; }
};
PackedSize packed_size(const BlockFormat& format, std::int64_t rows, std::int64_t length,
                       PackLayout layout = PackLayout::kPlanes);

/// ConfigError: interleaved takes one-row blocks.
PackedMatrix pack(const QuantizedMatrix& matrix, PackLayout layout = PackLayout::kPlanes);
/// The exact inverse: unpack(pack(q)) equals q in every field.
QuantizedMatrix unpack(const PackedMatrix& packed);

}  // namespace blockdot::formats
