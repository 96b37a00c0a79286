// Histogram of magnitudes in octaves: bin e counts values with 2^e <= |x| < 2^(e+1).
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>

namespace blockdot::sim {

struct Histogram {
  std::map<int, std::int64_t> octaves;  // floor(log2 |x|) -> count; only bins that are not empty
  std::int64_t zeros = 0;
  std::int64_t infinities = 0;
  std::int64_t nans = 0;

  void add(double x, std::int64_t count = 1);
  std::int64_t total() const;
  bool operator==(const Histogram&) const = default;
};

/// {"first": -3, "counts": [...], "zeros": 0, "infinities": 0, "nans": 0}: counts of consecutive
/// octaves from `first` on.
nlohmann::ordered_json to_json(const Histogram& histogram);
Histogram histogram_from_json(const nlohmann::json& json);

}  // namespace blockdot::sim
