// A dot unit with its accumulator loop opened: the same function cut into three parts without any
// state, so that the beats of a reduction can go through different places instead of through one
// place one after the other.
//
//   dot      acc <- step(acc, term(beat)) every beat;  result = finish(acc) after the last one
//
//   term     a beat's operands -> what the loop adds           all that no state reaches
//   step     partial sum, term -> next partial sum             from the states to their next values
//   finish   partial sum -> result                             result_o for a beat not valid
//
// The partial sum is all states of the unit side by side. The parts are cut from the unit's graph,
// so they compute what it computes, whatever its accumulator. Random bits are an input `random_i`
// of the part that rounds, step or finish.
#pragma once

#include <string>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

struct Wire {
  std::string name;  // ports are NAME_i and NAME_o
  int width = 1;
};

struct OpenedUnit {
  Graph term, step, finish;
  std::vector<Wire> cross;  // out of term, into step
  std::vector<Wire> sum;    // out of step, into step and finish

  int cross_width() const;
  int sum_width() const;
};

/// `dot` has inputs valid_i, first_i, last_i, and random_i where it rounds stochastically, and an
/// output result_o.
OpenedUnit open_loop(const Graph& dot);

}  // namespace blockdot::rtl_gen
