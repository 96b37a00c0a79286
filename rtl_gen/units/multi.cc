// Lanes that serve several formats. Every format's code is read as a right-justified significand
// and exponent, chosen by the mode; the place of a mode's products in the common field is one more
// constant in the sum of the exponents:
//
//   e4m3   [ 0 x6 x5 x4 x3 | h x2 x1 x0 ]        h: the hidden one
//   e5m2   [ x6 x5 x4 x3 x2 | 0 h x1 x0 ]
//   e2m1   [ 0 0 0 x2 x1 | H X0 h x0 ]           two terms: the upper one in capitals
//
// Two terms share the multiplier: with the partial products between upper and lower halves gated
// off,
//
//   (A 2^n + a) x (B 2^m + b)  ->  A B 2^(n+m) + a b,
//
// and a b fits below A B. The lower product goes the way of the lane's single product; the upper
// one has a short shifter of its own. Negative terms enter as their complement, the missing +1s and
// the signs above the field are counted apart (units/dot.cc).
#include "rtl_gen/units/multi.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/units/align.h"
#include "rtl_gen/units/decode.h"
#include "rtl_gen/units/multiply.h"
#include "rtl_gen/units/result.h"

namespace blockdot::rtl_gen {

using formats::ElementFormat;
using formats::ModeFormats;
using formats::MultiSpec;
using formats::Special;

namespace {

struct Term {
  Fx sign, significand, shift;  // shift: max(exponent, 1)
  Fx nan, inf;
};

Fx zext(const Fx& x, int width) {
  return {x.graph, ops::zext(*x.graph, x.node, width), 0, pow2(width) - 1, 0};
}

// As bits, with zeros below.
Fx padded(const Fx& x, int zeros) {
  if (zeros == 0) return x;
  return {x.graph, ops::pad_low(*x.graph, x.node, zeros), 0, pow2(x.width() + zeros) - 1, 0};
}

// One flag a mode.
std::vector<Fx> mode_flags(Graph& g, const MultiSpec& spec, const Fx& mode) {
  std::vector<Fx> flags;
  const int n = static_cast<int>(spec.modes.size());
  for (int i = 0; i < n; ++i) {
    if (n == 1)
      flags.push_back(constant(g, 1));
    else if (n == 2)
      flags.push_back(i ? mode : not_(mode));
    else
      flags.push_back(name(equal(mode, constant(g, i)), fmt::format("mode_{}", i)));
  }
  return flags;
}

// Bit by bit, so that equal bits of several modes need no gate: sum of products.
Fx choose_bits(Graph& g, const std::vector<Fx>& flags, const std::vector<Fx>& words, int width) {
  std::vector<Fx> out;
  for (int i = width - 1; i >= 0; --i) {
    std::vector<std::pair<Fx, Fx>> options;  // a bit and the modes that want it
    std::size_t wanting = 0;
    for (std::size_t m = 0; m < words.size(); ++m) {
      if (i >= words[m].width()) continue;
      const Fx b = bit(words[m], i);
      if (ops::is_zero(g, b.node)) continue;
      ++wanting;
      auto same = std::find_if(options.begin(), options.end(),
                               [&](const auto& o) { return o.first.node == b.node; });
      if (same == options.end())
        options.push_back({b, flags[m]});
      else
        same->second = or_(same->second, flags[m]);
    }
    Fx chosen = constant(g, 0);
    if (options.size() == 1 && wanting == words.size()) {
      chosen = options[0].first;
    } else if (options.size() == 2 && wanting == words.size()) {
      chosen = mux(options[0].second, options[0].first, options[1].first);
    } else {
      for (const auto& [b, flag] : options) chosen = or_(chosen, and_(flag, b));
    }
    out.push_back(chosen);
  }
  return cat(out);
}

Fx choose_constant(Graph& g, const std::vector<Fx>& flags, const std::vector<int>& values) {
  int width = 1;
  for (int v : values) width = std::max(width, unsigned_width(v));
  std::vector<Fx> words;
  for (int v : values) words.push_back(zext(constant(g, v), width));
  Fx out = choose_bits(g, flags, words, width);
  out.hi = *std::max_element(values.begin(), values.end());
  return out;
}

// What is common to one side of all lanes.
struct Side {
  std::vector<ElementFormat> formats;  // by mode
  std::vector<int> terms;
  int slot = 0;
  int half = 0;      // significand bits of a half; 0: no mode has two terms
  int single = 0;    // significand bits of modes of one term
  int sig = 0;       // significand bits of a lane
  int exp = 0;       // of the first term
  int exp_high = 0;  // of the second
  /// Zeros below a significand, by mode: without them it is right-justified.
  std::vector<int> pad;
};

// `left`: the hidden ones of all modes stand in one place, those of modes of two terms in another.
Side side_of(const MultiSpec& spec, bool a, bool left) {
  Side s;
  s.slot = a ? spec.slot_a() : spec.slot_b();
  for (const ModeFormats& m : spec.modes) {
    const ElementFormat& f = a ? m.a : m.b;
    s.formats.push_back(f);
    s.terms.push_back(spec.terms(m));
    s.sig = std::max(s.sig, f.man_bits + 1);
    s.exp = std::max(s.exp, f.exp_bits);
    if (spec.terms(m) == 2) {
      s.half = std::max(s.half, f.man_bits + 1);
      s.exp_high = std::max(s.exp_high, f.exp_bits);
    } else {
      s.single = std::max(s.single, f.man_bits + 1);
    }
  }
  s.sig = std::max(s.sig, 2 * s.half);
  for (std::size_t m = 0; m < s.formats.size(); ++m)
    s.pad.push_back(left ? (s.terms[m] == 2 ? s.half : s.single) - s.formats[m].man_bits - 1 : 0);
  return s;
}

// Term `t` of a slot: sign, significand and shift, by mode.
Term decode_term(Graph& g, const Side& side, const std::vector<Fx>& flags, const Fx& slot, int t,
                 const std::string& label) {
  std::vector<Fx> signs, mantissas, exponents, used, nans, infs;
  std::vector<int> pads;
  int width = 0, exp_width = 0;
  for (std::size_t m = 0; m < flags.size(); ++m) {
    if (t >= side.terms[m]) continue;
    const ElementFormat& f = side.formats[m];
    const Fx code = bits(slot, t * f.width(), f.width());
    const Fx exponent = bits(code, f.man_bits, f.exp_bits);
    const Fx normal = nonzero(exponent);
    used.push_back(flags[m]);
    signs.push_back(bit(code, f.width() - 1));
    exponents.push_back(exponent);
    mantissas.push_back(f.man_bits ? cat({normal, bits(code, 0, f.man_bits)}) : normal);
    pads.push_back(side.pad[m]);
    width = std::max(width, f.man_bits + 1 + side.pad[m]);
    exp_width = std::max(exp_width, f.exp_bits);
    const Fx magnitude = bits(code, 0, f.width() - 1);
    switch (f.special) {
      case Special::kFinite:
      case Special::kFnuz:  // validate refused it
        break;
      case Special::kFn:
        nans.push_back(and_(flags[m], is_zero(not_(magnitude))));
        break;
      case Special::kIeee: {
        const Fx special = and_(flags[m], is_zero(not_(exponent)));
        const Fx fraction = f.man_bits ? nonzero(bits(code, 0, f.man_bits)) : constant(g, 0);
        nans.push_back(and_(special, fraction));
        infs.push_back(and_(special, not_(fraction)));
        break;
      }
    }
  }
  Term out;
  const bool always = used.size() == flags.size();
  out.sign = choose_bits(g, used, signs, 1);
  // The hidden one is the exponent's after the choice, so it is found once.
  Fx exponent = choose_bits(g, used, exponents, exp_width);
  if (!always) exponent = bits(exponent, 0, exp_width);
  const Fx normal = name(nonzero(exponent), label + "_normal");
  for (std::size_t i = 0; i < mantissas.size(); ++i) {
    const int man = mantissas[i].width() - 1;
    mantissas[i] = padded(man ? cat({normal, bits(mantissas[i], 0, man)}) : normal, pads[i]);
  }
  out.significand = name(choose_bits(g, used, mantissas, width), label + "_sig");
  const Fx low = or_(bit(exponent, 0), not_(normal));
  out.shift = exp_width == 1 ? constant(g, 1) : cat({bits(exponent, 1, exp_width - 1), low});
  if (exp_width > 1) {
    out.shift.lo = 1;
    out.shift = name(out.shift, label + "_exp");
  }
  out.nan = name(any_of(g, nans), label + "_nan");
  out.inf = name(any_of(g, infs), label + "_inf");
  return out;
}

// Unsigned product of two words; `split`: the halves do not meet.
Fx product_of(Graph& g, const Side& a, const Side& b, const Fx& x, const Fx& y, const Fx& split,
              const Structure& s, Technology technology, const std::string& label) {
  if (a.half == 0) return multiply(g, x, y, s, technology, label);
  const Fx whole = not_(split);
  const auto low = [&](const Fx& w, int half) { return bits(w, 0, half); };
  const auto high = [&](const Fx& w, int half) { return bits(w, half, w.width() - half); };
  const auto gated = [&](const Fx& w) { return and_(w, repeat(whole, w.width())); };
  const Fx for_low = cat({gated(high(x, a.half)), low(x, a.half)});
  const Fx for_high = cat({high(x, a.half), gated(low(x, a.half))});
  const Fx lower = multiply(g, for_low, low(y, b.half), s, technology, label + "_lower");
  const Fx upper = multiply(g, for_high, high(y, b.half), s, technology, label + "_upper");
  return name(sum(g, {lower, scale(upper, b.half)}), label);
}

// What all lanes share.
struct Modes {
  std::vector<Fx> flags;  // of each mode
  Side a, b;
  std::vector<Fx> two;  // of the modes of two terms
  Fx is_two;

