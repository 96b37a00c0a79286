// What the parts of a quantiser hand to each other: floats as fields, the block that is being
// encoded, and its shared scale.
#pragma once

#include <optional>
#include <vector>

#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/quantizer.h"

namespace blockdot::rtl_gen::quantizer {

/// |x| = significand / 2^(width - 1) * 2^exponent, the significand's top bit one; a zero has a
/// significand of zero and some exponent.
struct Float {
  Fx exponent, significand;
};

/// An input value taken apart.
struct Value {
  Fx sign;
  Fx code;         // magnitude
  Fx exponent;     // biased field, 1 for subnormals
  Fx significand;  // with hidden one, zero in subnormals
};

/// Fields of a magnitude code: the biased exponent (1 for subnormals) and the significand.
struct Fields {
  Fx exponent, significand;
};
Fields fields(const formats::ElementFormat& format, const Fx& code);
Value split(const formats::ElementFormat& input, const Fx& x, int lane);
/// Normalised, from a finite magnitude code.
Float to_float(const formats::ElementFormat& format, const Fx& code, std::string_view prefix);
/// A positive number that is a double, exactly.
Float to_float(Graph& graph, double value);
/// The product of two normalised floats, normalised.
Float multiply(const Float& a, const Float& b, std::string_view prefix);

/// The largest of the codes.
Fx largest(std::vector<Fx> codes, std::string_view prefix);

/// The minifloat whose magnitude codes are those of an integer, sign-magnitude or minifloat format:
/// n magnitude bits are a float of one exponent bit, for its steps below and above the smallest
/// normal value are the same.
formats::ElementFormat grid_of(const formats::ElementFormat& format);
formats::ElementFormat grid_of(const formats::ScaleFormat& scale);

/// significand * 2^(exponent of its top bit), with `rest` below it, rounded to a grid; saturates.
/// `most`: the caller knows nothing above it, or what lies above overflows, top bit and all.
struct Unrounded {
  Fx significand;
  Fx exponent;
  Fx rest;
};
Fx round_to(const formats::ElementFormat& grid, const formats::Rounding& rounding,
            const Unrounded& x, const Int& most, const Fx& random, std::string_view prefix);
/// The same, away from zero.
Fx round_up_to(const formats::ElementFormat& grid, const Unrounded& x, const Int& most,
               std::string_view prefix);

// ---- quantizer_block.cc ----

/// One beat of a block whose largest magnitude is known.
struct Beat {
  Fx valid;
  Fx first, last;             // of the block's beats; constant 1 where it has one
  std::vector<Value> values;  // spec.lanes of them
  std::vector<Fx> group_max;  // of each group under a micro exponent, or of the beat
  Fx amax;                    // magnitude code of the block's largest
  Fx outer;                   // code of the scale above, where the format has one
};
/// Declares the ports of the values and gathers beats into blocks.
Beat gather(Graph& graph, const QuantizerSpec& spec);

// ---- quantizer_scale.cc ----

struct SharedScale {
  Fx code;
  Fx exponent;                    // of the divisor: significand / 2^(width - 1) * 2^exponent
  std::optional<Fx> significand;  // none: a power of two
  Fx none;                        // the elements are codes of zero
};
SharedScale share(Graph& graph, const QuantizerSpec& spec, const Beat& beat);

// ---- quantizer_element.cc ----

/// x over the divisor, rounded to the element's code.
Fx encode(const QuantizerSpec& spec, const Value& x, const SharedScale& scale, const Fx& random,
          int lane);

}  // namespace blockdot::rtl_gen::quantizer
