// A progress bar on standard error, drawn only where a person watches.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace blockdot::cli {

/// `label [#####.....] 42% 12 s left`, redrawn in place at most ten times a second. Silent when
/// standard error is no terminal or `quiet`. Safe to call from several threads.
class Progress {
 public:
  Progress(std::string label, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// done of total units of work; `what` is shown behind the bar.
  void update(double done, double total, const std::string& what);
  /// Wipes the bar, so that text may follow.
  void clear();

 private:
  std::string label_;
  bool visible_;
  bool drawn_ = false;
  double start_;
  double last_ = 0;
  std::mutex mutex_;
};

}  // namespace blockdot::cli
