// The input records of a side are built once a row and beat; a cycle's record is the OR of both
// sides and the control bits. Records go to the model in chunks that fit the cache.
//
// A result tells that something went wrong, not where. The explanation runs the result alone, with
// `last` after 1, 2, 4, ... beats, through the unit and the golden model, closes in on the beat
// after which they differ, and shows it and the stage (stage.h). Where valid_o is wrong, one beat
// alone, without valid_i, without last_i and with both, tells what it does not follow.
#include "sim/cosim/lockstep.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "formats/error.h"
#include "formats/lfsr.h"
#include "models/golden.h"
#include "sim/cosim/stage.h"

namespace blockdot::sim {
namespace {

constexpr std::size_t kChunk = 256;  // cycles

/// Records of one side of a product, [row][beat].
class SideRecords {
 public:
  SideRecords(const DotRecords& records, const formats::DotSpec& spec, bool is_a,
              const formats::QuantizedMatrix& matrix, const std::vector<formats::BeatRange>& ranges)
      : beats_(ranges.size()) {
    models::BeatBuffer buffer;
    for (std::int64_t r = 0; r < matrix.rows; ++r)
      for (const formats::BeatRange& range : ranges) {
        models::fill_side(spec, is_a, matrix, r, range, buffer);
        auto record = records.side(is_a, buffer.beat(false, false));
        words_ = record.size();
        data_.insert(data_.end(), record.begin(), record.end());
      }
  }
  const std::uint64_t* at(std::int64_t row, std::size_t beat) const {
    return data_.data() + (static_cast<std::size_t>(row) * beats_ + beat) * words_;
  }

 private:
  std::size_t beats_, words_ = 0;
  std::vector<std::uint64_t> data_;
};

/// Feeds records to an instance and its outputs to a scoreboard.
class Feeder {
 public:
  Feeder(const Model& model, const DotRecords& records, Scoreboard& scoreboard)
      : instance_(model),
        records_(records),
        scoreboard_(scoreboard),
        words_(model.input_bytes() / 8),
        output_bytes_(model.output_bytes()),
        inputs_(kChunk * words_),
        outputs_(kChunk * output_bytes_) {}

  /// Cycles before cycle 0: what the unit shows there is not looked at.
  void before(const DotRecords::Record& record) {
    instance_.run(1, reinterpret_cast<const std::uint8_t*>(record.data()), outputs_.data());
  }

  void push(const std::uint64_t* control, const std::uint64_t* a, const std::uint64_t* b) {
    std::uint64_t* to = inputs_.data() + filled_ * words_;
#pragma GCC ivdep
    for (std::size_t w = 0; w < words_; ++w) to[w] = control[w] | a[w] | b[w];
    if (++filled_ == kChunk) flush();
  }
  void push(const DotRecords::Record& record) { push(record.data(), record.data(), record.data()); }

  void flush() {
    instance_.run(static_cast<std::int64_t>(filled_),
                  reinterpret_cast<const std::uint8_t*>(inputs_.data()), outputs_.data());
    for (std::size_t i = 0; i < filled_; ++i) {
      const std::uint8_t* out = outputs_.data() + i * output_bytes_;
      scoreboard_.observe(observed_++, records_.valid(out), records_.result(out));
    }
    filled_ = 0;
  }

  std::int64_t cycle() const { return observed_ + static_cast<std::int64_t>(filled_); }

