// Replay: the GEMMs of a trace through one unit, by one or all engines.
//
// The unit is output-stationary: results (i, j) in the order (0,0), (0,1), ..., each with its beats
// in order, one beat every `interval` cycles. The engines give the same values and cycles:
//
//   fast     values by models::gemm; cycles in closed form,
//            cycles = (beats - 1) * interval + latency + 1      first beat's cycle to last result's
//   systemc  every beat through the clocked stream model (sim/systemc); its cycles are counted
//   rtl      every beat through the Verilated unit in lock-step with the model: each result is
//            compared and each valid_o must come exactly `latency` cycles after its last beat
//   all      all three; they must agree in every bit and cycle
//
// On a machine (sim/machine) the product goes through R x C units and their memory: cycles by its
// closed form, the SystemC machine, and the Verilated array in lock-step with that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/wave.h"
#include "sim/machine/report.h"
#include "sim/metrics/metrics.h"
#include "sim/trace/gemm_trace.h"

namespace blockdot::sim {

inline constexpr std::string_view kSimSchema = "blockdot.sim/1";

enum class Engine { kFast, kSystemc, kRtl, kAll };
std::string_view to_text(Engine engine);  // `fast`, `systemc`, `rtl`, `all`
Engine parse_engine(std::string_view text);

struct Progress {
  std::string gemm;  // in work, or just finished
  std::int64_t gemms_done = 0;
  std::int64_t gemms_total = 0;
  std::int64_t macs_done = 0;  // of the finished GEMMs
  std::int64_t macs_total = 0;
};

struct ReplayOptions {
  /// Of both operands; when stochastic, op(B) draws from another stream (derived from the seed).
  formats::QuantizeOptions quantize = {};
  /// Of the unit's random stream; each GEMM starts with it, or with that of the lfsr where the unit
  /// has no seed port.
  std::uint64_t seed = 1;
  double clock_ns = 0;  // for time and throughput; 0: the unit's estimated path
  int jobs = 1;         // replay_trace: GEMMs side by side, as processes
  /// Disturbances: shares in [0, 1) of cycles in which the source offers no beat and the sink takes
  /// no result (systemc), or valid_i stays low (rtl; `input` only). Values may not change.
  double input_stalls = 0, output_stalls = 0;
  std::uint64_t stall_seed = 1;
  /// The machine; none: one unit behind a stream. With `array` for rtl and all. `stalls` are then
  /// those of every channel: the larger of the two. `seed` has no effect: after reset the units
  /// have the seeds of docs/arrays.md.
  std::optional<MachineDesign> machine = {};
  /// On a machine, one product: of the array's RTL (rtl, all) or of the SystemC machine (systemc;
  /// VCD only).
  std::optional<Wave> wave = {};
  std::filesystem::path cache = {};  // of compiled units; empty: the default (sim/cosim/model.h)
  std::function<void(const Progress&)> progress = {};  // replay_trace: after each GEMM
};

/// The options of op(B): another random stream, since equal noise on both sides would bias the
/// products.
formats::QuantizeOptions b_options(formats::QuantizeOptions options);

/// What one engine did.
struct EngineRun {
  Engine engine = Engine::kFast;  // never kAll
  std::int64_t beats = 0;  // on a machine: beats (os), rows of passes (ws) that the array took
  std::int64_t results = 0;
  std::int64_t cycles = 0;
  // Of a unit alone.
  std::int64_t input_idle = 0;      // cycles without an offered beat before the last one
  std::int64_t input_blocked = 0;   // cycles in which an offered beat was not taken
  std::int64_t output_blocked = 0;  // cycles in which an offered result was not taken
  /// On a machine, instead of those: random stalls of its channels, one a channel and cycle.
  std::optional<std::int64_t> stalled = {};
  std::int64_t checked = 0;     // results compared with the model's; of fast none
  std::int64_t handshakes = 0;  // rtl: valid (and ready) signals compared, one a cycle and port
  std::int64_t mismatches = 0;  // results that differ from the model's (rtl), or wrong timing
  double seconds = 0;           // host time, not part of the deterministic report
};

struct GemmReport {
  std::string name, model, layer;
  std::int64_t step = 0;
  Role role = Role::kFprop;
  std::int64_t m = 0, n = 0, k = 0;
  std::optional<double> loss;

