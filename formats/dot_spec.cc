#include "formats/dot_spec.h"

#include <algorithm>
#include <bit>
#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>

#include "formats/code_book.h"
#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

Accumulator parse_accumulator(std::string_view text) {
  std::string lower = to_lower(text);
  Accumulator accumulator;
  if (lower == "kulisch") return accumulator;
  if (lower.starts_with("kulisch[")) {
    size_t close = lower.find(']');
    size_t colon = lower.find(':');
    if (close == std::string::npos || colon == std::string::npos || colon > close)
      throw ConfigError("accumulator = {}: a window is kulisch[MSB:LSB], as in kulisch[30:-40]",
                        text);
    accumulator.kind = AccumulatorKind::kKulischWindow;
    accumulator.window.msb = static_cast<int>(
        parse_int("accumulator window msb", lower.substr(8, colon - 8), -2048, 2048));
    accumulator.window.lsb = static_cast<int>(parse_int(
        "accumulator window lsb", lower.substr(colon + 1, close - colon - 1), -2048, 2048));
    bool border = false;
    std::string rest = lower.substr(close + 1);
    std::vector<std::string> options = rest.empty() ? std::vector<std::string>{} : split(rest, ':');
    for (size_t i = 0; i < options.size(); ++i) {
      bool known = i == 0 ? options[i].empty() : true;
      if (i > 0 && options[i] == "sticky" && !accumulator.window.sticky) {
        accumulator.window.sticky = true;
      } else if (i > 0 && !border &&
                 (options[i] == "wrap" || options[i] == "saturate" || options[i] == "exact")) {
        accumulator.window.saturate = options[i] == "saturate";
        accumulator.window.exact = options[i] == "exact";
        border = true;
      } else if (i > 0) {
        known = false;
      }
      if (!known)
        throw ConfigError(
            "accumulator = {}: after the window come :saturate, :wrap or :exact, and :sticky, once",
            text);
    }
    return accumulator;
  }
  accumulator.kind = AccumulatorKind::kFloat;
  if (lower.starts_with("aligned")) {
    size_t close = lower.find("]:");
    if (!lower.starts_with("aligned[") || close == std::string::npos)
      throw ConfigError(
          "accumulator = {}: an aligned accumulator is aligned[W]:FLOAT with W fraction bits kept, "
          "as in aligned[13]:fp32",
          text);
    accumulator.kind = AccumulatorKind::kAligned;
    accumulator.fraction_bits = static_cast<int>(
        parse_int("accumulator fraction bits", lower.substr(8, close - 8), 0, kMaxAlignedBits));
    accumulator.rounding.mode = RoundingMode::kRtz;
    lower = lower.substr(close + 2);
  }
  // The rounding is the part from the first ":r.." or ":sr" on; element options come before it.
  std::string element = lower;
  for (const char* mode : {":rne", ":rna", ":rtz", ":sr:", ":srf:", ":src:"}) {
    size_t at = lower.find(mode);
    if (at != std::string::npos) {
      element = lower.substr(0, at);
      accumulator.rounding = parse_rounding(lower.substr(at + 1));
    }
  }
  try {
    accumulator.format = parse_element(element);
  } catch (const ConfigError&) {
    throw ConfigError(
        "accumulator = {}: must be kulisch, kulisch[MSB:LSB], a float such as fp32, bf16 or "
        "fp32:rne, or aligned[W]:FLOAT{}",
        text, did_you_mean(element, {"kulisch", "fp32", "bf16", "fp16"}));
  }
  return accumulator;
}

