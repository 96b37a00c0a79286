#include "testbench/stimulus.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

namespace blockdot::testbench {
namespace {

using formats::AccumulatorKind;
using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementFormat;
using formats::ElementKind;
using formats::ScaleFormat;
using formats::ScaleKind;

// The unused code of a symmetric integer is outside the contract.
bool is_used(const ElementFormat& format, std::uint32_t code) {
  return !(format.kind == ElementKind::kInteger && format.symmetric &&
           code == 1u << (format.int_bits - 1));
}

// All codes, or of a wide format every exponent with the ends of its significands and some between.
std::vector<std::uint32_t> some_codes(const ElementFormat& format) {
  std::vector<std::uint32_t> codes;
  if (format.width() <= 16) {
    for (std::uint32_t code = 0; code < 1u << format.width(); ++code) codes.push_back(code);
    return codes;
  }
  std::mt19937 random(1);
  const std::uint32_t significands = 1u << format.man_bits;
  for (std::uint32_t exponent = 0; exponent < 1u << (format.exp_bits + 1); ++exponent)  // and sign
    for (std::uint32_t significand :
         {0u, 1u, significands / 2, significands - 1, static_cast<std::uint32_t>(random()),
          static_cast<std::uint32_t>(random())})
      codes.push_back(exponent << format.man_bits | (significand & (significands - 1)));
  return codes;
}

// The codes of one operand, by what they are good for.
struct Codes {
  explicit Codes(const BlockFormat& format) {
    const ElementFormat& element = format.element;
    double least = INFINITY, most = 0, power = 0;
    for (std::uint32_t code : some_codes(element)) {
      if (!is_used(element, code)) continue;
      double value = decode(element, code);
      any.push_back(code);
      if (std::isnan(value)) nans.push_back(code);
      if (std::isinf(value)) (value > 0 ? plus_inf : minus_inf).push_back(code);
      if (!std::isfinite(value)) continue;
      finite.push_back(code);
      if (value == 0) continue;
      int exponent = 0;
      if (std::frexp(std::fabs(value), &exponent) == 0.5) powers.push_back(code);
      if (value > most) most = value, largest = code;
      if (value > 0 && value < least) least = value, smallest = code;
      if (value == 1 || (power != 1 && value > 0 && std::frexp(value, &exponent) == 0.5))
        power = value, power_of_two = code;
    }
    largest_negative = encode(element, -most);
    smallest_negative = encode(element, -least);
    power_exponent = std::ilogb(power);
    zero = zero_code(element);
    extremes = {zero, largest, largest_negative, smallest, smallest_negative};
    // Of many NaN codes (bf16 has 254) some are enough: the least, the greatest and those between.
    for (size_t i = 0; i < nans.size(); i += std::max<size_t>(1, (nans.size() - 1) / 3))
      specials.push_back(nans[i]);
    specials.insert(specials.end(), plus_inf.begin(), plus_inf.end());
    specials.insert(specials.end(), minus_inf.begin(), minus_inf.end());
  }

  std::vector<std::uint32_t> any, finite, powers, nans, plus_inf, minus_inf, specials, extremes;
  std::uint32_t zero = 0;  // or what lanes at rest hold
  std::uint32_t largest = 0, largest_negative = 0, smallest = 0, smallest_negative = 0;
  std::uint32_t power_of_two = 0;  // 1 where the format has it
  int power_exponent = 0;
};

int clamped_exponent(const ElementFormat& format, int exponent) {
  return std::clamp(exponent, lsb_exponent(format), max_exponent(format));
}

// The scale nearest to significand * 2^exponent, 1 <= significand < 2.
std::uint32_t scale_near(const ScaleFormat& scale, int exponent, double significand = 1) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return 0;
    case ScaleKind::kInteger:
    case ScaleKind::kCodeBook:
      return encode(scale, std::ldexp(significand, exponent));
    case ScaleKind::kE8M0:
      return static_cast<std::uint32_t>(std::clamp(exponent + formats::kE8M0Bias, 0, 254));
    case ScaleKind::kMinifloat: {
      int within = clamped_exponent(scale.minifloat, exponent);
      return encode(scale.minifloat, std::ldexp(significand, within));
    }
  }
  return 0;
}

