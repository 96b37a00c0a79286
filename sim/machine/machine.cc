#include "sim/machine/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::sim {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;

/// Calls take(key, field, least, most) for each whole number, in the order of the text form.
template <typename M, typename Take>
void numbers(M& m, Take take) {
  take("rows", m.rows, 1, 1024);
  take("cols", m.cols, 1, 1024);
  take("banks", m.banks, 1, 8);
  take("depth", m.depth, 1, 65536);
  take("a-sram", m.a_sram, 1, kMostBytes);
  take("b-sram", m.b_sram, 1, kMostBytes);
  take("c-sram", m.c_sram, 1, kMostBytes);
  take("a-banks", m.a_banks, 0, 65536);
  take("b-banks", m.b_banks, 0, 65536);
  take("c-banks", m.c_banks, 0, 65536);
  take("bandwidth", m.bandwidth, 1, kMostBytes);
  take("latency", m.latency, 0, 1000000);
  take("burst", m.burst, 1, 65536);
  take("quantizer-rate", m.quantizer_rate, 1, 1 << 20);
  take("quantizer-latency", m.quantizer_latency, 0, 1000000);
  take("k-tile", m.k_tile, 0, std::int64_t{1} << 32);
}

struct SourceName {
  const char* name;
  OperandSource source;
};
constexpr SourceName kSources[] = {{"packed", OperandSource::kPacked},
                                   {"fp32", OperandSource::kFp32},
                                   {"bf16", OperandSource::kBf16}};

OperandSource parse_source(const std::string& text) {
  for (const SourceName& s : kSources)
    if (text == s.name) return s.source;
  throw ConfigError("operands = {}: must be packed, fp32 or bf16{}", formats::shown(text),
                    formats::did_you_mean(text, {"packed", "fp32", "bf16"}));
}

const char* source_name(OperandSource source) {
  for (const SourceName& s : kSources)
    if (source == s.source) return s.name;
  BLOCKDOT_CHECK(false, "operand source");
}

void set(Machine& machine, const std::string& key, const std::string& value) {
  if (key == "dataflow") {
    machine.dataflow = rtl_gen::parse_dataflow(value);
  } else if (key == "operands") {
    machine.operands = parse_source(value);
  } else if (key == "bandwidth" && value == "unlimited") {
    machine.bandwidth = Machine::kUnlimited;
  } else if (key == "k-tile" && value == "auto") {
    machine.k_tile = 0;
  } else {
    numbers(machine, [&](const char* name, auto& field, std::int64_t least, std::int64_t most) {
      using Field = std::remove_reference_t<decltype(field)>;
      if (key == name) field = static_cast<Field>(formats::parse_int(key, value, least, most));
    });
  }
}

}  // namespace

int element_bytes(OperandSource source) {
  switch (source) {
    case OperandSource::kPacked:
      return 0;
    case OperandSource::kFp32:
      return 4;
    case OperandSource::kBf16:
      return 2;
  }
  BLOCKDOT_CHECK(false, "operand source");
}

std::int64_t Machine::load_rate() const {
  if (unlimited() || operands == OperandSource::kPacked) return bandwidth;
  return std::min(bandwidth, std::int64_t{quantizer_rate} * element_bytes(operands));
}

std::vector<std::string> machine_keys() {
  std::vector<std::string> keys = {"dataflow", "operands"};
  Machine machine;
  numbers(machine, [&](const char* key, auto&, auto, auto) { keys.emplace_back(key); });
  return keys;
}

void validate(const Machine& machine) {
  numbers(machine, [&](const char* key, auto& field, std::int64_t least, std::int64_t most) {
    const std::int64_t value = field;
    if (std::string_view(key) == "bandwidth" && machine.unlimited()) return;
    if (value < least || value > most)
      throw ConfigError("{} = {}: must be in [{}, {}]", key, value, least, most);
  });
}

std::string to_text(const Machine& machine) {
  std::string text;
  numbers(machine, [&](std::string_view key, auto& field, auto, auto) {
    std::string value = fmt::format("{}", field);
    if (key == "bandwidth" && machine.unlimited()) value = "unlimited";
    if (key == "k-tile" && machine.k_tile == 0) value = "auto";
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
    if (key == "cols") text += fmt::format(" dataflow={}", to_text(machine.dataflow));
    if (key == "burst") text += fmt::format(" operands={}", source_name(machine.operands));
  });
  return text;
}

Machine parse_machine(std::string_view text) {
  Machine machine;
  std::set<std::string> given;
  const std::vector<std::string> known = machine_keys();
  for (const std::string& word : formats::split(text, ' ')) {
    if (word.empty()) continue;
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    if (equals == std::string::npos || std::find(known.begin(), known.end(), key) == known.end())
      throw ConfigError("machine: '{}' is not key=value with a known key{}", formats::shown(word),
                        formats::did_you_mean(key, known));
    if (!given.insert(key).second) throw ConfigError("machine: {} is given twice", key);
    set(machine, key, word.substr(equals + 1));
  }
  validate(machine);
  return machine;
}

}  // namespace blockdot::sim
