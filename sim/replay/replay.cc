// One GEMM: quantise, compute the values once (models::gemm), let each asked engine move the beats
// and compare. Many GEMMs: worker processes take the next index from a shared counter and send
// their reports back as JSON through a pipe; processes, because SystemC has one simulation at a
// time in each.
#include "sim/replay/replay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <utility>

#include "formats/error.h"
#include "formats/interrupt.h"
#include "models/beats.h"
#include "models/gemm.h"
#include "models/reference.h"
#include "sim/cosim/array_lockstep.h"
#include "sim/cosim/lockstep.h"
#include "sim/machine/tile_values.h"
#include "sim/systemc/machine.h"
#include "sim/systemc/stream.h"
#include "sim/trace/sha256.h"

namespace blockdot::sim {

formats::QuantizeOptions b_options(formats::QuantizeOptions options) {
  options.seed = options.seed * 0x9E3779B97F4A7C15u + 1;
  return options;
}
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<Engine> engines_of(Engine engine) {
  if (engine == Engine::kAll) return {Engine::kFast, Engine::kSystemc, Engine::kRtl};
  return {engine};
}

bool has_rtl(Engine engine) { return engine == Engine::kRtl || engine == Engine::kAll; }

void check_unit(const formats::DotSpec& spec, const rtl_gen::Unit& unit) {
  if (unit.report.kind != rtl_gen::UnitKind::kDot)
    throw ConfigError("unit = {}: replay takes dot units", to_text(unit.report.kind));
  if (unit.report.spec_text != formats::to_text(spec))
    throw ConfigError("unit: was generated for another spec ({})", unit.report.spec_text);
}

double clock_of(const rtl_gen::Unit& unit, const ReplayOptions& options) {
  return options.clock_ns > 0 ? options.clock_ns : unit.report.critical_path_ns.value;
}

/// What all engines of one GEMM share.
struct Work {
  const GemmTrace& gemm;
  const formats::DotSpec& spec;
  const rtl_gen::Unit& unit;
  const ReplayOptions& options;
  formats::QuantizedMatrix a, b;
  models::GemmResult expected;
  StreamShape shape;
};

EngineRun run_fast(const Work& work, double seconds) {
  EngineRun run;
  run.engine = Engine::kFast;
  run.beats = work.shape.results * work.shape.beats_per_result;
  run.results = work.shape.results;
  run.cycles = stream_cycles(work.shape);
  run.seconds = seconds;
  return run;
}

EngineRun run_systemc(const Work& work, std::string& first_mismatch) {
  auto start = Clock::now();
  PrecomputedDatapath datapath(work.expected.codes);
  StreamRun stream = run_stream(work.shape, datapath,
                                {.input_stalls = work.options.input_stalls,
                                 .output_stalls = work.options.output_stalls,
                                 .seed = work.options.stall_seed});
  EngineRun run;
  run.engine = Engine::kSystemc;
  run.beats = stream.beats;
  run.results = static_cast<std::int64_t>(stream.codes.size());
  run.cycles = stream.cycles;
  run.input_idle = stream.input_idle;
  run.input_blocked = stream.input_blocked;
  run.output_blocked = stream.output_blocked;
  run.checked = run.results;
  for (std::size_t i = 0; i < stream.codes.size(); ++i)
    if (stream.codes[i] != work.expected.codes[i] && run.mismatches++ == 0)
      first_mismatch = fmt::format("{}: systemc result {}: expected 0x{:x}, got 0x{:x}",
                                   work.gemm.info.name, i, work.expected.codes[i], stream.codes[i]);
  run.seconds = seconds_since(start);
  return run;
}

EngineRun run_rtl(const Work& work, std::string& first_mismatch) {
  Model model = Model::load(model_source(work.unit), work.options.cache);
  auto start = Clock::now();
  LockstepRun lockstep = run_lockstep(model, work.unit.report, work.spec, work.a, work.b,
                                      work.expected.codes, work.gemm.info.name,
                                      {.seed = work.options.seed,
                                       .bubbles = work.options.input_stalls,
                                       .bubble_seed = work.options.stall_seed});
  EngineRun run;
  run.engine = Engine::kRtl;
  run.beats = lockstep.beats;
  run.results = lockstep.results;
  run.cycles = lockstep.cycles;
  run.input_idle = lockstep.idle;
  run.checked = lockstep.results;
  run.handshakes = lockstep.handshakes;
  run.mismatches = lockstep.mismatches;
  first_mismatch = lockstep.first_mismatch;
  run.seconds = seconds_since(start);
  return run;
}

// ---- On a machine ----

/// What the quantiser at the edge sees of reals that lie in DRAM as bfloat16.
std::vector<float> as_bfloat16(const formats::MatrixView& view) {
  const formats::ElementFormat bf16 = formats::minifloat(8, 7);
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(view.rows * view.length));
  for (std::int64_t r = 0; r < view.rows; ++r)
    for (std::int64_t k = 0; k < view.length; ++k)
      values.push_back(static_cast<float>(
          formats::decode(bf16, formats::encode(bf16, static_cast<double>(view.at(r, k)), {}, 0,
                                                formats::Overflow::kToSpecial))));
  return values;
}

