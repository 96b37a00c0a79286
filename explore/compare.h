// Comparison: design points x the GEMMs of a trace -> one table of results, with aggregates and
// Pareto fronts, as JSON (blockdot.compare/1, docs/json-schemas.md) and CSV.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "explore/design.h"
#include "explore/store.h"
#include "explore/synth.h"
#include "sim/replay/replay.h"

namespace blockdot::explore {

inline constexpr std::string_view kCompareSchema = "blockdot.compare/1";

/// A design point and what is known of its unit.
struct PointRow {
  std::string name;
  std::string text, hash;  // canonical_text, content_hash
  std::string a, b;        // display names
  std::int64_t lanes = 0;
  std::string machine;     // to_text; empty: one unit behind a stream
  std::int64_t units = 1;  // of its machine; figures are one unit's, areas() are all units'
  std::string accumulator, output, rounding, technology;  // text forms
  double bits_per_element = 0;                            // with scales, mean of a and b
  double clock_ns = 0;                                    // of the throughput
  std::int64_t latency = 0, interval = 0;
  Figures estimated,
      synthesised;  // by the names of unit.json; synthesised is empty without --synth
  /// Of the unit's gates on operands of zeros and of N(0, 1), pJ a multiply-accumulate: what the
  /// results' energy is read beside.
  struct Energy {
    double zeros = 0, gaussian = 0;
    std::string provenance;
  };
  std::optional<Energy> energy;  // with CompareOptions::energy
};

/// A GEMM of the trace, as columns of the table.
struct GemmRow {
  std::string name, model, layer, role;
  std::int64_t step = 0, m = 0, n = 0, k = 0;
};

/// pJ a multiply-accumulate (docs/energy.md); NaN where it is not known.
struct ResultEnergy {
  double unit = std::numeric_limits<double>::quiet_NaN();  // its gates on beats of the product
  double sram = std::numeric_limits<double>::quiet_NaN();  // on a machine, by a published table
  double dram = std::numeric_limits<double>::quiet_NaN();
};

struct ResultRow {
  std::size_t point = 0, gemm = 0;  // indices into points and gemms
  sim::GemmReport report;
  ResultEnergy energy = {};
};

struct ResultTable {
  std::string title;
  std::string program;  // name and version
  sim::Engine engine = sim::Engine::kFast;
  std::string trace_name, trace_sha256;
  std::string recipe_json = "{}";  // of the trace
  std::vector<PointRow> points;
  std::vector<GemmRow> gemms;
  std::vector<ResultRow> results;  // point-major, GEMMs in the trace's order
};

/// Numbers of one point over some GEMMs.
struct Aggregate {
  std::size_t point = 0;
  std::string key;  // the layer, role, model or step; "all"
  std::int64_t gemms = 0;
  std::int64_t compared = 0;  // results that are finite with a finite reference
  double snr_mean_db = 0;     // mean and least of the dB values that are finite; NaN without one
  double snr_min_db = 0;
  double gmac_per_s = 0;  // all multiply-accumulates over all cycles, at the point's clock
  double utilisation = 0;
  ResultEnergy energy;           // of all multiply-accumulates
  std::int64_t checked = 0;      // values compared with the model's
  std::int64_t handshakes = 0;   // valid and ready signals of the RTL compared
  std::int64_t mismatches = 0;   // of them, those that differ
  std::int64_t cycle_delta = 0;  // largest difference of an engine's cycles from the closed form
  std::int64_t disagree = 0;     // GEMMs whose engines differ or did not compare every result
};
enum class GroupBy { kAll, kModel, kStep, kLayer, kRole };
/// Point-major, keys in the order in which the trace meets them. Layers of different models are
/// different: their key is `model/layer`.
std::vector<Aggregate> aggregate(const ResultTable& table, GroupBy group);

/// The SNR of a report against the FP64 product, dB: infinite where every result is exact, NaN
/// where no result could be compared.
double snr_db(const sim::GemmReport& report);

/// The area to rank by: synthesised where every point has it, else estimated; NaN where neither is.
std::vector<double> areas(const ResultTable& table);

/// Work done so far; called from the comparing thread or from a synthesis thread, one at a time.
struct CompareProgress {
  double done = 0, total = 0;  // in units of about the same time
  std::string what;
};

struct CompareOptions {
  sim::Engine engine = sim::Engine::kFast;
  bool synth = false;
  bool energy = false;               // maps each unit to gates and counts their transitions
  int jobs = 1;                      // replays and syntheses side by side
  std::vector<std::size_t> gemms;    // indices into the trace; empty: all
  ResultStore store{{}};             // none by default
  std::filesystem::path unit_cache;  // of compiled units; empty: the default
  std::string program = "blockdot";
  std::function<void(const CompareProgress&)> progress;
  /// Called with each generated unit, in the order of the points, once all work is done.
  std::function<void(const DesignPoint&, const rtl_gen::Unit&)> on_unit;
};

/// Generates every unit, checks that every point suits every product, synthesises where asked,
/// replays what the store does not hold. The table does not depend on jobs or on what the store
/// held. ConfigError names the design point; it comes before any work is done.
ResultTable compare(const DesignFile& designs, const std::filesystem::path& trace,
                    const CompareOptions& options);

/// A table without results: its head, the points and the GEMMs that are chosen of the trace.
ResultTable start_table(const std::string& title, const std::string& program, sim::Engine engine,
                        const std::filesystem::path& trace_folder, const sim::TraceReader& trace,
                        const std::vector<std::size_t>& chosen);
PointRow point_row(const DesignPoint& point, const rtl_gen::Unit& unit,
                   const std::optional<sim::MachineDesign>& machine);

/// Every result agrees with every engine that ran, and each of them compared every value.
bool all_agree(const ResultTable& table);

std::string to_json(const ResultTable& table);
/// ConfigError where the text is no JSON or not of this schema.
ResultTable table_from_json(std::string_view text);

/// One line a result: the point's and the GEMM's columns, then the metrics. RFC 4180.
std::string results_csv(const ResultTable& table);
/// One line a point with its figures and totals.
std::string points_csv(const ResultTable& table);

/// Writes results.json, results.csv, points.csv and report.html into `folder`, each at once or not
/// at all.
void write_results(const ResultTable& table, const std::filesystem::path& folder);

}  // namespace blockdot::explore
