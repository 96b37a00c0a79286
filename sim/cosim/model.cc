// Compiling: the Verilog goes to `unit.v` in a fresh folder and all tools run there with relative
// names, so what they embed does not depend on where the cache is. What Verilator wrote and a shim
// with the C table are compiled as two translation units, the hot part and the rest, and linked
// with Verilator's runtime, which is compiled once. The finished file gets a trailer with its
// SHA-256 (the loader ignores bytes behind the sections) and is renamed into the cache: readers see
// a whole entry or none.
#include "sim/cosim/model.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <future>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "formats/text.h"
#include "sim/cosim/tool.h"
#include "sim/cosim/wide_words.h"
#include "sim/trace/sha256.h"

namespace blockdot::sim {
namespace fs = std::filesystem;
namespace {

/// What the shim exports; the same text is compiled into it.
struct Api {
  void* (*create)();
  void (*destroy)(void*);
  void (*run)(void*, std::int64_t, const std::uint8_t*, std::uint8_t*);
  void (*settle)(void*, const std::uint8_t*, std::uint8_t*);
};

/// What the shim of a model with waves exports as well.
struct WaveApi {
  void (*begin)(void*, const char*, std::int64_t);
  void (*end)(void*);
};

// Verilator up to 5.026 computes some trees of exclusive ors of single bits wrong (its issues 4059,
// 4709, 5186): without that step of its optimiser.
const std::vector<std::string> kVerilatorFlags = {"--cc",
                                                  "--prefix",
                                                  "Vunit",
                                                  "--Mdir",
                                                  "obj",
                                                  "-O3",
                                                  "-fno-const-bit-op-tree",
                                                  "--x-assign",
                                                  "fast",
                                                  "--x-initial",
                                                  "fast",
                                                  "-Wno-lint",
                                                  "-Wno-style"};
// Tuned for a generic processor, GCC 12 lets shifts by constants alone that it otherwise takes
// through registers: 4 % faster on Zen 4.
const std::vector<std::string> kCompilerFlags = {
    "-std=gnu++17", "-march=native",       "-mtune=generic",
    "-fPIC",        "-fvisibility=hidden", "-fno-gnu-unique",
    "-w",           "-DVERILATOR=1",       "-DVM_COVERAGE=0",
    "-DVM_SC=0",    "-DVM_TRACE=0"};
constexpr std::string_view kTrailer = "\nblockdot-model ";
constexpr std::size_t kTrailerSize = 16 + 64;

// ---- Records ----

std::size_t field_bytes(int width) {
  if (width <= 8) return 1;
  if (width <= 16) return 2;
  if (width <= 32) return 4;
  if (width <= 64) return 8;
  return static_cast<std::size_t>((width + 31) / 32) * 4;
}

struct Layout {
  std::vector<std::pair<std::string, ModelField>> fields;
  std::size_t bytes = 0;
};

Layout layout(const ModelSource& source, bool inputs) {
  Layout out;
  for (const ModelPort& port : source.ports) {
    if (port.is_input != inputs || port.name == source.clock) continue;
    std::size_t bytes = field_bytes(port.width);
    std::size_t align = bytes > 8 ? 4 : bytes;
    out.bytes = (out.bytes + align - 1) / align * align;
    out.fields.emplace_back(port.name, ModelField{out.bytes, bytes, port.width});
    out.bytes += bytes;
  }
  out.bytes = (out.bytes + 7) / 8 * 8;
  return out;
}

bool has_clock(const ModelSource& source) {
  for (const ModelPort& port : source.ports)
    if (port.is_input && port.name == source.clock) return true;
  return false;
}

// ---- Waves ----

/// Names of Verilator's: `vcd`, `fst`.
std::string wave_name(WaveFormat wave) { return wave == WaveFormat::kFst ? "fst" : "vcd"; }

// ---- The shim ----

/// Where a model writes waves: its members, what each phase of a cycle adds, and the table.
struct WaveText {
  std::string include, state, low, high, table;
};

WaveText wave_text(WaveFormat wave) {
  if (wave == WaveFormat::kNone) return {};
  const char* type = wave == WaveFormat::kFst ? "VerilatedFstC" : "VerilatedVcdC";
  WaveText text;
  text.include = fmt::format("#include \"verilated_{}_c.h\"\n", wave_name(wave));
  text.state = fmt::format(R"(  {0} wave;
  bool traced = false, open = false;
  std::uint64_t cycle = 0;
  State() {{ context.traceEverOn(true); }}
)",
                           type);
  text.low = "    if (s.open) s.wave.dump(1000 * s.cycle);\n";
  text.high = "    if (s.open) s.wave.dump(1000 * s.cycle++ + 500);\n";
  text.table = R"(
static void begin_wave(void* state, const char* file, std::int64_t cycle) {
  State& s = *static_cast<State*>(state);
  if (!s.traced) s.top.trace(&s.wave, 1000);
  s.wave.open(file);
  s.traced = s.open = true;
  s.cycle = static_cast<std::uint64_t>(cycle);
}
static void end_wave(void* state) {
  State& s = *static_cast<State*>(state);
  if (s.open) s.wave.close();
  s.open = false;
}
struct WaveApi {
  void (*begin)(void*, const char*, std::int64_t);
  void (*end)(void*);
};
extern "C" __attribute__((visibility("default"))) const WaveApi blockdot_wave = {
    begin_wave, end_wave};
)";
  return text;
}