struct MachineWork {
  const MachineDesign& design;
  Schedule schedule;
  MachineOperands operands;
  CycleCount closed;
};

/// The SystemC machine, and for rtl the Verilated array beside it, in one run.
std::vector<EngineRun> run_machine_engines(const Work& work, const MachineWork& on,
                                           const std::vector<Engine>& engines,
                                           std::string& first_mismatch) {
  std::vector<EngineRun> runs;
  const bool rtl = std::find(engines.begin(), engines.end(), Engine::kRtl) != engines.end();
  const bool systemc = std::find(engines.begin(), engines.end(), Engine::kSystemc) != engines.end();
  if (!rtl && !systemc) return runs;
  std::optional<Model> model;
  std::optional<ArrayLockstep> lockstep;
  std::optional<WaveFile> file;
  if (work.options.wave) file.emplace(*work.options.wave);
  const Wave* wave = file ? &file->temporary() : nullptr;
  if (rtl) {
    BLOCKDOT_CHECK(on.design.array.has_value());
    model = Model::load(
        model_source(*on.design.array, wave != nullptr ? wave->format : WaveFormat::kNone),
        work.options.cache);
    lockstep.emplace(*model, *on.design.array, on.schedule, work.gemm.info.name, wave);
  }
  const auto start = Clock::now();
  const double stalls = std::max(work.options.input_stalls, work.options.output_stalls);
  const MachineRun machine = run_machine(on.schedule, on.operands,
                                         {.stalls = stalls,
                                          .seed = work.options.stall_seed,
                                          .watcher = lockstep ? &*lockstep : nullptr,
                                          .wave = lockstep ? nullptr : wave});
  EngineRun run;
  run.engine = Engine::kSystemc;
  run.beats = machine.beats;
  run.results = static_cast<std::int64_t>(machine.codes.size());
  run.cycles = machine.count.cycles;
  run.stalled = machine.stalled;
  run.checked = run.results;
  run.seconds = seconds_since(start);
  for (std::size_t i = 0; i < machine.codes.size(); ++i)
    if (machine.codes[i] != work.expected.codes[i] && run.mismatches++ == 0)
      first_mismatch = fmt::format("{}: systemc result [{}, {}]: expected 0x{:x}, got 0x{:x}",
                                   work.gemm.info.name, static_cast<std::int64_t>(i) / work.b.rows,
                                   static_cast<std::int64_t>(i) % work.b.rows,
                                   work.expected.codes[i], machine.codes[i]);
  if (stalls == 0 && !(machine.count == on.closed)) {
    ++run.mismatches;
    if (first_mismatch.empty())
      first_mismatch = fmt::format(
          "{}: the SystemC machine counts other cycles or causes than the closed form ({} and {} "
          "cycles)",
          work.gemm.info.name, machine.count.cycles, on.closed.cycles);
  }
  if (systemc) runs.push_back(run);
  if (rtl) {
    run.engine = Engine::kRtl;
    run.results = run.checked = lockstep->results();
    run.handshakes = lockstep->handshakes();
    run.mismatches = lockstep->mismatches() + (systemc ? 0 : run.mismatches);
    if (first_mismatch.empty() && lockstep->mismatches() > 0)
      first_mismatch =
          explain(lockstep->first(), *model, *on.design.array, on.schedule, work.a, work.b);
    runs.push_back(run);
  }
  lockstep.reset();  // closes the wave
  if (file) file->keep(machine.count.cycles);
  return runs;
}

