#include "formats/dot_spec.h"

#include <algorithm>

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
    std::string rest = lower.substr(close + 1);
    if (rest == ":wrap") {
      accumulator.window.saturate = false;
    } else if (!rest.empty() && rest != ":saturate") {
      throw ConfigError("accumulator = {}: after the window comes :saturate or :wrap", text);
    }
    return accumulator;
  }
  accumulator.kind = AccumulatorKind::kFloat;
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
        "accumulator = {}: must be kulisch, kulisch[MSB:LSB] or a float such as fp32, bf16 or "
        "fp32:rne{}",
        text, did_you_mean(element, {"kulisch", "fp32", "bf16", "fp16"}));
  }
  return accumulator;
}

std::string to_text(const Accumulator& accumulator) {
  switch (accumulator.kind) {
    case AccumulatorKind::kKulisch:
      return "kulisch";
    case AccumulatorKind::kKulischWindow:
      return fmt::format("kulisch[{}:{}]{}", accumulator.window.msb, accumulator.window.lsb,
                         accumulator.window.saturate ? "" : ":wrap");
    case AccumulatorKind::kFloat:
      return fmt::format("{}:{}", to_text(accumulator.format), to_text(accumulator.rounding));
  }
  BLOCKDOT_CHECK(false, "accumulator kind");
}

Rounding drawn_rounding(const DotSpec& spec) {
  return draws_each_beat(spec) ? spec.accumulator.rounding : spec.rounding;
}

bool draws_each_beat(const DotSpec& spec) {
  return spec.accumulator.kind == AccumulatorKind::kFloat && spec.accumulator.rounding.stochastic();
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

void validate(const DotSpec& spec) {
  validate(spec.a);
  validate(spec.b);
  if (spec.lanes < 1 || spec.lanes > 1024)
    throw ConfigError("lanes = {}: must be in [1, 1024]", spec.lanes);
  for (const BlockFormat* operand : {&spec.a, &spec.b}) {
    const char* which = operand == &spec.a ? "a" : "b";
    // Lanes beyond the last element hold the zero code.
    if (operand->element.kind == ElementKind::kCodeBook &&
        decode(operand->element, zero_code(operand->element)) != 0)
      throw ConfigError(
          "{} = {}: a unit needs a zero for the lanes at rest, and this code book has none; try "
          "int2@fp32/32 for -1, 0 and 1",
          which, to_text(*operand));
    if (operand->span != Span::kBlock)
      throw ConfigError(
          "{} = {}: a unit takes scales of blocks; the scale of a row or tensor multiplies its "
          "result, "
          "try {} = {}",
          which, to_text(*operand), which, to_text(operand->element));
    if (operand->has_outer()) {
      BlockFormat inner = *operand;
      inner.outer = {};
      throw ConfigError(
          "{} = {}: a unit takes one scale a block; the outer scale multiplies its result{}", which,
          to_text(*operand),
          inner.scale.kind == ScaleKind::kMinifloat
              ? fmt::format(", try {} = {}", which, to_text(inner))
              : "");
    }
    if (operand->scale.of_maximum)
      throw ConfigError(
          "{} = {}: a unit takes a scale that is the factor; :amax is divided by the element's "
          "maximum, try the same without :amax",
          which, to_text(*operand));
    if (operand->element.width() > 16)
      throw ConfigError("{} = {}: element of {} bits; a unit takes at most 16 (bf16, fp16)", which,
                        to_text(*operand), operand->element.width());
    if (operand->micro.bits > 0 && spec.lanes % operand->micro.block != 0)
      throw ConfigError("lanes = {}: must be a multiple of the micro block {} of {} = {}",
                        spec.lanes, operand->micro.block, which, to_text(*operand));
  }
  if (spec.a.block > 0 && spec.b.block > 0 &&
      std::max(spec.a.block, spec.b.block) % std::min(spec.a.block, spec.b.block) != 0)
    throw ConfigError(
        "b = {}: its block of {} and a's of {} do not divide each other, so beats would straddle a "
        "scale; give both the same block length",
        to_text(spec.b), spec.b.block, spec.a.block);
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
    case AccumulatorKind::kFloat:
      check_float("accumulator", spec.accumulator.format);
      check_rounding("accumulator rounding", spec.accumulator.rounding);
      if (spec.accumulator.format == spec.output) {
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
  if (spec.max_k < 1 || spec.max_k > (std::int64_t{1} << 32))
    throw ConfigError("max-k = {}: must be in [1, 4294967296]", spec.max_k);
}

std::string to_text(const DotSpec& spec) {
  return fmt::format(
      "a={} b={} lanes={} accumulator={} output={} rounding={} specials={} max-k={}{}",
      to_text(spec.a), to_text(spec.b), spec.lanes, to_text(spec.accumulator), to_text(spec.output),
      to_text(spec.rounding), spec.specials == SpecialsPolicy::kIeee ? "ieee" : "nan", spec.max_k,
      spec.lfsr == LfsrSpec{} ? "" : " lfsr=" + to_text(spec.lfsr));
}

DotSpec resolve(const DotSpecText& text) {
  DotSpec spec;
  if (text.a.empty()) throw ConfigError("a = (nothing): a format is needed, e.g. mxfp8_e4m3");
  spec.a = parse_block_format(text.a);
  spec.b = text.b.empty() ? spec.a : parse_block_format(text.b);
  int segment = segment_length(spec);
  spec.lanes = text.lanes.empty() ? (segment == 0 ? 32 : std::min(32, segment))
                                  : static_cast<int>(parse_int("lanes", text.lanes, 1, 1024));
  if (!text.accumulator.empty()) spec.accumulator = parse_accumulator(text.accumulator);
  try {
    spec.output = parse_element(text.output.empty() ? "fp32" : text.output);
  } catch (const ConfigError&) {
    throw ConfigError("output = {}: must be a float such as fp32 or bf16{}", text.output,
                      did_you_mean(text.output, {"fp32", "bf16", "fp16", "e4m3", "e5m2"}));
  }
  if (!text.rounding.empty()) spec.rounding = parse_rounding(text.rounding);
  if (spec.accumulator.kind == AccumulatorKind::kFloat && spec.accumulator.format == spec.output) {
    bool names_rounding = to_lower(text.accumulator).find(":r") != std::string::npos ||
                          to_lower(text.accumulator).find(":sr") != std::string::npos;  // srf, src
    if (!names_rounding) spec.accumulator.rounding = spec.rounding;
    if (names_rounding && text.rounding.empty()) spec.rounding = spec.accumulator.rounding;
  }
  std::string specials = to_lower(text.specials);
  if (specials == "nan") {
    spec.specials = SpecialsPolicy::kNan;
  } else if (!specials.empty() && specials != "ieee") {
    throw ConfigError("specials = {}: must be ieee or nan", text.specials);
  }
  if (!text.max_k.empty()) spec.max_k = parse_int("max-k", text.max_k, 1, std::int64_t{1} << 32);
  if (!text.lfsr.empty()) spec.lfsr = parse_lfsr(text.lfsr);
  validate(spec);
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