std::string shim_text(const ModelSource& source, const Layout& inputs, const Layout& outputs) {
  std::string drive, sample, checks;
  for (const auto& [name, field] : inputs.fields) {
    drive += fmt::format("  std::memcpy(&top.{}, in + {}, {});\n", name, field.offset, field.bytes);
    checks += fmt::format("static_assert(sizeof(Vunit::{}) == {});\n", name, field.bytes);
  }
  for (const auto& [name, field] : outputs.fields) {
    sample +=
        fmt::format("  std::memcpy(out + {}, &top.{}, {});\n", field.offset, name, field.bytes);
    checks += fmt::format("static_assert(sizeof(Vunit::{}) == {});\n", name, field.bytes);
  }
  bool clocked = has_clock(source);
  // One evaluation: new inputs and the edge together; inputs settle before registers take them. The
  // clock's fall is not evaluated: nothing looks at it but the edge detector, which is told. What
  // Verilator does around an evaluation is for messages and threads, of which there are none.
  bool once = clocked && source.registered && source.wave == WaveFormat::kNone;
  const WaveText wave = wave_text(source.wave);
  std::string low = clocked ? fmt::format("    s.top.{} = 0;\n", source.clock) : "";
  std::string high =
      clocked ? fmt::format("    s.top.{} = 1;\n    s.top.eval();\n", source.clock) : "";
  std::string loop = once ? fmt::format(R"(  if (!s.settled) {{
    s.settled = true;
    s.top.{0} = 0;
    s.top.eval();
  }}
  if constexpr (falls<Vunit___024root>(0)) {{
    for (; cycles > 0; --cycles, in += {1}, out += {2}) {{
      sample(s.top, out);
      drive(s.top, in);
      s.top.{0} = 1;
      step(s.top, s.top.rootp, 0);
      fall(*s.top.rootp, 0);
    }}
  }}
)",
                                        source.clock, inputs.bytes, outputs.bytes)
                          : std::string();
  return wave.include +
         fmt::format(R"(
#include <cstdint>
#include <cstring>
{checks}
struct State {{
  VerilatedContext context;
  Vunit top{{&context, "unit"}};
  bool settled = false;
{wave_state}  ~State() {{ top.final(); }}
}};
static inline void drive(Vunit& top, const std::uint8_t* in) {{
  (void)top, (void)in;
{drive}}}
static inline void sample(Vunit& top, std::uint8_t* out) {{
  (void)top, (void)out;
{sample}}}
static void* create() {{ return new State; }}
static void destroy(void* state) {{ delete static_cast<State*>(state); }}
static void settle(void* state, const std::uint8_t* in, std::uint8_t* out) {{
  State& s = *static_cast<State*>(state);
  drive(s.top, in);
{low}  s.top.eval();
  sample(s.top, out);
}}
template <typename Root>
static auto fall(Root& root, int) -> decltype((void)root.{edge}) {{ root.{clock} = root.{edge} = 0; }}
template <typename Root>
static void fall(Root&, ...) {{}}
template <typename Root>
static auto step(Vunit&, Root* root, int) -> decltype((void)Vunit___024root___eval(root)) {{
  Vunit___024root___eval(root);
}}
template <typename Root>
static void step(Vunit& top, Root*, ...) {{ top.eval(); }}
template <typename Root>
static constexpr auto falls(int) -> decltype((void)((Root*)nullptr)->{edge}, true) {{ return true; }}
template <typename Root>
static constexpr bool falls(...) {{ return false; }}
static void run(void* state, std::int64_t cycles, const std::uint8_t* in, std::uint8_t* out) {{
  State& s = *static_cast<State*>(state);
{once}  for (; cycles > 0; --cycles, in += {in_bytes}, out += {out_bytes}) {{
    drive(s.top, in);
{low}    s.top.eval();
{wave_low}    sample(s.top, out);
{high}{wave_high}  }}
}}
struct Api {{
  void* (*create)();
  void (*destroy)(void*);
  void (*run)(void*, std::int64_t, const std::uint8_t*, std::uint8_t*);
  void (*settle)(void*, const std::uint8_t*, std::uint8_t*);
}};
extern "C" __attribute__((visibility("default"))) const Api blockdot_model = {{
    create, destroy, run, settle}};
)",
                     fmt::arg("checks", checks), fmt::arg("drive", drive),
                     fmt::arg("edge", "__Vtrigrprev__TOP__" + source.clock),
                     fmt::arg("clock", source.clock), fmt::arg("once", loop),
                     fmt::arg("sample", sample), fmt::arg("low", low), fmt::arg("high", high),
                     fmt::arg("in_bytes", inputs.bytes), fmt::arg("out_bytes", outputs.bytes),
                     fmt::arg("wave_state", wave.state), fmt::arg("wave_low", wave.low),
                     fmt::arg("wave_high", wave.high)) +
         wave.table;
}