void fill_identity(GemmReport& report, const GemmInfo& info) {
  report.name = info.name;
  report.model = info.model;
  report.layer = info.layer;
  report.step = info.step;
  report.role = info.role;
  report.m = info.m;
  report.n = info.n;
  report.k = info.k;
  report.loss = info.loss;
}

void fill_accuracy(GemmReport& report, const Work& work, int threads) {
  auto a = work.gemm.a_view(), b = work.gemm.b_view();
  report.a = operand_stats(a, work.a);
  report.b = operand_stats(b, work.b);
  auto fp64 = models::reference_gemm(a, b, threads);
  auto fp32 = models::reference_gemm_fp32(a, b, threads);
  auto values = work.expected.values();
  report.fp64 = error_stats(values, fp64, work.spec.output);
  report.fp32 =
      error_stats(values, std::vector<double>(fp32.begin(), fp32.end()), work.spec.output);
  report.baseline = error_stats(fp32, fp64, formats::minifloat(8, 23));
  for (float value : values) report.results.add(static_cast<double>(value));
  report.results_sha256 = sha256_hex(std::as_bytes(std::span(work.expected.codes)));
}

GemmReport replay_one(const GemmTrace& gemm, const formats::DotSpec& spec,
                      const rtl_gen::Unit& unit, Engine engine, const ReplayOptions& options,
                      int threads) {
  check_unit(spec, unit);
  auto start = Clock::now();
  Work work{gemm, spec, unit, options, {}, {}, {}, {}};
  std::optional<MachineWork> on;
  std::vector<float> a_bf16, b_bf16;
  formats::MatrixView a = gemm.a_view(), b = gemm.b_view();
  try {
    if (options.machine) {
      const MachineDesign& design = *options.machine;
      on.emplace(MachineWork{design,
                             make_schedule(design.machine, design.timing, design.sum_width, spec,
                                           gemm.info.m, gemm.info.n, gemm.info.k),
                             {},
                             {}});
      if (design.machine.operands == OperandSource::kBf16) {
        a_bf16 = as_bfloat16(a);
        b_bf16 = as_bfloat16(b);
        a = formats::row_major(a_bf16.data(), a.rows, a.length);
        b = formats::row_major(b_bf16.data(), b.rows, b.length);
      }
    }
    work.a = formats::quantize(spec.a, a, options.quantize);
    work.b = formats::quantize(spec.b, b, b_options(options.quantize));
    models::check_operands(spec, work.a, work.b);
    if (on && draws(spec))
      work.expected = {gemm.info.m, gemm.info.n, spec.output,
                       machine_values(on->schedule, work.a, work.b), "units"};
    else
      work.expected = models::gemm(
          spec, work.a, work.b, {.seed = start_state(spec.lfsr, options.seed), .threads = threads});
    if (on) on->closed = machine_cycles(on->schedule);
  } catch (const ConfigError& error) {  // says what does not fit, but not which product
    throw ConfigError("{}: {}", gemm.info.name, error.what());
  }
  double fast_seconds = seconds_since(start);
  work.shape = {unit.report.latency, unit.report.interval, gemm.info.m * gemm.info.n,
                formats::beats_for(spec, gemm.info.k)};

  GemmReport report;
  fill_identity(report, gemm.info);
  report.macs = report.m * report.n * report.k;
  report.beats_per_result = work.shape.beats_per_result;
  report.beats = work.shape.results * work.shape.beats_per_result;
  report.cycles = on ? on->closed.cycles : stream_cycles(work.shape);
  auto macs = static_cast<double>(report.macs);
  double time_ns =
      static_cast<double>(report.cycles) * (on ? on->design.clock_ns : clock_of(unit, options));
  report.utilisation = macs / (static_cast<double>(report.cycles) * spec.lanes);
  if (on) {
    report.machine = machine_report(on->design, on->schedule, on->closed);
    report.utilisation = report.machine->utilisation();
  }
  report.time_us = time_ns / 1000;
  report.gmac_per_s = macs / time_ns;
  fill_accuracy(report, work, threads);

  bool disturbed = options.input_stalls > 0 || options.output_stalls > 0;
  const auto take = [&](EngineRun run, const std::string& mismatch) {
    report.mismatches += run.mismatches;
    if (report.first_mismatch.empty()) report.first_mismatch = mismatch;
    if (!disturbed && run.cycles != report.cycles) {
      report.agree = false;
      if (report.first_mismatch.empty())
        report.first_mismatch =
            fmt::format("{}: {} took {} cycles, the closed form gives {}", report.name,
                        to_text(run.engine), run.cycles, report.cycles);
    }
    report.engines.push_back(run);
  };
  const std::vector<Engine> engines = engines_of(engine);
  if (on) {
    if (engines.front() == Engine::kFast) {
      EngineRun run = run_fast(work, fast_seconds);
      run.beats = on->closed.compute;
      run.cycles = report.cycles;
      run.stalled = 0;
      take(run, "");
    }
    if (on->design.machine.operands == OperandSource::kPacked)
      on->operands = {&work.a, &work.b, {}, {}, {}, {}};
    else
      on->operands = {nullptr, nullptr, a, b, options.quantize, b_options(options.quantize)};
    std::string mismatch;
    for (const EngineRun& run : run_machine_engines(work, *on, engines, mismatch))
      take(run, mismatch);
  } else {
    for (Engine one : engines) {
      std::string mismatch;
      EngineRun run = one == Engine::kFast      ? run_fast(work, fast_seconds)
                      : one == Engine::kSystemc ? run_systemc(work, mismatch)
                                                : run_rtl(work, mismatch);
      take(run, mismatch);
    }
  }
  const std::string vacuous = not_compared(report);
  if (report.first_mismatch.empty()) report.first_mismatch = vacuous;
  report.agree = report.agree && report.mismatches == 0 && vacuous.empty();
  return report;
}