// Scales that are worth a corner of their own: lowest, highest, NaN, Inf, zero.
std::vector<std::uint32_t> scale_corners(const ScaleFormat& scale) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return {};
    case ScaleKind::kInteger:
      return {0, 1, (1u << scale.int_bits) - 1};
    case ScaleKind::kCodeBook: {
      ElementFormat book = formats::code_book(scale.book);
      return {zero_code(book), 0, max_finite_code(book)};
    }
    case ScaleKind::kE8M0:
      return {0, 254, formats::kE8M0Nan};
    case ScaleKind::kMinifloat: {
      const ElementFormat& format = scale.minifloat;
      std::vector<std::uint32_t> codes = {0, 1, max_finite_code(format)};
      if (has_inf(format)) codes.push_back(inf_code(format));
      if (has_nan(scale)) codes.push_back(nan_code(scale));
      return codes;
    }
  }
  return {};
}

class Maker {
 public:
  Maker(const DotSpec& spec, std::uint64_t seed)
      : spec_(spec), a_(spec.a), b_(spec.b), random_(seed) {
    // What realises an exponent; the other scales stay near 1, or are the result's.
    a_lever_ = lever(spec.a);
    b_lever_ = lever(spec.b);
    longest_ = static_cast<int>(std::clamp<std::int64_t>(spec.max_k / spec.lanes, 1, 64));
    const ElementFormat& out = spec.output;
    precision_ = out.man_bits + 1;
    borders_ = {lsb_exponent(out), 1 - out.bias, 0, max_exponent(out) + 1};
    const formats::Accumulator& accumulator = spec.accumulator;
    if (accumulator.kind == AccumulatorKind::kKulischWindow) {
      borders_.push_back(accumulator.window.msb);
      borders_.push_back(accumulator.window.lsb);
    } else if (accumulator.is_float()) {
      precision_ = std::min(precision_, accumulator.format.man_bits + 1);
      borders_.push_back(lsb_exponent(accumulator.format));
      borders_.push_back(max_exponent(accumulator.format) + 1);
    }
  }

  Stimulus take() { return std::move(cycles_); }

  // ---- Beats ----
  models::BeatBuffer zero() const {
    auto taus = [&](const BlockFormat& format) {
      return std::vector<std::uint8_t>(
          static_cast<size_t>(format.micro.bits > 0 ? spec_.lanes / format.micro.block : 0), 0);
    };
    auto lanes = static_cast<size_t>(spec_.lanes);
    models::BeatBuffer beat;
    beat.a.assign(lanes, a_.zero);
    beat.b.assign(lanes, b_.zero);
    beat.a_micro = taus(spec_.a);
    beat.b_micro = taus(spec_.b);
    beat.count = spec_.lanes;
    beat.a_scale = scale_near(spec_.a.scale, 0);
    beat.b_scale = scale_near(spec_.b.scale, 0);
    beat.a_outer = scale_near(spec_.a.outer.scale, 0);
    beat.b_outer = scale_near(spec_.b.outer.scale, 0);
    return beat;
  }

  // Every lane a * b at the same scales.
  models::BeatBuffer all(std::uint32_t a, std::uint32_t b) const {
    models::BeatBuffer beat = zero();
    std::fill(beat.a.begin(), beat.a.end(), a);
    std::fill(beat.b.begin(), beat.b.end(), b);
    return beat;
  }

  // One product of +-2^exponent, as near as the formats come to it.
  models::BeatBuffer power(int exponent, bool negative, int lane = 0) const {
    models::BeatBuffer beat = zero();
    auto at = static_cast<size_t>(lane % spec_.lanes);
    int rest = exponent - a_.power_exponent - b_.power_exponent;
    rest = split_scales(rest, rest / 2, 1, 1, beat);
    // What the scales do not reach, the elements may.
    int ea = clamped_exponent(spec_.a.element, a_.power_exponent + rest / 2);
    int eb = clamped_exponent(spec_.b.element, b_.power_exponent + rest - (ea - a_.power_exponent));
    beat.a[at] = encode(spec_.a.element, std::ldexp(negative ? -1 : 1, ea));
    beat.b[at] = encode(spec_.b.element, std::ldexp(1, eb));
    return beat;
  }

