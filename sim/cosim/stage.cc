#include "sim/cosim/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/exact.h"
#include "models/golden.h"

namespace blockdot::sim {
namespace {

using formats::DotSpec;
using models::BeatBuffer;
using models::Exact;

std::size_t at(int lane) { return static_cast<std::size_t>(lane); }

/// Leaves lanes and beats out by zeros on one side that has them.
class Silencer {
 public:
  explicit Silencer(const DotSpec& spec) : spec_(spec) {
    for (bool a : {true, false}) {
      const formats::ElementFormat& element = (a ? spec.a : spec.b).element;
      if (!side_ && formats::decode(element, formats::zero_code(element)) == 0) side_ = a;
    }
  }
  bool can() const { return side_.has_value(); }

  std::vector<BeatBuffer> silent(std::vector<BeatBuffer> beats) const {
    for (BeatBuffer& beat : beats)
      for (int j = 0; j < spec_.lanes; ++j) silence(beat, j);
    return beats;
  }

  /// The last beat alone; of it, one lane alone where `lane` is not negative, and its operands in
  /// lane `to` where that is not.
  std::vector<BeatBuffer> last_alone(std::vector<BeatBuffer> beats, int lane = -1,
                                     int to = -1) const {
    if (to >= 0) {
      BeatBuffer& last = beats.back();
      last.a[at(to)] = last.a[at(lane)];
      last.b[at(to)] = last.b[at(lane)];
      lane = to;
    }
    for (std::size_t t = 0; t < beats.size(); ++t)
      for (int j = 0; j < spec_.lanes; ++j)
        if (t + 1 < beats.size() || (lane >= 0 && j != lane)) silence(beats[t], j);
    return beats;
  }

 private:
  void silence(BeatBuffer& beat, int lane) const {
    (*side_ ? beat.a : beat.b)[at(lane)] = formats::zero_code((*side_ ? spec_.a : spec_.b).element);
  }

