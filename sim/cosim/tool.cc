#include "sim/cosim/tool.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "formats/error.h"
#include "formats/interrupt.h"
#include "formats/temporary_folder.h"
#include "formats/text.h"

namespace blockdot::sim {
namespace {

std::string package_of(const std::string& program) {
  if (program == "vvp") return "iverilog";
  return program;  // verilator, g++, iverilog: named as their packages
}

/// The last lines that say something, joined to one line.
std::string tail(const std::string& output) {
  std::vector<std::string> lines;
  for (std::string& line : formats::split(output, '\n'))
    if (line.find_first_not_of(" \t\r") != std::string::npos) lines.push_back(line);
  std::string text;
  for (std::size_t i = lines.size() > 4 ? lines.size() - 4 : 0; i < lines.size(); ++i)
    text += (text.empty() ? "" : " | ") + lines[i];
  return text.empty() ? "no output" : text;
}

}  // namespace

std::filesystem::path find_tool(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : formats::split(path == nullptr ? "" : path, ':')) {
    std::filesystem::path file = std::filesystem::path(folder) / program;
    if (!folder.empty() && ::access(file.c_str(), X_OK) == 0 &&
        std::filesystem::is_regular_file(file))
      return file;
  }
  throw ConfigError("{}: not found on PATH: install it (apt-get install {})", program,
                    package_of(program));
}

ToolResult run_tool(const std::vector<std::string>& arguments,
                    const std::filesystem::path& folder) {
  std::string program = find_tool(arguments.at(0)).string();
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  // What a tool leaves in its temporary folder goes with ours, however it ends.
  const TemporaryFolder temporary;
  std::vector<std::string> variables{"TMPDIR=" +
                                     std::filesystem::absolute(temporary.path()).string()};
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (!std::string_view(*variable).starts_with("TMPDIR=")) variables.emplace_back(*variable);
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);

  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0)
    throw ConfigError("{}: cannot be started: {}", program, std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 2);
  pid_t child = 0;
  const int error = interrupt::spawn(child, program, actions, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe_ends[1]);
  ToolResult result;
  char buffer[4096];
  while (error == 0) {
    ssize_t n = ::read(pipe_ends[0], buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    result.output.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(pipe_ends[0]);
  if (error != 0) throw ConfigError("{}: cannot be started: {}", program, std::strerror(error));
  const int status = interrupt::wait(child);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string require_tool(const std::vector<std::string>& arguments,
                         const std::filesystem::path& folder) {
  ToolResult result = run_tool(arguments, folder);
  if (result.status != 0)
    throw ConfigError("{} failed (exit {}): {}", arguments[0], result.status, tail(result.output));
  return std::move(result.output);
}

}  // namespace blockdot::sim