  // Scales whose product is about 2^exponent, a's about 2^a_exponent; returns what is left of
  // `exponent` where they do not reach it.
  int split_scales(int exponent, int a_exponent, double a_significand, double b_significand,
                   models::BeatBuffer& beat) const {
    auto reached = [](const ScaleFormat& scale, int wanted) {
      if (scale.kind == ScaleKind::kNone) return 0;
      return std::ilogb(decode(scale, scale_near(scale, wanted)));
    };
    int b_exponent = reached(b_lever_, exponent - reached(a_lever_, a_exponent));
    a_exponent = exponent - b_exponent;
    set_levers(beat, scale_near(a_lever_, a_exponent, a_significand),
               scale_near(b_lever_, b_exponent, b_significand));
    return exponent - b_exponent - reached(a_lever_, a_exponent);
  }

  // ---- Frames ----
  void frame(std::vector<models::BeatBuffer> beats, bool bubbles = false, bool finish = true) {
    for (size_t i = 0; i < beats.size(); ++i) {
      // Only the last beat's count.
      if (!exact_factor_) result_factors(beats[i]);
      if (bubbles) add_bubbles(1 + uniform(2));
      cycles_.push_back({true, i == 0, finish && i + 1 == beats.size(), std::move(beats[i])});
    }
    if (bubbles) add_bubbles(1);
  }

  void add_bubbles(int count) {
    for (int i = 0; i < count; ++i)
      cycles_.push_back({false, chance(2), chance(2), uniform_beat()});
  }

  // Sums of signed powers of two, a beat each.
  struct Term {
    int exponent;
    bool negative = false;
  };
  void frame_of(const std::vector<Term>& terms) {
    std::vector<models::BeatBuffer> beats;
    for (const Term& term : terms)
      beats.push_back(power(term.exponent, term.negative, static_cast<int>(beats.size())));
    frame(std::move(beats));
  }

  void directed() {
    // One beat frames of equal lanes at corner scales, with and without bubbles.
    for (auto [a, b] : {std::pair{a_.zero, b_.zero},
                        {a_.largest, b_.largest},
                        {a_.largest_negative, b_.largest},
                        {a_.largest_negative, b_.largest_negative},
                        {a_.smallest, b_.smallest},
                        {a_.smallest, b_.smallest_negative},
                        {a_.smallest, b_.largest},
                        {a_.largest, b_.smallest_negative},
                        {a_.power_of_two, b_.power_of_two}}) {
      for (std::uint32_t sa : corners_or_unit(a_lever_))
        for (std::uint32_t sb : corners_or_unit(b_lever_)) frame({scaled(all(a, b), sa, sb)});
      frame({all(a, b)}, true);
    }
    one_lane_at_a_time();
    for (bool negative : {false, true}) longest_of_the_largest(negative);
    cancelling();
    for (int border : borders_) around(border);
    specials();
    if (!a_.finite.empty()) second_level();
    if (has_result_factor(spec_)) factors_of_the_result();
    if (spec_.a.outer.mean || spec_.b.outer.mean) means();
    if (needs_count(spec_)) counts();
    if (spec_.accumulator.kind == formats::AccumulatorKind::kAligned) zeros_beside_the_largest();
    // A frame that is given up: the next `first` starts from zero.
    frame({power(3, false), power(2, true)}, false, false);
    frame({power(0, false)});
    frame({power(1, false), zero(), power(-2, true)}, true);
    for (int length : {2, 3, 5, longest_}) {
      std::vector<models::BeatBuffer> beats;
      for (int i = 0; i < std::min(length, longest_); ++i)
        beats.push_back(power(i % 5, i % 3 == 1, i));
      frame(std::move(beats), length == 3);
    }
  }

  void random_frame() {
    static constexpr int kLengths[] = {1, 1, 2, 2, 3, 4, 6, 9};
    int length = std::min(kLengths[uniform(8)], longest_);
    int border = borders_[static_cast<size_t>(uniform(static_cast<int>(borders_.size())))];
    int top = border + uniform(2 * precision_ + 6) - precision_;
    Flavour flavour = static_cast<Flavour>(uniform(7));
    std::vector<models::BeatBuffer> beats;
    for (int i = 0; i < length; ++i) {
      int below = chance(3) ? 0 : uniform(precision_ + 4);
      beats.push_back(beat(flavour, top - below));
      if (flavour == Flavour::kCancelling && i + 1 < length && chance(2)) {
        models::BeatBuffer back = beats.back();
        for (std::uint32_t& code : back.a)
          code = encode(spec_.a.element, -decode(spec_.a.element, code));
        beats.push_back(back);
        ++i;
      }
    }
    if (length > 1) std::shuffle(beats.begin(), beats.end(), random_);
    frame(std::move(beats), chance(5));
    if (chance(8)) add_bubbles(1 + uniform(3));
  }