  const DotSpec& spec_;
  std::optional<bool> side_;  // a
};

/// With scales of 1, where they have that code.
std::vector<BeatBuffer> with_unit_scales(const DotSpec& spec, std::vector<BeatBuffer> beats) {
  const auto one = [](const formats::ScaleFormat& scale, std::uint32_t& code) {
    const std::uint32_t unit = formats::encode(scale, 1.0);
    if (formats::decode(scale, unit) == 1) code = unit;
  };
  for (BeatBuffer& beat : beats) {
    one(spec.a.scale, beat.a_scale);
    one(spec.b.scale, beat.b_scale);
    one(spec.a.outer.scale, beat.a_outer);
    one(spec.b.outer.scale, beat.b_outer);
    beat.a_mean = beat.b_mean = 0;
  }
  return beats;
}

/// The value of a beat with its scales; nothing for NaN and Inf.
std::optional<Exact> beat_value(const DotSpec& spec, const BeatBuffer& beat) {
  const models::BlockDot dot = models::golden_block_dot(spec, beat.beat(true, true));
  if (dot.nan || dot.scale_nan) return {};
  return dot.sum * dot.factor;
}

/// What the last rounding sees, where that is known exactly. `before`: the right result of the
/// beats before the last.
std::optional<Exact> unrounded(const DotSpec& spec, const std::vector<BeatBuffer>& beats,
                               std::optional<std::uint32_t> before) {
  if (has_result_factor(spec)) return {};
  const bool rounds_each = spec.accumulator.is_float();
  if (rounds_each && (spec.accumulator.kind == formats::AccumulatorKind::kAligned ||
                      spec.accumulator.format != spec.output))
    return {};
  Exact sum;
  if (rounds_each && before) {
    const double held = formats::decode(spec.output, *before);
    if (!std::isfinite(held)) return {};
    sum = Exact(held);
  }
  for (std::size_t t = rounds_each ? beats.size() - 1 : 0; t < beats.size(); ++t) {
    const std::optional<Exact> value = beat_value(spec, beats[t]);
    if (!value) return {};
    sum += *value;
  }
  return sum;
}

/// The two codes are neighbours, and the value before rounding lies between them.
bool is_rounding(const DotSpec& spec, const Trial& trial, const std::optional<Exact>& value) {
  if (!trial.got) return false;
  const std::uint32_t low = std::min(trial.want, *trial.got);
  if (std::max(trial.want, *trial.got) - low != 1) return false;
  const double want = formats::decode(spec.output, trial.want);
  const double got = formats::decode(spec.output, *trial.got);
  if (!std::isfinite(want) || !std::isfinite(got)) return false;
  return !value || (Exact(std::min(want, got)) < *value && *value < Exact(std::max(want, got)));
}

double ratio_of(const DotSpec& spec, const Trial& trial) {
  return formats::decode(spec.output, *trial.got) / formats::decode(spec.output, trial.want);
}

}  // namespace

std::string code_text(const formats::ElementFormat& format, std::uint32_t code) {
  return fmt::format("0x{:0{}x} ({:.9g})", code, (format.width() + 3) / 4,
                     formats::decode(format, code));
}

std::optional<std::size_t> turns_wrong(std::size_t most,
                                       const std::function<bool(std::size_t)>& wrong) {
  std::size_t right = 0, length = 1;
  while (!wrong(length)) {
    if (length == most) return {};
    right = length;
    length = std::min(2 * length, most);
  }
  while (length - right > 1) {
    const std::size_t middle = right + (length - right) / 2;
    (wrong(middle) ? length : right) = middle;
  }
  return length;
}

std::string stage_text(const DotSpec& spec, const std::vector<BeatBuffer>& beats, int count,
                       const RunTrial& run) {
  const Silencer silencer(spec);
  if (!silencer.can()) return "";
  const auto show = [&](const Trial& trial) {
    return fmt::format("{}, not {}", trial.got ? code_text(spec.output, *trial.got) : "no valid_o",
                       code_text(spec.output, trial.want));
  };
  const auto rounding = [&](const Trial& trial, const std::optional<Exact>& value) {
    return fmt::format("\n  stage: rounding: {} rounds to {}", value ? value->text() : "a value",
                       show(trial));
  };

  const Trial silent = run(silencer.silent(beats));
  if (!silent.right())
    return "\n  stage: product of a lane, or sum: zeros in all of them give " + show(silent);
  int live = 0;
  struct Wrong {
    int lane;
    Trial trial;
    double ratio;
  };
  std::vector<Wrong> wrong;
  for (int j = 0; j < count; ++j) {
    const auto alone = silencer.last_alone(beats, j);
    const std::optional<Exact> value = beat_value(spec, alone.back());
    if (value && value->is_zero()) continue;  // nothing to see
    ++live;
    const Trial trial = run(alone);
    if (trial.right() || is_rounding(spec, trial, unrounded(spec, alone, {}))) continue;
    wrong.push_back({j, trial, trial.got ? ratio_of(spec, trial) : 0});
  }
  if (!wrong.empty()) {
    const int lane = wrong[0].lane, other = lane ^ 1;
    const std::string text = fmt::format("lane {} alone gives {}", lane, show(wrong[0].trial));
    if (other < count && run(silencer.last_alone(beats, lane, other)).right())
      return fmt::format("\n  stage: product of lane {}: {}; lane {} has it right", lane, text,
                         other);
    if (run(with_unit_scales(spec, silencer.last_alone(beats, lane))).right())
      return fmt::format("\n  stage: shared exponent: {}, and with scales of 1 it is right", text);
    const bool all_by_the_same = std::ssize(wrong) == live && live > 1 &&
                                 std::all_of(wrong.begin(), wrong.end(), [&](const Wrong& w) {
                                   return w.ratio == wrong[0].ratio;
                                 });
    if (all_by_the_same && std::isfinite(wrong[0].ratio) && wrong[0].ratio > 0 &&
        std::exp2(std::round(std::log2(wrong[0].ratio))) == wrong[0].ratio)
      return fmt::format(
          "\n  stage: shared exponent: every lane alone gives {:g} times what it "
          "should; {}",
          wrong[0].ratio, text);
    return fmt::format("\n  stage: {}: {}{}", other < count ? "result" : "product or result", text,
                       other < count ? fmt::format(", and so does lane {}", other) : "");
  }

  const auto alone = silencer.last_alone(beats);
  const Trial beat = run(alone);
  if (!beat.right()) {
    const std::optional<Exact> value = unrounded(spec, alone, {});
    if (is_rounding(spec, beat, value)) return rounding(beat, value);
    return "\n  stage: sum of the lanes: each alone is right, together they give " + show(beat);
  }
  const Trial all = run(beats);
  std::optional<std::uint32_t> before;
  if (beats.size() > 1) before = run({beats.begin(), beats.end() - 1}).want;
  const std::optional<Exact> value = unrounded(spec, beats, before);
  if (is_rounding(spec, all, value)) return rounding(all, value);
  return fmt::format(
      "\n  stage: accumulate: the beat alone gives {}, as it should; on top of {} "
      "it gives {}",
      code_text(spec.output, beat.want), code_text(spec.output, before.value_or(0)), show(all));
}

}  // namespace blockdot::sim
