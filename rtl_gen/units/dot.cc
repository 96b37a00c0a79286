// Lanes multiply significands, move the product by the sum of both exponents, and put it into one
// sum. A negative product enters as its complement; the missing +1s are counted apart, because the
// signs are known long before the products; or both enter the sum with it. The sign above each
// product is part of that count:
//
//   -p = ~p + 1 and ~p = (2^w - 1 - p)   so   sum = sum_j (p_j ^ sign_j) + N - N 2^w,
//
// N the number of negative products of w bits. On carry chains products are added or subtracted
// instead. Two two's complement operands go into the sum as rows of partial products.
#include "rtl_gen/units/dot.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/code_book.h"
#include "formats/error.h"
#include "rtl_gen/build/chain.h"
#include "rtl_gen/units/align.h"
#include "rtl_gen/units/factor.h"
#include "rtl_gen/units/multiply.h"

namespace blockdot::rtl_gen {

using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementKind;

namespace {

// Lanes that one carry chain takes before the tree: fewer adders on the way to the root against
// fewer words that need LUTs of their own.
constexpr int kChainLanes = 4;

constexpr int kLutInputs = 6;

int exponent_bits(const BlockFormat& f) {
  return f.element.kind == ElementKind::kMinifloat ? f.element.exp_bits : 0;
}

int micro_groups(const BlockFormat& f, int lanes) { return lanes / f.micro.block; }

// 2^d - 1 - tau = ~tau: a left shift that the unit of the sum takes back.
Fx micro_shift(const BlockFormat& f, const OperandPorts& ports, int lane) {
  const int group = lane / f.micro.block;
  return not_(bits(*ports.micro, group * f.micro.bits, f.micro.bits));
}

int micro_most(const BlockFormat& f) { return f.micro.bits == 0 ? 0 : (1 << f.micro.bits) - 1; }

Fx element_code(const BlockFormat& f, const OperandPorts& ports, int lane) {
  return bits(ports.elements, lane * f.element.width(), f.element.width());
}

bool is_integer_pair(const DotSpec& spec) {
  return spec.a.element.kind == ElementKind::kInteger &&
         spec.b.element.kind == ElementKind::kInteger;
}

BlockDot integer_dot(Graph& g, const DotSpec& spec, const OperandPorts& a, const OperandPorts& b,
                     const Structure& structure) {
  const SumRange total = block_dot_range(spec);
  BlockDot out;
  out.nan = out.plus_inf = out.minus_inf = out.any_special = constant(g, 0);
  g.section(structure.multiplier == Multiplier::kWord ? "multiply" : "partial products");
  const bool chains = structure.sum == Summation::kChain;
  std::vector<Fx> terms;
  std::vector<std::vector<ChainRow>> digits;
  for (int j = 0; j < spec.lanes; ++j) {
    const Fx x = decode_integer(spec.a.element, element_code(spec.a, a, j), fmt::format("a{}", j));
    const Fx y = decode_integer(spec.b.element, element_code(spec.b, b, j), fmt::format("b{}", j));
    const Fx x0 = scale(x, -x.lsb), y0 = scale(y, -y.lsb);
    switch (structure.multiplier) {
      case Multiplier::kAuto:
      case Multiplier::kWord:
        terms.push_back(name(mul(x0, y0), fmt::format("prod{}", j)));
        break;
      case Multiplier::kTable:
        terms.push_back(product_table(spec.a.element, spec.b.element, element_code(spec.a, a, j),
                                      element_code(spec.b, b, j), fmt::format("prod{}", j)));
        break;
      case Multiplier::kArray:
        array_rows(x0, y0, fmt::format("row{}", j), terms);
        break;
      case Multiplier::kBooth:
        if (!chains) {
          booth_terms(x0, y0, fmt::format("row{}", j), terms);
          break;
        }
        digits.resize(static_cast<std::size_t>(booth_digits(x0)));
        for (int i = 0; i < booth_digits(x0); ++i)
          digits[static_cast<std::size_t>(i)].push_back(booth_row(x0, y0, i));
        break;
    }
  }
  g.section("sum");
  Fx sum;
  if (!digits.empty()) {
    // Rows of one digit first: they are of one weight. Then the digits, the lowest first.
    std::vector<ChainRow> sums;
    for (std::size_t i = 0; i < digits.size(); ++i)
      sums.push_back(
          row_of(sum_rows(g, digits[i], kChainLanes, fmt::format("digit{}_", i)), constant(g, 0)));
    sum = sum_rows(g, sums, 1, "digits");
    sum = assume(sum, total.range.lo, total.range.hi);
  } else if (structure.multiplier == Multiplier::kBooth) {
    // The terms add up to minus the sum: -t = ~(t - 1).
    const int width = range_width(total.range.lo, total.range.hi);
    terms.push_back(constant(g, -1));
    const Fx minus = rtl_gen::sum(g, terms, Range{0, pow2(width) - 1});
    sum = wrap_signed(not_(name(minus, "minus_sum")), width);
    sum.lo = total.range.lo;
    sum.hi = total.range.hi;
  } else {
    sum = rtl_gen::sum(g, terms, total.range);
  }
  out.sum = name(scale(sum, total.lsb), "sum");
  return out;
}

// p, or -p where `negative`: above its lowest one every bit is turned.
Fx negated(const Fx& p, const Fx& negative, std::string_view label) {
  std::vector<Fx> parts;
  Fx below = constant(*p.graph, 0);
  for (int i = 0; i < p.width(); ++i) {
    parts.push_back(xor_(bit(p, i), and_(negative, below)));
    below = or_(below, bit(p, i));
  }
  parts.push_back(name(and_(negative, below), fmt::format("{}_minus", label)));
  std::reverse(parts.begin(), parts.end());
  Fx turned = wrap_signed(cat(parts), p.width() + 1);
  turned.lo = -p.hi;
  turned.hi = p.hi;
  return name(turned, label);
}

std::string label(const char* what, int j) { return fmt::format("{}{}", what, j); }

struct Lanes {
  std::vector<Element> x, y;
  std::vector<Fx> sign;  // of the product
  std::vector<Fx> live;  // where beats have a count of lanes
};

Lanes decode_lanes(Graph& g, const DotSpec& spec, const OperandPorts& a, const OperandPorts& b,
                   const std::optional<Fx>& count) {
  g.section("decode");
  Lanes lanes;
  for (int j = 0; j < spec.lanes; ++j) {
    lanes.x.push_back(
        decode_element(g, spec.a.element, element_code(spec.a, a, j), fmt::format("a{}", j)));
    lanes.y.push_back(
        decode_element(g, spec.b.element, element_code(spec.b, b, j), fmt::format("b{}", j)));
    if (count) {
      const Fx live = name(less(constant(g, j), *count), label("live", j));
      lanes.live.push_back(live);
      Fx& significand = lanes.x.back().significand;
      significand = name(and_(significand, repeat(live, significand.width())), label("a_live", j));
    }
  }
  for (int j = 0; j < spec.lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    lanes.sign.push_back(name(xor_(lanes.x[i].sign, lanes.y[i].sign), label("neg", j)));
  }
  return lanes;
}

// The sum of a lane's exponents, `parts`, and of its micro shifts.
Fx lane_shift(Graph& g, const DotSpec& spec, const OperandPorts& a, const OperandPorts& b, int lane,
              std::vector<Fx> parts, Technology technology) {
  if (spec.a.micro.bits > 0) parts.push_back(micro_shift(spec.a, a, lane));
  if (spec.b.micro.bits > 0) parts.push_back(micro_shift(spec.b, b, lane));
  const bool gates = technology == Technology::kXilinx &&
                     exponent_bits(spec.a) + exponent_bits(spec.b) <= kLutInputs;
  return name(add_shifts(g, parts, gates), label("shift", lane));
}

void note_specials(Graph& g, const DotSpec& spec, const Lanes& lanes, const OperandPorts& a,
                   const OperandPorts& b, BlockDot& out) {
  g.section("NaN and Inf");
  std::vector<Fx> nans, plus, minus, special;
  const bool inf_is_nan = spec.specials == formats::SpecialsPolicy::kNan;
  for (int j = 0; j < spec.lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    const Element& x = lanes.x[i];
    const Element& y = lanes.y[i];
    const bool x_inf = formats::has_inf(spec.a.element), y_inf = formats::has_inf(spec.b.element);
    nans.push_back(x.nan);
    nans.push_back(y.nan);
    for (const Fx& f : {x.nan, x.inf, y.nan, y.inf}) special.push_back(f);
    if (inf_is_nan) {
      nans.push_back(x.inf);
      nans.push_back(y.inf);
      continue;
    }
    if (!x_inf && !y_inf) continue;
    // A zero is an element whose code has no bit below the sign, or the book's code of zero, if
    // it has one.
    const auto zero = [&](const BlockFormat& f, const OperandPorts& p) {
      const Fx code = element_code(f, p, j);
      if (f.element.kind == ElementKind::kCodeBook) {
        const std::uint32_t rest = formats::zero_code(f.element);
        if (formats::decode(f.element, rest) != 0) return constant(g, 0);
        return equal(code, constant(g, rest));
      }
      const int low = f.element.kind == ElementKind::kInteger ? code.width() : code.width() - 1;
      return is_zero(bits(code, 0, low));
    };
    if (x_inf) nans.push_back(and_(x.inf, zero(spec.b, b)));
    if (y_inf) nans.push_back(and_(y.inf, zero(spec.a, a)));
    const Fx inf = name(or_(x.inf, y.inf), label("inf", j));
    plus.push_back(and_(inf, not_(lanes.sign[i])));
    minus.push_back(and_(inf, lanes.sign[i]));
  }
  out.nan = name(any_of(g, nans), "beat_nan");
  out.plus_inf = name(any_of(g, plus), "beat_plus_inf");
  out.minus_inf = name(any_of(g, minus), "beat_minus_inf");
  out.any_special = name(any_of(g, special), "any_special");
}

Flags beat_flags(Graph& g, const BlockDot& dot, const Scale& factor) {
  const bool has_sign = g.node(factor.sign.node).op != Op::kConst;
  Flags flags;
  flags.nan = name(
      any_of(g, {dot.nan, factor.not_finite, and_(factor.zero, or_(dot.plus_inf, dot.minus_inf))}),
      "term_nan");
  flags.plus_inf = has_sign ? mux(factor.sign, dot.minus_inf, dot.plus_inf) : dot.plus_inf;
  flags.minus_inf = has_sign ? mux(factor.sign, dot.plus_inf, dot.minus_inf) : dot.minus_inf;
  return flags;
}

}  // namespace

OperandPorts declare_operand(Graph& g, const BlockFormat& f, int lanes, std::string_view side,
                             bool of_result) {
  OperandPorts ports;
  ports.elements = input(g, fmt::format("{}_i", side), lanes * f.element.width());
  const auto port = [&](const char* what, int width) {
    return input(g, fmt::format("{}_{}_i", side, what), width);
  };
  if (f.has_scale() && (of_result || !formats::scale_in_result(f)))
    ports.scale = port("scale", f.scale.width());
  if (f.micro.bits > 0) ports.micro = port("micro", micro_groups(f, lanes) * f.micro.bits);
  if (f.has_outer() && (of_result || !formats::outer_in_result(f)))
    ports.outer = port("outer", f.outer.scale.width());
  if (f.outer.mean) ports.mean = port("mean", 32);
  return ports;
}

std::optional<Fx> declare_count(Graph& g, const DotSpec& spec) {
  if (!formats::needs_count(spec)) return std::nullopt;
  Fx count = input(g, "count_i", range_width(0, spec.lanes));
  return count;
}

SumRange block_dot_range(const DotSpec& spec) {
  const auto& ea = spec.a.element;
  const auto& eb = spec.b.element;
  const int micro = micro_most(spec.a) + micro_most(spec.b);
  const auto low = [](const formats::ElementFormat& f) { return -max_integer(f); };
  const auto high = [](const formats::ElementFormat& f) {
    return f.kind == ElementKind::kInteger ? pow2(f.int_bits - 1) - 1 : max_integer(f);
  };
  const Int products[] = {low(ea) * low(eb), low(ea) * high(eb), high(ea) * low(eb),
                          high(ea) * high(eb)};
  const Int scale = pow2(micro) * spec.lanes;
  return {{*std::min_element(std::begin(products), std::end(products)) * scale,
           *std::max_element(std::begin(products), std::end(products)) * scale},
          formats::lsb_exponent(ea) + formats::lsb_exponent(eb) - micro};
}

BlockDot build_block_dot(Graph& g, const DotSpec& spec, const OperandPorts& a,
                         const OperandPorts& b, const std::optional<Fx>& count,
                         const Structure& structure, Technology technology) {
  const SumRange total = block_dot_range(spec);
  const int micro = micro_most(spec.a) + micro_most(spec.b);
  if (is_integer_pair(spec) && micro == 0) return integer_dot(g, spec, a, b, structure);
  BlockDot out;

  const Lanes lanes = decode_lanes(g, spec, a, b, count);
  const std::vector<Element>&xs = lanes.x, &ys = lanes.y;

  g.section("multiply");
  std::vector<Fx> products, shifts;
  for (int j = 0; j < spec.lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    Fx x = xs[i].significand, y = ys[i].significand;
    std::vector<Fx> parts;
    if (structure.align == Align::kBefore) {
      // A weight of 2^-1 belongs to the exponent 1 of subnormals: no bit is lost.
      x = name(scale(shl(x, xs[i].shift), 0), label("a_shifted", j));
      y = name(scale(shl(y, ys[i].shift), 0), label("b_shifted", j));
    } else {
      parts = {xs[i].shift, ys[i].shift};
    }
    if (structure.multiplier == Multiplier::kTable) {
      Fx product = product_table(spec.a.element, spec.b.element, element_code(spec.a, a, j),
                                 element_code(spec.b, b, j), label("prod", j));
      if (count) product = and_(product, repeat(lanes.live[i], product.width()));
      // All shifts are in the table.
      const int lsb = formats::lsb_exponent(spec.a.element) +
                      formats::lsb_exponent(spec.b.element) - xs[i].weight - ys[i].weight;
      products.push_back(scale(product, lsb));
      parts.clear();
    } else {
      products.push_back(scale(
          multiply(g, scale(x, -x.lsb), scale(y, -y.lsb), structure, technology, label("prod", j)),
          x.lsb + y.lsb));
    }
    shifts.push_back(lane_shift(g, spec, a, b, j, std::move(parts), technology));
  }

  g.section("align");
  const Int most = total.range.hi / spec.lanes;
  const int width = range_width(0, most);
  std::vector<Fx> terms;
  std::vector<SignedWord> words;
  struct Bucket {
    int at = 0, width = 0;
    std::vector<Fx> negatives;
    std::vector<SignedWord> words;
  };
  std::vector<Bucket> buckets;
  for (int j = 0; j < spec.lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    const int weight = xs[i].weight + ys[i].weight - micro - total.lsb;
    const int drop = -(products[i].lsb + weight);  // bits that are zero for every shift
    const Fx product = scale(products[i], -products[i].lsb);
    if (structure.align == Align::kBucket) {
      BLOCKDOT_CHECK(drop >= 0, "unit of lane {}: {}", j, drop);
      const bool relative = structure.signs == Signs::kRelative;
      const Fx word = relative ? product
                               : name(xor_(product, repeat(lanes.sign[i], product.width())),
                                      label("turned", j));
      const std::vector<Bucketed> parts = shift_to_buckets(
          word, relative ? constant(g, 0) : lanes.sign[i], shifts[i],
          plan_buckets(product.width(), shifts[i]), drop, width, label("aligned", j));
      buckets.resize(parts.size());
      for (std::size_t k = 0; k < parts.size(); ++k) {
        buckets[k].at = parts[k].at;
        buckets[k].width = parts[k].word.width();
        if (relative) {
          buckets[k].words.push_back({parts[k].word, lanes.sign[i]});
          continue;
        }
        terms.push_back(scale(parts[k].word, parts[k].at));
        buckets[k].negatives.push_back(
            name(and_(lanes.sign[i], parts[k].here), fmt::format("neg{}_b{}", j, k)));
      }
      continue;
    }
    if (structure.signs == Signs::kBefore) {
      const Fx turned =
          name(xor_(product, repeat(lanes.sign[i], product.width())), label("turned", j));
      BLOCKDOT_CHECK(drop >= 0, "unit of lane {}: {}", j, drop);
      terms.push_back(
          name(shift_filled(turned, lanes.sign[i], shifts[i], drop, width, label("aligned", j)),
               label("term", j)));
      continue;
    }
    const bool negate = structure.signs == Signs::kNegate;
    const Fx moved = negate ? negated(product, lanes.sign[i], label("turned", j)) : product;
    const Int least = negate ? Int(-most) : Int(0);
    Fx aligned;
    if (structure.align == Align::kSplit) {
      BLOCKDOT_CHECK(drop >= 0, "unit of lane {}: {}", j, drop);
      aligned = shift_split(moved, shifts[i], drop, width + negate, label("aligned", j));
      aligned.lo = least;
      aligned.hi = most;
    } else {
      aligned = scale(shl(moved, shifts[i]), -drop);
      BLOCKDOT_CHECK(aligned.lsb == 0, "unit of lane {}: {}", j, aligned.lsb);
      aligned = assume(aligned, least, most);
    }
    aligned = name(aligned, label("aligned", j));
    if (negate) {
      terms.push_back(aligned);
    } else if (structure.signs == Signs::kRelative) {
      words.push_back({aligned, lanes.sign[i]});
    } else if (structure.signs == Signs::kExtend) {
      const Fx word = cat({lanes.sign[i], xor_(aligned, repeat(lanes.sign[i], width))});
      terms.push_back(name(wrap_signed(word, width + 1), label("term", j)));
      terms.push_back(lanes.sign[i]);
    } else {
      terms.push_back(xor_(aligned, repeat(lanes.sign[i], width)));
    }
  }

  g.section("sum");
  const int chain = structure.sum == Summation::kChain ? kChainLanes : 1;
  // N complemented words of `length` bits at `at` lack N there and have N too much above:
  // -N = ~N - (2^n - 1).
  const auto complete = [&](const std::vector<Fx>& negative, int length, int at,
                            std::string_view what) {
    const Fx n = name(sum(g, negative), what);
    terms.push_back(scale(n, at));
    terms.push_back(scale(not_(n), at + length));
    terms.push_back(scale(constant(g, 1 - pow2(n.width())), at + length));
  };
  if (structure.signs == Signs::kRelative) {
    Fx signed_sum;
    if (structure.align == Align::kBucket) {
      // The signs are the same in every bucket, so all sums are relative to the same one.
      std::vector<ChainRow> rows;
      Fx sign;
      for (std::size_t k = 0; k < buckets.size(); ++k) {
        const SignedWord root = sum_to_sign(buckets[k].words, chain, fmt::format("bucket{}_", k));
        rows.push_back(row_of(scale(root.word, buckets[k].at), constant(g, 0)));
        sign = root.sign;
      }
      signed_sum = add_row(constant(g, 0), row_of(sum_rows(g, rows, 1, "buckets"), sign), "signed");
    } else {
      signed_sum = sum_relative(g, words, chain, "sum");
    }
    out.sum = assume(signed_sum, total.range.lo, total.range.hi);
  } else {
    for (std::size_t k = 0; k < buckets.size(); ++k)
      complete(buckets[k].negatives, buckets[k].width, buckets[k].at,
               fmt::format("negatives_b{}", k));
    if (buckets.empty() && structure.signs != Signs::kExtend && structure.signs != Signs::kNegate)
      complete(lanes.sign, width, 0, "negatives");
    out.sum = sum(g, terms, total.range);
  }
  out.sum = name(scale(out.sum, total.lsb), "sum");

  note_specials(g, spec, lanes, a, b, out);
  return out;
}

BeatValue build_beat_value(Graph& g, const DotSpec& spec, const OperandPorts& a,
                           const OperandPorts& b, const std::optional<Fx>& count,
                           const Structure& structure, Technology technology) {
  const BlockDot dot = build_block_dot(g, spec, a, b, count, structure, technology);
  g.section("scale");
  const Scale factor =
      product(build_beat_factor(g, spec.a, a, "a"), build_beat_factor(g, spec.b, b, "b"), "scale");
  const bool has_sign = g.node(factor.sign.node).op != Op::kConst;
  BeatValue out;
  Fx scaled = mul(dot.sum, factor.significand);
  if (has_sign) scaled = neg_if(factor.sign, scaled);
  out.significand = name(scale(scaled, factor.weight), "scaled");
  out.shift = factor.shift;

  const SumRange total = block_dot_range(spec);
  const Int beats = (spec.max_k + spec.lanes - 1) / spec.lanes;
  out.limit = {total.range.lo * factor.most * beats, total.range.hi * factor.most * beats};
  if (has_sign) {
    const Int most = std::max(Int(-out.limit.lo), out.limit.hi);
    out.limit = {-most, most};
  }

  out.flags = beat_flags(g, dot, factor);
  return out;
}

BeatTerms build_beat_terms(Graph& g, const DotSpec& spec, const OperandPorts& a,
                           const OperandPorts& b, const std::optional<Fx>& count,
                           const Structure& structure, Technology technology) {
  const Lanes lanes = decode_lanes(g, spec, a, b, count);
  g.section("scale");
  const Scale factor =
      product(build_beat_factor(g, spec.a, a, "a"), build_beat_factor(g, spec.b, b, "b"), "scale");

  BeatTerms out;
  out.exponent = factor.shift;
  // Bits of a significand below its exponent's place, and the exponent where the shift is zero.
  const auto element_fraction = [](const formats::ElementFormat& f) {
    return f.kind == ElementKind::kMinifloat ? f.man_bits : max_exponent(f) - lsb_exponent(f);
  };
  const auto scale_fraction = [&](const formats::ScaleFormat& f) {
    switch (f.kind) {
      case formats::ScaleKind::kNone:
      case formats::ScaleKind::kE8M0:
        return 0;
      case formats::ScaleKind::kMinifloat:
        return f.minifloat.man_bits;
      case formats::ScaleKind::kInteger:
        return f.int_bits - 1;
      case formats::ScaleKind::kCodeBook:
        return element_fraction(formats::code_book(f.book));
    }
    BLOCKDOT_CHECK(false, "scale kind");
  };
  const auto factor_fraction = [&](const BlockFormat& f) {
    if (scale_in_result(f)) return 0;
    if (!outer_in_beat(f)) return scale_fraction(f.scale);
    if (f.outer.mean) return 23;  // a binary32
    return scale_fraction(f.scale) + scale_fraction(f.outer.scale);
  };
  out.fraction = element_fraction(spec.a.element) + element_fraction(spec.b.element) +
                 factor_fraction(spec.a) + factor_fraction(spec.b);
  out.weight = lanes.x[0].weight + lanes.y[0].weight + factor.weight - micro_most(spec.a) -
               micro_most(spec.b) + out.fraction;

  g.section("multiply");
  for (int j = 0; j < spec.lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    const Element &x = lanes.x[i], &y = lanes.y[i];
    const Fx one =
        multiply(g, scale(x.significand, -x.significand.lsb),
                 scale(y.significand, -y.significand.lsb), structure, technology, label("prod", j));
    const Fx shift = lane_shift(g, spec, a, b, j, {x.shift, y.shift}, technology);
    out.lanes.push_back({xor_(lanes.sign[i], factor.sign),
                         name(mul(one, factor.significand), label("scaled", j)), shift});
  }
  BlockDot specials;
  note_specials(g, spec, lanes, a, b, specials);
  out.flags = beat_flags(g, specials, factor);
  return out;
}

}  // namespace blockdot::rtl_gen
