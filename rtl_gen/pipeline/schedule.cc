// Scheduling works on units: a single node, or all the nodes of a loop through a state, which share
// a stage. Units are placed in topological order. The minimum-register schedule starts from asap
// and moves one boundary between two stages after the other: nodes that must come before it (or the
// second stage would not hold the rest) are the source of a flow network, nodes that cannot are the
// sink, and the minimum cut of register bits between them is the new boundary.
#include "rtl_gen/pipeline/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <random>

#include "formats/error.h"
#include "rtl_gen/cost/timing.h"

namespace blockdot::rtl_gen {
namespace {

constexpr int kNone = -1;
constexpr double kSlack = 1e-9;
constexpr double kMeasured = 1e-6;  // bits are timed in single precision

struct Unit {
  std::vector<int> nodes;  // ascending ids; more than one: a loop
  bool loop = false;
};

// The lowered graph as the scheduler sees it: nodes without wires, edges through padding.
struct Net {
  std::vector<bool> placed;             // takes part
  std::vector<std::vector<int>> args;   // by node, placed arguments
  std::vector<std::vector<int>> users;  // by node
  std::vector<bool> is_output;
  std::vector<double> delay;
  std::vector<Unit> units;   // topological order
  std::vector<int> unit_of;  // by node
};

std::string label(const Graph& g, int i, const Net& net) {
  // An unnamed node is called after the first named node that needs it.
  for (int hops = 0; hops < 1000; ++hops) {
    const Node& n = g.node(NodeId{static_cast<std::uint32_t>(i)});
    if (!n.name.empty()) return n.name;
    if (net.users[static_cast<std::size_t>(i)].empty()) break;
    i = net.users[static_cast<std::size_t>(i)].front();
  }
  return std::string(to_text(g.node(NodeId{static_cast<std::uint32_t>(i)}).op));
}

double unit_delay(const Net& net, const Unit& unit, int* slowest = nullptr);

Net make_net(const Graph& g, const StageTiming& timing) {
  const std::size_t n = g.size();
  Net net;
  net.placed.assign(n, false);
  net.args.resize(n);
  net.users.resize(n);
  net.is_output.assign(n, false);
  net.delay.assign(n, 0);
  const std::vector<bool> live = g.live();
  const auto source = [&](NodeId id) { return static_cast<int>(index(unpadded(g, id))); };
  for (std::size_t i = 0; i < n; ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& node = g.node(id);
    if (!live[i] || node.op == Op::kConst || is_padding(g, id)) continue;
    BLOCKDOT_CHECK(node.op != Op::kSum && node.op != Op::kClz, "schedule before lowering");
    net.placed[i] = true;
    net.delay[i] = timing.delay_ns(id);
    for (NodeId a : node.args) {
      const int s = source(a);
      if (g.node(NodeId{static_cast<std::uint32_t>(s)}).op == Op::kConst) continue;
      auto& args = net.args[i];
      if (std::find(args.begin(), args.end(), s) != args.end()) continue;
      args.push_back(s);
      net.users[static_cast<std::size_t>(s)].push_back(static_cast<int>(i));
    }
  }
  for (const Graph::Output& o : g.outputs())
    net.is_output[static_cast<std::size_t>(source(o.node))] = true;

  // A unit is a strongly connected component of "needs": a node needs its arguments, a state its
  // next value, and a next value its state, for they share a stage. Tarjan's algorithm, with its
  // own stack, yields the components after all that they need: in topological order.
  std::vector<std::vector<int>> extra(n);
  for (const Graph::State& s : g.states()) {
    if (!live[index(s.node)]) continue;
    const int next = source(s.next);
    BLOCKDOT_CHECK(net.placed[static_cast<std::size_t>(next)] &&
                       g.node(NodeId{static_cast<std::uint32_t>(next)}).op != Op::kInput,
                   "next of {} must be computed", g.node(s.node).name);
    extra[index(s.node)].push_back(next);
    extra[static_cast<std::size_t>(next)].push_back(static_cast<int>(index(s.node)));
  }
  struct Frame {
    int node;
    std::size_t child;
  };
  std::vector<int> order(n, kNone), low(n, 0), open;
  std::vector<bool> is_open(n, false);
  int counter = 0;
  const auto need = [&](int i, std::size_t k) {
    const auto& args = net.args[static_cast<std::size_t>(i)];
    return k < args.size() ? args[k] : extra[static_cast<std::size_t>(i)][k - args.size()];
  };
  const auto needs = [&](int i) {
    return net.args[static_cast<std::size_t>(i)].size() + extra[static_cast<std::size_t>(i)].size();
  };
  std::vector<Frame> stack;
  const auto enter = [&](int i) {
    order[static_cast<std::size_t>(i)] = low[static_cast<std::size_t>(i)] = counter++;
    open.push_back(i);
    is_open[static_cast<std::size_t>(i)] = true;
    stack.push_back({i, 0});
  };
  for (std::size_t root = 0; root < n; ++root) {
    if (!net.placed[root] || order[root] != kNone) continue;
    enter(static_cast<int>(root));
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const auto at = static_cast<std::size_t>(frame.node);
      if (frame.child < needs(frame.node)) {
        const int next = need(frame.node, frame.child++);
        if (order[static_cast<std::size_t>(next)] == kNone)
          enter(next);
        else if (is_open[static_cast<std::size_t>(next)])
          low[at] = std::min(low[at], order[static_cast<std::size_t>(next)]);
        continue;
      }
      stack.pop_back();
      if (!stack.empty()) {
        const auto above = static_cast<std::size_t>(stack.back().node);
        low[above] = std::min(low[above], low[at]);
      }
      if (low[at] != order[at]) continue;
      Unit unit;
      for (;;) {
        const int m = open.back();
        open.pop_back();
        is_open[static_cast<std::size_t>(m)] = false;
        unit.nodes.push_back(m);
        if (m == static_cast<int>(at)) break;
      }
      std::sort(unit.nodes.begin(), unit.nodes.end());
      unit.loop = unit.nodes.size() > 1;
      net.units.push_back(std::move(unit));
    }
  }
  // A loop stays in one stage: its low bits may be early throughout, so its delay is less than the
  // sum of its nodes'.
  for (const Unit& unit : net.units) {
    if (!unit.loop) continue;
    std::vector<int> stage(n, StageTiming::kOutside);
    for (std::size_t i = 0; i < n; ++i)
      if (is_padding(g, NodeId{static_cast<std::uint32_t>(i)})) stage[i] = -1;
    for (int m : unit.nodes) stage[static_cast<std::size_t>(m)] = 0;
    const double sum = unit_delay(net, unit);
    const double part = sum > 0 ? std::min(1.0, timing.longest(stage).ns / sum) : 1;
    for (int m : unit.nodes) net.delay[static_cast<std::size_t>(m)] *= part;
  }
  return net;
}

// Delay of a loop or node when all it reads comes from registers.
double unit_delay(const Net& net, const Unit& unit, int* slowest) {
  std::vector<std::pair<int, double>> end;
  double worst = 0;
  for (int m : unit.nodes) {
    double start = 0;
    for (int a : net.args[static_cast<std::size_t>(m)])
      for (const auto& [node, t] : end)
        if (node == a) start = std::max(start, t);
    const double t = start + net.delay[static_cast<std::size_t>(m)];
    end.emplace_back(m, t);
    if (t >= worst) {
      worst = t;
      if (slowest) *slowest = m;
    }
  }
  return worst;
}

struct Placement {
  std::vector<int> stage;   // by node
  std::vector<double> end;  // asap: arrival within the stage; alap: time left from its start
};

// As early as possible; nodes whose `fixed` stage is set stay there. `delay_by` adds stages to a
// unit.
Placement place_asap(const Net& net, double budget, const std::vector<int>& fixed, int first_free,
                     const std::function<int()>& delay_by) {
  Placement p;
  p.stage.assign(net.placed.size(), kNone);
  p.end.assign(net.placed.size(), 0);
  for (const Unit& unit : net.units) {
    const int pinned = fixed.empty() ? kNone : fixed[static_cast<std::size_t>(unit.nodes.front())];
    int stage = pinned != kNone ? pinned : first_free;
    for (int m : unit.nodes)
      for (int a : net.args[static_cast<std::size_t>(m)])
        stage = std::max(stage, p.stage[static_cast<std::size_t>(a)]);
    if (pinned == kNone && delay_by &&
        !net.args[static_cast<std::size_t>(unit.nodes.back())].empty())
      stage += delay_by();
    for (;; ++stage) {
      double worst = 0;
      for (int m : unit.nodes) {
        double start = 0;
        for (int a : net.args[static_cast<std::size_t>(m)])
          if (p.stage[static_cast<std::size_t>(a)] == stage)
            start = std::max(start, p.end[static_cast<std::size_t>(a)]);
        p.stage[static_cast<std::size_t>(m)] = stage;
        p.end[static_cast<std::size_t>(m)] = start + net.delay[static_cast<std::size_t>(m)];
        worst = std::max(worst, p.end[static_cast<std::size_t>(m)]);
      }
      if (worst <= budget + kSlack) break;
      for (int m : unit.nodes) p.stage[static_cast<std::size_t>(m)] = kNone;
      BLOCKDOT_CHECK(pinned == kNone, "a fixed stage does not hold its nodes");
    }
  }
  return p;
}

// As late as possible, at most in stage `last`; nodes whose `fixed` stage is set stay there.
std::vector<int> place_alap(const Graph& g, const Net& net, double budget, int last,
                            const std::vector<int>& fixed) {
  std::vector<int> stage(net.placed.size(), kNone);
  std::vector<double> need(net.placed.size(), 0);  // from the node's start to the end of the stage
  for (auto it = net.units.rbegin(); it != net.units.rend(); ++it) {
    const int pinned = fixed[static_cast<std::size_t>(it->nodes.front())];
    int at = pinned != kNone ? pinned : last;
    if (pinned == kNone) {
      for (int m : it->nodes) {
        if (g.node(NodeId{static_cast<std::uint32_t>(m)}).op == Op::kInput) at = 0;
        for (int u : net.users[static_cast<std::size_t>(m)])
          if (stage[static_cast<std::size_t>(u)] != kNone)
            at = std::min(at, stage[static_cast<std::size_t>(u)]);
      }
    }
    for (;; --at) {
      BLOCKDOT_CHECK(at >= 0, "no room for a node");
      double worst = 0;
      for (auto m = it->nodes.rbegin(); m != it->nodes.rend(); ++m) {
        double after = 0;
        for (int u : net.users[static_cast<std::size_t>(*m)])
          if (stage[static_cast<std::size_t>(u)] == at)
            after = std::max(after, need[static_cast<std::size_t>(u)]);
        stage[static_cast<std::size_t>(*m)] = at;
        need[static_cast<std::size_t>(*m)] = after + net.delay[static_cast<std::size_t>(*m)];
        worst = std::max(worst, need[static_cast<std::size_t>(*m)]);
      }
      if (worst <= budget + kSlack) break;
      BLOCKDOT_CHECK(pinned == kNone, "a fixed stage does not hold its nodes");
      for (int m : it->nodes) stage[static_cast<std::size_t>(m)] = kNone;
    }
  }
  return stage;
}

// Maximum flow (Dinic) on a small network.
class Flow {
 public:
  static constexpr int kInfinite = std::numeric_limits<int>::max() / 4;