// ---- Worker processes ----

/// One message of a worker: a report, or the text of an error.
struct Message {
  enum class Kind : std::uint64_t { kReport, kConfigError, kInternalError };
  Kind kind;
  std::uint64_t index;
  std::uint64_t size;
};

void write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t n = ::write(fd, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ::_exit(3);  // the parent is gone
    at += n;
    size -= static_cast<std::size_t>(n);
  }
}

void send(int fd, Message::Kind kind, std::size_t index, const std::string& text) {
  Message header{kind, index, text.size()};
  write_all(fd, &header, sizeof header);
  write_all(fd, text.data(), text.size());
}

/// A counter that forked processes share.
class SharedCounter {
 public:
  SharedCounter() {
    void* memory = ::mmap(nullptr, sizeof(std::atomic<std::size_t>), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw ConfigError("replay: out of memory");
    counter_ = new (memory) std::atomic<std::size_t>(0);
  }
  ~SharedCounter() { ::munmap(counter_, sizeof *counter_); }
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;
  std::size_t take() { return counter_->fetch_add(1); }

 private:
  std::atomic<std::size_t>* counter_;
};

/// A forked worker and what it has sent so far. Ends with its owner.
struct Worker {
  pid_t process = -1;
  int pipe = -1;
  std::string received;

  Worker() = default;
  Worker(Worker&& other) noexcept
      : process(std::exchange(other.process, -1)),
        pipe(std::exchange(other.pipe, -1)),
        received(std::move(other.received)) {}
  ~Worker() {
    if (process > 0) {  // we leave early, by an error
      ::kill(process, SIGTERM);
      wait();
    }
    if (pipe >= 0) ::close(pipe);
  }
  int wait() { return interrupt::wait(std::exchange(process, -1)); }
};

template <typename Job>
Worker start_worker(std::vector<Worker>& others, Job job) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw ConfigError("replay: a worker cannot be started: {}", std::strerror(errno));
  std::fflush(nullptr);  // else the child would print what is buffered again
  Worker worker;
  worker.process = interrupt::fork();
  if (worker.process == 0) {
    ::signal(SIGPIPE, SIG_IGN);
    ::close(ends[0]);
    for (Worker& other : others) ::close(other.pipe);
    job(ends[1]);
    ::_exit(0);
  }
  ::close(ends[1]);
  worker.pipe = ends[0];
  if (worker.process < 0)
    throw ConfigError("replay: a worker cannot be started: {}", std::strerror(errno));
  return worker;
}

