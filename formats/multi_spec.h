// MultiSpec: the contract of a unit that serves several formats, chosen beat by beat by a mode
// input: of the bare sum, of one with an accumulator, and of the fused unit that adds a float to
// the products before its one rounding.
//
// ## Lanes
// A lane holds one slot of each operand, as wide as the widest code of any mode. The codes of a
// mode sit at the bottom of their slot, the bits above them are not read. Where the codes of both
// operands take half of their slots or less, a lane holds two terms:
//
//   8-bit slots   e4m3  [ code : 8 ]           one term
//                 e2m3  [ - : 2 | code : 6 ]   one term
//                 e2m1  [ code 1 | code 0 ]    two terms
//
// ## Value
//   multi   T = sum_j a_j b_j                  exact, in one fixed-point field for all modes
//   multi with an accumulator                  T of every beat is the beat value that the
//                                              accumulators, output and random bits of
//                                              formats/dot_spec.h take from `first` to `last`; each
//                                              beat has a mode of its own
//   fused   round_F(sum_j a_j b_j + c)         c and the result in F = `addend`; one rounding
//                                              of the exact sum, by `rounding`
//
// A fused unit's stochastic rounding draws from one Lfsr of the kind, width and seed of `lfsr`: one
// draw of r bits a valid beat, whatever its result.
//
// The terms of an aligned accumulator are the products of a beat one by one, lanes or twice as many
// by its mode, each with the exponent that its own mode's formats give it.
//
// A full Kulisch accumulator holds max_k products of any modes, in whole beats, a beat of two terms
// a lane counting both.
//
// ## Special values
// A NaN or Inf element, in a bare multi unit, makes the sum mean nothing and raises its flag. In a
// fused unit NaN makes the result the canonical quiet NaN; so do Inf times zero and Infs of both
// signs (the addend counts among them); else an Inf is the result. An exact zero is +0, whatever
// its terms. With an accumulator they are flags beside it, as in formats/dot_spec.h with ieee
// specials. A mode code beyond the last mode is never driven.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/element_format.h"
#include "formats/lfsr.h"
#include "formats/rounding.h"

namespace blockdot::formats {

/// The element formats of one mode. Text form: `e4m3`, or `e4m3xe2m1` for a pair.
struct ModeFormats {
  ElementFormat a, b;

  bool operator==(const ModeFormats&) const = default;
};

struct MultiSpec {
  std::vector<ModeFormats> modes;            // 1..16; the mode code is the index
  int lanes = 8;                             // 1..64
  std::optional<Accumulation> accumulation;  // else bare or fused
  std::optional<ElementFormat> addend;       // fused units only, and so are the next two
  Rounding rounding;
  LfsrSpec lfsr;

  /// Bits of a slot of a and of b.
  int slot_a() const;
  int slot_b() const;
  /// Terms a lane in a mode: 1 or 2.
  int terms(const ModeFormats& mode) const;
  /// Products of the longest beat of any mode.
  int most_products() const;
  /// It accumulates aligned products, not sums of them.
  bool aligned() const;
  /// Bits of the mode port; 0 with one mode.
  int mode_bits() const;

  bool operator==(const MultiSpec&) const = default;
};

std::string to_text(const ModeFormats& mode);
/// `modes=e4m3,e5m2 lanes=8`, and ` addend=fp32 rounding=rne` where there is an addend, or
/// ` accumulator=kulisch output=fp32 rounding=rne max-k=65536` where there is an accumulator.
std::string to_text(const MultiSpec& spec);

/// ConfigError naming field, value and range: modes (1..16 pairs of minifloats of at most 8 bits,
/// not fnuz), lanes, and an addend that is no IEEE-like minifloat or whose exponents do not cover
/// every sum of products (fp32 and bf16 do); random bits of 1..32 that the lfsr has; an accumulator
/// that is not valid by formats/dot_spec.h.
void validate(const MultiSpec& spec);

/// A spec of texts: modes `e4m3,e5m2`, addend (empty: none), and of `text` lanes (empty: 8), the
/// accumulator (empty: none) and with one of both rounding and lfsr, with an accumulator also
/// output and max-k, by the rules of a DotSpec. Validated.
MultiSpec resolve_multi(std::string_view modes, std::string_view addend, const DotSpecText& text);

/// The narrowest window that holds every sum of max_k products of any modes and every bit of them.
FixedFormat exact_window(const MultiSpec& spec);

/// Bits below a result's last one that its rounding reads one by one, at least 1; of all lower ones
/// it only asks whether they are zero.
int read_bits(const MultiSpec& spec);

/// Every product of every mode is a multiple of 2^product_lsb(spec).
int product_lsb(const MultiSpec& spec);
/// |sum of products| < 2^sum_bound(spec) in every mode.
int sum_bound(const MultiSpec& spec);

}  // namespace blockdot::formats
