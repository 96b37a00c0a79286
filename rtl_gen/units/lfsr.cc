// Moving on by some steps is linear over GF(2): each bit of the state then is the XOR of some bits
// of the state now. Which ones is read off by stepping every single-bit state.
#include "rtl_gen/units/lfsr.h"

#include <fmt/format.h>

#include "formats/lfsr_jump.h"

namespace blockdot::rtl_gen {
namespace {

// Bit `to` of the state where the jump leads.
Fx moved_bit(const Fx& state, const formats::LfsrJump& jump, int to) {
  std::vector<Fx> parts;
  for (int from = 0; from < state.width(); ++from)
    if ((jump(std::uint64_t{1} << from) >> to) & 1) parts.push_back(bit(state, from));
  while (parts.size() > 1) {
    std::vector<Fx> halves;
    for (std::size_t i = 0; i + 1 < parts.size(); i += 2)
      halves.push_back(xor_(parts[i], parts[i + 1]));
    if (parts.size() % 2) halves.push_back(parts.back());
    parts = std::move(halves);
  }
  return parts.front();
}

}  // namespace

std::string seed_meaning(const formats::LfsrSpec& spec, int bits) {
  return fmt::format(
      "state of the random stream ({}) after reset, 0 is read as 1; its draws of {} bits share "
      "none "
      "within {} draws",
      to_text(spec), bits, spec.mask() / static_cast<std::uint64_t>(bits));
}

std::vector<Fx> build_draws(Graph& g, const formats::LfsrSpec& spec, int count, int r,
                            const Fx& draw) {
  const int width = spec.width;
  g.section("random bits");
  const Fx state = rtl_gen::state(g, "lfsr", 0, pow2(width) - 1, 0, Int(spec.seed));
  g.set_parameter(state.node, kSeedParameter);

  const auto steps = [&](int draws) {
    return formats::LfsrJump(static_cast<std::uint64_t>(draws) * static_cast<std::uint64_t>(r),
                             spec);
  };
  std::vector<Fx> draws{name(bits(state, 0, r), count == 1 ? "random" : "random0")};
  for (int i = 1; i < count; ++i) {
    const formats::LfsrJump jump = steps(i);
    std::vector<Fx> out;
    for (int j = r - 1; j >= 0; --j) out.push_back(moved_bit(state, jump, j));
    draws.push_back(name(cat(out), fmt::format("random{}", i)));
  }
  const formats::LfsrJump beat = steps(count);
  std::vector<Fx> next;
  for (int j = width - 1; j >= 0; --j)
    next.push_back(name(moved_bit(state, beat, j), fmt::format("lfsr_next{}", j)));
  const Fx advanced = name(cat(next), "lfsr_moved");
  // Zero would stay for ever. No draw leads there, so only an upset does, and the next state is 1.
  const auto never_zero = [&](const Fx& value, const Fx& zero) {
    return cat({bits(value, 1, width - 1), or_(bit(value, 0), zero)});
  };
  const Fx after = never_zero(name(mux(draw, advanced, state), "lfsr_after"),
                              name(is_zero(state), "lfsr_is_zero"));
  if (!spec.port) {
    set_next(state, after);
    return draws;
  }
  const Fx load = control(input(g, "seed_load_i", 1));
  const Fx seed = input(g, "seed_i", width);
  set_next(state, mux(load, name(never_zero(seed, is_zero(seed)), "seed"), after));
  return draws;
}

Fx build_lfsr(Graph& g, const formats::LfsrSpec& spec, int r, const Fx& draw) {
  return build_draws(g, spec, 1, r, draw).front();
}

}  // namespace blockdot::rtl_gen
