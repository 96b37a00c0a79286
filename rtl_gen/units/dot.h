// The block dot: the exact sum of one beat's products.
#pragma once

#include "formats/dot_spec.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/decode.h"
#include "rtl_gen/units/structure.h"

namespace blockdot::rtl_gen {

/// Input ports of one operand; those that the format has no use for are empty.
struct OperandPorts {
  Fx elements;  // element j at bits [j*w +: w]
  std::optional<Fx> scale;
  std::optional<Fx> micro;  // tau of group g at bits [g*d2 +: d2]
  std::optional<Fx> outer;
  std::optional<Fx> mean;  // a binary32
};
/// Declares the ports {side}_i, {side}_scale_i, {side}_micro_i, {side}_outer_i, {side}_mean_i.
/// Without `of_result` those whose value only the result needs are left out.
OperandPorts declare_operand(Graph& graph, const formats::BlockFormat& format, int lanes,
                             std::string_view side, bool of_result);
/// Declares count_i where needs_count(spec).
std::optional<Fx> declare_count(Graph& graph, const formats::DotSpec& spec);

/// sum_j a_j b_j 2^-(tau_a + tau_b), exact, in the narrowest two's complement for its range, with
/// what the lanes know of NaN and Inf. Products with Inf count as zero; with a NaN the sum means
/// nothing. With a `count` only that many lanes, the lowest, have products.
struct BlockDot {
  Fx sum;
  Fx nan;                  // NaN operand, or Inf times zero
  Fx plus_inf, minus_inf;  // some product is Inf of that sign; under `nan` they mean nothing
  Fx any_special;          // some element is NaN or Inf
};
BlockDot build_block_dot(Graph& graph, const formats::DotSpec& spec, const OperandPorts& a,
                         const OperandPorts& b, const std::optional<Fx>& count,
                         const Structure& structure = kPlain,
                         Technology technology = Technology::kGeneric);

/// Range of BlockDot::sum and its unit, from the formats alone.
struct SumRange {
  Range range;
  int lsb;
};
SumRange block_dot_range(const formats::DotSpec& spec);

/// NaN and Inf among the products of one beat, its scales included; or of all beats of a result.
struct Flags {
  Fx nan, plus_inf, minus_inf;
};

/// The beat value: significand * 2^shift, before any rounding. This is the one form that all
/// accumulators take, whatever the scales.
struct BeatValue {
  Fx significand;  // signed: the sum times the scales' significands
  Fx shift;        // unsigned: both scales' exponents
  Flags flags;
  /// Of the sum of significand * 2^shift over the beats of max_k products, in units of
  /// 2^significand.lsb, for finite scales.
  Range limit;
};
BeatValue build_beat_value(Graph& graph, const formats::DotSpec& spec, const OperandPorts& a,
                           const OperandPorts& b, const std::optional<Fx>& count,
                           const Structure& structure = kPlain,
                           Technology technology = Technology::kGeneric);

/// The products of a beat one by one, each a magnitude m_j of no more than `fraction` bits below
/// its exponent's place: sign_j * m_j * 2^(shift_j - fraction) * 2^(exponent + weight).
struct BeatTerms {
  struct Term {
    Fx sign;
    Fx magnitude;  // unsigned, with the significands of both scales; zero for products with Inf
    Fx shift;      // unsigned: exponents of its elements, less its taus
  };
  std::vector<Term> lanes;
  Fx exponent;  // unsigned: both scales' exponents
  int fraction = 0;
  int weight = 0;
  Flags flags;
};
BeatTerms build_beat_terms(Graph& graph, const formats::DotSpec& spec, const OperandPorts& a,
                           const OperandPorts& b, const std::optional<Fx>& count,
                           const Structure& structure = kPlain,
                           Technology technology = Technology::kGeneric);

}  // namespace blockdot::rtl_gen
