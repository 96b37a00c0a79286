#include "explore/energy.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>

#include "explore/synth.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "models/beats.h"
#include "sim/cosim/lockstep.h"
#include "sim/replay/replay.h"

namespace blockdot::explore {
namespace {

// Products with the shape of `like` whose operands hold what `value` gives.
template <typename Value>
sim::GemmTrace synthetic(const char* name, const sim::GemmInfo& like, Value value) {
  auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    sim::Matrix m{rows, columns, std::vector<float>(static_cast<std::size_t>(rows * columns))};
    for (float& x : m.data) x = value();
    return m;
  };
  return sim::make_gemm(name, matrix(like.m, like.k), matrix(like.k, like.n));
}

// Counts the beats of whole results from a few places of the product.
StimulusEnergy count(const DesignPoint& point, const sim::GemmTrace& product,
                     const sim::Model& model, std::size_t nets, std::int64_t wanted) {
  formats::QuantizedMatrix a, b;
  try {
    a = formats::quantize(point.spec.a, product.a_view(), point.quantize);
    b = formats::quantize(point.spec.b, product.b_view(), sim::b_options(point.quantize));
    models::check_operands(point.spec, a, b);
  } catch (const ConfigError& error) {
    throw ConfigError("{}: {}", product.info.name, error.what());
  }
  std::vector<formats::BeatRange> ranges = formats::beat_ranges(point.spec, a.length);
  auto beats_per_result = static_cast<std::int64_t>(ranges.size());
  std::int64_t results = a.rows * b.rows;
  constexpr std::int64_t kPlaces = 4;
  std::int64_t in_place = std::clamp<std::int64_t>(wanted / kPlaces / beats_per_result, 1,
                                                   std::max<std::int64_t>(1, results / kPlaces));

  sim::DotRecords records(model, point.spec);
  sim::ActivityCounter counter(model, nets);
  using Record = sim::DotRecords::Record;
  std::vector<std::uint64_t> stream;
  auto append = [&](const Record& record) {
    stream.insert(stream.end(), record.begin(), record.end());
  };
  auto flush = [&](bool counted) {
    counter.run(stream, counted);
    stream.clear();
  };
  append(records.reset());
  append(records.reset());
  append(records.seed(point.quantize.seed));
  flush(false);

  StimulusEnergy stimulus;
  stimulus.name = product.info.name;
  models::BeatBuffer buffer;
  for (std::int64_t place = 0; place < std::min(kPlaces, results); ++place) {
    std::int64_t begin = place * results / std::min(kPlaces, results);
    // The result before it fills the pipeline and is not counted.
    for (std::int64_t r = begin - 1; r < std::min(results, begin + in_place); ++r) {
      std::int64_t result = (r + results) % results;
      for (std::int64_t i = 0; i < beats_per_result; ++i) {
        const formats::BeatRange& range = ranges[static_cast<std::size_t>(i)];
        models::fill_beat(point.spec, a, result / b.rows, b, result % b.rows, range, buffer);
        append(records.beat(buffer.beat(i == 0, i + 1 == beats_per_result)));
        if (r < begin) continue;
        ++stimulus.beats;
        stimulus.products += range.count;
      }
      flush(r >= begin);
    }
  }
  stimulus.activity = counter.activity();
  return stimulus;
}

}  // namespace

void check_energy(const DesignPoint& point) {
  if (point.arch.combinational)
    throw ConfigError(
        "design point '{}': combinational = true: energy is counted cycle by cycle; must be false, "
        "with clock-ns or without",
        point.name);
}

