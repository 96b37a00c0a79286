#include "sim/cosim/wave.h"

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::sim {

namespace fs = std::filesystem;

void parse_wave_window(std::string_view text, Wave& wave) {
  constexpr std::int64_t kLast = std::int64_t{1} << 40;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    throw ConfigError("wave-window = {}: must be FROM:TO, two cycles, e.g. 100:400",
                      formats::shown(std::string(text)));
  wave.from =
      formats::parse_int("wave-window: FROM", std::string(text.substr(0, colon)), 0, kLast - 1);
  wave.to = formats::parse_int("wave-window: TO", std::string(text.substr(colon + 1)),
                               wave.from + 1, kLast);
}

namespace {

[[noreturn]] void refuse_window(const Wave& wave, std::int64_t cycles) {
  throw ConfigError("wave-window = {}:{}: the run has {} cycles; FROM must be in [0, {}]",
                    wave.from, wave.to, cycles, cycles - 1);
}

}  // namespace

void check_wave_window(const Wave& wave, std::int64_t cycles) {
  if (wave.from >= cycles) refuse_window(wave, cycles);
}

WaveFile::WaveFile(const Wave& wave)
    : file_(fs::absolute(wave.file)), folder_(file_.parent_path()), temporary_(wave) {
  // Waves are written piece by piece, by libraries that take a name: SystemC's ends in .vcd.
  temporary_.file = folder_.path() / (wave.format == WaveFormat::kFst ? "wave.fst" : "wave.vcd");
}

void WaveFile::keep(std::int64_t cycles) {
  if (!fs::exists(temporary_.file)) refuse_window(temporary_, cycles);
  std::error_code error;
  fs::rename(temporary_.file, file_, error);
  if (error) throw ConfigError("{}: cannot be written: {}", file_.string(), error.message());
}

}  // namespace blockdot::sim
