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

/// What shares one scale.
enum class Span {
  kBlock,   // `block` elements along the reduction axis, or a tile of them
  kRow,     // a whole row along the reduction axis: an output channel of a weight, a token
  kTensor,  // everything
};

/// A scale of the scales: the factor of a block is decode(scale) * decode(outer) (+ the mean).
/// NVFP4: fp32 for the tensor. VSQ: fp32 for a row. QLoRA's double quantisation: fp32 for 256
/// blocks, after the mean of all factors has been subtracted (kept as one binary32 a tensor).
struct OuterScale {
  ScaleFormat scale;  // none: no outer scale
  Span span = Span::kTensor;
  int blocks = 0;  // kBlock: consecutive blocks in row-major order
  bool mean = false;

  bool operator==(const OuterScale&) const = default;
};

/// The value of an element j of a block: decode(element, code_j) * scale * 2^-tau(j).
///
///   one block along the reduction axis:   [ scale ][ tau_0 tau_1 ... ][ e_0 e_1 ... e_(block-1) ]
///
/// A tile is `tile_rows` blocks side by side, one in each row, with one scale (block minifloat's
/// N x N tiles: its transpose is again such a tile). block = 0: no scale at all, or one scale for a
/// row or the tensor.
///
/// Text forms (columns of an error count from 1):
///   ELEMENT                          bf16   int8   nf4@none (where the bare word is a block
///   format) ELEMENT@SCALE/BLOCK[xROWS]       e4m3@e8m0/32   e2m5:bias=2@e8m0/48x48   e4m3@fp32/128
///   ELEMENT@SCALE/row, /tensor       int8@fp32:amax/row   e4m3@fp32/tensor   (channel means row)
///   ...+uBITS/BLOCK2                 sm7@e8m0/16+u1/2          second level of shared exponents
///   ...*SCALE/BLOCKS|row|tensor      e2m1@e4m3/16*fp32/tensor  int4@u4/16*fp32/row
///   ...:mean                         nf4@dynamic8/64*fp32/256:mean
/// or a name of the catalogue (mxfp8_e4m3, bm8, mx9, nvfp4, ...).
struct BlockFormat {
  ElementFormat element;
  ScaleFormat scale;
  int block = 0;  // kBlock: elements that share a scale, along the reduction axis; else 0
  int tile_rows = 1;
  MicroExponent micro;
  Span span = Span::kBlock;
  OuterScale outer;

  bool has_scale() const { return scale.kind != ScaleKind::kNone; }
  bool has_outer() const { return outer.scale.kind != ScaleKind::kNone; }
  bool operator==(const BlockFormat&) const = default;
};

void validate(const BlockFormat& format);
/// Parses a catalogue name or a structural text. ConfigError suggests the nearest names; `field` is
/// what it says was given.
BlockFormat parse_block_format(std::string_view text, std::string_view field = "format");
/// The structural text: parse_block_format(to_text(f)) == f.
std::string to_text(const BlockFormat& format);
/// The catalogue's name of this format, else its structural text.
std::string display_name(const BlockFormat& format);

/// Storage bits an element of a large matrix: element + scale / (block * tile_rows) + micro bits /
/// micro block + outer scale / elements under it. Scales of a row or a tensor count as none.
double bits_per_element(const BlockFormat& format);

/// True where no value of a block can be NaN or Inf, whatever its codes.
bool always_finite(const BlockFormat& format);

/// Bits of a two's complement register that holds the exact sum of `terms` products of one scale:
/// bitlen(terms * |a|max * |b|max / lsb) + 1, the pair shifts of a second level included
/// (NUMERICS, accumulators).
int kulisch_width(const BlockFormat& a, const BlockFormat& b, std::int64_t terms);

struct CatalogueEntry {
  std::string name;
  std::string text;    // structural
  std::string family;  // e.g. "OCP MX"
  std::string source;  // where its rules are written
};
/// Other names of the catalogue's entries that are understood and never printed: mxfp4, vsq, ...
struct CatalogueAlias {
  std::string name;
  std::string entry;
};
const std::vector<CatalogueAlias>& catalogue_aliases();
/// The standard names, in the order a reader expects them.
const std::vector<CatalogueEntry>& catalogue();

}  // namespace blockdot::formats