 private:
  Model::Instance instance_;
  const DotRecords& records_;
  Scoreboard& scoreboard_;
  std::size_t words_, output_bytes_;
  std::vector<std::uint64_t> inputs_;
  std::vector<std::uint8_t> outputs_;
  std::size_t filled_ = 0;
  std::int64_t observed_ = 0;
};

void start(Feeder& feeder, const DotRecords& records, std::uint64_t seed) {
  for (int i = 0; i < 2; ++i) feeder.before(records.reset());
  feeder.before(records.seed(seed));
}

// ---- Explanation ----

/// State of the random stream before result number `result`.
std::uint64_t random_state(const formats::DotSpec& spec, std::uint64_t seed, std::int64_t result,
                           std::int64_t beats) {
  formats::Lfsr lfsr(seed, spec.lfsr);
  const std::int64_t draws = formats::draws_each_beat(spec) ? result * beats : result;
  const std::int64_t steps = draws * formats::drawn_rounding(spec).random_bits;
  for (std::int64_t i = 0; i < steps; ++i) lfsr.step();
  return lfsr.state();
}

std::string lanes_text(const formats::DotSpec& spec, const models::BeatBuffer& beat, int count) {
  std::string text;
  auto micro = [](const formats::BlockFormat& format, const std::vector<std::uint8_t>& taus,
                  int j) {
    return format.micro.bits == 0
               ? std::string()
               : fmt::format(" / 2^{}", taus[static_cast<std::size_t>(j / format.micro.block)]);
  };
  for (int j = 0; j < count; ++j) {
    auto i = static_cast<std::size_t>(j);
    text += fmt::format("\n    lane {:>3}: a {}{}  b {}{}", j, code_text(spec.a.element, beat.a[i]),
                        micro(spec.a, beat.a_micro, j), code_text(spec.b.element, beat.b[i]),
                        micro(spec.b, beat.b_micro, j));
  }
  return text;
}

std::string scale_text(const char* what, const formats::ScaleFormat& scale, std::uint32_t code) {
  if (scale.kind == formats::ScaleKind::kNone) return "";
  return fmt::format(", {} 0x{:x} ({:.9g})", what, code, formats::decode(scale, code));
}

/// The result of the first `beats` beats alone, from reset; nothing where valid_o does not come.
std::optional<std::uint32_t> run_alone(const Model& model, const DotRecords& records, int latency,
                                       std::uint64_t seed,
                                       const std::vector<models::BeatBuffer>& beats) {
  Model::Instance instance(model);
  std::vector<std::uint8_t> out(model.output_bytes());
  auto cycle = [&](const DotRecords::Record& record) {
    instance.run(1, reinterpret_cast<const std::uint8_t*>(record.data()), out.data());
  };
  cycle(records.reset());
  cycle(records.reset());
  cycle(records.seed(seed));
  for (std::size_t t = 0; t < beats.size(); ++t)
    cycle(records.beat(beats[t].beat(t == 0, t + 1 == beats.size())));
  for (int i = 0; i < latency; ++i) cycle(records.idle());
  if (!records.valid(out.data())) return std::nullopt;
  return records.result(out.data());
}

/// Why valid_o comes where it should not, or does not come: after one beat alone, from reset.
std::string valid_stage(const Model& model, const DotRecords& records, int latency) {
  // The cycle after that of the beat in which valid_o comes first; nothing where it does not.
  const auto comes = [&](const DotRecords::Record& beat) -> std::optional<int> {
    Model::Instance instance(model);
    std::vector<std::uint8_t> out(model.output_bytes());
    const auto valid = [&](const DotRecords::Record& record) {
      instance.run(1, reinterpret_cast<const std::uint8_t*>(record.data()), out.data());
      return records.valid(out.data());
    };
    for (int i = 0; i < 2 * latency + 2; ++i) valid(records.reset());
    if (valid(beat)) return 0;
    for (int after = 1; after <= 2 * latency + 8; ++after)
      if (valid(records.idle())) return after;
    return {};
  };
  const auto text = [](const std::string& what) { return "\n  stage: valid_o: " + what; };
  if (comes(records.idle())) return text("it comes after a reset, with nothing in");
  if (comes(records.control(false, true, true))) return text("it does not wait for valid_i");
  if (comes(records.control(true, true, false))) return text("it does not wait for last_i");
  const std::optional<int> after = comes(records.control(true, true, true));
  if (!after) return text("it does not come for one beat alone");
  if (*after != latency)
    return text(fmt::format("one beat alone has it {} cycles later, not {}", *after, latency));
  return text("one beat alone has it right: it depends on the beats before");
}

std::string explain(const Model& model, const rtl_gen::UnitReport& unit,
                    const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                    const formats::QuantizedMatrix& b, const Scoreboard::Mismatch& mismatch,
                    const std::string& name, std::uint64_t seed) {
  std::int64_t row = mismatch.result / b.rows, column = mismatch.result % b.rows;
  std::string where =
      fmt::format("{}: result [{}, {}] in cycle {}", name, row, column, mismatch.cycle);
  DotRecords records(model, spec);
  if (mismatch.kind == Scoreboard::Kind::kSpurious)
    return fmt::format(
               "{}: valid_o is high in cycle {} (result_o 0x{:x}), where no result is due; "
               "next due is [{}, {}] (latency {})",
               name, mismatch.cycle, mismatch.got, row, column, unit.latency) +
           valid_stage(model, records, unit.latency);
  if (mismatch.kind == Scoreboard::Kind::kMissing)
    return fmt::format("{}: valid_o is low, {} cycles after its last beat", where, unit.latency) +
           valid_stage(model, records, unit.latency);

  std::string text =
      fmt::format("{}: expected {}, got {}", where, code_text(spec.output, mismatch.expected),
                  code_text(spec.output, mismatch.got));
  if (formats::draws(spec) && !spec.lfsr.port)
    return text + "\n  (without a seed port a result cannot be run alone with the bits it drew)";
  auto ranges = formats::beat_ranges(spec, a.length);
  std::uint64_t state =
      random_state(spec, seed, mismatch.result, static_cast<std::int64_t>(ranges.size()));
  const RunTrial run = [&](const std::vector<models::BeatBuffer>& trial) {
    models::GoldenDot golden(spec, state);
    std::optional<std::uint32_t> want;
    for (std::size_t t = 0; t < trial.size(); ++t)
      want = golden.step(trial[t].beat(t == 0, t + 1 == trial.size()));
    return Trial{*want, run_alone(model, records, unit.latency, state, trial)};
  };
  std::vector<models::BeatBuffer> beats(ranges.size());
  for (std::size_t t = 0; t < ranges.size(); ++t)
    models::fill_beat(spec, a, row, b, column, ranges[t], beats[t]);
  const auto first = [&](std::size_t count) {  // as if its last were the result's
    return std::vector(beats.begin(), beats.begin() + static_cast<std::ptrdiff_t>(count));
  };
  const std::optional<std::size_t> turn =
      turns_wrong(beats.size(), [&](std::size_t count) { return !run(first(count)).right(); });
  if (!turn)
    return text + fmt::format(
                      "\n  its {} beats alone, after a reset, give the golden model's result: "
                      "something is left from the results before it, or the expected value is "
                      "not the golden model's",
                      ranges.size());
  const std::size_t t = *turn - 1;
  const Trial trial = run(first(*turn));
  return text +
         fmt::format("\n  alone, it is right before and differs after {}: golden {}, unit {}{}{}",
                     beat_name(ranges, t), code_text(spec.output, trial.want),
                     trial.got ? code_text(spec.output, *trial.got) : "shows no valid_o",
                     beat_text(spec, beats[t], ranges[t].count),
                     stage_text(spec, first(*turn), ranges[t].count, run));
}

}  // namespace

std::string beat_name(const std::vector<formats::BeatRange>& ranges, std::size_t t) {
  return fmt::format("beat {} of {} (k = {}..{})", t + 1, ranges.size(), ranges[t].k,
                     ranges[t].k + ranges[t].count - 1);
}

std::string beat_text(const formats::DotSpec& spec, const models::BeatBuffer& beat, int count) {
  return scale_text("a scale", spec.a.scale, beat.a_scale) +
         scale_text("a outer scale", spec.a.outer.scale, beat.a_outer) +
         scale_text("b scale", spec.b.scale, beat.b_scale) +
         scale_text("b outer scale", spec.b.outer.scale, beat.b_outer) +
         lanes_text(spec, beat, count);
}

ModelSource model_source(const rtl_gen::Unit& unit) {
  ModelSource source{unit.verilog, unit.report.top, {}};
  for (const rtl_gen::Port& port : unit.report.ports)
    source.ports.push_back({port.name, port.is_input, port.width});
  source.registered = unit.report.latency > 0;
  return source;
}

DotRecords::DotRecords(const Model& model, const formats::DotSpec& spec)
    : spec_(spec), words_(model.input_bytes() / 8) {
  auto expect = [](const ModelField& field, const char* port, int width) {
    if (field.width != width)
      throw ConfigError("unit: port {} has {} bits, the spec asks for {}: another spec's unit?",
                        port, field.width, width);
    return field;
  };
  auto in = [&](const char* port, int width) { return expect(model.input(port), port, width); };
  rst_ = in("rst_ni", 1);
  valid_in_ = in("valid_i", 1);
  first_ = in("first_i", 1);
  last_ = in("last_i", 1);
  for (models::BeatPort port : models::kBeatPorts)
    for (bool a : {true, false})
      if (int width = port_width(spec, port, a))
        (a ? a_ : b_)[static_cast<std::size_t>(port)] = in(port_name(port, a).c_str(), width);
  if (model.has_input("seed_load_i")) {
    seed_load_ = in("seed_load_i", 1);
    seed_ = in("seed_i", spec.lfsr.width);
  }
  valid_ = expect(model.output("valid_o"), "valid_o", 1);
  result_ = expect(model.output("result_o"), "result_o", spec.output.width());
}

namespace {
std::uint8_t* bytes(DotRecords::Record& record) {
  return reinterpret_cast<std::uint8_t*>(record.data());
}
}  // namespace

DotRecords::Record DotRecords::reset() const { return blank(); }

DotRecords::Record DotRecords::idle() const { return control(false, false, false); }

DotRecords::Record DotRecords::seed(std::uint64_t seed) const {
  Record record = idle();
  if (seed_load_) {
    set_field(bytes(record), *seed_load_, 1);
    set_field(bytes(record), *seed_, seed & spec_.lfsr.mask());
  }
  return record;
}

DotRecords::Record DotRecords::control(bool valid, bool first, bool last) const {
  Record record = blank();
  set_field(bytes(record), rst_, 1);
  set_field(bytes(record), valid_in_, valid);
  set_field(bytes(record), first_, first);
  set_field(bytes(record), last_, last);
  return record;
}

DotRecords::Record DotRecords::side(bool a, const models::Beat& beat) const {
  Record record = blank();
  const auto& fields = a ? a_ : b_;
  put_row(bytes(record), fields[static_cast<std::size_t>(models::BeatPort::kElements)],
          (a ? spec_.a : spec_.b).element.width(), a ? beat.a : beat.b);
  for_each_shared_field(
      spec_, beat, a, [&](models::BeatPort port, int lo, int width, std::uint32_t value) {
        put_bits(bytes(record), fields[static_cast<std::size_t>(port)], lo, width, value);
      });
  return record;
}

DotRecords::Record DotRecords::beat(const models::Beat& beat) const {
  Record record = control(true, beat.first, beat.last);
  Record a = side(true, beat), b = side(false, beat);
  for (std::size_t w = 0; w < words_; ++w) record[w] |= a[w] | b[w];
  return record;
}

LockstepRun run_lockstep(const Model& model, const rtl_gen::UnitReport& unit,
                         const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                         const formats::QuantizedMatrix& b, std::span<const std::uint32_t> expected,
                         const std::string& name, const LockstepOptions& options) {
  models::check_operands(spec, a, b);
  if (!(options.bubbles >= 0 && options.bubbles < 1))
    throw ConfigError("bubbles = {}: must be in [0, 1)", options.bubbles);
  BLOCKDOT_CHECK(static_cast<std::int64_t>(expected.size()) == a.rows * b.rows);
  DotRecords records(model, spec);
  auto ranges = formats::beat_ranges(spec, a.length);
  SideRecords a_side(records, spec, true, a, ranges), b_side(records, spec, false, b, ranges);
  DotRecords::Record controls[2][2],
      idle[2] = {records.control(false, false, true), records.control(false, true, false)};
  for (bool first : {false, true})
    for (bool last : {false, true}) controls[first][last] = records.control(true, first, last);

  Scoreboard scoreboard(unit.latency);
  Feeder feeder(model, records, scoreboard);
  start(feeder, records, options.seed);
  std::mt19937_64 random(options.bubble_seed);
  auto limit = static_cast<std::uint64_t>(options.bubbles * 0x1p32);
  LockstepRun run;
  auto pause = [&](std::int64_t i, std::int64_t j, std::size_t t) {
    // The operands of a pause are those of the next beat, with its last bit and first bit wrong.
    feeder.push(idle[random() & 1].data(), a_side.at(i, t), b_side.at(j, t));
  };
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < b.rows; ++j)
      for (std::size_t t = 0; t < ranges.size(); ++t) {
        if (run.beats > 0)
          for (int wait = 1; wait < unit.interval; ++wait) pause(i, j, t);
        while (limit != 0 && run.beats > 0 && (random() & 0xFFFFFFFFu) < limit) {
          pause(i, j, t);
          ++run.idle;
        }
        bool last = t + 1 == ranges.size();
        if (last)
          scoreboard.expect(feeder.cycle(), expected[static_cast<std::size_t>(i * b.rows + j)]);
        feeder.push(controls[t == 0][last].data(), a_side.at(i, t), b_side.at(j, t));
        ++run.beats;
      }
  // Until the last result, and a little more: nothing else may come.
  DotRecords::Record quiet = records.idle();
  for (int i = 0; i < unit.latency + 8; ++i) feeder.push(quiet);
  feeder.flush();
  BLOCKDOT_CHECK(scoreboard.pending() == 0 && scoreboard.checked() == a.rows * b.rows);

  run.results = scoreboard.checked();
  run.handshakes = feeder.cycle();
  run.cycles = scoreboard.last_cycle() + 1;
  run.mismatches = scoreboard.mismatches();
  if (scoreboard.first())
    run.first_mismatch = explain(model, unit, spec, a, b, *scoreboard.first(), name, options.seed);
  return run;
}

}  // namespace blockdot::sim
