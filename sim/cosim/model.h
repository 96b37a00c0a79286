// Verilated models at run time: a Verilog module becomes a shared object with a C table of
// functions, kept in a cache by the hash of everything that went into it.
//
//   Verilog --verilator--> C++ --g++ -O3 -march=native--> CACHE/model-KEY.so --dlopen--> Model
//
// A record is the packed state of all inputs (or outputs) of one cycle: every port at an aligned
// offset, little-endian, the bits above its width zero. `Model::run` takes an array of them, one a
// cycle, so that millions of cycles a second cross the border.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace blockdot::sim {

struct ModelPort {
  std::string name;
  bool is_input = true;
  int width = 1;  // bits, >= 1

  bool operator==(const ModelPort&) const = default;
};

/// Whether a model can write waves of itself, and in which format.
enum class WaveFormat { kNone, kVcd, kFst };

struct ModelSource {
  std::string verilog;  // one file's text
  std::string top;
  std::vector<ModelPort> ports;  // all of the top's ports
  std::string clock = "clk_i";   // the port that `run` toggles, where there is one of this name
  bool quick = false;            // compiled without optimising: for runs of few cycles
  /// No output depends on an input of its own cycle. `run` then evaluates once a cycle, not twice.
  bool registered = false;
  WaveFormat wave = WaveFormat::kNone;  // slower and larger; an entry of its own in the cache
};

/// What a compiled model depends on besides its source.
struct Toolchain {
  std::string verilator, compiler;  // what they say of their versions
  std::string flags;                // that they are called with, and our text in every model
  std::string cpu;                  // -march=native: the processor's name and features
};
/// Of this machine.
const Toolchain& toolchain();
/// The name of a model in the cache, 40 hex digits: of its source and of what compiles it.
std::string model_key(const ModelSource& source, const Toolchain& tools);

/// $BLOCKDOT_CACHE, else $XDG_CACHE_HOME/blockdot, else ~/.cache/blockdot, else the system's
/// temporary folder.
std::filesystem::path default_cache();

/// Where a port lives in a record.
struct ModelField {
  std::size_t offset = 0;
  std::size_t bytes = 0;  // 1, 2, 4, 8, or a multiple of 4
  int width = 0;
};

/// A compiled module, loaded. Copies share it. Instances are independent of each other.
class Model {
 public:
  /// From the cache, or compiled into it: 0.5 s for a small module, seconds for a large one. An
  /// entry that is damaged is built again; processes may load the same module at once. `cache`
  /// empty: default_cache(). ConfigError where verilator or g++ is missing or refuses the module
  /// (the message ends with their last lines), or the cache cannot be written.
  static Model load(const ModelSource& source, const std::filesystem::path& cache = {});

  /// ConfigError where `load` would have to compile and could not begin to: a missing tool, a cache
  /// that cannot be written.
  static void check(const ModelSource& source, const std::filesystem::path& cache = {});

  /// Whether this load had to compile.
  bool compiled() const;
  /// The cached file.
  const std::filesystem::path& file() const;

  std::size_t input_bytes() const;   // of a record; multiple of 8
  std::size_t output_bytes() const;  // of a record; multiple of 8
  /// ConfigError where the module has no such input or output.
  ModelField input(std::string_view port) const;
  ModelField output(std::string_view port) const;
  bool has_input(std::string_view port) const;

  /// One instance of the module: its registers. Moves, does not copy; keeps the model loaded.
  class Instance {
   public:
    explicit Instance(const Model& model);
    /// `cycles` cycles from `inputs` (cycles * input_bytes); the outputs of each cycle (as they are
    /// before the clock's rising edge at its end) go to `outputs` (cycles * output_bytes).
    void run(std::int64_t cycles, const std::uint8_t* inputs, std::uint8_t* outputs);
    /// Outputs for these inputs with the clock low; no edge.
    void settle(const std::uint8_t* inputs, std::uint8_t* outputs);

    /// From here on `run` writes every signal of the module to `file`: cycle n is [n, n + 1) ns,
    /// its inputs stand from its beginning and the clock rises in its middle. The next cycle is
    /// number `cycle`. Of models with a wave format.
    void begin_wave(const std::filesystem::path& file, std::int64_t cycle);
    void end_wave();

   private:
    std::shared_ptr<const void> library_;  // outlives the state
    std::shared_ptr<void> state_;
    void (*run_)(void*, std::int64_t, const std::uint8_t*, std::uint8_t*) = nullptr;
    void (*settle_)(void*, const std::uint8_t*, std::uint8_t*) = nullptr;
    void (*begin_wave_)(void*, const char*, std::int64_t) = nullptr;
    void (*end_wave_)(void*) = nullptr;
  };

 private:
  struct Library;
  std::shared_ptr<const Library> library_;
};

/// Writes the low `width` (<= 64) bits of `value` at bit `lo` of a field of a record. Where the
/// field's bits there are zero so far.
inline void put_bits(std::uint8_t* record, const ModelField& field, int lo, int width,
                     std::uint64_t value) {
  std::uint8_t* base = record + field.offset;
  for (int bit = 0; bit < width;) {
    int at = lo + bit, shift = at % 8;
    base[at / 8] = static_cast<std::uint8_t>(base[at / 8] | (value >> bit) << shift);
    bit += 8 - shift;
  }
}

/// Writes values of `width` (<= 32) bits side by side from bit 0 of a field that is zero so far.
inline void put_row(std::uint8_t* record, const ModelField& field, int width,
                    std::span<const std::uint32_t> values) {
  std::uint8_t* to = record + field.offset;
  std::uint64_t held = 0;
  int bits = 0;
  for (std::uint32_t value : values) {
    held |= static_cast<std::uint64_t>(value) << bits;
    bits += width;
    if (bits < 32) continue;
    std::memcpy(to, &held, 4);
    to += 4;
    held >>= 32;
    bits -= 32;
  }
  for (; bits > 0; bits -= 8, held >>= 8) *to++ = static_cast<std::uint8_t>(held);
}

/// Sets a field of up to 64 bits.
inline void set_field(std::uint8_t* record, const ModelField& field, std::uint64_t value) {
  std::memcpy(record + field.offset, &value, field.bytes < 8 ? field.bytes : 8);
}

/// Reads up to 64 bits at bit `lo` of a field.
inline std::uint64_t get_bits(const std::uint8_t* record, const ModelField& field, int lo,
                              int width) {
  std::uint64_t value = 0;
  for (int bit = 0; bit < width;) {
    int at = lo + bit, shift = at % 8;
    value |=
        static_cast<std::uint64_t>(record[field.offset + static_cast<std::size_t>(at / 8)] >> shift)
        << bit;
    bit += 8 - shift;
  }
  return width == 64 ? value : value & ((std::uint64_t{1} << width) - 1);
}

}  // namespace blockdot::sim