// ---- Files of the cache ----

void seal(std::string& bytes) {
  std::string digest = sha256_hex(bytes);
  bytes += kTrailer;
  bytes += digest;
}

/// Whether the file is there and is what was written.
bool intact(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  std::string bytes = read_file(path);
  if (bytes.size() < kTrailerSize) return false;
  std::string_view body = std::string_view(bytes).substr(0, bytes.size() - kTrailerSize);
  std::string_view trailer = std::string_view(bytes).substr(body.size());
  return trailer.starts_with(kTrailer) && trailer.substr(kTrailer.size()) == sha256_hex(body);
}

/// A folder in the cache that goes away with its owner.
TemporaryFolder build_folder(const fs::path& cache) {
  try {
    return TemporaryFolder(cache);
  } catch (const ConfigError& error) {
    throw ConfigError(
        "the cache of compiled units cannot be written: {}; set BLOCKDOT_CACHE to a folder you may "
        "write to",
        error.what());
  }
}

void install(const fs::path& built, const fs::path& target) {
  std::string bytes = read_file(built);
  seal(bytes);
  write_file_atomic(target, bytes);
}

// ---- Tools ----

/// Texts with their lengths: no two lists give the same.
std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += fmt::format("{} {}\n", part.size(), part);
  return text;
}

std::string to_text(const Toolchain& tools) {
  return joined({tools.verilator, tools.compiler, tools.flags, tools.cpu});
}

Toolchain find_toolchain() {
  Toolchain tools;
  tools.verilator = require_tool({"verilator", "--version"}, "/");
  tools.compiler = require_tool({"g++", "--version"}, "/");
  tools.flags = joined(kVerilatorFlags) + joined(kCompilerFlags) + std::string(kWideWords);
  for (const std::string& line : formats::split(read_file("/proc/cpuinfo"), '\n'))
    if (line.starts_with("model name") || line.starts_with("flags")) {
      tools.cpu += line + "\n";
      if (line.starts_with("flags")) break;  // of the first core
    }
  return tools;
}

fs::path verilator_include() {
  std::string output = require_tool({"verilator", "--getenv", "VERILATOR_ROOT"}, "/");
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return fs::path(output) / "include";
}

