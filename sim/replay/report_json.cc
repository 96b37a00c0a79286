// JSON of replay reports, schema "blockdot.sim/1" (docs/json-schemas.md).
#include "formats/error.h"
#include "sim/replay/replay.h"

namespace blockdot::sim {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

ordered_json engine_json(const EngineRun& run, bool timing) {
  ordered_json out = {{"engine", to_text(run.engine)},
                      {"beats", run.beats},
                      {"results", run.results},
                      {"cycles", run.cycles}};
  if (run.stalled) {
    out["stalled"] = *run.stalled;
  } else {
    out["input_idle"] = run.input_idle;
    out["input_blocked"] = run.input_blocked;
    out["output_blocked"] = run.output_blocked;
  }
  out["checked"] = run.checked;
  out["handshakes"] = run.handshakes;
  out["mismatches"] = run.mismatches;
  if (timing) out["seconds"] = run.seconds;
  return out;
}

EngineRun engine_from_json(const json& from) {
  EngineRun run;
  run.engine = parse_engine(from.at("engine").get<std::string>());
  run.beats = from.at("beats");
  run.results = from.at("results");
  run.cycles = from.at("cycles");
  if (from.contains("stalled")) {
    run.stalled = from.at("stalled").get<std::int64_t>();
  } else {
    run.input_idle = from.at("input_idle");
    run.input_blocked = from.at("input_blocked");
    run.output_blocked = from.at("output_blocked");
  }
  run.checked = from.at("checked");
  run.handshakes = from.at("handshakes");
  run.mismatches = from.at("mismatches");
  run.seconds = from.value("seconds", 0.0);
  return run;
}

}  // namespace

ordered_json to_json(const GemmReport& r, bool timing) {
  ordered_json engines = ordered_json::array();
  for (const EngineRun& run : r.engines) engines.push_back(engine_json(run, timing));
  ordered_json out = {{"name", r.name},
                      {"model", r.model},
                      {"step", r.step},
                      {"layer", r.layer},
                      {"role", to_text(r.role)},
                      {"M", r.m},
                      {"N", r.n},
                      {"K", r.k},
                      {"loss", r.loss ? ordered_json(*r.loss) : ordered_json()},
                      {"macs", r.macs},
                      {"beats_per_result", r.beats_per_result},
                      {"beats", r.beats},
                      {"cycles", r.cycles},
                      {"utilisation", r.utilisation},
                      {"time_us", r.time_us},
                      {"gmac_per_s", r.gmac_per_s},
                      {"operands", {{"a", to_json(r.a)}, {"b", to_json(r.b)}}},
                      {"error",
                       {{"fp64", to_json(r.fp64)},
                        {"fp32", to_json(r.fp32)},
                        {"fp32_baseline", to_json(r.baseline)}}},
                      {"results", to_json(r.results)},
                      {"results_sha256", r.results_sha256},
                      {"engines", engines},
                      {"mismatches", r.mismatches},
                      {"first_mismatch", r.first_mismatch},
                      {"agree", r.agree}};
  if (r.machine) out["machine"] = to_json(*r.machine);
  return out;
}

GemmReport gemm_report_from_json(const json& from) {
  GemmReport r;
  r.name = from.at("name");
  r.model = from.at("model");
  r.step = from.at("step");
  r.layer = from.at("layer");
  r.role = parse_role(from.at("role").get<std::string>());
  r.m = from.at("M");
  r.n = from.at("N");
  r.k = from.at("K");
  if (!from.at("loss").is_null()) r.loss = from.at("loss").get<double>();
  r.macs = from.at("macs");
  r.beats_per_result = from.at("beats_per_result");
  r.beats = from.at("beats");
  r.cycles = from.at("cycles");
  r.utilisation = from.at("utilisation");
  r.time_us = from.at("time_us");
  r.gmac_per_s = from.at("gmac_per_s");
  r.a = operand_stats_from_json(from.at("operands").at("a"));
  r.b = operand_stats_from_json(from.at("operands").at("b"));
  r.fp64 = error_stats_from_json(from.at("error").at("fp64"));
  r.fp32 = error_stats_from_json(from.at("error").at("fp32"));
  r.baseline = error_stats_from_json(from.at("error").at("fp32_baseline"));
  r.results = histogram_from_json(from.at("results"));
  r.results_sha256 = from.at("results_sha256");
  for (const json& run : from.at("engines")) r.engines.push_back(engine_from_json(run));
  r.mismatches = from.at("mismatches");
  r.first_mismatch = from.at("first_mismatch");
  r.agree = from.at("agree");
  if (from.contains("machine")) r.machine = machine_report_from_json(from.at("machine"));
  return r;
}

ordered_json to_json(const SimReport& r, bool timing) {
  ordered_json gemms = ordered_json::array();
  std::int64_t macs = 0, beats = 0, cycles = 0;
  double time_us = 0;
  for (const GemmReport& gemm : r.gemms) {
    gemms.push_back(to_json(gemm, timing));
    macs += gemm.macs;
    beats += gemm.beats;
    cycles += gemm.cycles;
    time_us += gemm.time_us;
  }
  ordered_json out = {{"schema", kSimSchema},
                      {"spec", r.spec},
                      {"a_format", r.a_format},
                      {"b_format", r.b_format},
                      {"unit",
                       {{"top", r.top},
                        {"arch", r.arch},
                        {"latency", r.latency},
                        {"interval", r.interval},
                        {"lanes", r.lanes}}},
                      {"clock_ns", r.clock_ns},
                      {"engine", to_text(r.engine)},
                      {"quantize",
                       {{"scale_rule", r.scale_rule},
                        {"rounding", r.quantize_rounding},
                        {"seed", r.quantize_seed}}},
                      {"seed", r.seed},
                      {"gemms", gemms},
                      {"totals",
                       {{"gemms", r.gemms.size()},
                        {"macs", macs},
                        {"beats", beats},
                        {"cycles", cycles},
                        {"time_us", time_us},
                        {"checked", r.checked()},
                        {"handshakes", r.handshakes()},
                        {"mismatches", r.mismatches()},
                        {"agree", r.agree()}}}};
  if (r.machine.empty()) return out;
  ordered_json groups = ordered_json::array();
  for (const SimReport::MachineGroup& group : r.machine_groups())
    groups.push_back({{"by", group.by}, {"key", group.key}, {"report", to_json(group.report)}});
  out["machine"] = {{"text", r.machine}, {"groups", groups}};
  return out;
}

SimReport sim_report_from_json(const json& from) {
  if (from.at("schema") != kSimSchema)
    throw ConfigError("schema = {}: this program reads \"{}\"", from.at("schema").dump(),
                      kSimSchema);
  SimReport r;
  r.spec = from.at("spec");
  r.a_format = from.at("a_format");
  r.b_format = from.at("b_format");
  const json& unit = from.at("unit");
  r.top = unit.at("top");
  r.arch = unit.at("arch");
  r.latency = unit.at("latency");
  r.interval = unit.at("interval");
  r.lanes = unit.at("lanes");
  r.clock_ns = from.at("clock_ns");
  r.engine = parse_engine(from.at("engine").get<std::string>());
  r.scale_rule = from.at("quantize").at("scale_rule");
  r.quantize_rounding = from.at("quantize").at("rounding");
  r.quantize_seed = from.at("quantize").at("seed");
  r.seed = from.at("seed");
  if (from.contains("machine")) r.machine = from.at("machine").at("text");
  for (const json& gemm : from.at("gemms")) r.gemms.push_back(gemm_report_from_json(gemm));
  return r;
}

}  // namespace blockdot::sim
