// What the tests of the machine draw from a seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

namespace blockdot::sim::testing {

class Random {
 public:
  explicit Random(std::uint64_t seed) : random_(seed) {}
  int in(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }
  template <typename T>
  T one_of(std::initializer_list<T> values) {
    return *(values.begin() + in(0, static_cast<int>(values.size()) - 1));
  }
  std::vector<float> values(std::int64_t count) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& v : x) v = std::ldexp(static_cast<float>(in(-1000, 1000)), in(-12, -4));
    return x;
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace blockdot::sim::testing