  models::BeatBuffer uniform_beat() {
    models::BeatBuffer beat = zero();
    for (std::uint32_t& code : beat.a) code = pick(a_.any);
    for (std::uint32_t& code : beat.b) code = pick(b_.any);
    beat.a_scale = any_code(spec_.a.scale);
    beat.b_scale = any_code(spec_.b.scale);
    beat.a_outer = any_code(spec_.a.outer.scale);
    beat.b_outer = any_code(spec_.b.outer.scale);
    if (spec_.a.outer.mean) beat.a_mean = any_float();
    if (spec_.b.outer.mean) beat.b_mean = any_float();
    beat.count = 1 + uniform(spec_.lanes);
    random_taus(beat);
    return beat;
  }

 private:
  enum class Flavour { kAny, kPowers, kExtremes, kSparse, kCancelling, kSpecials, kSparsePowers };

  int uniform(int n) { return static_cast<int>(random_() % static_cast<std::uint64_t>(n)); }
  bool chance(int n) { return uniform(n) == 0; }
  std::uint32_t pick(const std::vector<std::uint32_t>& from) {
    return from[static_cast<size_t>(uniform(static_cast<int>(from.size())))];
  }

  void random_taus(models::BeatBuffer& beat) {
    for (std::uint8_t& tau : beat.a_micro)
      tau = static_cast<std::uint8_t>(uniform(1 << spec_.a.micro.bits));
    for (std::uint8_t& tau : beat.b_micro)
      tau = static_cast<std::uint8_t>(uniform(1 << spec_.b.micro.bits));
  }

  std::uint32_t any_code(const ScaleFormat& scale) {
    return scale.width() == 0 ? 0 : static_cast<std::uint32_t>(random_() >> (64 - scale.width()));
  }
  float any_float() { return std::bit_cast<float>(static_cast<std::uint32_t>(random_())); }

  // ---- Scales ----
  static ScaleFormat lever(const BlockFormat& format) {
    if (scale_in_result(format)) return {};
    return outer_in_beat(format) ? format.outer.scale : format.scale;
  }

  void set_levers(models::BeatBuffer& beat, std::uint32_t a, std::uint32_t b) const {
    if (!scale_in_result(spec_.a)) (outer_in_beat(spec_.a) ? beat.a_outer : beat.a_scale) = a;
    if (!scale_in_result(spec_.b)) (outer_in_beat(spec_.b) ? beat.b_outer : beat.b_scale) = b;
  }

  models::BeatBuffer scaled(models::BeatBuffer beat, std::uint32_t a, std::uint32_t b) const {
    set_levers(beat, a, b);
    return beat;
  }

  // The factors of the result: of most frames 1; or around it; or such that acc * factor / divisor
  // is a short number, so that ties happen; or corners; or any code.
  void result_factors(models::BeatBuffer& beat) {
    auto choose = [&](const BlockFormat& format, const ScaleFormat& scale) -> std::uint32_t {
      switch (uniform(8)) {
        case 0:
          return any_code(scale);
        case 1: {
          std::vector<std::uint32_t> corners = scale_corners(scale);
          return corners.empty() ? 0 : pick(corners);
        }
        case 2:
        case 3:
          // Or one step beside it, where what is left of the division decides.
          return std::min(encode(scale, std::ldexp(amax_divisor(format).odd * (1 + 2 * uniform(4)),
                                                   uniform(16) - 8)) +
                              static_cast<std::uint32_t>(uniform(2)),
                          highest(scale));
        case 4:
          return encode(scale,
                        1 + std::ldexp(static_cast<double>(random_() >> 40), uniform(9) - 28));
        default:
          return scale_near(scale, 0);
      }
    };
    auto side = [&](const BlockFormat& format, std::uint32_t& scale, std::uint32_t& outer) {
      if (scale_in_result(format)) scale = choose(format, format.scale);
      if (outer_in_result(format)) outer = choose(format, format.outer.scale);
    };
    side(spec_.a, beat.a_scale, beat.a_outer);
    side(spec_.b, beat.b_scale, beat.b_outer);
  }