/// Takes the whole messages off `received`.
template <typename Take>
void take_messages(std::string& received, Take take) {
  std::size_t at = 0;
  while (received.size() - at >= sizeof(Message)) {
    Message header;
    std::memcpy(&header, received.data() + at, sizeof header);
    if (received.size() - at - sizeof header < header.size) break;
    take(header, received.substr(at + sizeof header, header.size));
    at += sizeof header + header.size;
  }
  received.erase(0, at);
}

/// Calls replay_job(index) for 0 <= index < order.size(), in worker processes, and done(index,
/// report) here as they come. Indices are handed out in the given order.
template <typename ReplayJob, typename Done>
void run_workers(const std::vector<std::size_t>& order, int jobs, ReplayJob replay_job, Done done) {
  SharedCounter next;
  std::vector<Worker> workers;
  for (int i = 0; i < jobs; ++i)
    workers.push_back(start_worker(workers, [&](int fd) {
      std::size_t index = 0;
      try {
        for (std::size_t t; (t = next.take()) < order.size();) {
          index = order[t];
          send(fd, Message::Kind::kReport, index, to_json(replay_job(index)).dump());
        }
      } catch (const ConfigError& error) {
        send(fd, Message::Kind::kConfigError, index, error.what());
      } catch (const std::exception& error) {
        send(fd, Message::Kind::kInternalError, index, error.what());
      }
    }));

  for (std::size_t open = workers.size(); open > 0;) {
    std::vector<pollfd> polls;
    for (Worker& worker : workers) polls.push_back({worker.pipe, POLLIN, 0});
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR)
      throw ConfigError("replay: waiting for workers: {}", std::strerror(errno));
    for (std::size_t i = 0; i < workers.size(); ++i) {
      Worker& worker = workers[i];
      if (worker.pipe < 0 || polls[i].revents == 0) continue;
      char buffer[65536];
      ssize_t n = ::read(worker.pipe, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        ::close(std::exchange(worker.pipe, -1));
        --open;
        if (int status = worker.wait(); status != 0)
          throw ConfigError("replay: a worker process ended early ({} {}): out of memory?",
                            WIFSIGNALED(status) ? "signal" : "exit",
                            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        continue;
      }
      worker.received.append(buffer, static_cast<std::size_t>(n));
      take_messages(worker.received, [&](const Message& header, const std::string& text) {
        switch (header.kind) {
          case Message::Kind::kReport:
            done(header.index, gemm_report_from_json(nlohmann::json::parse(text)));
            return;
          case Message::Kind::kConfigError:
            throw ConfigError("{}", text);
          case Message::Kind::kInternalError:
            throw InternalError(text);
        }
      });
    }
  }
}

std::vector<std::size_t> all_or(const std::vector<std::size_t>& chosen, const TraceReader& trace) {
  std::vector<std::size_t> indices = chosen;
  if (indices.empty()) {
    indices.resize(trace.size());
    std::iota(indices.begin(), indices.end(), std::size_t{0});
  }
  return indices;
}

ModelSource rtl_source(const rtl_gen::Unit& unit, const ReplayOptions& options) {
  if (!options.machine) return model_source(unit);
  return model_source(*options.machine->array,
                      options.wave ? options.wave->format : WaveFormat::kNone);
}

