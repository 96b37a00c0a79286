#include "sim/metrics/histogram.h"

#include <cmath>

namespace blockdot::sim {

void Histogram::add(double x, std::int64_t count) {
  if (std::isnan(x))
    nans += count;
  else if (std::isinf(x))
    infinities += count;
  else if (x == 0)
    zeros += count;
  else
    octaves[std::ilogb(x)] += count;
}

std::int64_t Histogram::total() const {
  std::int64_t sum = zeros + infinities + nans;
  for (const auto& [octave, count] : octaves) sum += count;
  return sum;
}

nlohmann::ordered_json to_json(const Histogram& histogram) {
  auto counts = nlohmann::ordered_json::array();
  int first = histogram.octaves.empty() ? 0 : histogram.octaves.begin()->first;
  int end = histogram.octaves.empty() ? 0 : histogram.octaves.rbegin()->first + 1;
  for (int e = first; e < end; ++e) {
    auto it = histogram.octaves.find(e);
    counts.push_back(it == histogram.octaves.end() ? 0 : it->second);
  }
  return {{"first", first},
          {"counts", counts},
          {"zeros", histogram.zeros},
          {"infinities", histogram.infinities},
          {"nans", histogram.nans}};
}

Histogram histogram_from_json(const nlohmann::json& json) {
  Histogram histogram;
  int octave = json.at("first").get<int>();
  for (const auto& count : json.at("counts")) {
    if (count.get<std::int64_t>() != 0) histogram.octaves[octave] = count.get<std::int64_t>();
    ++octave;
  }
  histogram.zeros = json.at("zeros");
  histogram.infinities = json.at("infinities");
  histogram.nans = json.at("nans");
  return histogram;
}

}  // namespace blockdot::sim