std::string to_text(const Accumulator& accumulator) {
  switch (accumulator.kind) {
    case AccumulatorKind::kKulisch:
      return "kulisch";
    case AccumulatorKind::kKulischWindow:
      return fmt::format("kulisch[{}:{}]{}{}", accumulator.window.msb, accumulator.window.lsb,
                         accumulator.window.saturate ? ":saturate"
                         : accumulator.window.exact  ? ":exact"
                                                     : ":wrap",
                         accumulator.window.sticky ? ":sticky" : "");
    case AccumulatorKind::kFloat:
      return fmt::format("{}:{}", to_text(accumulator.format), to_text(accumulator.rounding));
    case AccumulatorKind::kAligned:
      return fmt::format("aligned[{}]:{}:{}", accumulator.fraction_bits,
                         to_text(accumulator.format), to_text(accumulator.rounding));
  }
  BLOCKDOT_CHECK(false, "accumulator kind");
}

int exponent_of(const ElementFormat& format, double value) {
  if (format.kind != ElementKind::kMinifloat) return max_exponent(format);
  return std::max(std::ilogb(value), 1 - format.bias);
}

namespace {

using Natural = boost::multiprecision::cpp_int;

// significand * 2^exponent, not negative.
struct Dyadic {
  Natural significand = 0;
  int exponent = 0;

  Dyadic() = default;
  Dyadic(double value) {
    significand = static_cast<std::uint64_t>(std::ldexp(std::frexp(value, &exponent), 53));
    exponent -= 53;
  }
  friend Dyadic operator*(Dyadic x, const Dyadic& y) {
    x.significand *= y.significand;
    x.exponent += y.exponent;
    return x;
  }
};

// Largest value, and the magnitude of the lowest one.
double highest(const ElementFormat& f) { return max_value(f); }
double deepest(const ElementFormat& f) {
  bool full = f.kind == ElementKind::kInteger && !f.symmetric;
  return full ? std::ldexp(1, f.int_bits - 1 - f.frac_bits) : max_value(f);
}

/// What the finite scales of a format are like: magnitudes of at most `largest`, all multiples of
/// 2^lowest_bit.
struct ScaleRange {
  Dyadic largest = 1.0;
  int lowest_bit = 0;
  bool negative = false;  // some are negative
};

ScaleRange range_of(const ScaleFormat& f) {
  switch (f.kind) {
    case ScaleKind::kNone:
      return {};
    case ScaleKind::kInteger:
      return {std::ldexp(1, f.int_bits) - 1, 0, false};
    case ScaleKind::kCodeBook:
      return {max_value(code_book(f.book)), lsb_exponent(code_book(f.book)), true};
    case ScaleKind::kE8M0:
      return {0x1p127, -kE8M0Bias, false};
    case ScaleKind::kMinifloat:
      return {max_value(f.minifloat), lsb_exponent(f.minifloat), false};
  }
  return {};
}

/// Of what a beat is multiplied by.
ScaleRange beat_range(const BlockFormat& f) {
  if (scale_in_result(f)) return {};
  if (!outer_in_beat(f)) return range_of(f.scale);
  if (f.outer.mean) {
    const ElementFormat binary32 = minifloat(8, 23);
    return {max_value(binary32), lsb_exponent(binary32), true};
  }
  const ScaleRange inner = range_of(f.scale), outer = range_of(f.outer.scale);
  return {inner.largest * outer.largest, inner.lowest_bit + outer.lowest_bit,
          inner.negative || outer.negative};
}

int largest_tau(const BlockFormat& f) { return f.micro.bits > 0 ? (1 << f.micro.bits) - 1 : 0; }

}  // namespace

FixedFormat exact_window(const DotSpec& spec) {
  const ElementFormat &a = spec.a.element, &b = spec.b.element;
  const ScaleRange x = beat_range(spec.a), y = beat_range(spec.b);
  FixedFormat window;
  window.saturate = false;
  window.exact = true;
  window.lsb = lsb_exponent(a) + lsb_exponent(b) + x.lowest_bit + y.lowest_bit -
               largest_tau(spec.a) - largest_tau(spec.b);
  const std::int64_t beats = (spec.max_k + spec.lanes - 1) / spec.lanes;
  const Dyadic most = Dyadic(static_cast<double>(beats * spec.lanes)) * x.largest * y.largest;
  // The least msb with most * product < 2^msb, or <= for sums below zero.
  const auto reach = [&](double product, bool negative) {
    Dyadic sum = most * Dyadic(product);
    if (negative) sum.significand -= 1;
    return static_cast<int>(msb(sum.significand)) + 1 + sum.exponent;
  };
  const double above = std::max(highest(a) * highest(b), deepest(a) * deepest(b));
  const double below = std::max(highest(a) * deepest(b), deepest(a) * highest(b));
  window.msb = std::max({reach(above, false), reach(below, true), window.lsb + 1});
  if (x.negative || y.negative)
    window.msb = std::max({window.msb, reach(below, false), reach(above, true)});
  return window;
}

