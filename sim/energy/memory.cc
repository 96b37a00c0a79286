#include "sim/energy/memory.h"

#include <array>
#include <cmath>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

struct Size {
  double bytes;
  double pj;  // of 64 bits
};
constexpr std::array<Size, 3> kSram = {{{8192, 10}, {32768, 20}, {1048576, 100}}};
constexpr double kDram = (1300 + 2600) / 2.0;
constexpr double kBytes = 8;

}  // namespace

double sram_pj_per_byte(std::int64_t capacity) {
  BLOCKDOT_CHECK(capacity >= 1, "capacity {}", capacity);
  auto bytes = static_cast<double>(capacity);
  const Size& low = bytes < kSram[1].bytes ? kSram[0] : kSram[1];
  const Size& high = bytes < kSram[1].bytes ? kSram[1] : kSram[2];
  double power = std::log(high.pj / low.pj) / std::log(high.bytes / low.bytes);
  return low.pj * std::pow(bytes / low.bytes, power) / kBytes;
}

double dram_pj_per_byte() { return kDram / kBytes; }

MemoryEnergy memory_energy(const Schedule& schedule) {
  const Machine& machine = schedule.machine;
  const MachineTraffic& traffic = schedule.traffic;
  const auto sram = [](std::int64_t capacity, std::int64_t moved) {
    return static_cast<double>(moved) * sram_pj_per_byte(capacity);
  };
  const auto of = [&](std::int64_t capacity, const MachineTraffic::Sram& bytes) {
    return sram(capacity, bytes.read + bytes.written);
  };
  MemoryEnergy energy;
  energy.sram = of(machine.a_sram, traffic.sram_a) + of(machine.b_sram, traffic.sram_b) +
                of(machine.c_sram, traffic.sram_c);
  if (traffic.spilled > 0)
    energy.sram += sram(std::int64_t{machine.depth} * schedule.sum_bytes, traffic.spilled);
  energy.dram = static_cast<double>(traffic.dram()) * dram_pj_per_byte();
  return energy;
}

}  // namespace blockdot::sim
