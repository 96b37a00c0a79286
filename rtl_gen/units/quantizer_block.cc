// A block of several beats waits until its last beat has told the largest magnitude. Its beats then
// leave, one a cycle, beginning in the cycle of that last beat:
//
//   cycle        0   1   2   3   4   5   6        two beats a block
//   in           A0  A1  -   B0  B1  C0  C1
//   leaves           A0  A1      B0  B1  C0 ...
//
// Beat k of the next block is written k + 1 cycles after the last beat of this one at the earliest,
// and beat k of this one leaves k cycles after it: read before it is written over, so one buffer
// serves and beats may enter every cycle.
#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/units/quantizer_parts.h"

namespace blockdot::rtl_gen::quantizer {

namespace {

// entries[index] by a tree of selections.
Fx select(std::vector<Fx> entries, const Fx& index) {
  for (int level = 0; entries.size() > 1; ++level) {
    const Fx odd = bit(index, level);
    std::vector<Fx> next;
    for (std::size_t i = 0; i + 1 < entries.size(); i += 2)
      next.push_back(mux(odd, entries[i + 1], entries[i]));
    if (entries.size() % 2) next.push_back(entries.back());
    entries = std::move(next);
  }
  return entries.front();
}

// (index + 1) mod count.
Fx next_index(const Fx& index, int count) {
  Graph& g = *index.graph;
  const Fx at_end = equal(index, constant(g, count - 1));
  return mux(at_end, constant(g, 0), assume(add(index, constant(g, 1)), 0, count - 1));
}

}  // namespace

Beat gather(Graph& g, const QuantizerSpec& spec) {
  const int lanes = lanes_of(spec), beats = beats_of(spec), width = spec.input.width();
  const formats::BlockFormat& f = spec.format;
  const Fx valid = control(input(g, "valid_i", 1));
  const Fx first = beats > 1 ? input(g, "first_i", 1) : constant(g, 1);
  const Fx x = input(g, "x_i", lanes * width);
  const std::optional<Fx> outer =
      f.has_outer() ? std::optional(input(g, "outer_i", f.outer.scale.width())) : std::nullopt;

  g.section("largest magnitude");
  const auto group_maxima = [&](const std::vector<Value>& values) {
    const int group = f.micro.bits > 0 ? f.micro.block : lanes;
    std::vector<Fx> maxima;
    for (int j = 0; j < lanes; j += group) {
      std::vector<Fx> codes;
      for (int i = j; i < j + group; ++i) codes.push_back(values[static_cast<std::size_t>(i)].code);
      maxima.push_back(largest(std::move(codes), fmt::format("g{}", j / group)));
    }
    return maxima;
  };
  const auto split_all = [&](const Fx& beat) {
    std::vector<Value> values;
    for (int j = 0; j < lanes; ++j)
      values.push_back(split(spec.input, bits(beat, j * width, width), j));
    return values;
  };
  Beat out;
  if (beats == 1) {
    out.valid = valid;
    out.first = out.last = constant(g, 1);
    out.values = split_all(x);
    out.group_max = group_maxima(out.values);
    out.amax = name(largest(out.group_max, "block"), "amax");
    if (outer) out.outer = *outer;
    return out;
  }

  std::vector<Fx> codes;
  for (int j = 0; j < lanes; ++j) codes.push_back(bits(x, j * width, width - 1));
  const Fx beat_max = name(largest(std::move(codes), "in"), "beat_max");

  g.section("gather the block");
  const Fx count = state(g, "count", 0, beats - 1, 0, Int(0));
  const Fx at = name(mux(first, constant(g, 0), count), "at");
  const Fx done = control(name(and_(valid, equal(at, constant(g, beats - 1))), "done"));
  set_next(count, mux(valid, next_index(at, beats), count));
  const Int most = pow2(width - 1) - 1;
  const Fx run = state(g, "run_max", 0, most);
  const Fx so_far = mux(and_(nonzero(at), less(beat_max, run)), run, beat_max);
  const Fx total = name(so_far, "so_far");
  set_next(run, mux(valid, total, run));
  const Fx held = state(g, "held_max", 0, most);
  out.amax = name(mux(done, total, held), "amax");
  set_next(held, out.amax);
  if (outer) {
    const Fx kept = state(g, "held_outer", 0, outer->hi);
    out.outer = name(mux(done, *outer, kept), "outer");
    set_next(kept, out.outer);
  }

  std::vector<Fx> entries;
  for (int k = 0; k < beats; ++k) {
    const Fx entry = state(g, fmt::format("buffer{}", k), 0, x.hi);
    set_next(entry, mux(and_(valid, equal(at, constant(g, k))), x, entry));
    entries.push_back(entry);
  }

  g.section("let it leave");
  const Fx next = state(g, "leaving", 0, beats - 1, 0, Int(0));
  out.valid = control(name(or_(done, nonzero(next)), "leaves"));
  const Fx index = name(mux(done, constant(g, 0), next), "index");
  set_next(next, mux(out.valid, next_index(index, beats), constant(g, 0)));
  out.first = name(is_zero(index), "leaves_first");
  out.last = name(equal(index, constant(g, beats - 1)), "leaves_last");
  const Fx beat = name(select(entries, index), "beat");
  out.values = split_all(beat);
  if (f.micro.bits > 0) out.group_max = group_maxima(out.values);
  return out;
}

}  // namespace blockdot::rtl_gen::quantizer