Rounding drawn_rounding(const DotSpec& spec) {
  return drawn_rounding(spec, has_result_factor(spec));
}

Rounding drawn_rounding(const Accumulation& spec, bool factor) {
  if (draws_each_beat(spec)) return spec.accumulator.rounding;
  return output_rounds(spec, factor) ? spec.rounding : Rounding{};
}

bool draws_each_beat(const Accumulation& spec) {
  return spec.accumulator.is_float() && spec.accumulator.rounding.stochastic();
}

int segment_length(const DotSpec& spec) {
  if (spec.a.block == 0 || spec.b.block == 0) return std::max(spec.a.block, spec.b.block);
  return std::min(spec.a.block, spec.b.block);
}

std::vector<BeatRange> beat_ranges(const DotSpec& spec, std::int64_t k) {
  std::vector<BeatRange> ranges;
  std::int64_t segment = segment_length(spec) > 0 ? segment_length(spec) : k;
  for (std::int64_t border = 0; border < k; border += segment) {
    std::int64_t end = std::min(border + segment, k);
    for (std::int64_t start = border; start < end; start += spec.lanes)
      ranges.push_back({start, static_cast<int>(std::min<std::int64_t>(spec.lanes, end - start))});
  }
  return ranges;
}

std::int64_t beats_for(const DotSpec& spec, std::int64_t k) {
  auto beats = [&](std::int64_t n) { return (n + spec.lanes - 1) / spec.lanes; };
  std::int64_t segment = segment_length(spec);
  if (segment == 0) return beats(k);
  return k / segment * beats(segment) + beats(k % segment);
}

constexpr std::int64_t kMostProducts = std::int64_t{1} << 32;  // max_k

bool outer_in_beat(const BlockFormat& format) {
  return format.has_outer() && (format.outer.span == Span::kBlock || format.outer.mean);
}

bool outer_in_result(const BlockFormat& format) {
  return format.has_outer() && !outer_in_beat(format);
}

bool scale_in_result(const BlockFormat& format) {
  return format.has_scale() && format.span != Span::kBlock;
}

bool has_result_factor(const BlockFormat& format) {
  return scale_in_result(format) || outer_in_result(format) || format.scale.of_maximum;
}

bool has_result_factor(const DotSpec& spec) {
  return has_result_factor(spec.a) || has_result_factor(spec.b);
}

bool output_rounds(const DotSpec& spec) { return output_rounds(spec, has_result_factor(spec)); }

bool output_rounds(const Accumulation& spec, bool factor) {
  return !spec.accumulator.is_float() || spec.accumulator.format != spec.output || factor;
}

bool needs_count(const DotSpec& spec) {
  auto zero = [](const ElementFormat& f) { return decode(f, zero_code(f)) == 0; };
  return !zero(spec.a.element) && !zero(spec.b.element);
}

OddFactor amax_divisor(const BlockFormat& format) {
  if (!format.scale.of_maximum) return {};
  int exponent;
  auto odd =
      static_cast<std::uint64_t>(std::ldexp(std::frexp(max_value(format.element), &exponent), 53));
  int zeros = std::countr_zero(odd);
  odd >>= zeros;
  BLOCKDOT_CHECK(odd < (std::uint64_t{1} << 24), "{}", to_text(format.element));
  return {static_cast<std::uint32_t>(odd), exponent - 53 + zeros};
}

