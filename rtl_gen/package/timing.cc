#include "rtl_gen/package/timing.h"

#include <fmt/format.h>

#include <algorithm>
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

std::vector<Beat> scenario(UnitKind kind) {
  switch (kind) {
    case UnitKind::kDot:
      return {{true, true, false, "A0", ""},
              {false, false, false, "", ""},
              {true, false, true, "A1", "A"},
              {true, true, true, "B0", "B"}};
    case UnitKind::kBlockDot:
      return {{true, true, true, "A", "A"},
              {false, false, false, "", ""},
              {true, true, true, "B", "B"},
              {true, true, true, "C", "C"}};
  }
  return {};
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

}  // namespace

nlohmann::json timing_diagram(const Unit& unit) {
  const UnitReport& report = unit.report;
  const std::vector<Beat> beats = scenario(report.kind);
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
  return {{"signal", signals},
          {"head",
           {{"text", fmt::format("{}: latency {}, interval {}", report.top, report.latency,
                                 report.interval)},
            {"tick", 0}}},
          {"config", {{"hscale", 1}}}};
}

}  // namespace blockdot::rtl_gen
