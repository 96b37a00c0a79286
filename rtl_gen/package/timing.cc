#include "rtl_gen/package/timing.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "formats/error.h"
#include "rtl_gen/ir/interpreter.h"

namespace blockdot::rtl_gen {
namespace {

/// What is presented in one cycle.
struct Beat {
  bool valid, first, last;
  std::string operand;  // label of the operands
  std::string result;   // label of the outputs that it completes
};

/// A result of two beats with a pause between, at once followed by one of one beat.
std::vector<Beat> dot_scenario() {
  return {{true, true, false, "A0", ""},
          {false, false, false, "", ""},
          {true, false, true, "A1", "A"},
          {true, true, true, "B0", "B"}};
}

/// Every beat by itself: a beat, a pause, two beats in a row.
std::vector<Beat> beat_scenario() {
  return {{true, true, true, "A", "A"},
          {false, false, false, "", ""},
          {true, true, true, "B", "B"},
          {true, true, true, "C", "C"}};
}

/// One row: the same character as before becomes '.', but two values in a row stay two.
class Wave {
 public:
  void level(char c) {
    wave_ += c == last_ ? '.' : c;
    last_ = c;
  }
  void value(const std::string& label) {
    wave_ += '=';
    last_ = '=';
    data_.push_back(label);
  }
  nlohmann::json row(const std::string& name) const {
    nlohmann::json json = {{"name", name}, {"wave", wave_}};
    if (!data_.empty()) json["data"] = data_;
    return json;
  }

 private:
  std::string wave_;
  char last_ = 0;
  nlohmann::json data_ = nlohmann::json::array();
};

nlohmann::json unit_diagram(const Unit& unit) {
  const UnitReport& report = unit.report;
  const bool accumulates = std::any_of(report.ports.begin(), report.ports.end(),
                                       [](const Port& p) { return p.name == "last_i"; });
  const std::vector<Beat> beats = accumulates ? dot_scenario() : beat_scenario();
  const int given = static_cast<int>(beats.size());
  const int cycles = given + std::max(report.latency, 1) + 1;

  // The interpreter has no pipeline: the outputs of beat c are those of cycle c + latency.
  UnitInterpreter run(unit.graph);
  std::vector<bool> valid;
  for (const Beat& beat : beats) {
    for (const auto& [name, value] :
         {std::pair{"valid_i", beat.valid}, {"first_i", beat.first}, {"last_i", beat.last}})
      if (run.has_input(name)) run.set_input(run.input_index(name), value);
    run.step();
    valid.push_back(run.has_output("valid_o") ? run.output(run.output_index("valid_o"))[0] != 0
                                              : beat.valid);
  }

  nlohmann::json signals = nlohmann::json::array();
  for (const Port& port : report.ports) {
    if (port.name == "rst_ni") continue;
    Wave wave;
    for (int c = 0; c < cycles; ++c) {
      const Beat none{false, false, false, "", ""};
      const Beat& beat = c < given ? beats[static_cast<std::size_t>(c)] : none;
      const int from = c - report.latency;  // the beat whose outputs are seen now
      const bool out = from >= 0 && from < given && valid[static_cast<std::size_t>(from)];
      if (port.name == "clk_i")
        wave.level('p');
      else if (port.name == "valid_i")
        wave.level(beat.valid ? '1' : '0');
      else if (port.name == "first_i" || port.name == "last_i")
        wave.level(!beat.valid                                         ? 'x'
                   : (port.name == "first_i" ? beat.first : beat.last) ? '1'
                                                                       : '0');
      else if (port.name == "seed_load_i")
        wave.level('0');
      else if (port.name == "valid_o")
        wave.level(out ? '1' : '0');
      else if (port.name == "seed_i" || !(port.is_input ? beat.valid : out))
        wave.level('x');
      else if (port.is_input)
        wave.value(beat.operand);
      else
        wave.value(beats[static_cast<std::size_t>(from)].result);
    }
    signals.push_back(wave.row(port.name));
  }
  return signals;
}

/// What every port shows in every cycle: "0", "1", "x", or a label with "=" before it.
class Rows {
 public:
  explicit Rows(int cycles) : cycles_(cycles) {}

  /// A port that shows `what` but where it is set.
  void add(const std::string& port, const std::string& what) {
    rows_[port].assign(static_cast<std::size_t>(cycles_), what);
  }
  void set(const std::string& port, int cycle, const std::string& what) {
    rows_.at(port).at(static_cast<std::size_t>(cycle)) = what;
  }
  /// All rows in the order of the ports; one that was not added is not known.
  nlohmann::json signals(const std::vector<Port>& ports) const {
    nlohmann::json signals = nlohmann::json::array();
    for (const Port& port : ports) {
      if (port.name == "rst_ni") continue;
      Wave wave;
      auto found = rows_.find(port.name);
      for (int c = 0; c < cycles_; ++c) {
        if (port.name == "clk_i") {
          wave.level('p');
        } else if (found == rows_.end()) {
          wave.level('x');
        } else {
          const std::string& now = found->second[static_cast<std::size_t>(c)];
          if (now[0] == '=')
            wave.value(now.substr(1));
          else
            wave.level(now[0]);
        }
      }
      signals.push_back(wave.row(port.name));
    }
    return signals;
  }