  int node() {
    edges_of_.emplace_back();
    return static_cast<int>(edges_of_.size()) - 1;
  }
  void edge(int from, int to, int capacity) {
    edges_of_[static_cast<std::size_t>(from)].push_back(static_cast<int>(edges_.size()));
    edges_.push_back({to, capacity});
    edges_of_[static_cast<std::size_t>(to)].push_back(static_cast<int>(edges_.size()));
    edges_.push_back({from, 0});
  }
  void run(int source, int sink) {
    while (levels(source, sink)) {
      next_.assign(edges_of_.size(), 0);
      while (push(source, sink, kInfinite) > 0) {
      }
    }
    levels(source, sink);
  }
  bool source_side(int node) const { return level_[static_cast<std::size_t>(node)] >= 0; }

 private:
  struct Edge {
    int to;
    int left;
  };
  bool levels(int source, int sink) {
    level_.assign(edges_of_.size(), -1);
    std::queue<int> todo;
    level_[static_cast<std::size_t>(source)] = 0;
    todo.push(source);
    while (!todo.empty()) {
      const int at = todo.front();
      todo.pop();
      for (int e : edges_of_[static_cast<std::size_t>(at)]) {
        const Edge& edge = edges_[static_cast<std::size_t>(e)];
        if (edge.left > 0 && level_[static_cast<std::size_t>(edge.to)] < 0) {
          level_[static_cast<std::size_t>(edge.to)] = level_[static_cast<std::size_t>(at)] + 1;
          todo.push(edge.to);
        }
      }
    }
    return level_[static_cast<std::size_t>(sink)] >= 0;
  }
  int push(int at, int sink, int limit) {
    if (at == sink) return limit;
    auto& list = edges_of_[static_cast<std::size_t>(at)];
    for (std::size_t& i = next_[static_cast<std::size_t>(at)]; i < list.size(); ++i) {
      Edge& edge = edges_[static_cast<std::size_t>(list[i])];
      if (edge.left <= 0 ||
          level_[static_cast<std::size_t>(edge.to)] != level_[static_cast<std::size_t>(at)] + 1)
        continue;
      const int got = push(edge.to, sink, std::min(limit, edge.left));
      if (got > 0) {
        edge.left -= got;
        edges_[static_cast<std::size_t>(list[i] ^ 1)].left += got;
        return got;
      }
    }
    return 0;
  }

