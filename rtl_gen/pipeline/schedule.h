// Schedules: which stage each node of a lowered graph works in.
//
// A unit of L stages has L ranks of registers: stage k works in cycle c + k on a beat presented in
// cycle c, and the outputs are registers, seen in cycle c + L. A value that is read in a later
// stage than its own is carried there, one register a stage. Everything on a path from a state to
// its next value shares one stage, so a new beat may start every cycle (interval 1): this loop
// bounds the clock. Wires (constants, padding) have no stage; they are read where their source is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/cost/cost.h"
#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

enum class ScheduleKind {
  kAsap,         // each node as early as its arguments and the clock allow
  kMinRegister,  // as many stages as asap, cut where the fewest bits cross (minimum cut a stage)
  kRandom,       // asap with random delays, from a seed: for tests
};

/// "asap", "min-register", "random".
std::string_view to_text(ScheduleKind kind);
ScheduleKind parse_schedule_kind(std::string_view text);

struct Schedule {
  int latency = 0;              // stages; 0: combinational, no registers but the states
  std::vector<int> stage;       // by node; -1: constant, padding or not live
  double critical_path_ns = 0;  // longest stage with register overhead; estimated
  std::string critical_node;    // where it ends
  std::int64_t register_bits = 0;
};

struct ScheduleRequest {
  double clock_ns = 0;
  ScheduleKind kind = ScheduleKind::kMinRegister;
  std::uint64_t seed = 0;
  bool combinational = false;
};

/// ConfigError when an operation or an accumulator loop is slower than the clock: names the node
/// and the clock that would fit.
Schedule make_schedule(const Graph& lowered, const CostModel& cost, const ScheduleRequest& request);

/// The fastest clock that make_schedule accepts for this graph, ns.
double fastest_clock_ns(const Graph& lowered, const CostModel& cost);

/// True where the next value of a state is also read in the following stage: the state's own
/// register is then its first pipeline register.
bool carries_next(const Graph& graph, const Schedule& schedule, const Graph::State& state);

/// Throws InternalError unless arguments come no later than users, states share the stage of their
/// next value, and every node that computes has a stage.
void verify(const Schedule& schedule, const Graph& graph);

}  // namespace blockdot::rtl_gen
