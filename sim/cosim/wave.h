// Waves of a chosen window of a machine's cycles: what to write, and a file that appears whole or
// not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "formats/temporary_folder.h"
#include "sim/cosim/model.h"

namespace blockdot::sim {

struct Wave {
  std::filesystem::path file;
  WaveFormat format = WaveFormat::kVcd;
  std::int64_t from = 0, to = 1000;  // cycles [from, to), or to the run's end
};

/// `FROM:TO` into `wave`. ConfigError where it is not that, or holds no cycle.
void parse_wave_window(std::string_view text, Wave& wave);

/// ConfigError where the window begins after a run of so many cycles.
void check_wave_window(const Wave& wave, std::int64_t cycles);

/// A place beside `wave.file` to write to; `keep` puts what is there under the file's name.
class WaveFile {
 public:
  explicit WaveFile(const Wave& wave);
  /// What to give to those who write.
  const Wave& temporary() const { return temporary_; }
  /// ConfigError where nothing was written (the run of `cycles` ended before the window).
  void keep(std::int64_t cycles);

 private:
  std::filesystem::path file_;
  TemporaryFolder folder_;
  Wave temporary_;
};

}  // namespace blockdot::sim