std::vector<std::string> compiler(const std::vector<std::string>& tail) {
  static const fs::path include = verilator_include();
  std::vector<std::string> command = {"g++"};
  command.insert(command.end(), kCompilerFlags.begin(), kCompilerFlags.end());
  command.push_back("-I" + include.string());
  command.push_back("-I" + (include / "vltstd").string());
  command.insert(command.end(), tail.begin(), tail.end());
  return command;
}

/// Verilator's runtime, compiled once; with what writes waves where they are wanted.
fs::path runtime_object(const fs::path& cache, WaveFormat wave) {
  const std::string kind = wave == WaveFormat::kNone ? "" : wave_name(wave) + "-";
  fs::path target =
      cache / fmt::format("runtime-{}{}.o", kind, sha256_hex(to_text(toolchain())).substr(0, 16));
  if (intact(target)) return target;
  TemporaryFolder build = build_folder(cache);
  write_file_atomic(
      build.path() / "runtime.cc",
      "#include \"verilated.cpp\"\n#include \"verilated_threads.cpp\"\n" +
          (kind.empty() ? std::string()
                        : fmt::format("#include \"verilated_{}_c.cpp\"\n", wave_name(wave))));
  require_tool(compiler({"-O2", "-c", "runtime.cc", "-o", "runtime.o"}), build.path());
  install(build.path() / "runtime.o", target);
  return target;
}

void compile(const ModelSource& source, const std::string& shim, const fs::path& cache,
             const fs::path& target) {
  fs::path runtime = runtime_object(cache, source.wave);
  TemporaryFolder build = build_folder(cache);
  write_file_atomic(build.path() / "unit.v", source.verilog);
  std::vector<std::string> verilate = {"verilator"};
  verilate.insert(verilate.end(), kVerilatorFlags.begin(), kVerilatorFlags.end());
  if (source.wave != WaveFormat::kNone)
    verilate.insert(verilate.end(), {source.wave == WaveFormat::kFst ? "--trace-fst" : "--trace",
                                     "--timescale", "1ns/1ps"});
  verilate.insert(verilate.end(), {"--top-module", source.top, "unit.v"});
  require_tool(verilate, build.path());

  // The slow parts (construction, the first evaluation) are half of the text and run once.
  std::vector<std::string> parts;
  for (const auto& entry : fs::directory_iterator(build.path() / "obj"))
    if (entry.path().extension() == ".cpp") parts.push_back(entry.path().filename().string());
  std::sort(parts.begin(), parts.end());
  std::string fast, slow;
  for (const std::string& part : parts)
    (part.find("__Slow") == std::string::npos ? fast : slow) +=
        fmt::format("#include \"obj/{}\"\n", part);
  write_file_atomic(build.path() / "fast.cc", std::string(kWideWords) + fast + shim);
  write_file_atomic(build.path() / "slow.cc", "#include \"obj/Vunit.h\"\n" + slow);
  auto compile_slow = std::async(std::launch::async, [&] {
    require_tool(compiler({"-O0", "-Iobj", "-c", "slow.cc", "-o", "slow.o"}), build.path());
  });
  require_tool(compiler({source.quick ? "-O0" : "-O3", "-Iobj", "-c", "fast.cc", "-o", "fast.o"}),
               build.path());
  compile_slow.get();
  std::vector<std::string> link = {"g++",    "-shared", "-Wl,-Bsymbolic",
                                   "fast.o", "slow.o",  runtime.string()};
  if (source.wave == WaveFormat::kFst) link.emplace_back("-lz");
  link.insert(link.end(), {"-pthread", "-o", "model.so"});
  require_tool(link, build.path());
  install(build.path() / "model.so", target);
}

}  // namespace

fs::path default_cache() {
  auto set = [](const char* name) -> const char* {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* folder = set("BLOCKDOT_CACHE")) return folder;
  if (const char* folder = set("XDG_CACHE_HOME")) return fs::path(folder) / "blockdot";
  if (const char* home = set("HOME")) return fs::path(home) / ".cache" / "blockdot";
  return fs::temp_directory_path() / "blockdot";
}

const Toolchain& toolchain() {
  static const Toolchain found = find_toolchain();
  return found;
}