EnergyReport measure_energy(const DesignPoint& point, const std::vector<sim::GemmTrace>& products,
                            const EnergyOptions& options) {
  BLOCKDOT_CHECK(!products.empty(), "energy of no product");
  check_energy(point);
  auto say = [&](const std::string& what) {
    if (options.progress) options.progress(what);
  };
  DesignPoint mapped = point;
  mapped.arch.technology = rtl_gen::Technology::kOsu018;
  say(point.name + ": mapping to gates");
  rtl_gen::Unit unit = generate_unit(mapped);
  std::string netlist = map_netlist(unit, options.store);
  EnergyReport report;
  report.liberty = std::make_shared<const sim::Liberty>(
      sim::parse_liberty(read_file(liberty_file()), liberty_file().filename().string()));
  const sim::Liberty& liberty = *report.liberty;
  report.point = point.name;
  report.top = unit.report.top;
  report.library = liberty.name;
  report.voltage = liberty.voltage;
  report.conditions = options.conditions;
  report.clock_ns =
      unit.report.clock_ns > 0 ? unit.report.clock_ns : unit.report.critical_path_ns.value;
  report.gates = sim::read_gates(netlist, unit.report.top, liberty);
  for (sim::Gates::Instance& instance : report.gates.instances)
    report.registers += instance.cell->is_register() ? 1 : 0;
  report.cells = static_cast<std::int64_t>(report.gates.instances.size());
  report.nets = static_cast<std::int64_t>(report.gates.nets.size());
  report.leakage_nw = sim::leakage(report.gates);
  std::vector<sim::NetEnergy> energies =
      sim::net_energies(report.gates, liberty, options.conditions);
  say(point.name + ": compiling the gates");
  sim::Model model = sim::Model::load(sim::watched(report.gates), options.cache);

  auto add = [&](const sim::GemmTrace& product) {
    say(point.name + ": " + product.info.name);
    StimulusEnergy stimulus = count(point, product, model, report.gates.nets.size(), options.beats);
    stimulus.energy =
        sim::energy_of(stimulus.activity, energies, report.leakage_nw, report.clock_ns);
    double toggles = 0;
    for (std::size_t i = 0; i < energies.size(); ++i)
      if (energies[i].kind != sim::NetKind::kClock)
        toggles += static_cast<double>(stimulus.activity.toggles[i]);
    stimulus.toggle_rate =
        toggles / static_cast<double>(stimulus.activity.cycles) / static_cast<double>(report.nets);
    report.stimuli.push_back(std::move(stimulus));
  };
  add(synthetic("zeros", products.front().info, [] { return 0.0F; }));
  std::mt19937_64 engine(1);
  std::normal_distribution<float> normal;
  add(synthetic("gaussian", products.front().info, [&] { return normal(engine); }));
  std::optional<sim::MachineDesign> design = design_machine(point, sim::Engine::kFast);
  for (const sim::GemmTrace& product : products) {
    add(product);
    StimulusEnergy& stimulus = report.stimuli.back();
    const sim::GemmInfo& info = product.info;
    stimulus.macs = info.m * info.n * info.k;
    if (!design) continue;
    sim::Schedule schedule = make_schedule(design->machine, design->timing, design->sum_width,
                                           point.spec, info.m, info.n, info.k);
    stimulus.memory = sim::memory_energy(schedule);
  }
  return report;
}

nlohmann::ordered_json to_json(const EnergyReport& report) {
  nlohmann::ordered_json stimuli = nlohmann::ordered_json::array();
  for (const StimulusEnergy& s : report.stimuli) {
    stimuli.push_back({{"name", s.name},
                       {"beats", s.beats},
                       {"products", s.products},
                       {"toggle_rate", s.toggle_rate},
                       {"pj_per_beat", s.per_beat()},
                       {"pj_per_mac", s.per_product()},
                       {"pj",
                        {{"inputs", s.energy.inputs},
                         {"logic", s.energy.logic},
                         {"registers", s.energy.registers},
                         {"clock", s.energy.clock},
                         {"leakage", s.energy.leakage}}}});
    if (s.memory)
      stimuli.back()["memory"] = {
          {"macs", s.macs},
          {"sram_pj_per_mac", s.memory->sram / static_cast<double>(s.macs)},
          {"dram_pj_per_mac", s.memory->dram / static_cast<double>(s.macs)},
          {"provenance", "bytes of the machine's schedule x ISSCC 2014, figure 1.1.9 (45 nm)"}};
  }
  return {{"point", report.point},
          {"top", report.top},
          {"provenance", fmt::format("toggles of the gates on beats of the data x {} at {} V, slew "
                                     "{} ns; no wires, no glitches",
                                     report.library, report.voltage, report.conditions.slew_ns)},
          {"cells", report.cells},
          {"registers", report.registers},
          {"nets", report.nets},
          {"clock_ns", report.clock_ns},
          {"leakage_nw", report.leakage_nw},
          {"stimuli", stimuli}};
}

}  // namespace blockdot::explore
