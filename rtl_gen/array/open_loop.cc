#include "rtl_gen/array/open_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_set>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {
namespace {

// Copies what is asked for into another graph; `leaf` says what stands for a node that is not
// copied (an input, a state, the other side of a cut).
class Copier {
 public:
  using Leaf = std::function<std::optional<NodeId>(NodeId)>;
  Copier(const Graph& from, Graph& to, Leaf leaf)
      : from_(from), to_(to), leaf_(std::move(leaf)), done_(from.size()) {}

  NodeId operator()(NodeId id) {
    // Arguments precede users, so one pass over what is needed is enough.
    std::vector<NodeId> stack = {id};
    while (!stack.empty()) {
      const NodeId at = stack.back();
      if (done_[index(at)]) {
        stack.pop_back();
        continue;
      }
      const Node& n = from_.node(at);
      if (auto known = leaf_(at)) {
        done_[index(at)] = *known;
      } else if (n.op == Op::kConst) {
        done_[index(at)] = to_.constant(n.value);
      } else {
        bool ready = true;
        for (NodeId a : n.args)
          if (!done_[index(a)]) {
            stack.push_back(a);
            ready = false;
          }
        if (!ready) continue;
        std::vector<NodeId> args;
        for (NodeId a : n.args) args.push_back(*done_[index(a)]);
        to_.section(n.section);
        const NodeId made = ops::rebuild(to_, n, args);
        if (!ops::is_const(to_, made) && to_.node(made).op != Op::kInput) to_.describe_as(made, n);
        done_[index(at)] = made;
      }
      stack.pop_back();
    }
    return *done_[index(id)];
  }

 private:
  const Graph& from_;
  Graph& to_;
  Leaf leaf_;
  std::vector<std::optional<NodeId>> done_;
};

int total(const std::vector<Wire>& wires) {
  int width = 0;
  for (const Wire& w : wires) width += w.width;
  return width;
}

}  // namespace

int OpenedUnit::cross_width() const { return total(cross); }
int OpenedUnit::sum_width() const { return total(sum); }

OpenedUnit open_loop(const Graph& dot) {
  dot.verify();
  OpenedUnit out;
  std::unordered_set<std::string> taken;
  const auto fresh = [&](const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !taken.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
    return name;
  };

  NodeId result{};
  bool has_result = false;
  for (const Graph::Output& o : dot.outputs())
    if (o.name == "result_o") {
      result = o.node;
      has_result = true;
    }
  BLOCKDOT_CHECK(has_result, "no result_o");
  const std::vector<bool> live = dot.live();
  std::vector<Graph::State> states;
  std::map<std::size_t, std::string> state_name;
  for (const Graph::State& s : dot.states()) {
    if (!live[index(s.node)]) continue;
    states.push_back(s);
    out.sum.push_back({fresh(dot.node(s.node).name), dot.width(s.node)});
    state_name[index(s.node)] = out.sum.back().name;
  }

  const auto is_random = [](const Node& n) { return n.op == Op::kInput && n.name == "random_i"; };
  std::vector<bool> depends(dot.size(), false);  // on a state or on random bits
  for (std::size_t i = 0; i < dot.size(); ++i) {
    const Node& n = dot.node(NodeId{static_cast<std::uint32_t>(i)});
    depends[i] = n.op == Op::kState || is_random(n);
    for (NodeId a : n.args) depends[i] = depends[i] || depends[index(a)];
  }

  // Step: from the states to their next values; what it reads beside them comes from term.
  std::map<std::size_t, NodeId> inputs;
  std::vector<NodeId> crossing;
  Copier step(dot, out.step, [&](NodeId id) -> std::optional<NodeId> {
    const Node& n = dot.node(id);
    if (n.op == Op::kConst || (depends[index(id)] && !n.args.empty())) return std::nullopt;
    if (is_random(n)) return out.step.input(n.name, n.width);
    auto [at, added] = inputs.try_emplace(index(id), NodeId{});
    if (added) {
      std::string name;
      if (n.op == Op::kState) {
        name = state_name.at(index(id));
      } else {
        std::string wanted = n.name.empty() ? fmt::format("cut{}", crossing.size()) : n.name;
        if (wanted.ends_with("_i")) wanted.resize(wanted.size() - 2);
        name = fresh("term_" + wanted);
        out.cross.push_back({name, n.width});
        crossing.push_back(id);
      }
      at->second = out.step.input(name + "_i", n.width);
    }
    return at->second;
  });
  for (std::size_t i = 0; i < states.size(); ++i)
    out.step.output(out.sum[i].name + "_o", step(states[i].next));

  Copier term(dot, out.term, [&](NodeId id) -> std::optional<NodeId> {
    const Node& n = dot.node(id);
    if (n.op != Op::kInput) return std::nullopt;
    return out.term.input(n.name, n.width);
  });
  // All inputs keep their order; last_i and what else nothing reads are left out.
  std::vector<bool> reached(dot.size(), false);
  for (NodeId id : crossing) reached[index(id)] = true;
  for (std::size_t i = dot.size(); i-- > 0;)
    if (reached[i])
      for (NodeId a : dot.node(NodeId{static_cast<std::uint32_t>(i)}).args)
        reached[index(a)] = true;
  for (NodeId id : dot.inputs())
    if (reached[index(id)]) term(id);
  for (std::size_t i = 0; i < crossing.size(); ++i)
    out.term.output(out.cross[i].name + "_o", term(crossing[i]));

  const std::vector<NodeId>& step_inputs = out.step.inputs();
  const bool step_draws = std::any_of(step_inputs.begin(), step_inputs.end(),
                                      [&](NodeId id) { return is_random(out.step.node(id)); });

  // Finish: the result as it stands when a beat that is not valid comes.
  std::map<std::size_t, NodeId> sums;
  Copier finish(dot, out.finish, [&](NodeId id) -> std::optional<NodeId> {
    const Node& n = dot.node(id);
    if (is_random(n) && !step_draws) return out.finish.input(n.name, n.width);
    if (n.op == Op::kInput) return ops::constant(out.finish, 0, n.width);
    if (n.op != Op::kState) return std::nullopt;
    auto [at, added] = sums.try_emplace(index(id), NodeId{});
    if (added) at->second = out.finish.input(state_name.at(index(id)) + "_i", n.width);
    return at->second;
  });
  out.finish.output("result_o", finish(result));

  out.term.verify();
  out.step.verify();
  out.finish.verify();
  return out;
}

}  // namespace blockdot::rtl_gen