  // A product of zero has no exponent, however large its other element is.
  void zeros_beside_the_largest() {
    if (needs_count(spec_) || a_.finite.empty() || b_.finite.empty()) return;
    for (std::size_t lane = 0; lane < static_cast<std::size_t>(spec_.lanes); ++lane) {
      models::BeatBuffer beat = all(a_.smallest, b_.smallest);
      beat.a[lane] = zero_code(spec_.a.element);
      beat.b[lane] = b_.largest;
      frame({beat});
      beat.a[lane] = a_.largest;
      beat.b[lane] = zero_code(spec_.b.element);
      frame({beat});
    }
  }

  // Every corner of a side's factors against accumulators that are zero, small, large, Inf.
  void factors_of_the_result() {
    exact_factor_ = true;
    std::vector<models::BeatBuffer> totals = {zero(), power(0, false), power(0, true),
                                              all(a_.largest, b_.largest),
                                              all(a_.largest_negative, b_.smallest)};
    for (std::uint32_t inf : a_.plus_inf) totals.push_back(all(inf, b_.largest));
    for (std::uint32_t inf : b_.minus_inf) totals.push_back(all(a_.largest, inf));
    auto corners = [&](bool used, const ScaleFormat& scale) {
      std::vector<std::uint32_t> codes = {0};
      if (!used) return codes;
      codes = corners_or_unit(scale);
      // Results around the ends of the output's range, by the factor alone.
      for (int border :
           {lsb_exponent(spec_.output) - 1, 1 - spec_.output.bias, max_exponent(spec_.output) + 1})
        codes.push_back(scale_near(scale, border, 1.5));
      return codes;
    };
    auto a_scales = corners(scale_in_result(spec_.a), spec_.a.scale);
    auto b_scales = corners(scale_in_result(spec_.b), spec_.b.scale);
    auto a_outers = corners(outer_in_result(spec_.a), spec_.a.outer.scale);
    auto b_outers = corners(outer_in_result(spec_.b), spec_.b.outer.scale);
    for (const models::BeatBuffer& total : totals)
      for (std::uint32_t as : a_scales)
        for (std::uint32_t bs : b_scales)
          for (std::uint32_t ao : a_outers)
            for (std::uint32_t bo : b_outers) {
              models::BeatBuffer beat = total;
              if (scale_in_result(spec_.a)) beat.a_scale = as;
              if (scale_in_result(spec_.b)) beat.b_scale = bs;
              if (outer_in_result(spec_.a)) beat.a_outer = ao;
              if (outer_in_result(spec_.b)) beat.b_outer = bo;
              frame({beat});
            }
    exact_factor_ = false;
  }

  // scale * outer + mean: far apart either way, cancelling to nothing and to a unit in the last
  // place, overflowing, and what is not finite.
  void means() {
    for (bool a : {true, false}) {
      const BlockFormat& format = a ? spec_.a : spec_.b;
      if (!format.outer.mean) continue;
      for (int outer : {-149, -126, -20, 0, 127}) {
        for (std::uint32_t scale : corners_or_unit(format.scale)) {
          models::BeatBuffer beat = all(a_.power_of_two, b_.largest);
          (a ? beat.a_scale : beat.b_scale) = scale;
          std::uint32_t code = scale_near(format.outer.scale, outer, 1.25);
          (a ? beat.a_outer : beat.b_outer) = code;
          auto product =
              static_cast<float>(decode(format.scale, scale) * decode(format.outer.scale, code));
          for (float mean : {0.0f, product, -product, std::nextafter(-product, 1.0f),
                             std::ldexp(product, -24), -std::ldexp(product, -25),
                             std::ldexp(product, 24), 3e38f, -3e38f, INFINITY, NAN, 1e-45f}) {
            (a ? beat.a_mean : beat.b_mean) = mean;
            frame({beat});
          }
        }
      }
    }
  }

  void counts() {
    for (int count = 1; count <= spec_.lanes; ++count) {
      models::BeatBuffer beat = all(a_.largest, b_.largest_negative);
      beat.count = count;
      frame({beat});
      frame({beat, all(a_.largest, b_.largest)});
    }
  }

  static std::vector<std::uint32_t> corners_or_unit(const ScaleFormat& scale) {
    std::vector<std::uint32_t> codes = scale_corners(scale);
    codes.push_back(scale_near(scale, 0));
    return codes;
  }

