#include "testbench/axes.h"

#include <fmt/format.h>

#include <set>

#include "formats/error.h"

namespace blockdot::testbench {
namespace {

using formats::AccumulatorKind;
using formats::DotSpec;

const std::vector<std::string> kAccumulators = {"kulisch", "window_saturate", "window_wrap", "fp32",
                                                "bf16",    "aligned"};
const std::vector<std::string> kRoundings = {"rne",   "rna",   "rtz",  "sr:11",
                                             "sr:32", "srf:7", "src:1"};
// A point has the one of its operands' number: they meet every accumulator and rounding.
const std::vector<std::string> kRegisters = {"galois:32",    "fibonacci:32", "galois:64:77",
                                             "fibonacci:37", "galois:33",    "fibonacci:64"};
const std::vector<std::string> kOutputs = {"fp32", "bf16", "e4m3", "e5m2", "e4m3:finite"};
const std::vector<std::string> kSpecials = {"ieee", "nan"};
const std::vector<std::string> kSchedules = {"asap", "min-register", "random"};

int at(const Point& point, Axis axis) { return point[static_cast<size_t>(axis)]; }

/// A window whose ends lie inside what one beat at scales of about one can reach.
formats::FixedFormat window_of(const DotSpec& spec) {
  int high = max_exponent(spec.a.element) + max_exponent(spec.b.element) + 4;
  int low = lsb_exponent(spec.a.element) + lsb_exponent(spec.b.element) + 2;
  // Elements of 16 bits span hundreds of powers of two; a window of 40 bits around one is enough.
  high = std::min(high, 20);
  low = std::max(low, -20);
  return {high, std::min(low, high - 1), true};
}

}  // namespace

const std::vector<Operands>& all_operands() {
  static const std::vector<Operands> operands = {
      {"mxfp8_e4m3", "mxfp8_e4m3", "mxfp8_e4m3"},
      {"mxfp8_e5m2", "mxfp8_e5m2", "mxfp8_e5m2"},
      {"mxfp6_e3m2", "mxfp6_e3m2", "mxfp6_e3m2"},
      {"mxfp6_e2m3", "mxfp6_e2m3", "mxfp6_e2m3"},
      {"mxfp4_e2m1", "mxfp4_e2m1", "mxfp4_e2m1"},
      {"mxint8", "mxint8", "mxint8"},
      {"bm8", "bm8", "bm8"},
      {"bm8_forward_x_backward", "bm8", "bm8_e4m3"},
      {"bm8_e4m3", "bm8_e4m3", "bm8_e4m3"},
      {"bm7_x_bm7_e4m2", "bm7", "bm7_e4m2"},
      {"bm6", "bm6", "bm6"},
      {"bm6_e3m2", "bm6_e3m2", "bm6_e3m2"},
      {"bm5", "bm5", "bm5"},
      {"bm5_x_bm5_e3m1", "bm5", "bm5_e3m1"},
      {"bm4_e3m0", "bm4_e3m0", "bm4_e3m0"},
      {"bm4_x_bm4_e3m0", "bm4", "bm4_e3m0"},
      {"mx9", "mx9", "mx9"},
      {"mx6", "mx6", "mx6"},
      {"mx4", "mx4", "mx4"},
      {"msfp16", "msfp16", "msfp16"},
      {"msfp12", "msfp12", "msfp12"},
      {"int4_fp32", "int4@fp32/64", "int4@fp32/64"},
      {"e3m4_fp32", "e3m4@fp32/128", "e3m4@fp32/128"},
      {"int8_e4m3", "int8@e4m3/16", "int8@e4m3/16"},
      {"bf16", "bf16", "bf16"},
      {"mxfp8_e4m3_x_mxfp4", "mxfp8_e4m3", "mxfp4_e2m1"},
      {"mxint8_x_mxfp8_e4m3", "mxint8", "mxfp8_e4m3"},
      {"e4m3_32_x_e2m1_16", "e4m3@e8m0/32", "e2m1@e8m0/16"},
      {"mx9_x_mxint8", "mx9", "mxint8"},
      {"nvfp4_x_bf16", "e2m1@e4m3/16", "bf16"},
      {"nf4", "nf4@fp32/64", "nf4@fp32/64"},
      {"bf16_x_nf4", "bf16", "nf4@bf16/64"},
      {"dynamic8_x_e4m3", "dynamic8@e8m0/32", "mxfp8_e4m3"},
  };
  return operands;
}

int axis_size(Axis axis) {
  switch (axis) {
    case Axis::kOperands:
      return static_cast<int>(all_operands().size());
    case Axis::kAccumulator:
      return static_cast<int>(kAccumulators.size());
    case Axis::kRounding:
      return static_cast<int>(kRoundings.size());
    case Axis::kOutput:
      return static_cast<int>(kOutputs.size());
    case Axis::kSpecials:
      return static_cast<int>(kSpecials.size());
    case Axis::kSchedule:
      return static_cast<int>(kSchedules.size());
  }
  BLOCKDOT_CHECK(false, "axis");
}

DotSpec spec_of(const Point& point) {
  const Operands& operands = all_operands().at(static_cast<size_t>(at(point, Axis::kOperands)));
  DotSpec spec;
  spec.a = formats::parse_block_format(operands.a);
  spec.b = formats::parse_block_format(operands.b);
  spec.lanes = 4;
  spec.max_k = 64;
  spec.output = formats::parse_element(kOutputs.at(static_cast<size_t>(at(point, Axis::kOutput))));
  spec.rounding =
      formats::parse_rounding(kRoundings.at(static_cast<size_t>(at(point, Axis::kRounding))));
  spec.lfsr = formats::parse_lfsr(
      kRegisters.at(static_cast<size_t>(at(point, Axis::kOperands)) % kRegisters.size()));
  spec.specials = at(point, Axis::kSpecials) == 0 ? formats::SpecialsPolicy::kIeee
                                                  : formats::SpecialsPolicy::kNan;
  const std::string& accumulator =
      kAccumulators.at(static_cast<size_t>(at(point, Axis::kAccumulator)));
  if (accumulator.starts_with("window")) {
    spec.accumulator.kind = AccumulatorKind::kKulischWindow;
    spec.accumulator.window = window_of(spec);
    spec.accumulator.window.saturate = accumulator == "window_saturate";
    spec.accumulator.window.sticky = at(point, Axis::kOperands) % 2 == 1;
  } else {
    if (accumulator == "aligned") {
      // Fewer bits than the sums of every format need, so that each differs from a float
      // accumulator.
      const std::vector<std::string> kinds = {"aligned[3]:fp32", "aligned[4]:bf16",
                                              "aligned[5]:fp32", "aligned[0]:e5m2",
                                              "aligned[2]:bf16"};
      spec.accumulator = formats::parse_accumulator(
          kinds.at(static_cast<size_t>(at(point, Axis::kOperands)) % kinds.size()));
    } else {
      spec.accumulator = formats::parse_accumulator(accumulator);
    }
    if (spec.accumulator.is_float()) {
      spec.accumulator.rounding = spec.rounding;
      if (spec.accumulator.format != spec.output && spec.rounding.stochastic())
        (at(point, Axis::kOperands) % 2 == 0 ? spec.rounding : spec.accumulator.rounding) = {};
    }
  }
  validate(spec);
  return spec;
}

std::string name_of(const Point& point) {
  std::string name = fmt::format(
      "{}_{}_{}_{}_{}_{}", all_operands().at(static_cast<size_t>(point[0])).name,
      kAccumulators.at(static_cast<size_t>(point[1])), kRoundings.at(static_cast<size_t>(point[2])),
      kOutputs.at(static_cast<size_t>(point[3])), kSpecials.at(static_cast<size_t>(point[4])),
      kSchedules.at(static_cast<size_t>(point[5])));
  for (char& c : name)
    if (c == ':' || c == '-') c = '_';
  return name;
}

std::string schedule_of(const Point& point) {
  return kSchedules.at(static_cast<size_t>(at(point, Axis::kSchedule)));
}

std::vector<Point> every_contract(int operands) {
  std::vector<Point> points;
  for (int accumulator = 0; accumulator < axis_size(Axis::kAccumulator); ++accumulator)
    for (int rounding = 0; rounding < axis_size(Axis::kRounding); ++rounding)
      for (int output = 0; output < axis_size(Axis::kOutput); ++output)
        for (int specials = 0; specials < axis_size(Axis::kSpecials); ++specials)
          points.push_back({operands, accumulator, rounding, output, specials, 0});
  return points;
}

std::vector<Point> operands_by_accumulator(int n) {
  std::vector<Point> points;
  const int accumulators = axis_size(Axis::kAccumulator);
  for (int i = 0; i < axis_size(Axis::kOperands) * accumulators; i += n)
    points.push_back({i / accumulators, i % accumulators, 0, 0, 0, 0});
  return points;
}

std::string batch_name(const Point& point) {
  return all_operands().at(static_cast<size_t>(point[0])).name + "_" +
         kAccumulators.at(static_cast<size_t>(point[1]));
}

std::vector<Point> rounding_by_schedule(int operands, int accumulator) {
  std::vector<Point> points;
  for (int rounding = 0; rounding < axis_size(Axis::kRounding); ++rounding) {
    const int turn = operands + accumulator + rounding;
    for (int schedule = 0; schedule < axis_size(Axis::kSchedule); ++schedule)
      points.push_back({operands, accumulator, rounding, turn % axis_size(Axis::kOutput),
                        turn / axis_size(Axis::kOutput) % axis_size(Axis::kSpecials), schedule});
  }
  return points;
}

std::vector<Point> pairwise_points() {
  using Pair = std::array<int, 4>;  // axis, value, axis, value
  std::set<Pair> missing;
  for (int x = 0; x < kAxes; ++x)
    for (int y = x + 1; y < kAxes; ++y)
      for (int i = 0; i < axis_size(static_cast<Axis>(x)); ++i)
        for (int j = 0; j < axis_size(static_cast<Axis>(y)); ++j) missing.insert({x, i, y, j});
  auto gain = [&](const Point& point) {
    int pairs = 0;
    for (int x = 0; x < kAxes; ++x)
      for (int y = x + 1; y < kAxes; ++y)
        pairs += static_cast<int>(
            missing.count({x, point[static_cast<size_t>(x)], y, point[static_cast<size_t>(y)]}));
    return pairs;
  };
  std::vector<Point> points;
  auto take_best = [&](int operands, int accumulator) {
    // Of all completions, the one that holds the most pairs that are still missing; the point's
    // number decides where to start looking, so that ties do not favour low indices.
    Point best{};
    int best_gain = -1;
    int turn = static_cast<int>(points.size());
    auto rotated = [&](int i, Axis axis) { return (i + turn) % axis_size(axis); };
    for (int r = 0; r < axis_size(Axis::kRounding); ++r)
      for (int o = 0; o < axis_size(Axis::kOutput); ++o)
        for (int s = 0; s < axis_size(Axis::kSpecials); ++s)
          for (int k = 0; k < axis_size(Axis::kSchedule); ++k) {
            Point point{operands,
                        accumulator,
                        rotated(r, Axis::kRounding),
                        rotated(o, Axis::kOutput),
                        rotated(s, Axis::kSpecials),
                        rotated(k, Axis::kSchedule)};
            if (int g = gain(point); g > best_gain) best = point, best_gain = g;
          }
    for (int x = 0; x < kAxes; ++x)
      for (int y = x + 1; y < kAxes; ++y)
        missing.erase({x, best[static_cast<size_t>(x)], y, best[static_cast<size_t>(y)]});
    points.push_back(best);
  };
  for (int operands = 0; operands < axis_size(Axis::kOperands); ++operands)
    for (int accumulator = 0; accumulator < axis_size(Axis::kAccumulator); ++accumulator)
      take_best(operands, accumulator);
  while (!missing.empty()) {
    const Pair& pair = *missing.begin();
    int operands =
        pair[0] == 0 ? pair[1] : static_cast<int>(points.size()) % axis_size(Axis::kOperands);
    int accumulator = pair[0] == 1 ? pair[1]
                      : pair[2] == 1
                          ? pair[3]
                          : static_cast<int>(points.size()) % axis_size(Axis::kAccumulator);
    take_best(operands, accumulator);
  }
  return points;
}

}  // namespace blockdot::testbench