  std::vector<Edge> edges_;
  std::vector<std::vector<int>> edges_of_;
  std::vector<int> level_;
  std::vector<std::size_t> next_;
};

int depth(const std::vector<int>& stage) {
  return stage.empty() ? 1 : std::max(0, *std::max_element(stage.begin(), stage.end())) + 1;
}

// Moves the boundary between stages `boundary` and `boundary + 1` to where the fewest bits cross
// it.
void cut_boundary(const Graph& g, const Net& net, double budget, int boundary,
                  std::vector<int>& stage) {
  const std::size_t n = net.placed.size();
  std::vector<int> fixed = stage;
  for (std::size_t i = 0; i < n; ++i)
    if (stage[i] == boundary || stage[i] == boundary + 1) fixed[i] = kNone;
  const std::vector<int> late = place_alap(g, net, budget, boundary + 1, fixed);
  const Placement early = place_asap(net, budget, fixed, boundary, {});
  // Side of the boundary: -1 source (before), +1 sink (after), 0 free.
  const auto side = [&](std::size_t i) {
    if (fixed[i] != kNone) return fixed[i] <= boundary ? -1 : 1;
    if (late[i] <= boundary) return -1;
    return early.stage[i] > boundary ? 1 : 0;
  };
  Flow flow;
  const int source = flow.node(), sink = flow.node();
  std::vector<int> at(n, kNone);
  const auto place = [&](std::size_t i) {
    const int s = side(i);
    if (s < 0) return source;
    if (s > 0) return sink;
    if (at[i] == kNone) at[i] = flow.node();
    return at[i];
  };
  for (std::size_t i = 0; i < n; ++i) {
    if (!net.placed[i]) continue;
    const int from = place(i);
    if (from == sink) continue;
    // One register a bit, however many users read it beyond the boundary.
    int hub = kNone;
    bool far = net.is_output[i];
    for (int u : net.users[i]) {
      const int to = place(static_cast<std::size_t>(u));
      if (to == sink) {
        far = true;
      } else if (to != source) {
        if (hub == kNone) hub = flow.node();
        flow.edge(hub, to, Flow::kInfinite);
        if (from != source) flow.edge(to, from, Flow::kInfinite);
      }
    }
    if (!far && hub == kNone) continue;
    if (far && from == source) continue;  // crosses whatever the cut
    if (hub == kNone) hub = flow.node();
    if (far) flow.edge(hub, sink, Flow::kInfinite);
    flow.edge(from, hub, g.width(NodeId{static_cast<std::uint32_t>(i)}));
  }
  for (const Unit& unit : net.units) {
    if (!unit.loop) continue;
    for (std::size_t k = 1; k < unit.nodes.size(); ++k) {
      const int x = place(static_cast<std::size_t>(unit.nodes[0]));
      const int y = place(static_cast<std::size_t>(unit.nodes[k]));
      if (x == y) continue;
      flow.edge(x, y, Flow::kInfinite);
      flow.edge(y, x, Flow::kInfinite);
    }
  }
  flow.run(source, sink);
  for (std::size_t i = 0; i < n; ++i) {
    if (!net.placed[i] || fixed[i] != kNone) continue;
    const int s = side(i);
    const bool before = s < 0 || (s == 0 && flow.source_side(at[i]));
    stage[i] = before ? boundary : boundary + 1;
  }
}

// From the asap schedule, boundary after boundary, there and back: a cut never makes more
// registers.
std::vector<int> place_min_register(const Graph& g, const Net& net, double budget,
                                    std::vector<int> stage) {
  const int stages = depth(stage);
  for (int boundary = stages - 2; boundary >= 0; --boundary)
    cut_boundary(g, net, budget, boundary, stage);
  for (int boundary = 1; boundary + 1 < stages; ++boundary)
    cut_boundary(g, net, budget, boundary, stage);
  return stage;
}

// Latency, timing and registers of chosen stages. The stages keep the clock by construction.
void measure(const Graph& g, const Net& net, const StageTiming& timing, Schedule& s) {
  const std::size_t n = g.size();
  const StageTiming::Path path = timing.longest(s.stage);
  s.critical_path_ns = path.ns;
  s.critical_node = label(g, static_cast<int>(index(path.end)), net);
  for (std::size_t i = 0; i < n; ++i) {
    if (!net.placed[i]) continue;
    int last = s.stage[i];
    for (int u : net.users[i]) last = std::max(last, s.stage[static_cast<std::size_t>(u)]);
    if (net.is_output[i]) last = std::max(last, s.latency);
    s.register_bits += static_cast<std::int64_t>(last - s.stage[i]) *
                       g.width(NodeId{static_cast<std::uint32_t>(i)});
  }
  for (const Graph::State& state : g.states()) {
    if (!net.placed[index(state.node)]) continue;
    s.register_bits += g.width(state.node);
    if (carries_next(g, s, state)) s.register_bits -= g.width(state.node);
  }
}

std::vector<int> place(const Graph& g, const Net& net, double budget,
                       const ScheduleRequest& request) {
  if (request.kind == ScheduleKind::kRandom) {
    std::mt19937_64 random(request.seed);
    return place_asap(net, budget, {}, 0, [&] { return random() % 12 == 0 ? 1 : 0; }).stage;
  }
  std::vector<int> early = place_asap(net, budget, {}, 0, {}).stage;
  if (request.kind == ScheduleKind::kAsap) return early;
  return place_min_register(g, net, budget, early);
}

// Counts the nodes outside loops for `factor` times as much, none for more than a stage; whether
// one of them changed.
bool widen(Net& net, double factor, double budget) {
  bool changed = false;
  for (const Unit& unit : net.units) {
    double& delay = net.delay[static_cast<std::size_t>(unit.nodes.front())];
    if (unit.loop || delay == 0 || delay >= budget) continue;
    delay = std::min(budget, delay * factor);
    changed = true;
  }
  return changed;
}

}  // namespace

