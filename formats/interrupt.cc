#include "formats/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <system_error>
#include <thread>

namespace blockdot::interrupt {
namespace {

using namespace std::chrono_literals;

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

struct State {
  std::mutex mutex;
  std::set<std::string> paths;
  enum class Kind { kFork, kSession };
  std::map<pid_t, Kind> processes;
  bool watched = false;
  sigset_t signals{}, before{};
};

/// Never destroyed: threads may outlive `main`.
State& state() {
  static auto* const one = new State;
  return *one;
}

/// Running processes of these sessions. A group is too little: `timeout` makes one of its own.
std::set<pid_t> members(const std::set<pid_t>& sessions) {
  std::set<pid_t> found;
  if (sessions.empty()) return found;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc", error), end; !error && at != end;
       at.increment(error)) {
    std::ifstream file(at->path() / "stat");
    std::string text;  // number (name) state parent group session ...
    std::getline(file, text);
    std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
    char status = 'Z';
    pid_t parent = 0, group = 0, session = 0;
    if (fields >> status >> parent >> group >> session && status != 'Z' &&
        sessions.contains(session))
      found.insert(std::stoi(text));
  }
  return found;
}

/// By SIGTERM, at which forks, compilers and shell scripts take their own files along. What is left
/// after two seconds is killed.
void end_processes(const std::map<pid_t, State::Kind>& processes) {
  std::set<pid_t> forks, sessions;
  for (const auto& [process, kind] : processes)
    (kind == State::Kind::kFork ? forks : sessions).insert(process);
  const auto send = [](const std::set<pid_t>& to, int signal) {
    for (pid_t process : to) ::kill(process, signal);
  };
  send(forks, SIGTERM);
  send(members(sessions), SIGTERM);
  for (int i = 0; i < 240; ++i) {
    std::erase_if(forks, [](pid_t process) {
      const pid_t ended = ::waitpid(process, nullptr, WNOHANG);
      return ended == process || (ended < 0 && errno == ECHILD);
    });
    const std::set<pid_t> tools = members(sessions);
    if (forks.empty() && tools.empty()) return;
    if (i >= 200) {
      send(forks, SIGKILL);
      send(tools, SIGKILL);
    }
    std::this_thread::sleep_for(10ms);
  }
}

/// Again while another thread still writes there.
void remove(const std::string& path) {
  std::error_code error;
  for (int i = 0; i < 100; ++i) {
    std::filesystem::remove_all(path, error);
    if (!std::filesystem::exists(std::filesystem::symlink_status(path, error))) return;
    std::this_thread::sleep_for(5ms);
  }
}

/// Ends a progress bar's line, unless the terminal is stopped.
void end_line() {
  pollfd terminal{STDERR_FILENO, POLLOUT, 0};
  if (::isatty(STDERR_FILENO) == 1 && ::poll(&terminal, 1, 0) == 1)
    (void)!::write(STDERR_FILENO, "\n", 1);
}

[[noreturn]] void die_of(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::kill(::getpid(), signal);
  ::_exit(128 + signal);  // the first process of a container does not die of signals
}

void watch_on(int fd) {
  State& s = state();
  pollfd arrived{fd, POLLIN, 0};
  while (::poll(&arrived, 1, -1) != 1) {
  }
  s.mutex.lock();  // for good; the signal was pending until here, as `settle` relies on
  signalfd_siginfo signal{};
  if (::read(fd, &signal, sizeof signal) != sizeof signal) signal.ssi_signo = SIGTERM;
  end_processes(s.processes);
  // Twice: another thread may have made a removed folder anew, to write there.
  for (int pass = 0; pass < 2; ++pass)
    for (const std::string& path : s.paths) remove(path);
  end_line();
  die_of(static_cast<int>(signal.ssi_signo));
}

void start_watching() {
  const int fd = ::signalfd(-1, &state().signals, SFD_CLOEXEC);
  try {
    if (fd >= 0) return std::thread(watch_on, fd).detach();
  } catch (const std::system_error&) {
    ::close(fd);
  }
  // Out of descriptors or threads: the signals end the program as ever.
  ::pthread_sigmask(SIG_SETMASK, &state().before, nullptr);
}

}  // namespace

void watch() {
  State& s = state();
  ::sigemptyset(&s.signals);
  for (int signal : kSignals) {
    struct sigaction action {};
    ::sigaction(signal, nullptr, &action);
    // A blocked signal is kept even where it is ignored.
    if (action.sa_handler != SIG_IGN) ::sigaddset(&s.signals, signal);
  }
  ::pthread_sigmask(SIG_BLOCK, &s.signals, &s.before);
  s.watched = true;
  start_watching();
}

void settle() {
  State& s = state();
  sigset_t pending;
  ::sigpending(&pending);
  for (int signal : kSignals)
    while (s.watched && ::sigismember(&s.signals, signal) == 1 &&
           ::sigismember(&pending, signal) == 1)
      ::pause();
  std::lock_guard lock(s.mutex);
}

std::string hold(const std::function<std::string()>& make) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  std::string path = make();
  if (!path.empty()) s.paths.insert(path);
  return path;
}

void release(const std::string& path) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  s.paths.erase(path);
}

int spawn(pid_t& process, const std::string& program, const posix_spawn_file_actions_t& actions,
          char* const* arguments, char* const* environment) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  if (s.watched) {
    ::posix_spawnattr_setsigmask(&attributes, &s.before);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  }
  const int error =
      ::posix_spawn(&process, program.c_str(), &actions, &attributes, arguments, environment);
  ::posix_spawnattr_destroy(&attributes);
  if (error == 0) s.processes[process] = State::Kind::kSession;
  return error;
}

pid_t fork() {
  State& s = state();
  std::lock_guard lock(s.mutex);  // no other thread holds it in the child
  const pid_t process = ::fork();
  if (process > 0) s.processes[process] = State::Kind::kFork;
  if (process != 0) return process;
  s.paths.clear();
  s.processes.clear();
  if (s.watched) start_watching();
  return process;
}

int wait(pid_t process) {
  // Left to be reaped under the lock: its number must not be another's while it is held.
  siginfo_t info;
  while (::waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT) < 0 &&
         errno == EINTR) {
  }
  State& s = state();
  std::lock_guard lock(s.mutex);
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  s.processes.erase(process);
  return status;
}

}  // namespace blockdot::interrupt
