// Block formats: elements that share a scale, as data, and the catalogue of the standard names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/element_format.h"
#include "formats/scale_format.h"

namespace blockdot::formats {

/// Second scale level of the shared-microexponent formats (ISCA'23): every `block` elements share a
/// code tau of `bits` bits that divides them by 2^tau, 0 <= tau < 2^bits. bits = 0: no second
/// level.
struct MicroExponent {
  int bits = 0;   // d2: 0..4
  int block = 0;  // k2: divides the block length

  bool operator==(const MicroExponent&) const = default;
};

/// The value of an element j of a block: decode(element, code_j) * scale * 2^-tau(j).
///
///   one block along the reduction axis:   [ scale ][ tau_0 tau_1 ... ][ e_0 e_1 ... e_(block-1) ]
///
/// A tile is `tile_rows` blocks side by side, one in each row, with one scale (block minifloat's
/// N x N tiles: its transpose is again such a tile). block = 0: no scale at all.
///
/// Text forms: `ELEMENT`, `ELEMENT@SCALE/BLOCK`, `.../BLOCKxROWS`, `...+uBITS/BLOCK2`:
///   e4m3@e8m0/32   e2m5:bias=2@e8m0/48x48   sm7@e8m0/16+u1/2   e4m3@fp32/128   bf16
/// or a name of the catalogue (mxfp8_e4m3, bm8, mx9, ...).
struct BlockFormat {
  ElementFormat element;
  ScaleFormat scale;
  int block = 0;  // elements that share a scale, along the reduction axis; 0 when scale is none
  int tile_rows = 1;
  MicroExponent micro;

  bool operator==(const BlockFormat&) const = default;
};

void validate(const BlockFormat& format);
/// Parses a catalogue name or a structural text. ConfigError suggests the nearest names.
BlockFormat parse_block_format(std::string_view text);
/// The structural text: parse_block_format(to_text(f)) == f.
std::string to_text(const BlockFormat& format);
/// The catalogue's name of this format, else its structural text.
std::string display_name(const BlockFormat& format);

/// Storage bits an element: element + scale / (block * tile_rows) + micro bits / micro block.
double bits_per_element(const BlockFormat& format);

/// True where no value of a block can be NaN or Inf, whatever its codes.
bool always_finite(const BlockFormat& format);

struct CatalogueEntry {
  std::string name;
  std::string text;    // structural
  std::string family;  // e.g. "OCP MX"
  std::string source;  // where its rules are written
};
/// The standard names, in the order a reader expects them.
const std::vector<CatalogueEntry>& catalogue();

}  // namespace blockdot::formats
