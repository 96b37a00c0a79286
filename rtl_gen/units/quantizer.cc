// The quantiser put together: gather the block (quantizer_block.cc), its shared scale
// (quantizer_scale.cc), its elements (quantizer_element.cc).
//
// Magnitude codes of a float format rise with the value, so the largest magnitude is the largest
// code, and one compare with the code of Inf says whether the block is finite.
#include "rtl_gen/units/quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "formats/code_book.h"
#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/quantizer_parts.h"

namespace blockdot::rtl_gen {

using formats::BlockFormat;
using formats::ElementKind;
using formats::Rounding;
using formats::ScaleKind;
using formats::ScaleRule;

namespace {

constexpr int kMostLanes = 1024;
// Of the values that wait for their scale: a tile of 48 x 48 binary32 values fits.
constexpr int kMostBufferBits = 1 << 17;

// Bits of a positive value's significand, from its highest to its lowest one.
int odd_bits(double value) {
  int exponent;
  const double significand = std::ldexp(std::frexp(value, &exponent), 53);
  return 53 - std::countr_zero(static_cast<std::uint64_t>(significand));
}

int precision(const formats::ScaleFormat& scale) {
  if (scale.kind == ScaleKind::kMinifloat) return scale.minifloat.man_bits + 1;
  return scale.kind == ScaleKind::kInteger ? scale.int_bits : 1;
}

// Bits of the longest border hi - (hi - lo) * n / 2^places between two values of a book.
int border_bits(formats::CodeBook book, int places) {
  int most = 0;
  const std::span<const float> values = formats::code_book_values(book);
  const auto lowest = [](double value) { return std::ilogb(value) + 1 - odd_bits(value); };
  for (std::size_t c = 1; c < values.size(); ++c) {
    const double lo = values[c - 1], hi = values[c], gap = hi - lo;
    const double inside = std::nextafter(std::max(std::fabs(lo), std::fabs(hi)), 0.0);
    int bottom = lowest(gap) - places;
    if (hi != 0) bottom = std::min(bottom, lowest(std::fabs(hi)));
    most = std::max(most, std::ilogb(inside) + 1 - bottom);
  }
  return most;
}

// formats/quantize.h divides in binary64, which decides as the exact quotient does while what a
// quotient is compared with and its divisor have 52 bits together.
constexpr int kExactBits = 52;

void validate_scale(const QuantizerSpec& spec, const std::string& text) {
  const BlockFormat& f = spec.format;
  if (!f.has_scale()) return;
  if (f.scale.kind == ScaleKind::kCodeBook || f.outer.mean) {
    BlockFormat plain = f;
    plain.scale = formats::parse_scale("fp32");
    plain.outer = {};
    throw ConfigError(
        "a = {}: {}; a quantiser unit takes scales e8m0, minifloat and uN: try {}, or `blockdot "
        "quantize`",
        text,
        f.outer.mean
            ? "its mean is known after the tensor's last value, so all values would wait for it"
            : "a scale of a code book takes a search through its values before the division",
        to_text(plain));
  }
  if (f.scale.kind == ScaleKind::kE8M0) return;
  if (f.block > 0 && f.scale.kind == ScaleKind::kMinifloat && !formats::has_nan(f.scale))
    throw ConfigError("a = {}: scale {} has no NaN for blocks that are not finite", text,
                      to_text(f.scale));
  if (f.has_outer() && !formats::has_nan(f.outer.scale))
    throw ConfigError("a = {}: outer scale {} has no NaN", text, to_text(f.outer.scale));
  const int outer = f.has_outer() ? precision(f.outer.scale) : 0;
  const int scale = precision(f.scale);
  const int maximum = f.scale.of_maximum ? 0 : odd_bits(formats::max_value(f.element));
  const int element = f.element.kind == ElementKind::kCodeBook    ? 25
                      : f.element.kind == ElementKind::kMinifloat ? f.element.man_bits + 1
                                                                  : f.element.int_bits;
  if (scale + 1 + maximum + outer > kExactBits || element + 1 + scale + outer > kExactBits)
    throw ConfigError(
        "a = {}: two levels of scales with {} and {} bits have no exact quotient in binary64; "
        "a quantiser unit takes narrower ones, as in e2m1@e4m3/16*fp32/tensor",
        text, scale, outer);
  if (!spec.rounding.stochastic()) return;
  // SRF and SRC read one bit of the tail more than they draw.
  const int below = spec.rounding.variant == formats::SrVariant::kSrff ? 0 : 1;
  const auto exact = [&](int random_bits) {
    const int places = random_bits + below;
    const int border = f.element.kind == ElementKind::kCodeBook
                           ? border_bits(f.element.book, places)
                           : element + places;
    return border + scale + outer <= kExactBits;
  };
  int most = 32;
  while (most > 0 && !exact(most)) --most;
  if (spec.rounding.random_bits <= most) return;
  if (most < 1)
    throw ConfigError(
        "rounding = {}: binary64 does not decide the quotients of format {} for any number of "
        "random bits; try rne, or a scale of fewer bits",
        to_text(spec.rounding), text);
  throw ConfigError("rounding = {}: format {} takes at most {} random bits", to_text(spec.rounding),
                    text, most);
}

void validate_rule(const QuantizerSpec& spec) {
  const BlockFormat& f = spec.format;
  if (f.block == 0 && spec.rule != ScaleRule::kFloor)
    throw ConfigError("scale-rule = {}: {}; try floor", to_text(spec.rule),
                      f.has_scale() ? "the scale of a row or a tensor is given on a port"
                                    : to_text(f) + " has no scale");
  if (spec.rule == ScaleRule::kOptimal)
    throw ConfigError(
        "scale-rule = optimal: tries every scale and sums squared errors in binary64, a quantiser "
        "of the block and a floating-point adder for each; a quantiser unit finds the scale from "
        "the largest value: try floor or ceil, or `blockdot quantize`");
  if (f.has_scale() && f.scale.kind != ScaleKind::kE8M0 && spec.rule != ScaleRule::kFloor &&
      spec.rule != ScaleRule::kCeil)
    throw ConfigError(
        "scale-rule = {}: is for scale e8m0; {} takes floor (amax / max to nearest) or ceil",
        to_text(spec.rule), to_text(f));
  if (f.micro.bits > 0 && spec.rule != ScaleRule::kFloor)
    throw ConfigError("scale-rule = {}: a second level of shared exponents takes floor",
                      to_text(spec.rule));
  if (spec.rule == ScaleRule::kThreeQuarters && f.element.kind == ElementKind::kCodeBook)
    throw ConfigError("scale-rule = three-quarters: {} is a code book; try floor", to_text(f));
}

void validate_lanes(const QuantizerSpec& spec, const std::string& text) {
  const BlockFormat& f = spec.format;
  const std::int64_t whole = std::int64_t{f.block} * f.tile_rows;
  const int lanes = lanes_of(spec);
  if (lanes < 1 || lanes > kMostLanes) {
    QuantizerSpec open = spec;
    open.lanes = 0;
    throw ConfigError("lanes = {}: a quantiser unit takes 1 to {} values a beat; try {} for {}",
                      lanes, kMostLanes, lanes_of(open), text);
  }
  if (f.block == 0) return;
  if (lanes != whole && f.block % lanes != 0)
    throw ConfigError("lanes = {}: must divide the {} values of a row of {}{}", lanes, f.block,
                      text,
                      f.tile_rows > 1 ? fmt::format(", or be the whole tile, {}", whole) : "");
  if (f.micro.bits > 0 && lanes % f.micro.block != 0)
    throw ConfigError("lanes = {}: must be a multiple of the second level's block, {}, of {}",
                      lanes, f.micro.block, text);
  const int most = kMostBufferBits / spec.input.width();
  if (lanes == whole || whole <= most) return;
  BlockFormat smaller = f;  // fewer rows, or a shorter one
  smaller.tile_rows = std::max(1, most / f.block);
  if (f.block > most) smaller.block = most / lanes * lanes;
  throw ConfigError(
      "a = {}: {} x {} values {} are {} bits that wait for their scale; a quantiser unit "
      "keeps at most {}: try {}{}, or `blockdot quantize`",
      text, f.block, f.tile_rows, to_text(spec.input), whole * spec.input.width(), kMostBufferBits,
      spec.input.width() > 16 && whole <= kMostBufferBits / 16 ? "--input bf16 or " : "",
      to_text(smaller));
}

}  // namespace

int lanes_of(const QuantizerSpec& spec) {
  if (spec.lanes > 0) return spec.lanes;
  if (spec.format.block <= kMostLanes) return spec.format.block > 0 ? spec.format.block : 32;
  int part = kMostLanes;
  while (spec.format.block % part != 0) --part;
  return part;
}

int row_of(const QuantizerSpec& spec) {
  return spec.format.block > 0 ? spec.format.block : lanes_of(spec);
}

int beats_of(const QuantizerSpec& spec) {
  return row_of(spec) * spec.format.tile_rows / lanes_of(spec);
}

int buffer_bits(const QuantizerSpec& spec) {
  const int beats = beats_of(spec);
  return beats == 1 ? 0 : beats * lanes_of(spec) * spec.input.width();
}

void validate(const QuantizerSpec& spec) {
  const BlockFormat& f = spec.format;
  formats::validate(f);
  const std::string text = to_text(f);
  if (f.element.kind != ElementKind::kCodeBook && f.element.width() > 16)
    throw ConfigError("a = {}: element of {} bits; a quantiser unit takes at most 16", text,
                      f.element.width());
  validate_scale(spec, text);
  if (spec.input != formats::minifloat(8, 23) && spec.input != formats::minifloat(8, 7))
    throw ConfigError("input = {}: must be fp32 or bf16", to_text(spec.input));
  validate_rule(spec);
  validate_lanes(spec, text);
  const Rounding& r = spec.rounding;
  if (r.stochastic() && (r.random_bits < 1 || r.random_bits > 32))
    throw ConfigError("rounding = {}: random bits must be in [1, 32]", to_text(r));
  formats::validate(spec.lfsr);
  if (r.stochastic())
    formats::validate_draws(spec.lfsr, static_cast<std::uint64_t>(lanes_of(spec)), r.random_bits,
                            "lanes");
}

std::string to_text(const QuantizerSpec& spec) {
  std::string text =
      fmt::format("format={} input={} scale-rule={} rounding={}", to_text(spec.format),
                  to_text(spec.input), to_text(spec.rule), to_text(spec.rounding));
  if (lanes_of(spec) != spec.format.block) text += fmt::format(" lanes={}", lanes_of(spec));
  if (spec.lfsr != formats::LfsrSpec{}) text += " lfsr=" + to_text(spec.lfsr);
  return text;
}

Graph build_quantizer(const QuantizerSpec& spec) {
  validate(spec);
  const BlockFormat& f = spec.format;
  const int lanes = lanes_of(spec);
  Graph g;
  const quantizer::Beat beat = quantizer::gather(g, spec);
  const quantizer::SharedScale shared = quantizer::share(g, spec, beat);

  std::vector<Fx> random(static_cast<std::size_t>(lanes), constant(g, 0));
  if (spec.rounding.stochastic())
    random = build_draws(g, spec.lfsr, lanes, spec.rounding.random_bits,
                         and_(beat.valid, not_(shared.none)));

  g.section("elements");
  std::vector<Fx> elements, micros;
  quantizer::SharedScale own = shared;
  for (int j = 0; j < lanes; ++j) {
    if (f.micro.bits > 0 && j % f.micro.block == 0) {
      const int at = j / f.micro.block;
      const Int most = (1 << f.micro.bits) - 1;
      const Fx code = beat.group_max[static_cast<std::size_t>(at)];
      const auto label = [&](const char* what) { return fmt::format("g{}_{}", at, what); };
      const quantizer::Float log = quantizer::to_float(spec.input, code, label("own"));
      const Fx gap = name(sub(shared.exponent, log.exponent), label("gap"));
      const Fx far = or_(less(constant(g, most), gap), is_zero(code));
      const Fx tau =
          name(assume(mux(far, constant(g, most), mux(sign(gap), constant(g, 0), gap)), 0, most),
               label("tau"));
      own.exponent = name(sub(shared.exponent, tau), label("exponent"));
      micros.push_back(and_(tau, not_(repeat(shared.none, f.micro.bits))));
    }
    const auto lane = static_cast<std::size_t>(j);
    elements.push_back(quantizer::encode(spec, beat.values[lane], own, random[lane], j));
  }
  const auto all = [](std::vector<Fx> parts) {
    std::reverse(parts.begin(), parts.end());
    return cat(parts);
  };
  output("valid_o", beat.valid);
  if (beats_of(spec) > 1) {
    output("first_o", beat.first);
    output("last_o", beat.last);
  }
  output("elements_o", name(all(elements), "elements"));
  if (shared.code) output("scale_o", name(*shared.code, "scale"));
  if (f.micro.bits > 0) output("micro_o", name(all(micros), "micro"));
  return g;
}

namespace {

// What a quantiser takes from the technology's structure: how the sums of `graph` are lowered. Only
// rounding src has one.
Structure structure_of(const Graph& graph, Technology technology) {
  const Structure plain = plain_structure(technology);
  if (plain == kPlain) return plain;
  Structure taken;
  const std::vector<bool> live = graph.live();
  for (std::size_t i = 0; i < graph.size(); ++i) {
    if (!live[i] || graph.node(NodeId{static_cast<std::uint32_t>(i)}).op != Op::kSum) continue;
    taken.sum = plain.sum;
    taken.counters = plain.counters;
    taken.adder = plain.adder;
    taken.cells = plain.cells;
    break;
  }
  return taken;
}

}  // namespace

Unit generate_quantizer(const QuantizerSpec& spec, const Arch& wanted, std::string_view top) {
  if (wanted.structure != Structure{})
    throw ConfigError("arch = {}: structures are those of dot units; a quantiser has none",
                      given_text(wanted.structure));
  validate(spec);
  Arch arch = wanted;
  Graph graph = build_quantizer(spec);
  arch.structure = structure_of(graph, arch.technology);
  const formats::BlockFormat& f = spec.format;
  UnitText text;
  const int lanes = lanes_of(spec), beats = beats_of(spec);
  text.purpose = fmt::format("{} values {} a beat to {}{}.", lanes, to_text(spec.input),
                             f.block > 0 ? "blocks of " : "", display_name(f));
  text.spec = to_text(spec);
  text.exact = f.block == 0 ? "every element is the exact quotient rounded once"
               : f.scale.kind == ScaleKind::kE8M0
                   ? "the shared exponent is exact; every element is rounded once"
                   : "the scale is rounded once; every element is the exact quotient rounded once";
  text.meaning = [&](const std::string& port) -> std::string {
    if (port == "valid_i") return "a beat is presented";
    if (port == "first_i")
      return fmt::format(
          "it starts a block of {} beats; a block before it that is not whole is lost", beats);
    if (port == "x_i")
      return fmt::format("{} values {}, value j at bits [j*{} +: {}]", lanes, to_text(spec.input),
                         spec.input.width(), spec.input.width());
    if (port == "outer_i")
      return fmt::format(
          "code of the scale above, {} without its sign; read with the block's last "
          "beat",
          to_text(f.outer.scale));
    if (port == "seed_load_i") return "load seed_i for the roundings of the beats after this one";
    if (port == "seed_i") return "state of the random stream; 0 is read as 1";
    if (port == kSeedParameter) return seed_meaning(spec.lfsr, lanes * spec.rounding.random_bits);
    if (port == "valid_o") return "the outputs are those of a beat of a block";
    if (port == "first_o") return "it is the block's first";
    if (port == "last_o") return "it is the block's last";
    if (port == "elements_o")
      return fmt::format("{} codes {}, element j at bits [j*{} +: {}]", lanes, to_text(f.element),
                         f.element.width(), f.element.width());
    if (port == "scale_i")
      return fmt::format("the beat's scale, {} code{}; elements are zero under its NaN",
                         to_text(f.scale),
                         f.scale.kind == ScaleKind::kMinifloat ? " without its sign" : "");
    if (port == "scale_o")
      return f.scale.kind == ScaleKind::kE8M0
                 ? std::string("e8m0 code: 2^(code-127), 255 is NaN")
                 : fmt::format("{} code{}", to_text(f.scale),
                               f.scale.kind == ScaleKind::kMinifloat ? " without its sign" : "");
    if (port == "micro_o")
      return fmt::format("tau of each {} elements, group g at bits [g*{} +: {}]", f.micro.block,
                         f.micro.bits, f.micro.bits);
    BLOCKDOT_CHECK(false, "port {}", port);
  };
  text.command = [&](const Arch& a) {
    std::string line = fmt::format(
        "blockdot gen --unit quantizer --a '{}' --input {} --scale-rule {} --rounding {}",
        to_text(f), to_text(spec.input), to_text(spec.rule), to_text(spec.rounding));
    if (lanes != f.block) line += fmt::format(" --lanes {}", lanes);
    if (spec.lfsr != formats::LfsrSpec{}) line += " --lfsr " + to_text(spec.lfsr);
    line += a.combinational ? " --combinational" : fmt::format(" --clock-ns {}", a.clock_ns);
    line += fmt::format(" --tech {}", to_text(a.technology));
    if (!a.combinational && a.schedule != ScheduleKind::kMinRegister)
      line += fmt::format(" --schedule {}", to_text(a.schedule));
    if (a.schedule == ScheduleKind::kRandom)
      line += fmt::format(" --schedule-seed {}", a.schedule_seed);
    return line + fmt::format(" --top {}", top);
  };
  return build_unit(std::move(graph), arch, top, text);
}

nlohmann::json quantizer_json(const Unit& unit, const QuantizerSpec& spec) {
  nlohmann::json json = to_json(unit.report);
  json["schema"] = "blockdot.quantizer/1";
  json["kind"] = "quantizer";
  json["lanes"] = lanes_of(spec);
  json["beats"] = beats_of(spec);
  json["buffer_bits"] = buffer_bits(spec);
  json.erase("sum");
  json.erase("accumulator");
  return json;
}

}  // namespace blockdot::rtl_gen
