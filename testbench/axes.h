// The axes of the proof: every value that a unit's contract and its build can take here, and which
// of their combinations are run. A combination is data; unit_proof_test and its slow sweep run
// them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/dot_spec.h"

namespace blockdot::testbench {

/// The operands of one unit, with a window [msb:lsb] that their sums overflow and fall below.
struct Operands {
  std::string name;  // for the test's name
  std::string a, b;  // text of the block formats
};
/// The six OCP MX formats; block minifloat in both directions and down to 4 bits; shared
/// microexponents; MSFP; integers and minifloats under an FP32 scale, an E4M3 scale, none; mixed
/// pairs, with blocks of different lengths.
const std::vector<Operands>& all_operands();

enum class Axis { kOperands, kAccumulator, kRounding, kOutput, kSpecials, kSchedule };
inline constexpr int kAxes = 6;

/// An index into each axis.
using Point = std::array<int, kAxes>;
int axis_size(Axis axis);

/// The contract of a point, with 4 lanes and a max-k of 64. The rounding is the accumulator's where
/// that is a float, and the output's; where the two formats differ, SR is the accumulator's alone
/// on even operands and the output's alone on odd ones (a unit has one random stream).
formats::DotSpec spec_of(const Point& point);
/// "mxfp4_e2m1_x_bf16_kulisch_sr3_fp32_nan_random": letters, digits and underscores.
std::string name_of(const Point& point);
/// "asap", "min-register", "random".
std::string schedule_of(const Point& point);

/// Every contract: the product of all axes but the schedule (0 there).
std::vector<Point> every_contract(int operands);

/// Every n-th of operands x accumulator, the other axes 0; and "mx9_bf16" of one.
std::vector<Point> operands_by_accumulator(int n);
std::string batch_name(const Point& point);
/// Rounding x schedule of these operands and this accumulator, a rounding's schedules side by side;
/// output and specials go by turns.
std::vector<Point> rounding_by_schedule(int operands, int accumulator);

/// Few points that hold every pair of values of two axes, operands x accumulator being complete.
/// Greedy and deterministic.
std::vector<Point> pairwise_points();

}  // namespace blockdot::testbench