/// Of whom a wave is, and that it is one.
void check_wave(const ReplayOptions& options, Engine engine, std::size_t products) {
  if (!options.machine || products != 1)
    throw ConfigError("wave: {} products{}; must be one, on a machine", products,
                      options.machine ? "" : " without a machine");
  if (engine == Engine::kFast)
    throw ConfigError("wave: engine = fast moves nothing; must be systemc, rtl or all");
  if (engine == Engine::kSystemc && options.wave->format == WaveFormat::kFst)
    throw ConfigError(
        "wave: engine = systemc writes VCD alone; take --vcd, or --engine rtl for an FST of the "
        "RTL");
}

}  // namespace

std::string_view to_text(Engine engine) {
  switch (engine) {
    case Engine::kFast:
      return "fast";
    case Engine::kSystemc:
      return "systemc";
    case Engine::kRtl:
      return "rtl";
    case Engine::kAll:
      return "all";
  }
  BLOCKDOT_CHECK(false, "engine {}", static_cast<int>(engine));
}

Engine parse_engine(std::string_view text) {
  for (Engine engine : {Engine::kFast, Engine::kSystemc, Engine::kRtl, Engine::kAll})
    if (to_text(engine) == text) return engine;
  throw ConfigError("engine = \"{}\": must be fast, systemc, rtl or all", text);
}

GemmReport replay(const GemmTrace& gemm, const formats::DotSpec& spec, const rtl_gen::Unit& unit,
                  Engine engine, const ReplayOptions& options) {
  return replay_one(gemm, spec, unit, engine, options, options.jobs);
}

namespace {

template <typename Items, typename Of>
std::int64_t sum(const Items& items, Of of) {
  std::int64_t total = 0;
  for (const auto& item : items) total += of(item);
  return total;
}

}  // namespace

std::int64_t GemmReport::checked() const {
  return sum(engines, [](const EngineRun& run) { return run.checked; });
}
std::int64_t GemmReport::handshakes() const {
  return sum(engines, [](const EngineRun& run) { return run.handshakes; });
}

std::string not_compared(const GemmReport& report) {
  const std::int64_t results = report.m * report.n;
  for (const EngineRun& run : report.engines) {
    if (run.engine == Engine::kFast) continue;
    if (run.checked != results || results == 0)
      return fmt::format("{}: {} compared {} of {} results", report.name, to_text(run.engine),
                         run.checked, results);
    if (run.engine == Engine::kRtl && run.handshakes == 0)
      return fmt::format("{}: rtl compared no handshake", report.name);
  }
  return report.engines.empty() ? report.name + ": no engine ran" : "";
}

std::int64_t SimReport::checked() const {
  return sum(gemms, [](const GemmReport& gemm) { return gemm.checked(); });
}
std::int64_t SimReport::handshakes() const {
  return sum(gemms, [](const GemmReport& gemm) { return gemm.handshakes(); });
}
std::int64_t SimReport::mismatches() const {
  return sum(gemms, [](const GemmReport& gemm) { return gemm.mismatches; });
}

bool SimReport::agree() const {
  return !gemms.empty() &&
         std::all_of(gemms.begin(), gemms.end(), [](const GemmReport& g) { return g.agree; });
}

std::vector<SimReport::MachineGroup> SimReport::machine_groups() const {
  std::vector<MachineGroup> groups;
  const auto add = [&](const std::string& by, const std::string& key, const MachineReport& one) {
    for (MachineGroup& group : groups)
      if (group.by == by && group.key == key) {
        group.report += one;
        return;
      }
    groups.push_back({by, key, one});
  };
  for (const auto* by : {"all", "layer", "role", "step"})
    for (const GemmReport& gemm : gemms) {
      if (!gemm.machine) continue;
      const std::string_view kind = by;
      add(by,
          kind == "layer"  ? gemm.model + "/" + gemm.layer
          : kind == "role" ? std::string(to_text(gemm.role))
          : kind == "step" ? fmt::format("{}/{}", gemm.model, gemm.step)
                           : "all",
          *gemm.machine);
    }
  return groups;
}