std::string model_key(const ModelSource& source, const Toolchain& tools) {
  const std::string shim = shim_text(source, layout(source, true), layout(source, false));
  return sha256_hex(joined({to_text(tools), source.top, source.verilog, shim,
                            source.quick ? "quick" : ""}))
      .substr(0, 40);
}

namespace {

fs::path file_of(const ModelSource& source, const fs::path& cache) {
  // Tools run in other folders: the cache's path must not depend on the current one.
  return fs::absolute(cache.empty() ? default_cache() : cache) /
         fmt::format("model-{}.so", model_key(source, toolchain()));
}

}  // namespace

struct Model::Library {
  void* handle = nullptr;
  const Api* api = nullptr;
  const WaveApi* wave = nullptr;  // of models with waves
  fs::path file;
  bool compiled = false;
  std::string top;
  Layout inputs, outputs;

  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (handle != nullptr) ::dlclose(handle);
  }
};

void Model::check(const ModelSource& source, const fs::path& cache) {
  const fs::path file = file_of(source, cache);
  if (!intact(file)) build_folder(file.parent_path());
}

Model Model::load(const ModelSource& source, const fs::path& cache_folder) {
  auto library = std::make_shared<Library>();
  library->top = source.top;
  library->inputs = layout(source, true);
  library->outputs = layout(source, false);
  library->file = file_of(source, cache_folder);
  if (!intact(library->file)) {
    const std::string shim = shim_text(source, library->inputs, library->outputs);
    compile(source, shim, library->file.parent_path(), library->file);
    library->compiled = true;
  }
  library->handle = ::dlopen(library->file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library->handle == nullptr)
    throw ConfigError("{}: cannot be loaded: {}", library->file.string(), ::dlerror());
  library->api = static_cast<const Api*>(::dlsym(library->handle, "blockdot_model"));
  BLOCKDOT_CHECK(library->api != nullptr, "{}", library->file.string());
  if (source.wave != WaveFormat::kNone)
    library->wave = static_cast<const WaveApi*>(::dlsym(library->handle, "blockdot_wave"));
  Model model;
  model.library_ = std::move(library);
  return model;
}

bool Model::compiled() const { return library_->compiled; }
const fs::path& Model::file() const { return library_->file; }
std::size_t Model::input_bytes() const { return library_->inputs.bytes; }
std::size_t Model::output_bytes() const { return library_->outputs.bytes; }

namespace {
const ModelField* find_field(const Layout& layout, std::string_view port) {
  for (const auto& [name, field] : layout.fields)
    if (name == port) return &field;
  return nullptr;
}
}  // namespace

ModelField Model::input(std::string_view port) const {
  const ModelField* field = find_field(library_->inputs, port);
  if (field == nullptr) throw ConfigError("{}: has no input {}", library_->top, port);
  return *field;
}

ModelField Model::output(std::string_view port) const {
  const ModelField* field = find_field(library_->outputs, port);
  if (field == nullptr) throw ConfigError("{}: has no output {}", library_->top, port);
  return *field;
}

bool Model::has_input(std::string_view port) const {
  return find_field(library_->inputs, port) != nullptr;
}

Model::Instance::Instance(const Model& model)
    : library_(model.library_),
      state_(model.library_->api->create(), model.library_->api->destroy),
      run_(model.library_->api->run),
      settle_(model.library_->api->settle) {
  if (const WaveApi* wave = model.library_->wave) {
    begin_wave_ = wave->begin;
    end_wave_ = wave->end;
  }
}

void Model::Instance::run(std::int64_t cycles, const std::uint8_t* inputs, std::uint8_t* outputs) {
  run_(state_.get(), cycles, inputs, outputs);
}

void Model::Instance::settle(const std::uint8_t* inputs, std::uint8_t* outputs) {
  settle_(state_.get(), inputs, outputs);
}

void Model::Instance::begin_wave(const std::filesystem::path& file, std::int64_t cycle) {
  BLOCKDOT_CHECK(begin_wave_ != nullptr, "a model without waves");
  begin_wave_(state_.get(), file.c_str(), cycle);
}

void Model::Instance::end_wave() {
  if (end_wave_ != nullptr) end_wave_(state_.get());
}

}  // namespace blockdot::sim
