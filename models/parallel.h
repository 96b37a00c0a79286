// Splits a loop over independent items among threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <future>
#include <vector>

#include "formats/error.h"

namespace blockdot::models {

/// Calls body(begin, end) on consecutive ranges that cover [0, count), each on its own thread, the
/// first on this one; waits for all and passes on an exception. `grain`: ranges begin at its
/// multiples. ConfigError for threads < 1.
template <typename Body>
void parallel_ranges(std::int64_t count, int threads, Body body, std::int64_t grain = 1) {
  if (threads < 1) throw ConfigError("threads = {}: must be at least 1", threads);
  std::int64_t grains = (count + grain - 1) / grain;
  std::int64_t parts = std::clamp<std::int64_t>(grains, 1, threads);
  auto border = [&](std::int64_t part) { return std::min(count, grains * part / parts * grain); };
  std::vector<std::future<void>> others;
  for (std::int64_t part = 1; part < parts; ++part)
    others.push_back(std::async(std::launch::async, body, border(part), border(part + 1)));
  body(border(0), border(1));
  for (std::future<void>& other : others) other.get();
}

/// Calls body(task) for each task in [0, count), by `threads` threads that take the next one as
/// they come free; waits for all and passes on an exception.
template <typename Body>
void parallel_tasks(std::int64_t count, int threads, Body body) {
  std::atomic<std::int64_t> next = 0;
  auto work = [&](std::int64_t, std::int64_t) {
    for (std::int64_t task = next++; task < count; task = next++) body(task);
  };
  parallel_ranges(std::min<std::int64_t>(count, threads), threads, work);
}

}  // namespace blockdot::models