void check_replay(TraceReader& trace, const std::vector<std::size_t>& chosen_or_all,
                  const formats::DotSpec& spec, const rtl_gen::Unit& unit, Engine engine,
                  const ReplayOptions& options) {
  if (options.jobs < 1) throw ConfigError("jobs = {}: must be at least 1", options.jobs);
  check_unit(spec, unit);
  // The rule and the rounding of the operands, by quantising one number.
  const float zero = 0;
  for (const formats::BlockFormat* format : {&spec.a, &spec.b})
    formats::quantize(*format, formats::row_major(&zero, 1, 1), options.quantize);
  const std::vector<std::size_t> chosen = all_or(chosen_or_all, trace);
  if (options.wave) check_wave(options, engine, chosen.size());
  const bool disturbed = options.input_stalls > 0 || options.output_stalls > 0;
  for (std::size_t index : chosen) {
    const GemmInfo& info = trace.gemms().at(index);
    try {
      models::check_length(spec, info.k);
      if (!options.machine) continue;
      const MachineDesign& design = *options.machine;
      const Schedule schedule = make_schedule(design.machine, design.timing, design.sum_width, spec,
                                              info.m, info.n, info.k);
      if (design.machine.operands != OperandSource::kPacked) check_edge(options.quantize);
      if (options.wave && !disturbed)
        check_wave_window(*options.wave, machine_cycles(schedule).cycles);
    } catch (const ConfigError& error) {  // says what does not fit, but not which product
      throw ConfigError("{}: {}", info.name, error.what());
    }
  }
  if (has_rtl(engine)) {
    if (options.machine && !options.machine->array)
      throw ConfigError("engine = {}: the machine was designed without its RTL", to_text(engine));
    Model::check(rtl_source(unit, options), options.cache);
  }
  trace.verify(chosen);
}

SimReport replay_trace(TraceReader& trace, const std::vector<std::size_t>& chosen_or_all,
                       const formats::DotSpec& spec, const rtl_gen::Unit& unit, Engine engine,
                       const ReplayOptions& options) {
  check_replay(trace, chosen_or_all, spec, unit, engine, options);
  SimReport report;
  report.spec = formats::to_text(spec);
  report.a_format = formats::display_name(spec.a);
  report.b_format = formats::display_name(spec.b);
  report.top = unit.report.top;
  report.arch = unit.report.arch_text;
  report.latency = unit.report.latency;
  report.interval = unit.report.interval;
  report.lanes = spec.lanes;
  report.clock_ns = options.machine ? options.machine->clock_ns : clock_of(unit, options);
  report.engine = engine;
  report.scale_rule = formats::to_text(options.quantize.scale_rule);
  report.quantize_rounding = formats::to_text(options.quantize.rounding);
  report.quantize_seed = options.quantize.seed;
  report.seed = options.seed;
  if (options.machine) report.machine = to_text(options.machine->machine);

  const std::vector<std::size_t> chosen = all_or(chosen_or_all, trace);
  auto macs = [&](std::size_t i) {
    const GemmInfo& info = trace.gemms()[chosen[i]];
    return info.m * info.n * info.k;
  };
  Progress progress;
  progress.gemms_total = static_cast<std::int64_t>(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) progress.macs_total += macs(i);
  report.gemms.resize(chosen.size());
  auto done = [&](std::size_t i, GemmReport gemm) {
    progress.gemm = gemm.name;
    ++progress.gemms_done;
    progress.macs_done += macs(i);
    report.gemms[i] = std::move(gemm);
    if (options.progress) options.progress(progress);
  };
  auto job = [&](std::size_t i) {
    return replay_one(trace.load(chosen[i]), spec, unit, engine, options, 1);
  };

  // Compiled here once, so that the workers find it.
  std::optional<Model> model;
  if (has_rtl(engine)) model = Model::load(rtl_source(unit, options), options.cache);
  int jobs = std::min(options.jobs, static_cast<int>(chosen.size()));
  if (jobs <= 1) {
    for (std::size_t i = 0; i < chosen.size(); ++i) done(i, job(i));
    return report;
  }
  std::vector<std::size_t> order(chosen.size());  // the largest first, so that the end is even
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return macs(x) > macs(y); });
  run_workers(order, jobs, job, done);
  BLOCKDOT_CHECK(progress.gemms_done == progress.gemms_total);
  return report;
}

}  // namespace blockdot::sim