std::string_view to_text(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::kAsap:
      return "asap";
    case ScheduleKind::kMinRegister:
      return "min-register";
    case ScheduleKind::kRandom:
      return "random";
  }
  return "?";
}

ScheduleKind parse_schedule_kind(std::string_view text) {
  for (ScheduleKind k : {ScheduleKind::kAsap, ScheduleKind::kMinRegister, ScheduleKind::kRandom})
    if (to_text(k) == text) return k;
  throw ConfigError("schedule = {}: must be asap, min-register or random", text);
}

double fastest_clock_ns(const Graph& g, const CostModel& cost) {
  const StageTiming timing(g, cost);
  const Net net = make_net(g, timing);
  double worst = 0;
  for (const Unit& unit : net.units) worst = std::max(worst, unit_delay(net, unit));
  return worst + cost.register_overhead_ns();
}

Schedule make_schedule(const Graph& g, const CostModel& cost, const ScheduleRequest& request) {
  const StageTiming timing(g, cost);
  Net net = make_net(g, timing);
  const std::size_t n = g.size();
  Schedule s;
  s.stage.assign(n, kNone);
  const double budget = request.clock_ns - cost.register_overhead_ns();
  if (request.combinational) {
    for (std::size_t i = 0; i < n; ++i)
      if (net.placed[i]) s.stage[i] = 0;
  } else {
    // The slowest of all is named: it says which clock fits, and where a structure can help.
    const Unit* limit = nullptr;
    int slowest = kNone;
    double delay = budget + kSlack;
    for (const Unit& unit : net.units) {
      int end = unit.nodes.front();
      const double takes = unit_delay(net, unit, &end);
      if (takes <= delay) continue;
      delay = takes;
      limit = &unit;
      slowest = end;
    }
    if (limit) {
      const double fits = std::ceil((delay + cost.register_overhead_ns()) * 100) / 100;
      throw ConfigError(
          "clock-ns = {}: {} {} takes {:.2f} ns plus {:.2f} ns of registers in one stage; "
          "a clock of {:.2f} ns fits",
          request.clock_ns, limit->loop ? "the loop through" : "the operation",
          label(g, slowest, net), delay, cost.register_overhead_ns(), fits);
    }
    // The nodes of a loop count for less than they take, since its low bits are early throughout;
    // for what enters it halfway that can be too little. Where a stage comes out too long, all
    // other nodes are counted for more: in the end a loop has its stage for itself.
    constexpr double kWider = 1.05;
    for (;;) {
      s.stage = place(g, net, budget, request);
      for (NodeId i : g.inputs()) s.stage[index(i)] = 0;
      s.latency = depth(s.stage);
      s.register_bits = 0;
      measure(g, net, timing, s);
      if (s.critical_path_ns <= budget + kMeasured || !widen(net, kWider, budget)) break;
    }
  }
  if (request.combinational) measure(g, net, timing, s);
  if (!request.combinational) s.critical_path_ns += cost.register_overhead_ns();
  BLOCKDOT_CHECK(request.combinational || s.critical_path_ns <= request.clock_ns + kMeasured,
                 "stage of {:.3f} ns at a clock of {} ns", s.critical_path_ns, request.clock_ns);
  verify(s, g);
  return s;
}

