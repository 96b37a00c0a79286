#include "testbench/proof.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "formats/error.h"
#include "models/golden.h"
#include "sim/cosim/model.h"

namespace blockdot::testbench {
namespace {

using formats::DotSpec;

// What goes into a unit in one cycle of a run, and what has to come of it.
struct Planned {
  const Cycle* cycle = nullptr;  // null: an idle cycle
  bool reset = false;
  bool seed_load = false;
  bool counts = false;  // after the reset: its outcome is checked
  std::optional<std::uint32_t> result;
};

struct Plan {
  std::vector<Planned> cycles;
  std::uint64_t seed = 0;
  int seed_bits = 0;
  size_t reset = 0;  // the cycle of the reset
};

Plan make_plan(const DotSpec& spec, const Exercise& exercise, bool with_reset) {
  Plan plan;
  plan.seed = exercise.seed & spec.lfsr.mask();
  plan.seed_bits = spec.lfsr.width;
  auto add = [&](const Planned& planned) { plan.cycles.push_back(planned); };
  if (with_reset) {
    // The last beats of `second` are frames of their own: results are under way in every stage.
    size_t garbage = std::min<size_t>(exercise.second.size(), 60);
    for (size_t i = exercise.second.size() - garbage; i < exercise.second.size(); ++i) {
      Planned beat;
      beat.cycle = &exercise.second[i];
      add(beat);
    }
    Planned reset;
    reset.reset = true;
    reset.cycle = &exercise.second.back();
    plan.reset = plan.cycles.size();
    add(reset);
  }
  models::GoldenDot golden(spec);
  auto stimulate = [&](const Stimulus& stimulus) {
    for (const Cycle& cycle : stimulus) {
      Planned planned;
      planned.cycle = &cycle;
      planned.counts = true;
      if (cycle.valid) planned.result = golden.step(cycle.beat());
      add(planned);
    }
  };
  stimulate(exercise.first);
  Planned load;
  load.seed_load = load.counts = true;
  add(load);
  golden.reset(exercise.seed);
  stimulate(exercise.second);
  return plan;
}

// Where the fields of a beat go; shared by both engines, which differ in `put`.
template <typename Put>
void put_beat(const DotSpec& spec, const Cycle& cycle, const Put& put) {
  for (bool a : {true, false})
    for_each_field(spec, cycle.beat(), a,
                   [&](models::BeatPort port, int lo, int width, std::uint32_t value) {
                     put(port_name(port, a), lo, width, value);
                   });
  put("valid_i", 0, 1, cycle.valid);
  put("first_i", 0, 1, cycle.first);
  put("last_i", 0, 1, cycle.last);
}

std::string beat_text(const Cycle& cycle) {
  const models::BeatBuffer& d = cycle.data;
  std::string text = fmt::format("a=[{:#x}] b=[{:#x}]", fmt::join(d.a, " "), fmt::join(d.b, " "));
  text += fmt::format(" scales {:#x} {:#x} outer {:#x} {:#x} mean {} {} count {}", d.a_scale,
                      d.b_scale, d.a_outer, d.b_outer, d.a_mean, d.b_mean, d.count);
  if (!d.a_micro.empty()) text += fmt::format(" a_micro=[{}]", fmt::join(d.a_micro, " "));
  if (!d.b_micro.empty()) text += fmt::format(" b_micro=[{}]", fmt::join(d.b_micro, " "));
  return text + (cycle.first ? " first" : "") + (cycle.last ? " last" : "");
}

// The frame that ends in cycle `at` (or the last beats before it).
std::string explain(const DotSpec& spec, const Plan& plan, size_t at, const std::string& what) {
  std::vector<std::string> beats;
  for (size_t i = at + 1; i-- > 0 && beats.size() < 8;) {
    const Planned& planned = plan.cycles[i];
    if (planned.seed_load) break;
    if (planned.cycle == nullptr || !planned.cycle->valid) continue;
    beats.insert(beats.begin(), beat_text(*planned.cycle));
    if (planned.cycle->first) break;
  }
  return fmt::format("cycle {}: {}\n  spec {}\n  frame\n    {}", at, what, to_text(spec),
                     fmt::join(beats, "\n    "));
}

// Compares what came out for planned cycle `at`, seen `latency` cycles later.
void compare(const DotSpec& spec, const Plan& plan, size_t at, size_t latency, bool valid,
             std::uint64_t code, Outcome& outcome) {
  const Planned& planned = plan.cycles[at];
  // What was under way when the reset came must not come out behind it.
  bool counts = planned.counts || at + latency > plan.reset;
  if (!counts || !outcome.mismatch.empty()) return;
  if (valid != planned.result.has_value()) {
    outcome.mismatch =
        explain(spec, plan, at, valid ? "a result that nobody asked for" : "no result");
  } else if (valid) {
    ++outcome.checked;
    if (code != *planned.result)
      outcome.mismatch =
          explain(spec, plan, at,
                  fmt::format("unit {:#x} ({}), golden {:#x} ({})", code,
                              decode(spec.output, static_cast<std::uint32_t>(code)),
                              *planned.result, decode(spec.output, *planned.result)));
  }
}

}  // namespace

std::uint64_t base_seed() {
  const char* seed = std::getenv("BLOCKDOT_SEED");
  return seed != nullptr ? std::strtoull(seed, nullptr, 0) : 20261;
}

Exercise make_exercise(const DotSpec& spec, std::uint64_t seed, int frames) {
  Exercise exercise;
  exercise.first = directed_stimulus(spec);
  exercise.second = random_stimulus(spec, seed, frames);
  for (Cycle& cycle : uniform_stimulus(spec, seed + 1, frames))
    exercise.second.push_back(std::move(cycle));
  exercise.seed = seed * 0x9E3779B97F4A7C15u >> 32;
  return exercise;
}

Outcome check_graph(const rtl_gen::Graph& graph, const DotSpec& spec, const Exercise& exercise) {
  rtl_gen::UnitInterpreter unit(graph);
  Plan plan = make_plan(spec, exercise, /*with_reset=*/false);
  // Ports by name, once: a map of strings in the loop would take most of the time.
  struct Port {
    std::string name;
    std::vector<std::uint64_t> limbs;
    std::size_t index;
  };
  std::vector<Port> ports;
  for (rtl_gen::NodeId input : graph.inputs()) {
    const rtl_gen::Node& node = graph.node(input);
    ports.push_back(
        {node.name,
         std::vector<std::uint64_t>(static_cast<size_t>(rtl_gen::limb_count(node.width)), 0),
         unit.input_index(node.name)});
  }
  auto put = [&](std::string_view name, int lo, int width, std::uint64_t value) {
    for (Port& port : ports) {
      if (port.name != name) continue;
      for (int bit = 0; bit < width; ++bit)
        if (value >> bit & 1)
          port.limbs[static_cast<size_t>((lo + bit) / 64)] |= std::uint64_t{1} << ((lo + bit) % 64);
      return;
    }
    BLOCKDOT_CHECK(value == 0 || name == "seed_load_i" || name == "seed_i", "no port {}", name);
  };
  std::size_t valid = unit.output_index("valid_o"), result = unit.output_index("result_o");
  Outcome outcome;
  for (size_t at = 0; at < plan.cycles.size() && outcome.mismatch.empty(); ++at) {
    for (Port& port : ports) std::fill(port.limbs.begin(), port.limbs.end(), 0);
    const Planned& planned = plan.cycles[at];
    if (planned.cycle != nullptr) put_beat(spec, *planned.cycle, put);
    if (planned.seed_load) {
      put("seed_load_i", 0, 1, 1);
      put("seed_i", 0, plan.seed_bits, plan.seed);
    }
    for (const Port& port : ports) unit.set_input(port.index, port.limbs);
    unit.step();
    compare(spec, plan, at, 0, unit.output(valid)[0] & 1, unit.output(result)[0], outcome);
  }
  return outcome;
}

namespace {

// One record a cycle of the plan and of the `drain` behind it.
std::vector<std::uint8_t> input_records(const sim::Model& model, const DotSpec& spec,
                                        const Plan& plan, size_t drain) {
  std::map<std::string, sim::ModelField> fields;  // found once: a lookup in the model is slow
  const size_t cycles = plan.cycles.size() + drain;
  std::vector<std::uint8_t> inputs(cycles * model.input_bytes(), 0);
  for (size_t at = 0; at < cycles; ++at) {
    std::uint8_t* record = inputs.data() + at * model.input_bytes();
    auto put = [&](const std::string& name, int lo, int width, std::uint64_t value) {
      auto found = fields.find(name);
      if (found == fields.end()) {
        const bool seed = name == "seed_load_i" || name == "seed_i";
        if (seed && !model.has_input(name)) return;
        found = fields.emplace(name, model.input(name)).first;
      }
      put_bits(record, found->second, lo, width, value);
    };
    bool idle = at >= plan.cycles.size();
    put("rst_ni", 0, 1, idle || !plan.cycles[at].reset);
    if (idle) continue;
    const Planned& planned = plan.cycles[at];
    if (planned.cycle != nullptr) put_beat(spec, *planned.cycle, put);
    if (planned.seed_load) {
      put("seed_load_i", 0, 1, 1);
      put("seed_i", 0, plan.seed_bits, plan.seed);
    }
  }
  return inputs;
}

Outcome compare_records(const sim::Model& model, const DotSpec& spec, const Plan& plan,
                        size_t latency, const std::string& prefix,
                        const std::vector<std::uint8_t>& outputs) {
  const sim::ModelField valid = model.output(prefix + "valid_o");
  const sim::ModelField result = model.output(prefix + "result_o");
  Outcome outcome;
  for (size_t at = 0; at < plan.cycles.size(); ++at) {
    const std::uint8_t* record = outputs.data() + (at + latency) * model.output_bytes();
    compare(spec, plan, at, latency, sim::get_bits(record, valid, 0, 1) != 0,
            sim::get_bits(record, result, 0, spec.output.width()), outcome);
  }
  return outcome;
}

std::vector<std::uint8_t> run_records(const sim::Model& model,
                                      const std::vector<std::uint8_t>& inputs) {
  const size_t cycles = inputs.size() / model.input_bytes();
  std::vector<std::uint8_t> outputs(cycles * model.output_bytes(), 0);
  sim::Model::Instance(model).run(static_cast<std::int64_t>(cycles), inputs.data(), outputs.data());
  return outputs;
}

}  // namespace

Outcome check_verilog(const std::string& verilog, const rtl_gen::UnitReport& report,
                      const DotSpec& spec, const Exercise& exercise) {
  sim::ModelSource source;
  source.verilog = verilog;
  source.top = report.top;
  for (const rtl_gen::Port& port : report.ports)
    source.ports.push_back({port.name, port.is_input, port.width});
  const sim::Model model = sim::Model::load(source);
  const Plan plan = make_plan(spec, exercise, /*with_reset=*/true);
  const auto latency = static_cast<size_t>(report.latency);
  return compare_records(model, spec, plan, latency, "",
                         run_records(model, input_records(model, spec, plan, latency)));
}

sim::ModelSource together(const std::vector<Part>& parts) {
  sim::ModelSource source;
  source.top = "together";
  source.quick = true;
  std::map<std::string, int> inputs;
  std::string instances;
  for (const Part& part : parts) {
    std::vector<std::string> connections;
    for (const rtl_gen::Port& port : part.ports) {
      const std::string name = (port.is_input ? "" : part.top + "_") + port.name;
      connections.push_back(fmt::format(".{}({}[{}:0])", port.name, name, port.width - 1));
      if (port.is_input)
        inputs[name] = std::max(inputs[name], port.width);
      else
        source.ports.push_back({name, false, port.width});
    }
    instances += fmt::format("  {} i_{} ({});\n", part.top, part.top, fmt::join(connections, ", "));
    source.verilog += part.verilog;
  }
  for (const auto& [name, width] : inputs) source.ports.push_back({name, true, width});
  std::vector<std::string> ports;
  for (const sim::ModelPort& port : source.ports)
    ports.push_back(fmt::format("  {} [{}:0] {}", port.is_input ? "input wire" : "output wire",
                                port.width - 1, port.name));
  source.verilog +=
      fmt::format("module together (\n{}\n);\n{}endmodule\n", fmt::join(ports, ",\n"), instances);
  return source;
}

std::string as_name(std::string text) {
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return text;
}

int every_nth(int n) {
  const char* product = std::getenv("BLOCKDOT_PRODUCT");
  return product != nullptr && std::string_view(product) == "whole" ? 1 : n;
}

std::vector<Outcome> check_together(const std::vector<Member>& members, const Exercise& exercise) {
  std::vector<Part> parts;
  size_t drain = 0;
  for (const Member& member : members) {
    const rtl_gen::UnitReport& report = member.unit->report;
    parts.push_back({report.top, member.unit->verilog, report.ports});
    drain = std::max(drain, static_cast<size_t>(report.latency));
  }
  const sim::Model model = sim::Model::load(together(parts));
  std::vector<std::uint8_t> outputs;
  std::vector<Outcome> outcomes;
  Plan plan;
  for (size_t i = 0; i < members.size(); ++i) {
    const Member& member = members[i];
    if (i == 0 || !(member.spec == members[i - 1].spec))
      plan = make_plan(member.spec, exercise, /*with_reset=*/true);
    if (i == 0) outputs = run_records(model, input_records(model, member.spec, plan, drain));
    outcomes.push_back(compare_records(model, member.spec, plan,
                                       static_cast<size_t>(member.unit->report.latency),
                                       member.unit->report.top + "_", outputs));
  }
  return outcomes;
}

rtl_gen::Arch arch_of(const Point& point, std::uint64_t seed) {
  const DotSpec spec = spec_of(point);
  rtl_gen::Arch arch;
  arch.schedule = rtl_gen::parse_schedule_kind(schedule_of(point));
  arch.schedule_seed = seed;
  // Technologies bring structures of their own. The text of osu018 is the longest to compile.
  const int turn = (point[0] + point[1]) % 6;
  if (turn == 1) arch.technology = rtl_gen::Technology::kOsu018;
  if (turn == 4) arch.technology = rtl_gen::Technology::kXilinx;
  if (formats::draws_each_beat(spec) && spec.accumulator.kind == formats::AccumulatorKind::kFloat)
    arch.structure.rounding = turn % 2 ? rtl_gen::SrPlace::kEager : rtl_gen::SrPlace::kLazy;
  return arch;
}

rtl_gen::Unit unit_of(const Point& point, std::uint64_t seed, const std::string& top) {
  return rtl_gen::generate(rtl_gen::UnitKind::kDot, spec_of(point), arch_of(point, seed), top);
}

std::int64_t expect_lockstep(const Point& point, std::uint64_t seed, int frames) {
  const DotSpec spec = spec_of(point);
  const rtl_gen::Unit unit = unit_of(point, seed);
  Outcome outcome =
      check_verilog(unit.verilog, unit.report, spec, make_exercise(spec, seed, frames));
  EXPECT_GT(outcome.checked, 2 * frames) << "vacuous co-simulation";
  EXPECT_TRUE(outcome.passed()) << name_of(point) << ", seed " << seed << ", latency "
                                << unit.report.latency << ": " << outcome.mismatch;
  return outcome.checked;
}

}  // namespace blockdot::testbench
