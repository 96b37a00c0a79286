#include "rtl_gen/stream/stream.h"

#include <fmt/format.h>

#include "formats/error.h"

namespace blockdot::rtl_gen {
namespace {

int whole_bytes(int bits) { return (bits + 7) / 8 * 8; }

std::string stem(const std::string& port) { return port.substr(0, port.size() - 2); }

}  // namespace

std::string Stream::verilog() const {
  std::string text;
  for (const ModuleFile& file : files) text += file.text;
  return text;
}

Stream generate_stream(const formats::DotSpec& spec, const Arch& arch, std::string_view top) {
  if (arch.combinational)
    throw ConfigError("combinational = true: a stream is clocked; leave it out");
  Stream s;
  s.top = top;
  const std::string unit_name = s.top + "_unit";
  s.unit = generate(UnitKind::kDot, spec, arch, unit_name);
  const UnitReport& r = s.unit.report;
  s.depth = r.latency + 2;

  std::string connections = "    .clk_i(clk_i),\n    .rst_ni(rst_ni)";
  int seed_bits = 0;  // 0: no seed port
  int result_width = 0;
  for (const Port& p : r.ports) {
    std::string from;
    if (p.name == "clk_i" || p.name == "rst_ni") continue;
    if (p.name == "valid_i") from = "take";
    if (p.name == "first_i") from = "first_q";
    if (p.name == "last_i") from = "s_axis_tlast";
    if (p.name == "valid_o") from = "unit_valid";
    if (p.name == "result_o") {
      from = "unit_result";
      result_width = p.width;
    }
    if (p.name == "seed_load_i" || p.name == "seed_i") {
      from = p.name;
      if (p.name == "seed_i") seed_bits = p.width;
    }
    if (from.empty()) {
      s.beat.push_back({stem(p.name), s.beat_bits, p.width});
      from = p.width == 1 ? fmt::format("s_axis_tdata[{}]", s.beat_bits)
                          : fmt::format("s_axis_tdata[{} +: {}]", s.beat_bits, p.width);
      s.beat_bits += p.width;
    }
    connections += fmt::format(",\n    .{}({})", p.name, from);
  }
  const int used = s.beat_bits;
  s.beat_bits = whole_bytes(used);
  s.result = {{"result", 0, result_width}};
  s.result_bits = whole_bytes(result_width);

  s.ports = {{"clk_i", true, 1, "clock, rising edge"},
             {"rst_ni", true, 1, "synchronous reset, active low"}};
  if (seed_bits > 0) {
    s.ports.push_back({"seed_load_i", true, 1, "load seed_i for the roundings after this cycle's"});
    s.ports.push_back({"seed_i", true, seed_bits, "state of the random stream; 0 is read as 1"});
  }
  s.ports.insert(s.ports.end(), {{"s_axis_tvalid", true, 1, "a beat is offered"},
                                 {"s_axis_tready", false, 1, "it is taken; from a register"},
                                 {"s_axis_tlast", true, 1, "it ends a result"},
                                 {"s_axis_tdata", true, s.beat_bits, "operands, see unit.json"},
                                 {"m_axis_tvalid", false, 1, "a result is offered"},
                                 {"m_axis_tready", true, 1, "it is taken"},
                                 {"m_axis_tdata", false, s.result_bits, "the result's code"}});
  std::string parameters;
  for (const Parameter& p : r.parameters)
    parameters += fmt::format("{0}.{1}({1})", parameters.empty() ? "" : ", ", p.name);
  CreditQueue queue;
  queue.depth = s.depth;
  queue.width = result_width;
  queue.reserve = "take && s_axis_tlast";
  queue.push = "unit_valid";
  queue.push_data = "unit_result";
  queue.pop = "sent";
  queue.shown = "result_shown";
  queue.credit = "s_axis_tready";
  queue.data = "result";
  std::string body = fill(R"(
  // ---- Beats: taken while a result has a place ----
  reg first_q;                                      // the next beat starts a result
  wire take;
  assign take = s_axis_tvalid && s_axis_tready;
  always @(posedge clk_i) begin
    if (!rst_ni) first_q <= 1'b1;
    else if (take) first_q <= s_axis_tlast;
  end

  // ---- The unit ----
  wire unit_valid;
  wire @RANGE@unit_result;
  @UNIT@ @PARAMETERS@u_unit (
@CONNECTIONS@
  );
  wire result_shown;
  wire @RANGE@result;
  wire sent;
  assign sent = result_shown && m_axis_tready;
)",
                          {{"RANGE", fmt::format("[{}:0] ", result_width - 1)},
                           {"UNIT", unit_name},
                           {"PARAMETERS", parameters.empty() ? "" : "#(" + parameters + ") "},
                           {"CONNECTIONS", connections}});
  body += credit_queue(queue);
  body += "  assign m_axis_tvalid = result_shown;\n";
  body += s.result_bits == result_width ? "  assign m_axis_tdata = result;\n"
                                        : fmt::format("  assign m_axis_tdata = {{{}, result}};\n",
                                                      sized(s.result_bits - result_width, 0));
  if (s.beat_bits > used)
    body += fmt::format(
        "  // Padding to whole bytes.\n  wire unused_bits;\n"
        "  assign unused_bits = &{{1'b0, s_axis_tdata[{}:{}]}};\n",
        s.beat_bits - 1, used);
  const std::vector<std::string> header = {
      fmt::format("{}: AXI4-Stream around {}.", s.top, unit_name),
      "",
      fmt::format("  spec   {}", r.spec_text),
      fmt::format("  arch   {}", r.arch_text),
      fmt::format("  cost   latency {}, interval {}, queue of {} results", r.latency, r.interval,
                  s.depth),
      "",
      "Generated by blockdot. Do not edit."};
  s.files = {{s.top, shell_module(header, s.top, r.parameters, s.ports, body)},
             {unit_name, s.unit.verilog}};
  return s;
}

nlohmann::json to_json(const Stream& s) {
  const auto fields = [](const std::vector<StreamField>& all) {
    nlohmann::json list = nlohmann::json::array();
    for (const StreamField& f : all)
      list.push_back({{"name", f.name}, {"lo", f.lo}, {"width", f.width}});
    return list;
  };
  nlohmann::json files = nlohmann::json::array();
  for (const ModuleFile& f : s.files) files.push_back(f.file());
  const UnitReport& r = s.unit.report;
  return {{"schema", "blockdot.stream/1"},
          {"top", s.top},
          {"kind", "stream"},
          {"spec", r.spec_text},
          {"arch", r.arch_text},
          {"clock_ns", r.clock_ns},
          {"latency", r.latency},
          {"interval", r.interval},
          {"depth", s.depth},
          {"files", files},
          {"ports", ports_json(s.ports)},
          {"parameters", parameters_json(r.parameters)},
          {"s_axis_tdata", {{"width", s.beat_bits}, {"fields", fields(s.beat)}}},
          {"m_axis_tdata", {{"width", s.result_bits}, {"fields", fields(s.result)}}},
          {"unit", to_json(s.unit.report)}};
}

}  // namespace blockdot::rtl_gen