namespace {

/// The block lengths nearest to `block` that divide it or that it divides: "16, 64".
std::string block_lengths_beside(int block) {
  int below = block - 1;
  while (below > 1 && block % below != 0) --below;
  return below > 1 ? fmt::format("{} or {}", below, 2 * block) : std::to_string(2 * block);
}

// Widest element of exact_window: the products of two are doubles.
constexpr int kExactWindowBits = 16;

/// Exact windows are known.
bool has_exact_window(const DotSpec& spec) {
  return spec.a.element.width() <= kExactWindowBits && spec.b.element.width() <= kExactWindowBits;
}

}  // namespace

void check_window(const Accumulation& spec, const FixedFormat& needs, bool stated) {
  if (spec.accumulator.kind != AccumulatorKind::kKulischWindow) return;
  const FixedFormat& window = spec.accumulator.window;
  if (window.exact && (window.msb < needs.msb || window.lsb > needs.lsb))
    throw ConfigError(
        "accumulator = {}: the sums of {} products take bits {} to {}; try "
        "kulisch[{}:{}]:exact, a smaller max-k, or :saturate or :wrap for a window that loses some",
        to_text(spec.accumulator), spec.max_k, needs.msb, needs.lsb,
        std::max(window.msb, needs.msb), std::min(window.lsb, needs.lsb));
  // One product alone takes at least so many bits fewer; a window below that holds none.
  const int growth = std::bit_width(static_cast<std::uint64_t>(spec.max_k - 1));
  const bool holds_fewer = needs.msb - growth <= window.msb;
  // A window that says what becomes of sums beyond it may be of any width; one that does not must
  // hold the `max-k` products that its user states.
  if (stated && window.msb < needs.msb)
    throw ConfigError(
        "accumulator = kulisch[{0}:{1}]: the sums of max-k = {2} products take bits "
        "up to {3}; try kulisch[{3}:{1}]{4} or kulisch[{0}:{1}]:saturate or :wrap",
        window.msb, window.lsb, spec.max_k, needs.msb, holds_fewer ? ", a smaller max-k," : "");
}

void validate(const DotSpec& spec) {
  validate(spec.a);
  validate(spec.b);
  if (spec.lanes < 1 || spec.lanes > 1024)
    throw ConfigError("lanes = {}: must be in [1, 1024]", spec.lanes);
  for (const BlockFormat* operand : {&spec.a, &spec.b}) {
    const char* which = operand == &spec.a ? "a" : "b";
    if (operand->micro.bits > 0 && spec.lanes % operand->micro.block != 0)
      throw ConfigError("lanes = {}: must be a multiple of the micro block {} of {} = {}",
                        spec.lanes, operand->micro.block, which, to_text(*operand));
  }
  if (spec.a.block > 0 && spec.b.block > 0 &&
      std::max(spec.a.block, spec.b.block) % std::min(spec.a.block, spec.b.block) != 0)
    throw ConfigError(
        "b = {}: its block of {} and a's of {} do not divide each other, so beats would straddle a "
        "scale; give both the same block length, or b one of {}",
        to_text(spec.b), spec.b.block, spec.a.block, block_lengths_beside(spec.a.block));
  int segment = segment_length(spec);
  for (const BlockFormat* operand : {&spec.a, &spec.b}) {
    if (operand->micro.bits > 0 && segment % operand->micro.block != 0)
      throw ConfigError(
          "{} = {}: its micro block of {} does not divide the other side's block of {}, so beats "
          "would split it; give both the same block length",
          operand == &spec.a ? "a" : "b", to_text(*operand), operand->micro.block, segment);
  }
  if (segment > 0 && spec.lanes > segment)
    throw ConfigError("lanes = {}: must be in [1, {}], the block length: a beat has one scale",
                      spec.lanes, segment);

  validate(spec, has_result_factor(spec));
  if (spec.accumulator.window.exact) {
    for (const BlockFormat* f : {&spec.a, &spec.b})
      if (f->element.width() > kExactWindowBits)
        throw ConfigError(
            "accumulator = {}: takes elements of at most {} bits, {} has {}; try kulisch, or "
            ":wrap for a window that is as wide as its sums take",
            to_text(spec.accumulator), kExactWindowBits, to_text(f->element), f->element.width());
    check_window(spec, exact_window(spec), false);
  }
}