  std::int64_t macs = 0;  // M * N * K
  std::int64_t beats_per_result = 0;
  std::int64_t beats = 0;   // M * N * beats_per_result
  std::int64_t cycles = 0;  // undisturbed: the closed form
  double utilisation = 0;   // macs / (cycles * lanes)
  double time_us = 0;       // cycles * clock
  double gmac_per_s = 0;    // macs / time

  OperandStats a, b;
  ErrorStats fp64;      // results against the FP64 product of the operands before quantisation
  ErrorStats fp32;      // results against their FP32 product
  ErrorStats baseline;  // that FP32 product against the FP64 one
  Histogram results;    // magnitudes of the results
  std::string results_sha256;  // of the result codes, uint32 little-endian [M][N]

  std::optional<MachineReport> machine;

  std::vector<EngineRun> engines;
  std::int64_t mismatches = 0;  // over all engines
  std::string first_mismatch;   // explained; empty when there is none
  bool agree = true;            // no mismatch, equal cycles where no stalls were asked for, and
                                // every result compared

  std::int64_t checked() const;     // over all engines
  std::int64_t handshakes() const;  // over all engines
};

/// Which engine did not compare every result, or no handshake: its agreement would mean nothing.
/// Empty where all that should compare did.
std::string not_compared(const GemmReport& report);

/// Replays one product. ConfigError where the spec does not suit it (K beyond max-k), or for rtl
/// where a tool is missing.
GemmReport replay(const GemmTrace& gemm, const formats::DotSpec& spec, const rtl_gen::Unit& unit,
                  Engine engine, const ReplayOptions& options = {});

struct SimReport {
  std::string spec;                // to_text(DotSpec)
  std::string a_format, b_format;  // display names
  std::string top, arch;
  std::int64_t latency = 0, interval = 0, lanes = 0;
  double clock_ns = 0;
  Engine engine = Engine::kFast;
  std::string scale_rule, quantize_rounding;
  std::uint64_t quantize_seed = 1, seed = 1;
  std::string machine;            // to_text(Machine); empty: one unit
  std::vector<GemmReport> gemms;  // in the trace's order

  /// On a machine: what it did with all products, and by model/layer, role and step.
  struct MachineGroup {
    std::string by, key;  // "all", "layer", "role", "step"
    MachineReport report;
  };
  std::vector<MachineGroup> machine_groups() const;

  std::int64_t checked() const;
  std::int64_t handshakes() const;
  std::int64_t mismatches() const;
  bool agree() const;
};

/// ConfigError for everything that replay_trace with these arguments can be refused for: a field
/// out of range, a product that does not fit the unit or the machine, a damaged tensor, a missing
/// tool, a cache that cannot be written. Takes a moment, writes nothing: to be called for all of a
/// program's work before any of it.
void check_replay(TraceReader& trace, const std::vector<std::size_t>& chosen,
                  const formats::DotSpec& spec, const rtl_gen::Unit& unit, Engine engine,
                  const ReplayOptions& options = {});

/// Replays the chosen products (indices into the trace; empty: all), `options.jobs` at a time. The
/// report does not depend on jobs.
SimReport replay_trace(TraceReader& trace, const std::vector<std::size_t>& chosen,
                       const formats::DotSpec& spec, const rtl_gen::Unit& unit, Engine engine,
                       const ReplayOptions& options = {});

/// docs/json-schemas.md. `timing` adds the host seconds, which differ from run to run.
nlohmann::ordered_json to_json(const GemmReport& report, bool timing = true);
nlohmann::ordered_json to_json(const SimReport& report, bool timing = true);
GemmReport gemm_report_from_json(const nlohmann::json& json);
SimReport sim_report_from_json(const nlohmann::json& json);

}  // namespace blockdot::sim
