// Moving on by r steps is linear over GF(2): each next bit is the XOR of some state bits. Which
// ones is read off by stepping every single-bit state.
#include "rtl_gen/units/lfsr.h"

#include <fmt/format.h>

#include "formats/lfsr.h"

namespace blockdot::rtl_gen {

Fx build_lfsr(Graph& g, int r, const Fx& draw) {
  constexpr int kWidth = formats::kLfsrWidth;
  g.section("random bits");
  const Fx load = control(input(g, "seed_load_i", 1));
  const Fx seed = input(g, "seed_i", kWidth);
  const Fx state = rtl_gen::state(g, "lfsr", 0, pow2(kWidth) - 1, 0, Int(1));

  std::uint64_t moved[kWidth];  // where each single bit goes
  for (int i = 0; i < kWidth; ++i) {
    formats::Lfsr single(std::uint64_t{1} << i, kWidth);
    for (int s = 0; s < r; ++s) single.step();
    moved[i] = single.state();
  }
  std::vector<Fx> next;
  for (int j = kWidth - 1; j >= 0; --j) {
    std::vector<Fx> parts;
    for (int i = 0; i < kWidth; ++i)
      if ((moved[i] >> j) & 1) parts.push_back(bit(state, i));
    while (parts.size() > 1) {
      std::vector<Fx> halves;
      for (std::size_t i = 0; i + 1 < parts.size(); i += 2)
        halves.push_back(xor_(parts[i], parts[i + 1]));
      if (parts.size() % 2) halves.push_back(parts.back());
      parts = std::move(halves);
    }
    next.push_back(name(parts.front(), fmt::format("lfsr_next{}", j)));
  }
  const Fx advanced = name(cat(next), "lfsr_moved");
  const Fx fresh = name(cat({bits(seed, 1, kWidth - 1), or_(bit(seed, 0), is_zero(seed))}), "seed");
  set_next(state, mux(load, fresh, mux(draw, advanced, state)));
  return name(bits(state, 0, r), "random");
}

}  // namespace blockdot::rtl_gen