bool carries_next(const Graph& g, const Schedule& s, const Graph::State& state) {
  if (is_padding(g, state.next) || g.node(state.next).op == Op::kConst) return false;
  if (g.node(state.next).control || s.latency == 0) return false;
  const int at = s.stage[index(state.next)];
  for (const Graph::Output& o : g.outputs())
    if (unpadded(g, o.node) == state.next) return true;
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (s.stage[i] <= at) continue;
    for (NodeId a : g.node(NodeId{static_cast<std::uint32_t>(i)}).args)
      if (unpadded(g, a) == state.next) return true;
  }
  return false;
}

void verify(const Schedule& s, const Graph& g) {
  const std::vector<bool> live = g.live();
  const auto stage = [&](NodeId id) { return s.stage[index(unpadded(g, id))]; };
  for (std::size_t i = 0; i < g.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = g.node(id);
    if (!live[i] || n.op == Op::kConst || is_padding(g, id)) continue;
    BLOCKDOT_CHECK(s.stage[i] >= 0 && (s.latency == 0 || s.stage[i] < s.latency), "stage of {}",
                   n.name);
    if (n.op == Op::kInput) BLOCKDOT_CHECK(s.stage[i] == 0, "input {} not in stage 0", n.name);
    for (NodeId a : n.args)
      BLOCKDOT_CHECK(stage(a) <= s.stage[i], "{} is read before its stage", g.node(a).name);
  }
  for (const Graph::State& state : g.states())
    if (live[index(state.node)])
      BLOCKDOT_CHECK(stage(state.next) == s.stage[index(state.node)], "loop of {} spans stages",
                     g.node(state.node).name);
}

}  // namespace blockdot::rtl_gen
