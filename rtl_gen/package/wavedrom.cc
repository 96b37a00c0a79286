// Each wave is first cut into runs of equal cycles, then each run is one shape. Shapes of levels
// and values meet in slanted edges of kSlope pixels that start at the cycle's border.
#include "rtl_gen/package/wavedrom.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "formats/error.h"

namespace blockdot::rtl_gen {
namespace {

constexpr double kCycle = 40;    // pixels of a cycle at hscale 1
constexpr double kRow = 30;      // from one signal to the next
constexpr double kWave = 18;     // height of a wave
constexpr double kSlope = 3;     // half the width of a value's slanted edge
constexpr double kLetter = 7.3;  // width of a name's letter at 12 px monospace
constexpr double kTop = 46;      // title and cycle numbers

struct Run {
  char what = 'x';  // p 0 1 x =
  int from = 0, to = 0;
  std::string label;
};

struct Signal {
  std::string name;
  std::vector<Run> runs;
  int cycles = 0;
};

Signal parse_signal(const nlohmann::json& json) {
  Signal signal;
  signal.name = json.at("name");
  const std::string wave = json.at("wave");
  std::size_t labels = 0;
  for (char c : wave) {
    const int at = signal.cycles++;
    if (c == '.') {
      if (at == 0) throw ConfigError("wave {}: begins with '.'", signal.name);
      signal.runs.back().to = at + 1;
      continue;
    }
    const bool value = c == '=' || (c >= '2' && c <= '9');
    if (!value && std::string_view("p01x").find(c) == std::string_view::npos)
      throw ConfigError("wave {}: character '{}': must be one of p 0 1 x = 2..9 .", signal.name, c);
    Run run{value ? '=' : c, at, at + 1, ""};
    if (value && json.contains("data") && labels < json.at("data").size())
      run.label = json.at("data").at(labels++);
    // A level that is stated again goes on; a value that is stated again is another one.
    if (!value && !signal.runs.empty() && signal.runs.back().what == c)
      signal.runs.back().to = at + 1;
    else
      signal.runs.push_back(run);
  }
  return signal;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text)
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  return out;
}

std::string draw(const Signal& signal, double left, double top, double cycle) {
  const double bottom = top + kWave, middle = top + kWave / 2;
  std::string svg;
  for (std::size_t i = 0; i < signal.runs.size(); ++i) {
    const Run& run = signal.runs[i];
    const double from = left + run.from * cycle, to = left + run.to * cycle;
    const bool first = i == 0, last = i + 1 == signal.runs.size();
    if (run.what == 'p') {
      std::string path = fmt::format("M{:.1f},{:.1f}", from, bottom);
      for (int c = run.from; c < run.to; ++c)
        path += fmt::format("V{:.1f}h{:.1f}V{:.1f}h{:.1f}", top, cycle / 2, bottom, cycle / 2);
      svg += fmt::format("<path class=\"w\" d=\"{}\"/>\n", path);
    } else if (run.what == '0' || run.what == '1') {
      const double level = run.what == '1' ? top : bottom;
      const char before = first ? run.what : signal.runs[i - 1].what;
      std::string path = fmt::format("M{:.1f},{:.1f}", from, level);
      if (before == '0' || before == '1') {
        if (before != run.what)
          path = fmt::format("M{:.1f},{:.1f}L{:.1f},{:.1f}", from - kSlope,
                             before == '1' ? top : bottom, from + kSlope, level);
      }
      // The edge to the next level is drawn with it.
      path += fmt::format("H{:.1f}", last ? to : to - kSlope);
      svg += fmt::format("<path class=\"w\" d=\"{}\"/>\n", path);
    } else {
      const double a = first ? from : from + kSlope, b = last ? to : to - kSlope;
      svg += fmt::format(
          "<path class=\"{}\" d=\"M{:.1f},{:.1f}L{:.1f},{:.1f}H{:.1f}L{:.1f},{:.1f}L{:.1f},{:.1f}"
          "H{:.1f}Z\"/>\n",
          run.what == 'x' ? "x" : "v", from, middle, a, top, b, to, middle, b, bottom, a);
      if (!run.label.empty())
        svg += fmt::format("<text class=\"d\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                           (from + to) / 2, middle + 4, escaped(run.label));
    }
  }
  return svg;
}

}  // namespace

std::string draw_wavedrom(const nlohmann::json& diagram) {
  try {
    std::vector<Signal> signals;
    for (const auto& signal : diagram.at("signal")) signals.push_back(parse_signal(signal));
    if (signals.empty()) throw ConfigError("timing diagram: no signal");
    int cycles = 0;
    std::size_t letters = 0;
    for (const Signal& signal : signals) {
      cycles = std::max(cycles, signal.cycles);
      letters = std::max(letters, signal.name.size());
    }
    double hscale = 1;
    if (diagram.contains("config")) hscale = diagram["config"].value("hscale", 1.0);
    std::string title;
    int tick = 0;
    if (diagram.contains("head")) {
      title = diagram["head"].value("text", "");
      tick = diagram["head"].value("tick", 0);
    }
    const double cycle = kCycle * hscale;
    const double left = 16 + kLetter * static_cast<double>(letters) + 10;
    const double wave_end = left + cycles * cycle;
    const double width = std::max(wave_end + 16, 32 + kLetter * static_cast<double>(title.size()));
    const double height = kTop + kRow * static_cast<double>(signals.size()) + 6;
    std::string svg = fmt::format(
        R"svg(<svg xmlns="http://www.w3.org/2000/svg" width="{0:.0f}" height="{1:.0f}" viewBox="0 0 {0:.0f} {1:.0f}" role="img" aria-label="{2}">
<style>
text {{ font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1b1f24; }}
.t {{ font-weight: bold; }}
.n {{ text-anchor: end; }}
.c {{ text-anchor: middle; font-size: 10px; fill: #6e7781; }}
.d {{ text-anchor: middle; font-size: 11px; }}
.g {{ stroke: #d0d7de; stroke-dasharray: 2 3; }}
.w {{ fill: none; stroke: #1b1f24; stroke-width: 1.3; stroke-linejoin: round; }}
.v {{ fill: #ddf4ff; stroke: #1b1f24; stroke-width: 1.3; stroke-linejoin: round; }}
.x {{ fill: url(#h); stroke: #8c959f; stroke-width: 1; stroke-linejoin: round; }}
</style>
<defs><pattern id="h" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect width="6" height="6" fill="#ffffff"/>
<path d="M0,0V6" stroke="#c4cbd2" stroke-width="1.6"/></pattern></defs>
<rect width="100%" height="100%" fill="#ffffff"/>
<text class="t" x="16" y="20">{2}</text>
)svg",
        width, height, escaped(title));
    for (int c = 0; c <= cycles; ++c) {
      const double x = left + c * cycle;
      svg +=
          fmt::format("<path class=\"g\" d=\"M{:.1f},{:.1f}V{:.1f}\"/>\n", x, kTop - 4, height - 6);
      if (c < cycles)
        svg += fmt::format("<text class=\"c\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x + cycle / 2,
                           kTop - 8, tick + c);
    }
    double top = kTop + (kRow - kWave) / 2;
    for (const Signal& signal : signals) {
      svg += fmt::format("<text class=\"n\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", left - 10,
                         top + kWave / 2 + 4, escaped(signal.name));
      svg += draw(signal, left, top, cycle);
      top += kRow;
    }
    return svg + "</svg>\n";
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError("timing diagram: {}", error.what());
  }
}

}  // namespace blockdot::rtl_gen