  /// Bits of the lower one of two products.
  int half() const { return a.half + b.half; }
};

Modes build_modes(Graph& g, const MultiSpec& spec, const Fx& mode, bool left) {
  Modes out{
      mode_flags(g, spec, mode), side_of(spec, true, left), side_of(spec, false, left), {}, {}};
  for (std::size_t m = 0; m < spec.modes.size(); ++m)
    if (spec.terms(spec.modes[m]) == 2) out.two.push_back(out.flags[m]);
  out.is_two = any_of(g, out.two);
  return out;
}

// One lane up to its product, which in a mode of two terms is both of them.
struct Lane {
  Term x, y;    // of the first product
  Term hx, hy;  // of the second, where some mode has two
  Fx product;
};

// `drop_inf`: without an Inf's significand, so that its product is zero.
Lane build_lane(Graph& g, const Modes& modes, const Fx& a, const Fx& b, int j, bool drop_inf,
                const Structure& structure, Technology technology) {
  const auto label = [&](const char* what) { return fmt::format("{}{}", what, j); };
  const Side &sa = modes.a, &sb = modes.b;
  g.section("decode");
  const Fx slot_a = bits(a, j * sa.slot, sa.slot), slot_b = bits(b, j * sb.slot, sb.slot);
  Lane out;
  out.x = decode_term(g, sa, modes.flags, slot_a, 0, label("a"));
  out.y = decode_term(g, sb, modes.flags, slot_b, 0, label("b"));
  const auto word_of = [&](const Side& side, const Fx& sig, const Fx& upper) {
    const Fx low = zext(sig, side.sig);
    const Fx high = and_(upper, repeat(modes.is_two, upper.width()));
    return or_(low, zext({&g, ops::pad_low(g, high.node, side.half), 0, 0, 0}, side.sig));
  };
  const auto factor_of = [&](const Term& t) {
    if (!drop_inf || ops::is_zero(g, t.inf.node)) return t.significand;
    return and_(t.significand, repeat(not_(t.inf), t.significand.width()));
  };
  Fx wx = factor_of(out.x), wy = factor_of(out.y);
  if (!modes.two.empty()) {
    out.hx = decode_term(g, sa, modes.flags, slot_a, 1, label("a_high"));
    out.hy = decode_term(g, sb, modes.flags, slot_b, 1, label("b_high"));
    wx = name(word_of(sa, wx, factor_of(out.hx)), label("a_word"));
    wy = name(word_of(sb, wy, factor_of(out.hy)), label("b_word"));
  }
  g.section("multiply");
  out.product = product_of(g, sa, sb, wx, wy, modes.is_two, structure, technology, label("prod"));
  return out;
}

// NaN and Inf among the products of all lanes.
struct Specials {
  std::vector<Fx> nans, plus, minus, elements;