void validate(const Accumulation& spec, bool factor) {
  auto check_float = [](const char* field, const ElementFormat& format) {
    validate(format);
    if (format.kind != ElementKind::kMinifloat)
      throw ConfigError("{} = {}: must be a float such as fp32, bf16 or e4m3", field,
                        to_text(format));
    if (format.special == Special::kFnuz)
      throw ConfigError("{} = {}: fnuz is an operand format; try :fn or :ieee", field,
                        to_text(format));
  };
  check_float("output", spec.output);
  auto check_rounding = [&](const char* field, const Rounding& rounding) {
    bool right = rounding.stochastic() ? rounding.random_bits >= 1 && rounding.random_bits <= 32
                                       : rounding.random_bits == 0;
    if (!right)
      throw ConfigError("{} random bits = {}: must be in [1, 32] for sr, 0 else", field,
                        rounding.random_bits);
    if (rounding.random_bits > spec.lfsr.width)
      throw ConfigError("{} = {}: draws more bits than lfsr = {} has; take lfsr = {}:{} or wider",
                        field, to_text(rounding), to_text(spec.lfsr),
                        spec.lfsr.kind == LfsrKind::kGalois ? "galois" : "fibonacci",
                        rounding.random_bits);
  };
  validate(spec.lfsr);
  check_rounding("rounding", spec.rounding);
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch:
      break;
    case AccumulatorKind::kKulischWindow: {
      const FixedFormat& window = spec.accumulator.window;
      if (window.msb <= window.lsb || window.width() > 4096)
        throw ConfigError("accumulator = {}: needs msb > lsb and at most 4096 bits",
                          to_text(spec.accumulator));
      break;
    }
    case AccumulatorKind::kAligned:
      if (spec.accumulator.fraction_bits < 0 || spec.accumulator.fraction_bits > kMaxAlignedBits)
        throw ConfigError("accumulator fraction bits = {}: must be in [0, {}]",
                          spec.accumulator.fraction_bits, kMaxAlignedBits);
      [[fallthrough]];
    case AccumulatorKind::kFloat:
      check_float("accumulator", spec.accumulator.format);
      check_rounding("accumulator rounding", spec.accumulator.rounding);
      if (!output_rounds(spec, factor)) {
        if (spec.accumulator.rounding != spec.rounding)
          throw ConfigError(
              "rounding = {}: accumulator {} has the output's format, so the one rounding is the "
              "accumulator's; give both the same",
              to_text(spec.rounding), to_text(spec.accumulator));
      } else if (spec.accumulator.rounding.stochastic() && spec.rounding.stochastic()) {
        throw ConfigError(
            "rounding = {}: accumulator {} rounds stochastically too, and a unit has one random "
            "stream; make one of them rne",
            to_text(spec.rounding), to_text(spec.accumulator));
      }
      break;
  }
  if (spec.max_k < 1 || spec.max_k > kMostProducts)
    throw ConfigError("max-k = {}: must be in [1, 4294967296]", spec.max_k);
}

std::string to_text(const DotSpec& spec) {
  return fmt::format(
      "a={} b={} lanes={} accumulator={} output={} rounding={} specials={} max-k={}{}",
      to_text(spec.a), to_text(spec.b), spec.lanes, to_text(spec.accumulator), to_text(spec.output),
      to_text(spec.rounding), spec.specials == SpecialsPolicy::kIeee ? "ieee" : "nan", spec.max_k,
      spec.lfsr == LfsrSpec{} ? "" : " lfsr=" + to_text(spec.lfsr));
}