  static std::uint32_t highest(const ScaleFormat& scale) {
    switch (scale.kind) {
      case ScaleKind::kNone:
        return 0;
      case ScaleKind::kInteger:
        return (1u << scale.int_bits) - 1;
      case ScaleKind::kCodeBook:
        return max_finite_code(formats::code_book(scale.book));
      case ScaleKind::kE8M0:
        return 254;
      case ScaleKind::kMinifloat:
        return max_finite_code(scale.minifloat);
    }
    return 0;
  }

  // A swapped, dropped or negated lane shows: the lanes have different values.
  void one_lane_at_a_time() {
    for (int lane = 0; lane < spec_.lanes; ++lane) {
      models::BeatBuffer beat = zero();
      auto at = static_cast<size_t>(lane);
      beat.a[at] = a_.largest_negative;
      beat.b[at] = b_.power_of_two;
      frame({beat});
      beat.a[at] = a_.power_of_two;
      beat.b[at] = b_.smallest;
      frame({beat});
    }
  }

  // As many products as max_k allows (at most 64 beats), at the top of every scale and at the unit.
  void longest_of_the_largest(bool negative) {
    models::BeatBuffer beat = all(negative ? a_.largest_negative : a_.largest, b_.largest);
    frame(std::vector<models::BeatBuffer>(static_cast<size_t>(longest_), beat));
    frame(std::vector<models::BeatBuffer>(static_cast<size_t>(longest_),
                                          scaled(beat, highest(a_lever_), highest(b_lever_))));
  }

  void cancelling() {
    models::BeatBuffer inside = all(a_.largest, b_.largest);
    for (size_t j = 1; j < inside.a.size(); j += 2) inside.a[j] = a_.largest_negative;
    frame({inside});
    models::BeatBuffer down = all(a_.largest_negative, b_.largest);
    models::BeatBuffer up = all(a_.largest, b_.largest);
    frame({up, down});
    for (bool top : {false, true}) {
      if (top) {
        up = scaled(up, highest(a_lever_), highest(b_lever_));
        down = scaled(down, highest(a_lever_), highest(b_lever_));
      }
      for (int rest : {0, -precision_, -2 * precision_, -60}) {
        frame({up, power(rest, false), down});
        frame({down, up, power(rest, true)});
        frame({power(rest, true), up, power(rest - 1, false), down});
      }
    }
  }

  // Ties at the last place of values near 2^border, their neighbours, and tails far below.
  void around(int border) {
    for (int top : {border - 1, border, border + 1}) {
      int place = top - precision_ + 1;
      std::vector<int> places = {place,
                                 spec_.output.man_bits == 0 ? place : top - spec_.output.man_bits,
                                 lsb_exponent(spec_.output)};
      if (spec_.accumulator.kind == AccumulatorKind::kKulischWindow)
        places.push_back(spec_.accumulator.window.lsb);
      for (int last : places) {
        for (bool negative : {false, true}) {
          bool other = !negative;
          frame_of({{top, negative}, {last - 1, negative}});
          frame_of({{top, negative}, {last, negative}, {last - 1, negative}});
          frame_of({{top, negative}, {last, other}});
          frame_of({{top, negative}, {last - 1, other}});
          for (int tail : {last - 2, last - 4, last - 40}) {
            frame_of({{top, negative}, {last - 1, negative}, {tail, negative}});
            frame_of({{top, negative}, {last - 1, negative}, {tail, other}});
          }
          frame_of({{last - 1, negative}});
          frame_of({{last - 2, negative}});
          frame_of({{last - 1, negative}, {last - 8, negative}});
        }
      }
    }
  }