  void add(Graph& g, const Modes& modes, const Lane& lane, int j, const Fx& sign, const Fx& flip) {
    const auto& [x, y, hx, hy, product] = lane;
    g.section("NaN and Inf");
    for (const Fx& f : {x.nan, x.inf, y.nan, y.inf}) elements.push_back(f);
    nans.push_back(x.nan);
    nans.push_back(y.nan);
    nans.push_back(and_(x.inf, is_zero(y.significand)));
    nans.push_back(and_(y.inf, is_zero(x.significand)));
    const Fx inf = name(or_(x.inf, y.inf), fmt::format("inf{}", j));
    plus.push_back(and_(inf, not_(sign)));
    minus.push_back(and_(inf, sign));
    if (modes.two.empty()) return;
    for (const Fx& f : {hx.nan, hx.inf, hy.nan, hy.inf}) elements.push_back(f);
    nans.push_back(hx.nan);
    nans.push_back(hy.nan);
    nans.push_back(and_(hx.inf, is_zero(hy.significand)));
    nans.push_back(and_(hy.inf, is_zero(hx.significand)));
    const Fx inf_high = or_(hx.inf, hy.inf);
    const Fx minus_high = xor_(xor_(hx.sign, hy.sign), flip);
    plus.push_back(and_(inf_high, not_(minus_high)));
    minus.push_back(and_(inf_high, minus_high));
  }

