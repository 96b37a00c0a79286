// What an interrupted program must not leave behind: temporary folders, half-written files, child
// processes. Each is held here from when it exists until it is gone.
//
// One mutex guards the list. Where SIGINT, SIGTERM, SIGHUP or SIGQUIT come, a thread of its own
// takes it for good, ends the processes, removes the paths and dies of the signal, so that a
// shell's loop around the program ends too ($? is 128 + signal). Whoever then misses a file or a
// child comes to `release`, `wait` or `settle` before he can complain, and stays there.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <functional>
#include <string>

namespace blockdot::interrupt {

/// From here on those signals are seen to, except where they are ignored (nohup). Once, by `main`,
/// before there are threads. Without it the rest only keeps lists.
void watch();
/// Returns unless the program is being interrupted: before a message or an exit status.
void settle();

/// Holds the path that `make` returns, a file or a folder; empty: nothing was made.
std::string hold(const std::function<std::string()>& make);
void release(const std::string& path);

/// posix_spawn of a held process, with the signals as they were before `watch` and in a
/// session of its own, which is ended as a whole. An errno, or 0.
int spawn(pid_t& process, const std::string& program, const posix_spawn_file_actions_t& actions,
          char* const* arguments, char* const* environment);
/// fork of a held process; the child holds nothing and is watched as its parent is.
pid_t fork();
/// Waits for a held process: its status as of waitpid.
int wait(pid_t process);

}  // namespace blockdot::interrupt
