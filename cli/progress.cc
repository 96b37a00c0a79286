#include "cli/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

namespace blockdot::cli {

namespace {

double seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

Progress::Progress(std::string label, bool quiet)
    : label_(std::move(label)), visible_(!quiet && isatty(STDERR_FILENO) == 1), start_(seconds()) {}

Progress::~Progress() { clear(); }

void Progress::update(double done, double total, const std::string& what) {
  if (!visible_ || total <= 0) return;
  std::lock_guard lock(mutex_);
  double now = seconds();
  if (now - last_ < 0.1) return;
  last_ = now;
  double share = std::clamp(done / total, 0.0, 1.0);
  constexpr int kBar = 24;
  auto filled = static_cast<size_t>(share * kBar);
  std::string left;
  if (share > 0.02) left = fmt::format(" {:.0f} s left", (now - start_) * (1 - share) / share);
  std::string line = fmt::format("{} [{}{}] {:3.0f}%{}  {}", label_, std::string(filled, '#'),
                                 std::string(kBar - filled, '.'), share * 100, left, what);
  line.resize(std::min(line.size(), terminal_width() - 1));
  fmt::print(stderr, "\r{}\033[K", line);
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  std::lock_guard lock(mutex_);
  if (drawn_) fmt::print(stderr, "\r\033[K");
  drawn_ = false;
}

}  // namespace blockdot::cli
