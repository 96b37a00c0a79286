// The two kinds of error: the user asked for something impossible (ConfigError, exit 2), or we are
// wrong (BLOCKDOT_CHECK, on in release builds too). Arithmetic has neither: NaN and overflow are
// data in the spec.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace blockdot {

/// A request that cannot be met: one line that names the field, its value, the allowed range and
/// what to try. The program prints it and exits with 2.
class ConfigError : public std::runtime_error {
 public:
  template <typename... Args>
  explicit ConfigError(fmt::format_string<Args...> text, Args&&... args)
      : std::runtime_error(fmt::format(text, std::forward<Args>(args)...)) {}
};

/// An invariant of this program does not hold: a bug here, not in the input.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition,
                                      const std::string& message) {
  throw InternalError(
      fmt::format("{}:{}: internal check failed: {} {}", file, line, condition, message));
}

}  // namespace blockdot

/// BLOCKDOT_CHECK(condition, "format", args...): throws InternalError when the condition is false.
#define BLOCKDOT_CHECK(condition, ...)                                                         \
  do {                                                                                         \
    if (!(condition))                                                                          \
      ::blockdot::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
