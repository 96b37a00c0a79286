#include "sim/energy/activity.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "formats/error.h"

namespace blockdot::sim {

ActivityCounter::ActivityCounter(const Model& model, std::size_t nets)
    : model_(model), instance_(model), previous_((nets + kNetsOfWord - 1) / kNetsOfWord) {
  for (std::size_t word = 0; word < previous_.size(); ++word)
    nets_.push_back(model.output(net_word(word)));
  activity_.toggles.resize(nets);
  activity_.ones.resize(nets);
}

void ActivityCounter::run(std::span<const std::uint64_t> records, bool counted) {
  std::size_t words = model_.input_bytes() / 8;
  BLOCKDOT_CHECK(records.size() % words == 0, "records are not whole");
  std::size_t bytes = model_.output_bytes();
  constexpr std::size_t kChunk = 64;
  outputs_.resize(kChunk * bytes);
  std::size_t total = records.size() / words;
  for (std::size_t begin = 0; begin < total; begin += kChunk) {
    std::size_t count = std::min(kChunk, total - begin);
    instance_.run(static_cast<std::int64_t>(count),
                  reinterpret_cast<const std::uint8_t*>(records.data() + begin * words),
                  outputs_.data());
    // A word of nets at a time: its counts stay in the cache over the chunk.
    for (std::size_t word = 0; word < nets_.size(); ++word) {
      const ModelField& field = nets_[word];
      std::uint64_t before = previous_[word];
      bool known = started_;
      // Columns of the 64 cycles, so that a popcount gives a net's count.
      std::uint64_t moved[kChunk] = {}, level[kChunk] = {};
      for (std::size_t cycle = 0; cycle < count; ++cycle) {
        std::uint64_t value = 0;
        std::memcpy(&value, outputs_.data() + cycle * bytes + field.offset, field.bytes);
        level[cycle] = value;
        moved[cycle] = known ? value ^ before : 0;
        before = value;
        known = true;
      }
      previous_[word] = before;
      if (!counted) continue;
      auto add = [&](const std::uint64_t* column, std::vector<std::int64_t>& into) {
        std::size_t nets = std::min<std::size_t>(64, into.size() - 64 * word);
        for (std::size_t cycle = 0; cycle < count; ++cycle)
          for (std::uint64_t rest = column[cycle]; rest != 0; rest &= rest - 1) {
            auto bit = static_cast<std::size_t>(std::countr_zero(rest));
            if (bit < nets) ++into[64 * word + bit];
          }
      };
      add(moved, activity_.toggles);
      add(level, activity_.ones);
    }
    started_ = true;
    if (counted) activity_.cycles += static_cast<std::int64_t>(count);
  }
}

Energy energy_of(const Activity& activity, std::span<const NetEnergy> nets, double leakage_nw,
                 double clock_ns) {
  Energy energy;
  for (std::size_t i = 0; i < nets.size(); ++i) {
    auto toggles = static_cast<double>(activity.toggles[i]);
    if (nets[i].kind != NetKind::kClock) energy.registers += toggles * nets[i].sinks;
    double moved = toggles * (nets[i].switching + nets[i].internal);
    switch (nets[i].kind) {
      case NetKind::kInput:
        energy.inputs += moved;
        break;
      case NetKind::kLogic:
        energy.logic += moved;
        break;
      case NetKind::kRegister:
        energy.registers += moved;
        break;
      case NetKind::kClock:  // it rises and falls in every cycle
        energy.clock +=
            2 * static_cast<double>(activity.cycles) * (nets[i].switching + nets[i].sinks);
        break;
    }
  }
  energy.leakage = leakage_nw * clock_ns * static_cast<double>(activity.cycles) * 1e-6;
  return energy;
}

std::string to_saif(const Activity& activity, const Gates& gates, double clock_ns) {
  auto time = [&](double cycles) {
    return static_cast<std::int64_t>(std::llround(cycles * clock_ns * 1000));
  };
  auto cycles = static_cast<double>(activity.cycles);
  std::string text = fmt::format(
      "(SAIFILE\n  (SAIFVERSION \"2.0\")\n  (DIRECTION \"backward\")\n  (DIVIDER / )\n"
      "  (TIMESCALE 1 ps)\n  (DURATION {})\n  (INSTANCE {}\n    (NET\n",
      time(cycles), gates.top);
  std::vector<bool> clock(gates.nets.size());
  for (const Gates::Port& port : gates.ports)
    if (port.name == "clk_i")
      for (int number : port.nets)
        if (number >= 0) clock[static_cast<std::size_t>(number)] = true;
  for (std::size_t i = 0; i < gates.nets.size(); ++i) {
    double ones = clock[i] ? cycles / 2 : static_cast<double>(activity.ones[i]);
    std::int64_t toggles = clock[i] ? 2 * activity.cycles : activity.toggles[i];
    std::string name;
    for (char c : gates.nets[i]) {
      if (std::string_view("[]$.:\\/()").find(c) != std::string_view::npos) name += '\\';
      name += c;
    }
    text += fmt::format("      ({} (T0 {}) (T1 {}) (TX 0) (TC {}) (IG 0))\n", name,
                        time(cycles - ones), time(ones), toggles);
  }
  return text + "    )\n  )\n)\n";
}

}  // namespace blockdot::sim