  void specials() {
    models::BeatBuffer ordinary = all(a_.power_of_two, b_.power_of_two);
    std::vector<std::uint32_t> unit = {scale_near(a_lever_, 0), scale_near(b_lever_, 0)};
    auto with = [&](std::uint32_t a, std::uint32_t b) {
      models::BeatBuffer beat = ordinary;
      auto at = static_cast<size_t>(uniform(spec_.lanes));
      beat.a[at] = a;
      beat.b[at] = b;
      return beat;
    };
    std::vector<models::BeatBuffer> odd;
    for (std::uint32_t code : a_.specials)
      for (std::uint32_t b : {b_.power_of_two, b_.zero, b_.largest_negative, b_.smallest})
        odd.push_back(with(code, b));
    for (std::uint32_t code : b_.specials)
      for (std::uint32_t a : {a_.power_of_two, a_.zero, a_.largest_negative, a_.smallest})
        odd.push_back(with(a, code));
    for (std::uint32_t a : a_.specials)
      for (std::uint32_t b : b_.specials) odd.push_back(with(a, b));
    for (std::uint32_t code : scale_corners(a_lever_)) {
      odd.push_back(scaled(ordinary, code, unit[1]));
      odd.push_back(scaled(zero(), code, unit[1]));
      for (std::uint32_t inf : a_.plus_inf)
        odd.push_back(scaled(with(inf, b_.largest), code, unit[1]));
    }
    for (std::uint32_t code : scale_corners(b_lever_)) {
      odd.push_back(scaled(ordinary, unit[0], code));
      odd.push_back(scaled(zero(), unit[0], code));
      for (std::uint32_t inf : b_.minus_inf)
        odd.push_back(scaled(with(a_.largest, inf), unit[0], code));
    }
    for (size_t i = 0; i < odd.size(); ++i) {
      frame({odd[i]});
      frame({odd[i], ordinary});
      frame({ordinary, odd[i], odd[(i + 1) % odd.size()]});
      frame({ordinary});  // the flags are gone
    }
    // Infs of one sign and of both, in a beat and between beats; beside an overflow.
    models::BeatBuffer top =
        scaled(all(a_.largest_negative, b_.largest), highest(a_lever_), highest(b_lever_));
    for (std::uint32_t plus : a_.plus_inf) {
      for (std::uint32_t minus : a_.minus_inf) {
        models::BeatBuffer both = with(plus, b_.largest);
        frame({both, both});
        frame({both, top});
        frame({top, with(minus, b_.largest)});
        frame({both, with(minus, b_.largest)});
        frame({with(minus, b_.largest), ordinary, with(minus, b_.smallest)});
        both = all(plus, b_.power_of_two);
        both.a.back() = minus;
        frame({both});
      }
    }
  }

  // Every tau of each side against each of the other.
  void second_level() {
    int a_taus = 1 << spec_.a.micro.bits, b_taus = 1 << spec_.b.micro.bits;
    if (a_taus * b_taus == 1) return;
    for (int i = 0; i < a_taus * b_taus; ++i) {
      models::BeatBuffer beat = all(a_.largest, b_.largest);
      for (size_t g = 0; g < beat.a_micro.size(); ++g)
        beat.a_micro[g] = static_cast<std::uint8_t>((static_cast<int>(g) + i) % a_taus);
      for (size_t g = 0; g < beat.b_micro.size(); ++g)
        beat.b_micro[g] = static_cast<std::uint8_t>((static_cast<int>(g) + i / a_taus) % b_taus);
      frame({beat});
      std::fill(beat.a_micro.begin(), beat.a_micro.end(), static_cast<std::uint8_t>(i % a_taus));
      std::fill(beat.b_micro.begin(), beat.b_micro.end(), static_cast<std::uint8_t>(i / a_taus));
      frame({beat});
    }
  }

