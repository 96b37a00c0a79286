#include "rtl_gen/choose.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "formats/error.h"
#include "rtl_gen/build/lower.h"
#include "rtl_gen/cost/timing.h"
#include "rtl_gen/pipeline/schedule.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/multi.h"
#include "rtl_gen/units/multiply.h"
#include "rtl_gen/units/unit.h"

namespace blockdot::rtl_gen {
namespace {

using formats::DotSpec;
using formats::ElementKind;
using formats::MultiSpec;

// Enough for every part of a lane to be there, few enough for milliseconds.
constexpr int kProxyLanes = 8;

constexpr int kMostKoggeStone = 48;  // bits of a sum
constexpr int kLeastSparse = 25;     // four groups have no tree that is worth its cells

// Bits of a product of elements as fixed-point words, one side's times the other's: E4M3 has 324.
// Beyond, a lane of align=before is ten times the size of any other, and takes as long to estimate.
constexpr int kMostShiftedProduct = 1024;

int fixed_point_bits(const formats::ElementFormat& f) {
  return formats::max_exponent(f) - formats::lsb_exponent(f) + 1;
}

bool is_integer_pair(const DotSpec& spec) {
  return spec.a.element.kind == ElementKind::kInteger &&
         spec.b.element.kind == ElementKind::kInteger && spec.a.micro.bits == 0 &&
         spec.b.micro.bits == 0;
}

// Empty, or what is wrong with a structure without open fields.
std::string fault(const Structure& s, const DotSpec& spec, Technology technology) {
  const bool integers = is_integer_pair(spec);
  const bool chains = s.sum == Summation::kChain;
  if (s.cells != Cells::kNone && technology != Technology::kOsu018)
    return "cells=full and cells=library need technology osu018";
  if (s.counters == Counters::kSix && s.sum == Summation::kCompress)
    return "counters=6:3 needs sum=timed, tree or chain";
  if (s.multiplier == Multiplier::kTable && table_bits(spec.a.element, spec.b.element) == 0)
    return "multiplier=table needs elements of at most 8 bits a pair, signs of minifloats aside";
  if (integers) {
    if (chains && s.multiplier != Multiplier::kBooth)
      return "sum=chain of integers needs multiplier=booth";
    return "";
  }
  if (s.multiplier == Multiplier::kBooth) return "multiplier=booth needs two integer elements";
  if (chains != (s.signs == Signs::kRelative))
    return "sum=chain and signs=relative need each other";
  if (s.signs == Signs::kBefore && s.align == Align::kSplit)
    return "signs=before needs align=shift, before or bucket";
  if ((s.signs == Signs::kAfter || s.signs == Signs::kExtend || s.signs == Signs::kNegate) &&
      s.align == Align::kBucket)
    return "align=bucket needs signs=before or relative";
  if (s.multiplier == Multiplier::kTable && s.align != Align::kShift)
    return "multiplier=table needs align=shift: the shifts are in the table";
  return "";
}

// What is tried for an open field.
template <typename E>
std::vector<E> open(E wanted, std::vector<E> choices) {
  if (wanted != E::kAuto) return {wanted};
  return choices;
}

// ABC undoes Sklansky's and Brent-Kung's trees where much stands around them, and Kogge and Stone's
// where they are wide: they are small then, and slower than they look.
std::vector<Adder> trees(int sum_bits, bool osu, const Structure& w) {
  const bool named = osu && w.cells != Cells::kNone;
  const bool wide = sum_bits > kMostKoggeStone;
  std::vector<Adder> all;
  for (Adder adder : {Adder::kKoggeStone, Adder::kSparse, Adder::kSklansky, Adder::kBrentKung}) {
    const bool taken = adder == Adder::kKoggeStone ? !(named && wide)
                       : adder == Adder::kSparse
                           ? named && (sum_bits >= kLeastSparse || w.goal == Goal::kArea)
                           : w.goal == Goal::kArea;
    if (taken) all.push_back(adder);
  }
  return all;
}

std::vector<Structure> structures(const DotSpec& spec, Technology technology, const Structure& w) {
  const bool integers = is_integer_pair(spec);
  const bool xilinx = technology == Technology::kXilinx;
  const bool osu = technology == Technology::kOsu018;
  std::vector<Structure> all;
  std::string why;
  using M = Multiplier;
  using S = Summation;
  // On osu018 a `*` is never the better one.
  std::vector<M> products = integers ? std::vector{M::kBooth, M::kArray} : std::vector{M::kArray};
  if (!osu) products.push_back(M::kWord);
  auto multipliers = open(w.multiplier, products);
  if (w.multiplier == M::kAuto && table_bits(spec.a.element, spec.b.element) > 0)
    multipliers.push_back(M::kTable);
  std::vector<Align> shifters = {Align::kShift};
  if (!integers) {
    shifters.push_back(Align::kSplit);
    if (fixed_point_bits(spec.a.element) * fixed_point_bits(spec.b.element) <= kMostShiftedProduct)
      shifters.push_back(Align::kBefore);
    shifters.push_back(Align::kBucket);
  }
  const auto aligns = open(w.align, shifters);
  // On osu018 the estimate flatters `after` in short sums: where it was taken before `before`,
  // the netlist was up to 4 % larger and slower.
  std::vector<Signs> ways = {Signs::kBefore, Signs::kExtend, Signs::kNegate, Signs::kRelative};
  if (!osu || w.align != Align::kAuto) ways.push_back(Signs::kAfter);
  const auto signs = open(w.signs, integers ? std::vector{Signs::kAfter} : ways);
  const auto sums = open(w.sum, xilinx ? std::vector{S::kChain, S::kTree} : std::vector{S::kTimed});
  const SumRange total = block_dot_range(spec);
  const int sum_bits = range_width(total.range.lo, total.range.hi);
  const auto adders = open(w.adder, xilinx ? std::vector{Adder::kPlus} : trees(sum_bits, osu, w));
  // 6:3 counters and half adder cells gain nothing that is worth their area: by hand only.
  const Counters counters = w.counters == Counters::kAuto ? Counters::kThree : w.counters;
  const Cells cells = w.cells != Cells::kAuto ? w.cells : osu ? Cells::kFull : Cells::kNone;
  for (M m : multipliers)
    for (Align a : aligns)
      for (Signs g : signs)
        for (S s : sums)
          for (Adder d : adders) {
            // By the estimate the fastest of E4M3; measured larger and slower than with `negate`.
            if (g == Signs::kExtend && d == Adder::kSparse && w.signs != g && w.adder != d)
              continue;
            const Structure one{m, a, g, s, counters, d, cells, w.segment};
            const std::string fault_of_one = fault(one, spec, technology);
            if (fault_of_one.empty())
              all.push_back(one);
            else
              why = fault_of_one;
          }
  if (all.empty()) throw ConfigError("arch {}: {}", given_text(w), why);
  return all;
}

// How many bits the sum of a beat has; of a fused unit with the addend.
int sum_bits(const MultiSpec& spec) {
  const int bits = formats::sum_bound(spec) - formats::product_lsb(spec) + 1;
  return spec.addend ? bits + spec.addend->man_bits + 2 + formats::read_bits(spec) : bits;
}

// ConfigError names the field that a unit of several formats has not.
void check_multi(const Structure& w, Technology technology) {
  const auto refuse = [&](auto field, std::string_view allowed) {
    Structure one;
    one.*field = w.*field;
    throw ConfigError("arch {}: a unit of several formats takes {}", given_text(one), allowed);
  };
  if (w.multiplier == Multiplier::kBooth || w.multiplier == Multiplier::kTable)
    refuse(&Structure::multiplier, "multiplier=word or array");
  if (w.align == Align::kBefore || w.align == Align::kBucket)
    refuse(&Structure::align, "align=shift or split");
  if (w.signs != Signs::kAuto && w.signs != Signs::kAfter) refuse(&Structure::signs, "signs=after");
  if (w.sum == Summation::kCompress && w.counters == Counters::kSix)
    refuse(&Structure::counters, "6:3 with sum=timed, tree or chain, not with sum=compress");
  if ((w.cells == Cells::kFull || w.cells == Cells::kLibrary) && technology != Technology::kOsu018)
    refuse(&Structure::cells, "cells=full or library with technology osu018 alone");
}

// Products enter as complements behind the shifter. Without relative signs a chain is a tree.
std::vector<Structure> structures(const MultiSpec& spec, Technology technology,
                                  const Structure& w) {
  check_multi(w, technology);
  const bool osu = technology == Technology::kOsu018;
  const bool xilinx = technology == Technology::kXilinx;
  using M = Multiplier;
  const auto multipliers =
      open(w.multiplier, osu ? std::vector{M::kArray} : std::vector{M::kArray, M::kWord});
  // On an FPGA the estimate flatters `shift`: measured it takes as many LUTs as `split` in bare
  // units, and up to a tenth more in fused ones.
  const auto aligns = open(
      w.align, xilinx ? std::vector{Align::kSplit} : std::vector{Align::kShift, Align::kSplit});
  // Of two lanes `timed` is one ripple of full adders through all columns.
  std::vector<Summation> ways = {xilinx ? Summation::kTree : Summation::kTimed};
  if (!xilinx && w.counters != Counters::kSix) ways.push_back(Summation::kCompress);
  const auto sums = open(w.sum, ways);
  const auto adders =
      open(w.adder, xilinx ? std::vector{Adder::kPlus} : trees(sum_bits(spec), osu, w));
  const Counters counters = w.counters == Counters::kAuto ? Counters::kThree : w.counters;
  const Cells cells = w.cells != Cells::kAuto ? w.cells : osu ? Cells::kFull : Cells::kNone;
  std::vector<Structure> all;
  for (M m : multipliers)
    for (Align a : aligns)
      for (Summation s : sums)
        for (Adder d : adders)
          all.push_back({m, a, Signs::kAfter, s, counters, d, cells, w.segment});
  return all;
}

// What a candidate costs. Area counts twice: speed can be bought back by pipelining. On an FPGA
// the registers of a pipeline are there anyway, one beside every LUT: only LUTs count, and the
// faster of two that take as many.
double merit(const Candidate& c, Technology technology, Goal goal) {
  switch (goal) {
    case Goal::kAuto:
    case Goal::kBalanced:
      if (technology != Technology::kXilinx) return c.area * c.area * c.delay_ns;
      break;
    case Goal::kArea:
      break;
    case Goal::kDelay:
      return c.area * c.delay_ns * c.delay_ns * c.delay_ns;
  }
  return c.area * (1 + 1e-6 * c.delay_ns);
}

std::string_view merit_text(Technology technology, Goal goal) {
  if (goal == Goal::kDelay) return "area x delay^3";
  if (technology == Technology::kXilinx) return "LUTs";
  return goal == Goal::kArea ? "area" : "area^2 x delay";
}

}  // namespace

namespace {

// `build`: what is estimated, in a structure.
std::vector<Candidate> estimated(const std::vector<Structure>& structures, Technology technology,
                                 Goal goal, const std::function<Graph(const Structure&)>& build) {
  const CostModel cost(technology);
  const auto estimate = [&](const Structure& s) {
    const Graph graph = lower(build(s), sum_options(s, technology));
    const std::vector<bool> live = graph.live();
    std::vector<int> stage;
    for (std::size_t i = 0; i < graph.size(); ++i) stage.push_back(live[i] ? 0 : -1);
    return Candidate{s, cost.area(graph), StageTiming(graph, cost).longest(stage).ns};
  };
  const auto best_first = [&](const Candidate& x, const Candidate& y) {
    return merit(x, technology, goal) < merit(y, technology, goal);
  };
  std::vector<Candidate> all;
  for (const Structure& s : structures) all.push_back(estimate(s));
  std::stable_sort(all.begin(), all.end(), best_first);
  return all;
}

}  // namespace

std::vector<Candidate> candidates(const DotSpec& spec, Technology technology,
                                  const Structure& wanted, int lanes) {
  DotSpec small = spec;
  small.lanes = lanes;
  // The scales are the same for every structure, and some have no bare block dot.
  small.a.scale = small.b.scale = {};
  return estimated(structures(spec, technology, wanted), technology, wanted.goal,
                   [&](const Structure& s) {
                     return build_block_dot_unit(small, false, nullptr, s, technology);
                   });
}

std::vector<Candidate> candidates(const MultiSpec& spec, Technology technology,
                                  const Structure& wanted, int lanes) {
  MultiSpec small = spec;
  small.lanes = lanes;
  small.accumulation.reset();
  return estimated(structures(spec, technology, wanted), technology, wanted.goal,
                   [&](const Structure& s) {
                     return (spec.addend ? build_fused_unit : build_multi_unit)(
                         small, false, nullptr, s, technology);
                   });
}

namespace {

// `build`: the whole unit, since the rounding is in its loop; delay_ns: of that loop.
std::vector<Candidate> roundings(Technology technology, Structure s,
                                 const std::function<Graph(const Structure&)>& build) {
  const CostModel cost(technology);
  std::vector<Candidate> all;
  for (SrPlace place : open(s.rounding, std::vector{SrPlace::kLazy, SrPlace::kEager})) {
    s.rounding = place;
    const Graph graph = lower(build(s), sum_options(s, technology));
    all.push_back({s, cost.area(graph), fastest_clock_ns(graph, cost)});
  }
  std::stable_sort(all.begin(), all.end(), [&](const Candidate& x, const Candidate& y) {
    return merit(x, technology, s.goal) < merit(y, technology, s.goal);
  });
  return all;
}

// Words and operators are left to whatever synthesiser comes: nothing to weigh.
template <typename Field>
void plain(Field& field, Field value) {
  if (field == Field::kAuto) field = value;
}

// `start`: `wanted` with what its technology does not weigh.
template <typename Spec>
Choice choose_sum(const Spec& spec, Technology technology, const Structure& wanted,
                  const Structure& start, int proxy_lanes) {
  Choice choice;
  const std::vector<Structure> valid = structures(spec, technology, start);
  if (valid.size() == 1) {
    choice.structure = valid.front();
    choice.reason = start == wanted ? "every field was given"
                    : technology == Technology::kGeneric
                        ? "technology generic: words and operators, which any synthesiser maps"
                        : "one structure is left by what was given";
    return choice;
  }
  choice.lanes = proxy_lanes;
  choice.candidates = candidates(spec, technology, start, choice.lanes);
  choice.structure = choice.candidates.front().structure;
  choice.reason =
      fmt::format("least {} of {} candidates, each estimated at {} lanes",
                  merit_text(technology, wanted.goal), choice.candidates.size(), choice.lanes);
  return choice;
}

Choice choose_sum(const DotSpec& spec, Technology technology, const Structure& wanted) {
  Structure start = wanted;
  if (technology == Technology::kGeneric) {
    plain(start.sum, start.counters == Counters::kSix ? Summation::kTimed : kPlain.sum);
    plain(start.counters, kPlain.counters);
    plain(start.adder, kPlain.adder);
    plain(start.cells, kPlain.cells);
    if (start.sum != Summation::kChain)
      plain(start.signs, start.align == Align::kBucket ? Signs::kBefore : kPlain.signs);
    plain(start.align, kPlain.align);
    if (!(start.sum == Summation::kChain && is_integer_pair(spec)))
      plain(start.multiplier, kPlain.multiplier);
  }
  int lanes = std::min(spec.lanes, kProxyLanes);
  for (const auto* f : {&spec.a, &spec.b})
    if (f->micro.bits > 0) lanes = std::max(lanes, std::min(spec.lanes, f->micro.block));
  return choose_sum(spec, technology, wanted, start, lanes);
}

Choice choose_sum(const MultiSpec& spec, Technology technology, const Structure& wanted) {
  Structure start = wanted;
  if (technology == Technology::kGeneric) {
    plain(start.multiplier, kPlain.multiplier);
    plain(start.align, kPlain.align);
    plain(start.sum, kPlain.sum);
    plain(start.adder, kPlain.adder);
  }
  return choose_sum(spec, technology, wanted, start, std::min(spec.lanes, kProxyLanes));
}

// `build`: a unit with this accumulator in a structure.
SegmentChoice choose_segment(const formats::Accumulator& accumulator, Technology technology,
                             const Structure& structure, double clock_ns,
                             const std::function<Graph(const Structure&)>& build) {
  using formats::AccumulatorKind;
  const bool modular =
      accumulator.kind == AccumulatorKind::kKulisch ||
      (accumulator.kind == AccumulatorKind::kKulischWindow && !accumulator.window.saturate);
  if (structure.segment > 0 && !modular)
    throw ConfigError(
        "arch accumulator = segmented:{}: accumulator {} has no segments; kulisch and "
        "kulisch[MSB:LSB]:wrap have",
        structure.segment, to_text(accumulator));
  if (structure.segment != kAutoSegment) return {structure.segment, 0, "accumulator was given"};
  if (!modular || clock_ns == 0) return {};

  const CostModel cost(technology);
  const auto fastest = [&](int segment) {
    Structure one = structure;
    one.segment = segment;
    return fastest_clock_ns(lower(build(one), sum_options(one, technology)), cost);
  };
  const double word = fastest(kOneWord);
  if (word <= clock_ns) return {kAutoSegment, word, ""};
  int best = kOneWord;
  double best_ns = word;
  for (int segment : {64, 48, 32, 24, 16, 12, 8, 6, 4}) {
    const double ns = fastest(segment);
    if (ns < best_ns) {
      best = segment;
      best_ns = ns;
    }
    if (best_ns <= clock_ns) break;
  }
  if (best == kOneWord) return {kAutoSegment, word, ""};
  return {best, best_ns,
          fmt::format("as one word it asks for a clock of {:.2f} ns; in segments of {} bits "
                      "{:.2f} ns would do",
                      word, best, best_ns)};
}

}  // namespace

SegmentChoice choose_segment(const DotSpec& spec, Technology technology, const Structure& structure,
                             double clock_ns) {
  // The accumulator and all after it do not depend on the lanes: a unit of few lanes, for as many
  // products, stands for the whole one.
  DotSpec small = spec;
  small.lanes = std::max({1, spec.a.micro.bits > 0 ? spec.a.micro.block : 1,
                          spec.b.micro.bits > 0 ? spec.b.micro.block : 1});
  small.max_k = (spec.max_k + spec.lanes - 1) / spec.lanes * spec.lanes;
  return choose_segment(spec.accumulator, technology, structure, clock_ns, [&](const Structure& s) {
    return build_dot_unit(small, nullptr, s, technology);
  });
}

SegmentChoice choose_segment(const formats::MultiSpec& spec, Technology technology,
                             const Structure& structure, double clock_ns) {
  formats::MultiSpec small = spec;
  small.lanes = 1;
  const int beat = spec.most_products();
  std::int64_t& products = small.accumulation.value().max_k;
  products = (products + beat - 1) / beat * beat;
  return choose_segment(
      small.accumulation->accumulator, technology, structure, clock_ns,
      [&](const Structure& s) { return build_multi_unit(small, true, nullptr, s, technology); });
}

void check_eager(const formats::Accumulation& spec, const Structure& structure) {
  if (structure.rounding == SrPlace::kEager &&
      !(spec.accumulator.kind == formats::AccumulatorKind::kFloat &&
        formats::draws_each_beat(spec)))
    throw ConfigError(
        "arch rounding = eager: needs a float accumulator that rounds stochastically, such as "
        "accumulator = fp32:sr:16");
}

namespace {

// `accumulation`: null where there is none; `build`: the whole unit in a structure.
template <typename Spec>
Choice choose_with_rounding(const Spec& spec, const formats::Accumulation* accumulation,
                            Technology technology, const Structure& wanted,
                            const std::function<Graph(const Structure&)>& build) {
  Structure sum = wanted;
  sum.rounding = SrPlace::kAuto;
  Choice choice = choose_sum(spec, technology, sum);
  if (accumulation && accumulation->accumulator.is_float() &&
      formats::draws_each_beat(*accumulation)) {
    sum = choice.structure;
    sum.rounding = wanted.rounding;
    sum.goal = wanted.goal;
    choice.roundings = roundings(technology, sum, build);
    choice.structure.rounding = choice.roundings.front().structure.rounding;
    choice.rounding_reason =
        choice.roundings.size() == 1
            ? "it was given"
            : fmt::format("least {} of whole units, delay of the loop (estimated)",
                          merit_text(technology, wanted.goal));
  }
  return choice;
}

}  // namespace

Choice choose(const DotSpec& spec, Technology technology, const Structure& wanted) {
  check_eager(spec, wanted);
  return choose_with_rounding(spec, &spec, technology, wanted, [&](const Structure& s) {
    return build_dot_unit(spec, nullptr, s, technology);
  });
}

Choice choose(const MultiSpec& spec, Technology technology, const Structure& wanted) {
  if (spec.accumulation)
    check_eager(*spec.accumulation, wanted);
  else if (wanted.rounding == SrPlace::kEager)
    throw ConfigError(
        "arch rounding = eager: needs unit multi with a float accumulator that "
        "rounds stochastically, such as accumulator = fp32:sr:16");
  else if (wanted.segment > 0)
    throw ConfigError(
        "arch accumulator = segmented:{}: needs unit multi with an accumulator, such "
        "as accumulator = kulisch",
        wanted.segment);
  return choose_with_rounding(
      spec, spec.accumulation ? &*spec.accumulation : nullptr, technology, wanted,
      [&](const Structure& s) { return build_multi_unit(spec, true, nullptr, s, technology); });
}

}  // namespace blockdot::rtl_gen