Accumulation resolve_accumulation(const DotSpecText& text, bool factor) {
  Accumulation spec;
  if (!text.accumulator.empty()) spec.accumulator = parse_accumulator(text.accumulator);
  try {
    spec.output = parse_element(text.output.empty() ? "fp32" : text.output);
  } catch (const ConfigError&) {
    throw ConfigError("output = {}: must be a float such as fp32 or bf16{}", text.output,
                      did_you_mean(text.output, {"fp32", "bf16", "fp16", "e4m3", "e5m2"}));
  }
  if (!text.rounding.empty()) spec.rounding = parse_rounding(text.rounding);
  if (!output_rounds(spec, factor)) {
    bool names_rounding = to_lower(text.accumulator).find(":r") != std::string::npos ||
                          to_lower(text.accumulator).find(":sr") != std::string::npos;  // srf, src
    if (text.rounding.empty())
      spec.rounding = spec.accumulator.rounding;
    else if (!names_rounding)
      spec.accumulator.rounding = spec.rounding;
  }
  if (!text.max_k.empty()) spec.max_k = parse_int("max-k", text.max_k, 1, kMostProducts);
  if (!text.lfsr.empty()) spec.lfsr = parse_lfsr(text.lfsr);
  return spec;
}

bool states_sums(const DotSpecText& text) {
  const std::string window = to_lower(text.accumulator);
  return !text.max_k.empty() && window.starts_with("kulisch[") &&
         window.find(":saturate") == std::string::npos && window.find(":wrap") == std::string::npos;
}

DotSpec resolve(const DotSpecText& text) {
  DotSpec spec;
  if (text.a.empty()) throw ConfigError("a = (nothing): a format is needed, e.g. mxfp8_e4m3");
  spec.a = parse_block_format(text.a, "a");
  spec.b = text.b.empty() ? spec.a : parse_block_format(text.b, "b");
  int segment = segment_length(spec);
  spec.lanes = text.lanes.empty() ? (segment == 0 ? 32 : std::min(32, segment))
                                  : static_cast<int>(parse_int("lanes", text.lanes, 1, 1024));
  static_cast<Accumulation&>(spec) = resolve_accumulation(text, has_result_factor(spec));
  std::string specials = to_lower(text.specials);
  if (specials == "nan") {
    spec.specials = SpecialsPolicy::kNan;
  } else if (!specials.empty() && specials != "ieee") {
    throw ConfigError("specials = {}: must be ieee or nan", text.specials);
  }
  validate(spec);
  if (states_sums(text) && has_exact_window(spec)) check_window(spec, exact_window(spec), true);
  return spec;
}

DotSpec parse_dot_spec(std::string_view text) {
  DotSpecText parts;
  const std::vector<std::pair<std::string, std::string*>> keys = {
      {"a", &parts.a},
      {"b", &parts.b},
      {"lanes", &parts.lanes},
      {"accumulator", &parts.accumulator},
      {"output", &parts.output},
      {"rounding", &parts.rounding},
      {"specials", &parts.specials},
      {"max-k", &parts.max_k},
      {"lfsr", &parts.lfsr}};
  for (const std::string& word : split(text, ' ')) {
    if (word.empty()) continue;
    size_t equals = word.find('=');
    // The first `=` ends the key; a format's own options may hold more of them.
    std::string key = word.substr(0, equals);
    auto found = std::find_if(keys.begin(), keys.end(), [&](auto& k) { return k.first == key; });
    if (equals == std::string::npos || found == keys.end()) {
      std::vector<std::string> names;
      for (const auto& k : keys) names.push_back(k.first);
      throw ConfigError("spec: '{}' is not key=value with a known key{}", word,
                        did_you_mean(key, names));
    }
    if (!found->second->empty()) throw ConfigError("spec: {} is given twice", key);
    *found->second = word.substr(equals + 1);
  }
  return resolve(parts);
}

}  // namespace blockdot::formats