 private:
  int cycles_;
  std::map<std::string, std::vector<std::string>> rows_;
};

nlohmann::json stream_diagram(const Design& design) {
  const std::vector<Beat> beats = dot_scenario();
  const int latency = design.report.latency;
  const int shown = 2 + latency;  // A, which is taken a cycle later; then B
  Rows rows(shown + 4);
  rows.add("seed_load_i", "0");
  for (const char* port : {"s_axis_tvalid", "m_axis_tvalid"}) rows.add(port, "0");
  for (const char* port : {"s_axis_tready", "m_axis_tready"}) rows.add(port, "1");
  for (const char* port : {"s_axis_tlast", "s_axis_tdata", "m_axis_tdata"}) rows.add(port, "x");
  for (int c = 0; c < static_cast<int>(beats.size()); ++c) {
    const Beat& beat = beats[static_cast<std::size_t>(c)];
    if (!beat.valid) continue;
    rows.set("s_axis_tvalid", c, "1");
    rows.set("s_axis_tlast", c, beat.last ? "1" : "0");
    rows.set("s_axis_tdata", c, "=" + beat.operand);
  }
  rows.set("m_axis_tready", shown, "0");
  for (int i = 0; i < 3; ++i) rows.set("m_axis_tvalid", shown + i, "1");
  rows.set("m_axis_tdata", shown, "=A");
  rows.set("m_axis_tdata", shown + 1, "=A");
  rows.set("m_axis_tdata", shown + 2, "=B");
  return rows.signals(design.report.ports);
}

nlohmann::json array_diagram(const Design& design) {
  const Array& array = std::get<Array>(design.made);
  const ArraySpec& spec = array.spec;
  const bool os = spec.dataflow == Dataflow::kOutputStationary;
  // A pass of a ws array has no more beats than it has rows.
  const auto most = formats::beats_for(spec.unit, spec.unit.max_k);
  const int beats = static_cast<int>(std::min<std::int64_t>(os ? 2 : std::min(2, spec.rows), most));
  const int tile_rows = std::min(2, os ? spec.rows : spec.depth);
  // Random streams are loaded in the first cycle after reset.
  const int start = array.seeds.empty() ? 0 : 1;
  const int first = start + 1, last = start + beats;  // beats of operands, or of weights
  const int row = last + (os ? 0 : 1);                // ws: the first row of a
  const int out = row + design.report.latency;
  Rows rows(out + tile_rows + 1);
  rows.add("start_valid_i", "0");
  rows.add("start_ready_o", "1");
  for (const char* port : {"beats_i", "rows_i", "cols_i", "out_last_o", "out_result_o"})
    rows.add(port, "x");
  rows.add("seed_load_i", "0");
  rows.add("out_valid_o", "0");
  rows.add("out_ready_i", "1");
  if (start > 0) rows.set("start_ready_o", 0, "0");
  rows.set("start_valid_i", start, "1");
  rows.set("beats_i", start, fmt::format("={}", beats));
  rows.set("rows_i", start, fmt::format("={}", tile_rows));
  rows.set("cols_i", start, fmt::format("={}", spec.cols));
  for (int c = first; c < last; ++c) rows.set("start_ready_o", c, "0");

  const auto offer = [&](const std::string& stem, const std::vector<std::string>& sides, int from,
                         int count, std::string_view label) {
    rows.add(stem + "_valid_i", "0");
    rows.add(stem + "_ready_o", "0");
    for (const std::string& side : sides)
      for (const char* part : {"_i", "_scale_i", "_micro_i"}) rows.add(side + part, "x");
    for (int i = 0; i < count; ++i) {
      rows.set(stem + "_valid_i", from + i, "1");
      rows.set(stem + "_ready_o", from + i, "1");
      for (const std::string& side : sides)
        for (const char* part : {"_i", "_scale_i", "_micro_i"})
          rows.set(side + part, from + i, fmt::format("={}{}", label, i));
    }
  };
  if (os) {
    offer("in", {"a", "b"}, first, beats, "k");
  } else {
    offer("w", {"b"}, first, beats, "k");
    offer("a", {"a"}, row, tile_rows, "row ");
  }
  for (int i = 0; i < tile_rows; ++i) {
    rows.set("out_valid_o", out + i, "1");
    rows.set("out_last_o", out + i, i + 1 == tile_rows ? "1" : "0");
    rows.set("out_result_o", out + i, fmt::format("=row {}", i));
  }
  return rows.signals(design.report.ports);
}

}  // namespace

nlohmann::json timing_diagram(const Design& design) {
  const UnitReport& report = design.report;
  const nlohmann::json signals = report.kind == UnitKind::kStream ? stream_diagram(design)
                                 : report.kind == UnitKind::kArray
                                     ? array_diagram(design)
                                     : unit_diagram(std::get<Unit>(design.made));
  return {{"signal", signals},
          {"head",
           {{"text", fmt::format("{}: latency {}, interval {}", report.top, report.latency,
                                 report.interval)},
            {"tick", 0}}},
          {"config", {{"hscale", 1}}}};
}

}  // namespace blockdot::rtl_gen
