#include "sim/machine/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "sim/cosim/array_lockstep.h"

namespace blockdot::sim {

using nlohmann::json;
using nlohmann::ordered_json;

double MachineDesign::peak() const {
  return static_cast<double>(machine.rows) * machine.cols * lanes / clock_ns;
}

namespace {

// The array that is generated for its latencies alone has one unit; the streams are all the units'.
void check_streams(const Machine& machine, const formats::DotSpec& spec) {
  if (!formats::draws(spec)) return;
  const bool by_column =
      machine.dataflow == rtl_gen::Dataflow::kWeightStationary && !formats::draws_each_beat(spec);
  formats::validate_draws(spec.lfsr,
                          static_cast<std::uint64_t>(by_column ? 1 : machine.rows) *
                              static_cast<std::uint64_t>(machine.cols),
                          formats::drawn_rounding(spec).random_bits, "streams");
}

}  // namespace

MachineDesign design_machine(const Machine& machine, const formats::DotSpec& spec,
                             const rtl_gen::Arch& arch, bool rtl) {
  validate(machine);
  if (rtl) check_rtl_size(machine, spec);
  check_streams(machine, spec);
  rtl_gen::ArraySpec array_spec;
  array_spec.unit = spec;
  array_spec.dataflow = machine.dataflow;
  array_spec.banks = machine.banks;
  array_spec.depth = machine.depth;
  // The units' latencies do not depend on how many there are.
  array_spec.rows = rtl ? machine.rows : 1;
  array_spec.cols = rtl ? machine.cols : 1;
  rtl_gen::Array array = generate_array(array_spec, arch);
  MachineDesign design;
  design.machine = machine;
  design.timing = array.timing;
  design.timing.rows = machine.rows;
  design.timing.cols = machine.cols;
  design.sum_width = array.sum_width;
  design.lanes = spec.lanes;
  design.clock_ns = 0;
  for (const rtl_gen::Unit& unit : array.units)
    design.clock_ns = std::max(design.clock_ns, unit.report.clock_ns);
  if (rtl) design.array = std::move(array);
  return design;
}

MachineReport machine_report(const MachineDesign& d, const Schedule& s, const CycleCount& count) {
  MachineReport report;
  report.clock_ns = d.clock_ns;
  report.peak = d.peak();
  if (!d.machine.unlimited())
    report.bandwidth = static_cast<double>(d.machine.bandwidth) / d.clock_ns;
  if (d.machine.load_rate() < d.machine.bandwidth)
    report.quantizer = static_cast<double>(d.machine.load_rate()) / d.clock_ns;
  report.bank_cycles = s.bank_cycles();
  report.macs = s.m * s.n * s.k;
  report.count = count;
  report.traffic = s.traffic;
  report.chunk = s.chunk;
  report.chunks = s.chunks;
  report.a_stays = s.a_stays;
  report.b_stays = s.b_stays;
  return report;
}

namespace {

/// Calls f(name, field) for every cause, in the order of the JSON.
template <typename R, typename F>
void causes(R& r, F f) {
  f("compute", r.count.compute);
  f("fill", r.count.fill);
  f("load", r.count.load);
  f("bank", r.count.bank);
  f("store", r.count.store);
  f("back_pressure", r.count.back_pressure);
  f("drain", r.count.drain);
}
template <typename R, typename F>
void bytes(R& r, F f) {
  f("dram_a", r.traffic.a);
  f("dram_b", r.traffic.b);
  f("dram_c", r.traffic.c);
  f("scale_bits", r.traffic.scale_bits);
  f("sram_a_read", r.traffic.sram_a.read);
  f("sram_a_written", r.traffic.sram_a.written);
  f("sram_b_read", r.traffic.sram_b.read);
  f("sram_b_written", r.traffic.sram_b.written);
  f("sram_c_read", r.traffic.sram_c.read);
  f("sram_c_written", r.traffic.sram_c.written);
  f("spilled", r.traffic.spilled);
}

}  // namespace

MachineReport& MachineReport::operator+=(const MachineReport& other) {
  products += other.products;
  macs += other.macs;
  count.cycles += other.count.cycles;
  bank_cycles += other.bank_cycles;
  std::vector<NamedCount> added = other.cycles_by_cause();
  for (const NamedCount& more : other.bytes_by_level()) added.push_back(more);
  std::size_t i = 0;
  const auto add = [&](const char*, std::int64_t& x) { x += added[i++].value; };
  causes(*this, add);
  bytes(*this, add);
  return *this;
}

std::vector<NamedCount> MachineReport::cycles_by_cause() const {
  std::vector<NamedCount> list;
  causes(*this, [&](const char* name, std::int64_t x) { list.push_back({name, x}); });
  return list;
}

std::vector<NamedCount> MachineReport::bytes_by_level() const {
  std::vector<NamedCount> list;
  bytes(*this, [&](const char* name, std::int64_t x) { list.push_back({name, x}); });
  return list;
}

std::string_view to_text(Wall wall) {
  switch (wall) {
    case Wall::kCompute:
      return "compute";
    case Wall::kMemory:
      return "memory";
    case Wall::kQuantizer:
      return "quantiser";
    case Wall::kBanks:
      return "banks";
  }
  BLOCKDOT_CHECK(false, "wall");
}

double MachineReport::at(Wall wall) const {
  const auto in = [&](double ns) {
    return ns > 0 ? static_cast<double>(macs) / ns : std::numeric_limits<double>::infinity();
  };
  const auto loaded = static_cast<double>(traffic.a + traffic.b);
  const auto stored = static_cast<double>(traffic.c);
  switch (wall) {
    case Wall::kCompute:
      return peak;
    case Wall::kMemory:
      return in(bandwidth > 0 ? (loaded + stored) / bandwidth : 0);
    case Wall::kQuantizer:
      return in(quantizer > 0 ? loaded / quantizer + stored / bandwidth : 0);
    case Wall::kBanks:
      return in(static_cast<double>(bank_cycles) * clock_ns);
  }
  BLOCKDOT_CHECK(false, "wall");
}

Wall MachineReport::wall() const {
  return *std::ranges::min_element(kWalls, {}, [&](Wall wall) { return at(wall); });
}

double MachineReport::gmac_per_s() const {
  return static_cast<double>(macs) / (static_cast<double>(count.cycles) * clock_ns);
}

double MachineReport::intensity() const {
  return static_cast<double>(macs) / static_cast<double>(traffic.dram());
}

ordered_json to_json(const MachineReport& r) {
  ordered_json stalls, traffic;
  causes(r, [&](const std::string& name, std::int64_t x) {
    if (name != "compute") stalls[name] = x;
  });
  bytes(r, [&](const std::string& name, std::int64_t x) { traffic[name] = x; });
  return {{"products", r.products},
          {"clock_ns", r.clock_ns},
          {"macs", r.macs},
          {"cycles", r.count.cycles},
          {"compute", r.count.compute},
          {"stalls", stalls},
          {"traffic", traffic},
          {"chunk_beats", r.chunk},
          {"chunks", r.chunks},
          {"a_stays", r.a_stays},
          {"b_stays", r.b_stays},
          {"utilisation", r.utilisation()},
          {"gmac_per_s", r.gmac_per_s()},
          {"macs_per_byte", r.intensity()},
          {"roofline",
           {{"peak_gmac_per_s", r.peak},
            {"bandwidth_gbyte_per_s", r.bandwidth},
            {"quantizer_gbyte_per_s", r.quantizer},
            {"bank_cycles", r.bank_cycles},
            {"bound_gmac_per_s", r.bound()},
            {"wall", to_text(r.wall())},
            {"of_bound", r.gmac_per_s() / r.bound()}}}};
}

MachineReport machine_report_from_json(const json& from) {
  MachineReport r;
  r.products = from.at("products");
  r.clock_ns = from.at("clock_ns");
  r.peak = from.at("roofline").at("peak_gmac_per_s");
  r.bandwidth = from.at("roofline").at("bandwidth_gbyte_per_s");
  r.quantizer = from.at("roofline").at("quantizer_gbyte_per_s");
  r.bank_cycles = from.at("roofline").at("bank_cycles");
  r.macs = from.at("macs");
  r.count.cycles = from.at("cycles");
  causes(r, [&](const std::string& name, std::int64_t& x) {
    x = name == "compute" ? from.at(name) : from.at("stalls").at(name);
  });
  bytes(r, [&](const std::string& name, std::int64_t& x) { x = from.at("traffic").at(name); });
  r.chunk = from.at("chunk_beats");
  r.chunks = from.at("chunks");
  r.a_stays = from.at("a_stays");
  r.b_stays = from.at("b_stays");
  return r;
}

std::string timeline_json(const Schedule& s, const std::string& name) {
  constexpr std::int64_t kMostEvents = 2000000;
  const auto events = static_cast<std::int64_t>(s.transfers.size()) + s.steps() + s.tiles();
  if (events > kMostEvents)
    throw ConfigError("timeline: {} has {} events, more than {}; choose a smaller product", name,
                      events, kMostEvents);
  MachineTimes times;
  machine_cycles(s, &times);
  json list = json::array();
  enum Track { kChannel = 1, kInput, kOutput, kLoadB, kStore };
  list.push_back({{"ph", "M"}, {"pid", 1}, {"name", "process_name"}, {"args", {{"name", name}}}});
  // Without a limit transfers are side by side: a track for each kind, in which a cycle's nest.
  const bool unlimited = s.machine.unlimited();
  std::vector<std::pair<Track, const char*>> tracks = {
      {kChannel, unlimited ? "DRAM: loads of a" : "DRAM channel"},
      {kInput, "array: operands taken"},
      {kOutput, "array: results leave"}};
  if (unlimited)
    tracks.insert(tracks.end(), {{kLoadB, "DRAM: loads of b"}, {kStore, "DRAM: stores"}});
  for (const auto& [track, text] : tracks)
    list.push_back({{"ph", "M"},
                    {"pid", 1},
                    {"tid", static_cast<int>(track)},
                    {"name", "thread_name"},
                    {"args", {{"name", text}}}});
  const auto span = [&](Track track, const std::string& what, const MachineTimes::Span& when,
                        json arguments) {
    list.push_back({{"ph", "X"},
                    {"pid", 1},
                    {"tid", static_cast<int>(track)},
                    {"ts", when.begin},
                    {"dur", when.end - when.begin + 1},
                    {"name", what},
                    {"args", std::move(arguments)}});
  };
  for (std::size_t i = 0; i < s.transfers.size(); ++i) {
    const Transfer& x = s.transfers[i];
    const bool store = x.kind == Transfer::Kind::kC, load_b = x.kind == Transfer::Kind::kB;
    const Track track = !unlimited ? kChannel : store ? kStore : load_b ? kLoadB : kChannel;
    span(track,
         store    ? "store c"
         : load_b ? "load b"
                  : "load a",
         times.transfers[i], {{"bytes", x.bytes}, {store ? "tile" : "step", x.step}});
  }
  for (std::int64_t step = 0; step < s.steps(); ++step)
    span(kInput, fmt::format("tile {}", step / s.chunks),
         times.steps[static_cast<std::size_t>(step)],
         {{"step", step}, {"beats", s.beat_count(step)}});
  for (std::int64_t t = 0; t < s.tiles(); ++t)
    span(kOutput, fmt::format("tile {}", t), times.tiles[static_cast<std::size_t>(t)],
         {{"row", s.tile(t).row}, {"column", s.tile(t).col}});
  return json{{"traceEvents", list}, {"displayTimeUnit", "ms"}}.dump() + "\n";
}

}  // namespace blockdot::sim