  // Elements of a flavour, and scales that put the largest product near 2^exponent.
  models::BeatBuffer beat(Flavour flavour, int exponent) {
    models::BeatBuffer made = zero();
    bool sparse = flavour == Flavour::kSparse || flavour == Flavour::kSparsePowers;
    bool powers = flavour == Flavour::kPowers || flavour == Flavour::kSparsePowers;
    auto element = [&](const ElementFormat& format, const Codes& codes) {
      if (flavour == Flavour::kSpecials && chance(6) && !codes.specials.empty())
        return pick(codes.specials);
      if (flavour == Flavour::kExtremes) return pick(codes.extremes);
      std::uint32_t code = pick(powers ? codes.powers : codes.finite);
      // Codes of a wide format are hundreds of powers of two apart: bring them together.
      return wide(format) ? moved(format, code, uniform(powers ? precision_ + 2 : 6), true) : code;
    };
    for (size_t j = 0; j < made.a.size(); ++j) {
      if (sparse && !chance(3) && j + 1 < made.a.size()) continue;
      made.a[j] = element(spec_.a.element, a_);
      made.b[j] = element(spec_.b.element, b_);
    }
    if (flavour == Flavour::kCancelling) {
      for (size_t j = 0; j + 1 < made.a.size(); j += 2) {
        made.b[j + 1] = made.b[j];
        made.a[j + 1] = encode(spec_.a.element, -decode(spec_.a.element, made.a[j]));
        if (chance(3)) made.a[j + 1] = element(spec_.a.element, a_);
      }
    }
    random_taus(made);
    double most = 0;
    for (size_t j = 0; j < made.a.size(); ++j) {
      double product =
          std::fabs(decode(spec_.a.element, made.a[j]) * decode(spec_.b.element, made.b[j]));
      if (std::isfinite(product)) most = std::max(most, product);
    }
    int rest = exponent - (most > 0 ? std::ilogb(most) : 0);
    auto significand = [&] {
      return powers || chance(2) ? 1.0 : 1 + std::ldexp(static_cast<double>(random_() >> 40), -24);
    };
    rest = split_scales(rest, rest / 2 + uniform(33) - 16, significand(), significand(), made);
    // What the scales do not reach, the exponents of wide elements may.
    if (rest != 0 && flavour != Flavour::kExtremes) {
      int by_a =
          wide(spec_.a.element) ? (wide(spec_.b.element) ? rest / 2 + uniform(17) - 8 : rest) : 0;
      if (wide(spec_.a.element))
        for (std::uint32_t& code : made.a) code = moved(spec_.a.element, code, by_a, false);
      if (wide(spec_.b.element))
        for (std::uint32_t& code : made.b) code = moved(spec_.b.element, code, rest - by_a, false);
    }
    if (flavour == Flavour::kSpecials && chance(4)) {
      std::vector<std::uint32_t> corners = scale_corners(a_lever_);
      if (!corners.empty()) set_levers(made, pick(corners), scale_near(b_lever_, 0));
    }
    if (flavour == Flavour::kSpecials && chance(8)) {
      std::vector<std::uint32_t> corners = scale_corners(b_lever_);
      if (!corners.empty()) set_levers(made, scale_near(a_lever_, 0), pick(corners));
    }
    auto vary = [&](const BlockFormat& format, std::uint32_t& scale, std::uint32_t outer,
                    float& mean) {
      if (!outer_in_beat(format)) return;
      if (chance(2)) scale = any_code(format.scale);
      if (!format.outer.mean || chance(2)) return;
      // Beside the product, from far below to far above, or what cancels it but for a little.
      auto product =
          static_cast<float>(decode(format.scale, scale) * decode(format.outer.scale, outer));
      mean = chance(3) ? std::nextafter(-product, static_cast<float>(uniform(3) - 1))
                       : std::ldexp((chance(2) ? -1.0f : 1.0f) * product, uniform(61) - 30);
    };
    vary(spec_.a, made.a_scale, made.a_outer, made.a_mean);
    vary(spec_.b, made.b_scale, made.b_outer, made.b_mean);
    made.count = chance(2) ? spec_.lanes : 1 + uniform(spec_.lanes);
    return made;
  }

  static bool wide(const ElementFormat& format) {
    return max_exponent(format) - lsb_exponent(format) > 64;
  }

  // The digits of a finite code at another exponent: `exponent`, or that far from its own.
  static std::uint32_t moved(const ElementFormat& format, std::uint32_t code, int exponent,
                             bool absolute) {
    double value = decode(format, code);
    if (value == 0 || !std::isfinite(value)) return code;
    int own = std::ilogb(value);
    int to = clamped_exponent(format, absolute ? exponent : own + exponent);
    return encode(format, std::ldexp(value, to - own));
  }

  const DotSpec& spec_;
  Codes a_, b_;
  std::mt19937_64 random_;
  int longest_;    // beats of the longest frame
  int precision_;  // significant bits of what rounds first
  std::vector<int> borders_;
  ScaleFormat a_lever_, b_lever_;
  bool exact_factor_ = false;  // frames bring the factors of their results
  Stimulus cycles_;
};

}  // namespace

Stimulus directed_stimulus(const DotSpec& spec) {
  Maker maker(spec, 1);
  maker.directed();
  return maker.take();
}

Stimulus random_stimulus(const DotSpec& spec, std::uint64_t seed, int frames) {
  Maker maker(spec, seed);
  for (int i = 0; i < frames; ++i) maker.random_frame();
  return maker.take();
}

Stimulus uniform_stimulus(const DotSpec& spec, std::uint64_t seed, int frames) {
  Maker maker(spec, seed);
  for (int i = 0; i < frames; ++i) maker.frame({maker.uniform_beat()});
  return maker.take();
}

}  // namespace blockdot::testbench
