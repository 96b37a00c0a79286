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

MemoryEnergy memory_energy(const Machine& machine, const MachineTraffic& traffic) {
  double a = sram_pj_per_byte(machine.a_sram), b = sram_pj_per_byte(machine.b_sram),
         c = sram_pj_per_byte(machine.c_sram);
  return {static_cast<double>(traffic.sram_read) * (a + b) / 2 +
              static_cast<double>(traffic.sram_write) * (a + b + c) / 3,
          static_cast<double>(traffic.dram()) * dram_pj_per_byte()};
}

}  // namespace blockdot::sim