  Flags flags(Graph& g) const {
    g.section("NaN and Inf");
    return {name(any_of(g, nans), "any_nan"), name(any_of(g, plus), "plus_inf"),
            name(any_of(g, minus), "minus_inf")};
  }
};

}  // namespace

MultiProducts build_multi_products(Graph& g, const MultiSpec& spec, const Fx& mode, const Fx& a,
                                   const Fx& b, const Fx& flip, bool drop_inf,
                                   const Structure& structure, Technology technology) {
  const Modes modes = build_modes(g, spec, mode, false);
  const Fx& is_two = modes.is_two;
  const int lsb = formats::product_lsb(spec);
  std::vector<int> place, place_high;
  Int reach = 0, reach_high = 0;  // of one aligned product
  for (const ModeFormats& f : spec.modes) {
    const int at = formats::lsb_exponent(f.a) + formats::lsb_exponent(f.b) - lsb;
    place.push_back(at);
    const Int largest = (max_integer(f.a) * max_integer(f.b)) << static_cast<unsigned>(at);
    reach = std::max(reach, largest);
    if (spec.terms(f) == 2) {
      place_high.push_back(at);
      reach_high = std::max(reach_high, largest);
    }
  }
  const Fx offset = choose_constant(g, modes.flags, place);
  const int width = range_width(0, reach);

  MultiProducts out;
  Specials specials;
  std::vector<Fx> signs, signs_high;
  const auto enter = [&](const Fx& word, const Fx& sign, const std::string& label) {
    out.terms.push_back(name(xor_(word, repeat(sign, word.width())), label));
  };
  const int width_high = modes.two.empty() ? 0 : range_width(0, reach_high);
  for (int j = 0; j < spec.lanes; ++j) {
    const auto label = [&](const char* what) { return fmt::format("{}{}", what, j); };
    const Lane lane = build_lane(g, modes, a, b, j, drop_inf, structure, technology);
    const auto& [x, y, hx, hy, product] = lane;
    Fx single = product;
    if (!modes.two.empty()) {
      const int half = modes.half();
      const Fx upper = bits(product, half, product.width() - half);
      single = cat({and_(upper, repeat(not_(is_two), upper.width())), bits(product, 0, half)});
    }
    g.section("align");
    // Not one sum of three: the mode would drive full adders in every lane, whose load no
    // synthesiser sees.
    const bool gates = technology != Technology::kGeneric;
    Fx placed = x.shift;
    if (place.size() > 1) placed = name(add_shifts(g, {x.shift, offset}, gates), label("place"));
    Fx shift = add_shifts(g, {placed, y.shift}, gates);
    shift.lo = x.shift.lo + y.shift.lo;
    shift = name(assume(shift, shift.lo, std::max<Int>(shift.lo + 1, width + 1)), label("shift"));
    const int drop = static_cast<int>(shift.lo);
    const Fx sign = name(xor_(xor_(x.sign, y.sign), flip), label("sign"));
    enter(structure.align == Align::kSplit
              ? shift_split(single, shift, drop, width, label("aligned"))
              : shift_filled(single, constant(g, 0), shift, drop, width, label("aligned")),
          sign, label("term"));
    signs.push_back(sign);
    if (!modes.two.empty()) {
      const int half = modes.half();
      const Fx upper = bits(product, half, product.width() - half);
      const Fx gated = and_(upper, repeat(is_two, upper.width()));
      std::vector<Fx> both = {hx.shift, hy.shift};
      const int least_high = static_cast<int>(hx.shift.lo + hy.shift.lo);
      const int base = *std::min_element(place_high.begin(), place_high.end());
      std::vector<int> rest;
      for (int p : place_high) rest.push_back(p - base);
      if (*std::max_element(rest.begin(), rest.end()) > 0)
        both.push_back(choose_constant(g, modes.two, rest));
      Fx high_shift = add_shifts(g, both, false);
      high_shift.lo = least_high;
      const Fx high_sign =
          name(and_(xor_(xor_(hx.sign, hy.sign), flip), is_two), label("sign_high"));
      const Fx word = shift_filled(gated, constant(g, 0), high_shift, least_high, width_high - base,
                                   label("high"));
      out.terms.push_back(
          scale(name(xor_(word, repeat(high_sign, word.width())), label("term_high")), base));
      signs_high.push_back(high_sign);
    }
    specials.add(g, modes, lane, j, sign, flip);
  }
  g.section("signs");
  // -N 2^w = ~N 2^w - (2^n - 1) 2^w.
  const auto above = [&](const std::vector<Fx>& negative, int at, int lsb_at, const char* what) {
    const Fx n = name(sum(g, negative), what);
    out.terms.push_back(scale(n, lsb_at));
    out.terms.push_back(scale(not_(n), at));
    out.terms.push_back(scale(constant(g, 1 - pow2(n.width())), at));
  };
  above(signs, width, 0, "negatives");
  if (!modes.two.empty())
    above(signs_high, width_high, *std::min_element(place_high.begin(), place_high.end()),
          "negatives_high");
  const Flags found = specials.flags(g);
  out.nan = found.nan;
  out.plus_inf = found.plus_inf;
  out.minus_inf = found.minus_inf;
  out.any_special = name(any_of(g, specials.elements), "any_special");
  return out;
}

// The products stay apart. A mode's exponents are those of its fields and a constant that all lanes
// share; its significands are left-justified, so that in all modes of as many terms the product's
// place of exponent zero is the same.
BeatTerms build_multi_terms(Graph& g, const MultiSpec& spec, const Fx& mode, const Fx& a,
                            const Fx& b, const Structure& structure, Technology technology) {
  const Modes modes = build_modes(g, spec, mode, true);
  const bool two = !modes.two.empty();
  // Bits of a product below its exponent's place.
  const int of_one = modes.a.single + modes.b.single - 2, of_two = modes.half() - 2;
  BeatTerms out;
  out.fraction = two ? std::max(of_one, of_two) : of_one;
  std::vector<int> exponents;
  for (const ModeFormats& f : spec.modes) exponents.push_back(-f.a.bias - f.b.bias);
  out.weight = *std::min_element(exponents.begin(), exponents.end());
  for (int& exponent : exponents) exponent -= out.weight;
  g.section("exponent of the mode");
  out.exponent = name(choose_constant(g, modes.flags, exponents), "mode_exp");
  // Of the magnitudes of first and second products.
  Int most = 0, most_high = 0;
  for (const ModeFormats& f : spec.modes) {
    const Int largest = (pow2(f.a.man_bits + 1) - 1) * (pow2(f.b.man_bits + 1) - 1) *
                        pow2(out.fraction - f.a.man_bits - f.b.man_bits);
    most = std::max(most, largest);
    if (spec.terms(f) == 2) most_high = std::max(most_high, largest);
  }

  Specials specials;
  const bool gates = technology != Technology::kGeneric;
  for (int j = 0; j < spec.lanes; ++j) {
    const auto label = [&](const char* what) { return fmt::format("{}{}", what, j); };
    const Lane lane = build_lane(g, modes, a, b, j, true, structure, technology);
    const auto& [x, y, hx, hy, product] = lane;
    const Fx sign = name(xor_(x.sign, y.sign), label("sign"));
    Fx magnitude = padded(product, out.fraction - of_one);
    if (two) {
      const Fx lower = padded(bits(product, 0, modes.half()), out.fraction - of_two);
      magnitude = choose_bits(g, {modes.is_two, not_(modes.is_two)}, {lower, magnitude},
                              std::max(lower.width(), magnitude.width()));
    }
    out.lanes.push_back({sign, name(assume(magnitude, 0, most), label("magnitude")),
                         name(add_shifts(g, {x.shift, y.shift}, gates), label("shift"))});
    if (two) {
      const int width = std::min(modes.half(), product.width() - modes.half());
      const Fx upper = bits(product, modes.half(), width);
      const Fx high = padded(and_(upper, repeat(modes.is_two, width)), out.fraction - of_two);
      out.lanes.push_back({name(xor_(hx.sign, hy.sign), label("sign_high")),
                           name(assume(high, 0, most_high), label("magnitude_high")),
                           name(add_shifts(g, {hx.shift, hy.shift}, gates), label("shift_high"))});
    }
    specials.add(g, modes, lane, j, sign, constant(g, 0));
  }
  out.flags = specials.flags(g);
  return out;
}

namespace {

// The largest product of a mode, in units of 2^product_lsb.
Int largest_product(const MultiSpec& spec, const ModeFormats& f) {
  const int at =
      formats::lsb_exponent(f.a) + formats::lsb_exponent(f.b) - formats::product_lsb(spec);
  return (max_integer(f.a) * max_integer(f.b)) << static_cast<unsigned>(at);
}

// Largest sum of a beat over the modes.
Int largest_sum(const MultiSpec& spec) {
  Int most = 0;
  for (const ModeFormats& f : spec.modes)
    most = std::max<Int>(most, largest_product(spec, f) * spec.lanes * spec.terms(f));
  return most;
}

// Of max_k products of any modes, in whole beats.
Range largest_total(const MultiSpec& spec) {
  const int beat = spec.most_products();
  const Int products = (spec.accumulation->max_k + beat - 1) / beat * beat;
  Int most = 0;
  for (const ModeFormats& f : spec.modes)
    most = std::max<Int>(most, largest_product(spec, f) * products);
  return {-most, most};
}

BeatValue beat_value(Graph& g, const MultiSpec& spec, const Fx& total, const Flags& flags) {
  return {scale(total, formats::product_lsb(spec)), constant(g, 0), flags, largest_total(spec)};
}

void accumulate(Graph& g, const MultiSpec& spec, const std::variant<BeatValue, BeatTerms>& beat,
                const Framing& framing, const Structure& structure, UnitFacts& facts) {
  const Fx done = build_done(framing);
  const Fx random = build_random(g, *spec.accumulation, false, framing, done);
  build_result(g, *spec.accumulation, beat, framing, done, random, std::nullopt, structure, facts);
}

constexpr const char* kFlagNames[] = {"nan", "plus_inf", "minus_inf"};

}  // namespace

Graph build_multi_beat(const MultiSpec& spec, UnitFacts* facts, const Structure& structure,
                       Technology technology) {
  BLOCKDOT_CHECK(!spec.aligned(), "an aligned accumulator takes no sum");
  Graph g;
  const Fx mode = spec.mode_bits() ? input(g, "mode_i", spec.mode_bits()) : constant(g, 0);
  const Fx a = input(g, "a_i", spec.lanes * spec.slot_a());
  const Fx b = input(g, "b_i", spec.lanes * spec.slot_b());
  const MultiProducts products =
      build_multi_products(g, spec, mode, a, b, constant(g, 0),
                           spec.accumulation->accumulator.is_float(), structure, technology);
  g.section("sum");
  const Int most = largest_sum(spec);
  const Fx total = name(sum(g, products.terms, Range{-most, most}), "sum");
  output("sum_o", total);
  const Fx flags[] = {products.nan, products.plus_inf, products.minus_inf};
  for (int i = 0; i < 3; ++i)
    if (g.node(flags[i].node).op != Op::kConst)
      output(fmt::format("{}_o", kFlagNames[i]), flags[i]);
  if (facts) {
    facts->sum_width = total.width();
    facts->sum_lsb = formats::product_lsb(spec);
  }
  return g;
}

Graph build_multi_accumulator(const MultiSpec& spec, UnitFacts* facts, const Structure& structure,
                              Technology technology) {
  UnitFacts found;
  const Graph beat = build_multi_beat(spec, &found, structure, technology);
  Graph g;
  const Framing framing = declare_framing(g);
  const Int most = largest_sum(spec);
  const Fx total =
      assume(wrap_signed(input(g, "sum_i", found.sum_width), found.sum_width), -most, most);
  Fx flags[] = {constant(g, 0), constant(g, 0), constant(g, 0)};
  for (int i = 0; i < 3; ++i)
    for (const Graph::Output& o : beat.outputs())
      if (o.name == fmt::format("{}_o", kFlagNames[i]))
        flags[i] = input(g, fmt::format("{}_i", kFlagNames[i]), 1);
  accumulate(g, spec, beat_value(g, spec, total, {flags[0], flags[1], flags[2]}), framing,
             structure, found);
  if (facts) *facts = found;
  return g;
}

Graph build_multi_unit(const MultiSpec& spec, bool framed, UnitFacts* facts,
                       const Structure& structure, Technology technology) {
  Graph g;
  Framing framing;
  if (spec.accumulation)
    framing = declare_framing(g);
  else if (framed)
    output("valid_o", control(input(g, "valid_i", 1)));
  const Fx mode = spec.mode_bits() ? input(g, "mode_i", spec.mode_bits()) : constant(g, 0);
  const Fx a = input(g, "a_i", spec.lanes * spec.slot_a());
  const Fx b = input(g, "b_i", spec.lanes * spec.slot_b());
  UnitFacts found;
  const Int most = largest_sum(spec);
  found.sum_width = range_width(-most, most);
  found.sum_lsb = formats::product_lsb(spec);
  if (spec.aligned()) {
    accumulate(g, spec, build_multi_terms(g, spec, mode, a, b, structure, technology), framing,
               structure, found);
    if (facts) *facts = found;
    return g;
  }
  // A float accumulator may overflow to an Inf of its own, by the finite products alone.
  const bool drop_inf = spec.accumulation && spec.accumulation->accumulator.is_float();
  const MultiProducts products =
      build_multi_products(g, spec, mode, a, b, constant(g, 0), drop_inf, structure, technology);
  g.section("sum");
  const Fx total = name(sum(g, products.terms, Range{-most, most}), "sum");
  if (spec.accumulation) {
    const Flags flags{products.nan, products.plus_inf, products.minus_inf};
    accumulate(g, spec, beat_value(g, spec, total, flags), framing, structure, found);
  } else {
    output("sum_o", total);
    if (g.node(products.any_special.node).op != Op::kConst) output("nan_o", products.any_special);
  }
  if (facts) *facts = found;
  return g;
}

}  // namespace blockdot::rtl_gen
