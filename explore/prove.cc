// The proof of a block dot is put together: the lanes are exhausted one by one in the unit itself,
// and its netlist is shown to add them (additivity.h). What lies behind the block dot (scales,
// accumulator, rounding) has too many states for either and is sampled in lock-step.
#include "explore/prove.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "explore/accumulator_proof.h"
#include "explore/additivity.h"
#include "explore/equivalence.h"
#include "explore/synth.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "models/gemm.h"
#include "models/golden.h"
#include "models/multi.h"
#include "rtl_gen/choose.h"
#include "sim/cosim/lockstep.h"
#include "sim/cosim/model.h"
#include "sim/cosim/testbench.h"
#include "sim/cosim/tool.h"

namespace blockdot::explore {
namespace {

using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementKind;

constexpr int kExhaustiveBits = 18;

rtl_gen::Unit block_dot(DesignPoint point, int lanes) {
  point.spec.lanes = lanes;
  point.arch.combinational = true;
  point.arch.clock_ns = 0;
  return rtl_gen::generate(rtl_gen::UnitKind::kBlockDot, point.spec, point.arch);
}

bool in_contract(const formats::ElementFormat& element, std::uint32_t code) {
  return element.kind != ElementKind::kInteger || !element.symmetric ||
         code != 1u << (element.width() - 1);
}

// Of a scale, of a block or of a second level: no part of the bare sum.
bool is_scale(std::string_view port) {
  return port.find("_scale_") != std::string_view::npos ||
         port.find("_outer_") != std::string_view::npos ||
         port.find("_mean_") != std::string_view::npos;
}

bool is_flag(std::string_view port) {
  return port == "nan_o" || port == "plus_inf_o" || port == "minus_inf_o";
}

std::vector<std::uint32_t> codes_of(const formats::ElementFormat& element) {
  std::vector<std::uint32_t> codes;
  for (std::uint32_t code = 0; code < 1u << element.width(); ++code)
    if (in_contract(element, code)) codes.push_back(code);
  return codes;
}

/// A combinational block dot, Verilated, driven record by record.
class BlockDotModel {
 public:
  BlockDotModel(const rtl_gen::Unit& unit, const DotSpec& spec)
      : spec_(spec),
        lsb_(unit.report.sum_lsb),
        model_(sim::Model::load(sim::model_source(unit))),
        instance_(model_),
        sum_(model_.output("sum_o")) {
    for (const rtl_gen::Port& port : unit.report.ports)
      if (port.name == "nan_o") nan_ = model_.output("nan_o");
  }

  /// A record with the zero code in every lane but one, whose bits are clear.
  std::vector<std::uint8_t> rest_but(int lane) const {
    std::vector<std::uint8_t> record(model_.input_bytes(), 0);
    if (needs_count(spec_)) {
      sim::ModelField count = model_.input("count_i");
      put_bits(record.data(), count, 0, count.width, static_cast<std::uint64_t>(spec_.lanes));
    }
    for (int other = 0; other < spec_.lanes; ++other) {
      if (other == lane) continue;
      element(record, "a", other, spec_.a, zero_code(spec_.a.element));
      element(record, "b", other, spec_.b, zero_code(spec_.b.element));
    }
    return record;
  }
  /// Adds bits to a record.
  void element(std::vector<std::uint8_t>& record, const char* side, int lane,
               const BlockFormat& format, std::uint32_t code) const {
    const int width = format.element.width();
    put(record, side, "_i", lane * width, width, code);
  }
  void micro(std::vector<std::uint8_t>& record, const char* side, int lane,
             const BlockFormat& format, std::uint32_t code) const {
    if (format.micro.bits > 0)
      put(record, side, "_micro_i", lane / format.micro.block * format.micro.bits,
          format.micro.bits, code);
  }

  void run(const std::vector<std::uint8_t>& inputs, std::int64_t count) {
    outputs_.resize(static_cast<size_t>(count) * model_.output_bytes());
    instance_.run(count, inputs.data(), outputs_.data());
  }
  /// sum_o of record i.
  models::Exact sum(std::int64_t i) const {
    const std::uint8_t* record = outputs_.data() + static_cast<size_t>(i) * model_.output_bytes();
    models::Exact::Integer value = 0;
    for (int lo = (sum_.width - 1) / 32 * 32; lo >= 0; lo -= 32)
      value = (value << 32) + sim::get_bits(record, sum_, lo, std::min(32, sum_.width - lo));
    models::Exact::Integer one = 1;
    if (value >> (sum_.width - 1) != 0) value -= one << sum_.width;
    return models::Exact(value, lsb_);
  }
  bool nan(std::int64_t i) const {
    return nan_ && outputs_[static_cast<size_t>(i) * model_.output_bytes() + nan_->offset] != 0;
  }

 private:
  void put(std::vector<std::uint8_t>& record, const char* side, const char* port, int lo, int width,
           std::uint32_t code) const {
    sim::ModelField field = model_.input(std::string(side) + port);
    sim::put_bits(record.data(), field, lo, width, code);
  }

  DotSpec spec_;
  int lsb_;
  sim::Model model_;
  sim::Model::Instance instance_;
  sim::ModelField sum_;
  std::optional<sim::ModelField> nan_;
  std::vector<std::uint8_t> outputs_;
};

/// A combinational unit of any kind, Verilated, driven by the values of its ports.
class Pins {
 public:
  explicit Pins(const rtl_gen::Unit& unit)
      : ports_(unit.report.ports),
        model_(sim::Model::load(sim::model_source(unit))),
        instance_(model_),
        in_(model_.input_bytes(), 0) {
    if (model_.has_input("rst_ni")) put("rst_ni", 0, 1, 1);
    if (model_.has_input("valid_i")) put("valid_i", 0, 1, 1);
  }
  /// Adds bits to a port that is clear there.
  void put(std::string_view port, int lo, int width, std::uint64_t value) {
    sim::put_bits(in_.data(), model_.input(port), lo, width, value);
  }
  void clear(std::string_view port) {
    const sim::ModelField field = model_.input(port);
    std::fill_n(in_.begin() + static_cast<std::ptrdiff_t>(field.offset), field.bytes,
                std::uint8_t{0});
  }
  void run() {
    out_.resize(model_.output_bytes());
    instance_.run(1, in_.data(), out_.data());
  }
  bool has_output(std::string_view port) const {
    return std::any_of(ports_.begin(), ports_.end(),
                       [&](const rtl_gen::Port& p) { return p.name == port; });
  }
  std::uint64_t get(std::string_view port, int lo, int width) const {
    return sim::get_bits(out_.data(), model_.output(port), lo, width);
  }
  models::Exact::Integer whole(std::string_view port) const {
    const sim::ModelField field = model_.output(port);
    models::Exact::Integer value = 0;
    for (int lo = (field.width - 1) / 32 * 32; lo >= 0; lo -= 32)
      value = (value << 32) + get(port, lo, std::min(32, field.width - lo));
    const models::Exact::Integer one = 1;
    if (value >> (field.width - 1) != 0) value -= one << field.width;
    return value;
  }

 private:
  std::vector<rtl_gen::Port> ports_;
  sim::Model model_;
  sim::Model::Instance instance_;
  std::vector<std::uint8_t> in_, out_;
};

class Prover {
 public:
  Prover(const DesignPoint& point, const ProveOptions& options)
      : point_(point), options_(options), spec_(design_spec(point)) {}

  std::vector<ProofStep> run() {
    design_ = rtl_gen::generate_design(spec_, point_.arch);
    step("lint", [&](ProofStep& s) { lint(s); });
    if (spec_.contract() != nullptr) {
      step("lanes", [&](ProofStep& s) { lanes(s); });
      step("sum", [&](ProofStep& s) { sum(s); });
    }
    switch (spec_.kind) {
      case rtl_gen::UnitKind::kDot:
        step("beats", [&](ProofStep& s) { beats(s); });
        break;
      case rtl_gen::UnitKind::kMulti:
      case rtl_gen::UnitKind::kFused:
        step("pairs", [&](ProofStep& s) { pairs(s); });
        if (!spec_.multi.addend && !spec_.multi.aligned())
          step("sum", [&](ProofStep& s) { sum_of_modes(s); });
        if (spec_.multi.accumulation && !spec_.multi.aligned()) {
          const MultiHalves halves = multi_halves(spec_.multi, point_.arch);
          step("split", [&](ProofStep& s) { split(halves, s); });
          if (has_register_step(*spec_.multi.accumulation, halves.accumulator))
            step("register", [&](ProofStep& s) { accumulator_register(halves, s); });
          step("accumulator", [&](ProofStep& s) { accumulator(halves, s); });
        }
        if (spec_.multi.aligned()) step("beats", [&](ProofStep& s) { beats_of_modes(s); });
        step("vectors", [&](ProofStep& s) { vectors(s); });
        break;
      case rtl_gen::UnitKind::kQuantizer:
        step("values", [&](ProofStep& s) { values(s); });
        step("vectors", [&](ProofStep& s) { vectors(s); });
        break;
      case rtl_gen::UnitKind::kBlockDot:
      case rtl_gen::UnitKind::kStream:
      case rtl_gen::UnitKind::kArray:
        step("vectors", [&](ProofStep& s) { vectors(s); });
        break;
    }
    if (options_.netlist) step("netlist", [&](ProofStep& s) { netlist(s); });
    return steps_;
  }

 private:
  /// Inputs that are held.
  using Fixed = std::map<std::string, int>;
  using OwnerOf = std::function<Owner(std::string_view port, int index)>;
  /// Which bits of the inputs a unit sees; the others are zero.
  using Sees = std::function<bool(std::string_view port, int index)>;

  void step(const char* what, const std::function<void(ProofStep&)>& body) {
    if (options_.progress) options_.progress(what);
    ProofStep s;
    s.what = what;
    auto start = std::chrono::steady_clock::now();
    body(s);
    s.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    steps_.push_back(s);
  }

  void lint(ProofStep& s) const {
    TemporaryFolder folder;
    s.how = "verilator -Wall and iverilog -Wall say nothing";
    s.verdict = Verdict::kProved;
    // Each file under its module's name, as Verilator asks.
    std::vector<std::string> verilator = {"verilator", "--lint-only", "-Wall", "--top-module",
                                          design_.report.top};
    std::vector<std::string> icarus = {"iverilog", "-Wall", "-g2005",          "-o",
                                       "unit.vvp", "-s",    design_.report.top};
    for (const rtl_gen::ModuleFile& file : design_.files) {
      write_file_atomic(folder.path() / file.file(), file.text);
      verilator.push_back(file.file());
      icarus.push_back(file.file());
    }
    for (const std::vector<std::string>& command : {verilator, icarus}) {
      sim::find_tool(command[0]);
      sim::ToolResult result = sim::run_tool(command, folder.path());
      if (result.status == 0 && result.output.empty()) continue;
      s.verdict = Verdict::kFailed;
      s.how = fmt::format("{}: {}", command[0], result.output.substr(0, result.output.find('\n')));
    }
  }

  // Lanes that share a second-level exponent come with it.
  int group() const {
    int a = point_.spec.a.micro.bits > 0 ? point_.spec.a.micro.block : 1;
    int b = point_.spec.b.micro.bits > 0 ? point_.spec.b.micro.block : 1;
    return std::max(1, std::lcm(a, b));
  }

  void lanes(ProofStep& s) const {
    const DotSpec& spec = point_.spec;
    rtl_gen::Unit unit = block_dot(point_, spec.lanes);
    BlockDotModel model(unit, spec);
    DotSpec one = spec;
    one.lanes = group();
    const int wa = spec.a.element.width(), wb = spec.b.element.width();
    const int ta = spec.a.micro.bits, tb = spec.b.micro.bits;
    const bool all = wa + wb + ta + tb <= kExhaustiveBits;

    // Pairs of a lane, with the second-level exponents of its group.
    struct Pair {
      std::uint32_t a, b;
      std::uint8_t ta, tb;
    };
    std::vector<Pair> pairs;
    if (all) {
      for (std::uint32_t a : codes_of(spec.a.element))
        for (std::uint32_t b : codes_of(spec.b.element))
          for (int i = 0; i < 1 << ta; ++i)
            for (int j = 0; j < 1 << tb; ++j)
              pairs.push_back({a, b, static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(j)});
    } else {
      std::mt19937_64 random(options_.seed);
      while (pairs.size() < 65536) {
        Pair p{static_cast<std::uint32_t>(random() >> (64 - wa)),
               static_cast<std::uint32_t>(random() >> (64 - wb)),
               static_cast<std::uint8_t>(ta > 0 ? random() >> (64 - ta) : 0),
               static_cast<std::uint8_t>(tb > 0 ? random() >> (64 - tb) : 0)};
        if (in_contract(spec.a.element, p.a) && in_contract(spec.b.element, p.b))
          pairs.push_back(p);
      }
    }
    models::BeatBuffer beat;
    beat.count = one.lanes;
    beat.a.assign(static_cast<size_t>(one.lanes), zero_code(spec.a.element));
    beat.b.assign(static_cast<size_t>(one.lanes), zero_code(spec.b.element));
    if (ta > 0) beat.a_micro.assign(static_cast<size_t>(one.lanes / spec.a.micro.block), 0);
    if (tb > 0) beat.b_micro.assign(static_cast<size_t>(one.lanes / spec.b.micro.block), 0);
    // What the lanes of the other groups add: 0, but for a code book without zero.
    models::Exact others;
    const models::Exact rest = models::golden_block_dot(one, beat.beat(true, true)).sum;
    for (int lane = one.lanes; lane < spec.lanes; lane += one.lanes) others += rest;
    std::vector<models::Exact> expected;
    std::vector<bool> expected_nan;
    for (const Pair& p : pairs) {
      beat.a[0] = p.a;
      beat.b[0] = p.b;
      if (ta > 0) beat.a_micro[0] = p.ta;
      if (tb > 0) beat.b_micro[0] = p.tb;
      models::BlockDot golden = models::golden_block_dot(one, beat.beat(true, true));
      expected.push_back(golden.sum + others);
      expected_nan.push_back(golden.nan);
    }
    std::vector<std::uint8_t> records;
    for (int lane = 0; lane < spec.lanes; ++lane) {
      records.clear();
      const std::vector<std::uint8_t> base = model.rest_but(lane);
      for (const Pair& p : pairs) {
        std::vector<std::uint8_t> record = base;
        model.element(record, "a", lane, spec.a, p.a);
        model.element(record, "b", lane, spec.b, p.b);
        model.micro(record, "a", lane, spec.a, p.ta);
        model.micro(record, "b", lane, spec.b, p.tb);
        records.insert(records.end(), record.begin(), record.end());
      }
      model.run(records, static_cast<std::int64_t>(pairs.size()));
      for (size_t i = 0; i < pairs.size(); ++i) {
        auto at = static_cast<std::int64_t>(i);
        ++s.cases;
        // Where a NaN or Inf takes part the sum may mean nothing; the flag must say so.
        const bool equal = expected_nan[i] || model.sum(at) == expected[i];
        if (equal && model.nan(at) == expected_nan[i]) continue;
        s.verdict = Verdict::kFailed;
        s.how = fmt::format("lane {}: a {:#x} b {:#x}: sum {}, golden {}", lane, pairs[i].a,
                            pairs[i].b, model.sum(at).text(), expected[i].text());
        return;
      }
    }
    s.verdict = all ? Verdict::kProved : Verdict::kSampled;
    s.how = fmt::format("{} of each of {} lanes, the others {}: Verilog equals the golden model",
                        all ? "every pair of codes" : "random pairs of codes", spec.lanes,
                        needs_count(spec) ? "at code 0, all lanes counted" : "zero");
  }

  // Whether the sum is the sum of its lanes: by rewriting what is emitted; where the last adder is
  // a tree of gates, by rewriting the same sum with a `+` there, to which ABC compares it; where
  // that fails too, by ABC alone, as many lanes as its time allows.
  void sum(ProofStep& s) const {
    const DotSpec& spec = point_.spec;
    if (spec.lanes == group()) {
      s.verdict = Verdict::kProved;
      s.how = "there is one group of lanes: nothing is added";
      return;
    }
    const auto owner = [&](std::string_view port, int index) -> Owner {
      const auto of_side = [&](const char* side, const BlockFormat& format, std::size_t place) {
        Owner result = {kNone, kNone, kNone};
        if (port == std::string(side) + "_i") {
          const int lane = index / format.element.width();
          result[0] = lane;
          if (spec.a.micro.bits > 0) result[1] = lane / spec.a.micro.block;
          if (spec.b.micro.bits > 0) result[2] = lane / spec.b.micro.block;
        } else if (port == std::string(side) + "_micro_i") {
          result[place] = index / format.micro.bits;
        }
        return result;
      };
      return port[0] == 'a' ? of_side("a", spec.a, 1) : of_side("b", spec.b, 2);
    };
    const rtl_gen::Unit unit = block_dot(point_, spec.lanes);
    if (rewritten(unit, {}, owner, s)) return;
    DesignPoint plain = point_;
    plain.arch.structure =
        rtl_gen::choose(spec, point_.arch.technology, point_.arch.structure).structure;
    if (plain.arch.structure.adder != rtl_gen::Adder::kPlus) {
      plain.arch.structure.adder = rtl_gen::Adder::kPlus;
      if (rewritten_beside(unit, block_dot(plain, spec.lanes), {}, owner, s)) return;
    }
    searched(s);
  }

  // Without what only an accumulator has.
  rtl_gen::Arch bare_arch() const {
    rtl_gen::Arch arch = point_.arch;
    arch.combinational = true;
    arch.clock_ns = 0;
    arch.structure.segment = rtl_gen::kAutoSegment;
    arch.structure.rounding = rtl_gen::SrPlace::kAuto;
    return arch;
  }

  // A multi unit that has no sum before its accumulator.
  bool feeds_sums() const { return spec_.multi.accumulation && !spec_.multi.aligned(); }

  // The bare multi unit, or what an accumulator is fed with; of an aligned one the whole unit.
  rtl_gen::Unit beat_unit(const rtl_gen::Arch& arch) const {
    return feeds_sums() ? rtl_gen::generate_multi_beat(spec_.multi, arch, "unit")
                        : rtl_gen::generate(spec_.multi, arch);
  }
  std::string_view of_sum() const {
    return feeds_sums() ? "what a beat feeds the accumulator with: " : "";
  }

  void split(const MultiHalves& halves, ProofStep& s) const {
    for (std::size_t mode = 0; mode < spec_.multi.modes.size(); ++mode) {
      const Answer answer = splits(halves, static_cast<int>(mode), options_.solver_seconds);
      if (answer == Answer::kEqual) continue;
      s.verdict = answer == Answer::kDifferent ? Verdict::kFailed : Verdict::kOpen;
      s.how = answer == Answer::kDifferent
                  ? fmt::format(
                        "mode {}: the unit is not its sum and an accumulator of it: ABC has "
                        "a counterexample",
                        mode)
                  : fmt::format("mode {}: undecided in {} s (--solver-seconds)", mode,
                                options_.solver_seconds);
      return;
    }
    s.verdict = Verdict::kProved;
    s.how = fmt::format(
        "in each of {} modes the unit, combinational, is that beat and an accumulator behind it: "
        "outputs and next registers for all inputs and all that registers hold (ABC cec)",
        spec_.multi.modes.size());
  }

  void accumulator_register(const MultiHalves& halves, ProofStep& s) const {
    switch (register_step(halves.accumulator, spec_.multi, options_.solver_seconds)) {
      case Answer::kEqual:
        s.verdict = Verdict::kProved;
        s.how =
            "for every word and every sum that a beat can give the accumulator takes word + sum, "
            "or the sum on a first beat, as the contract has it (ABC cec)";
        break;
      case Answer::kDifferent:
        s.verdict = Verdict::kFailed;
        s.how = "the accumulator does not take word + sum: ABC has a counterexample";
        break;
      case Answer::kOpen:
        s.how = fmt::format("undecided in {} s (--solver-seconds)", options_.solver_seconds);
        break;
    }
  }

  // `what` ran; a verdict on it.
  static void sampled(std::string_view what, const AccumulatorRun& run, ProofStep& s) {
    const bool equal = run.difference.empty();
    s.cases = run.beats;
    s.verdict = equal ? Verdict::kSampled : Verdict::kFailed;
    s.how = equal ? fmt::format("{}: {} results equal the golden model's", what, run.results)
                  : run.difference;
  }

  void accumulator(const MultiHalves& halves, ProofStep& s) const {
    sampled("the accumulator alone, given random, cancelling and extreme sums and flags",
            run_accumulator(halves.accumulator, spec_.multi, options_.beats, options_.seed), s);
  }

  // Of an aligned accumulator, which no sum stands before: the whole unit.
  void beats_of_modes(ProofStep& s) const {
    sampled("the unit with its pipeline, given random and cancelling codes in every mode",
            run_beats(rtl_gen::generate(spec_.multi, point_.arch), spec_.multi, options_.beats,
                      options_.seed),
            s);
  }

  // The same of a multi unit, mode by mode. A bit that a mode does not use may have no influence.
  // Where terms of a lane share a multiplier, lanes are rewritten and ABC adds the terms of each.
  void sum_of_modes(ProofStep& s) const {
    const formats::MultiSpec& spec = spec_.multi;
    rtl_gen::Arch arch = bare_arch();
    arch.structure = rtl_gen::choose(spec, arch.technology, arch.structure).structure;
    const rtl_gen::Unit unit = beat_unit(arch);
    arch.structure.adder = rtl_gen::Adder::kPlus;
    const rtl_gen::Unit plain = beat_unit(arch);
    for (std::size_t mode = 0; mode < spec.modes.size(); ++mode) {
      const formats::ModeFormats& m = spec.modes[mode];
      const int terms = spec.terms(m);
      const auto lane_of = [&](std::string_view port, int index) {
        return index / (port == "a_i" ? spec.slot_a() : spec.slot_b());
      };
      // Of its lane; past the last for the bits that the mode does not use.
      const auto term_of = [&](std::string_view port, int index) {
        const bool a = port == "a_i";
        return index % (a ? spec.slot_a() : spec.slot_b()) / (a ? m.a : m.b).width();
      };
      const auto of_term = [&](std::string_view port, int index) -> Owner {
        if (port != "a_i" && port != "b_i") return {kNone, kNone, kNone};
        const int term = term_of(port, index);
        return {term < terms ? lane_of(port, index) * terms + term : kMany, kNone, kNone};
      };
      const auto of_lane = [&](std::string_view port, int index) -> Owner {
        if (port != "a_i" && port != "b_i") return {kNone, kNone, kNone};
        return {lane_of(port, index), kNone, kNone};
      };
      const Fixed fixed = {{"mode_i", static_cast<int>(mode)}};
      const auto falls_apart = [&](const OwnerOf& owner) {
        return rewritten(unit, fixed, owner, s) ||
               (unit.verilog != plain.verilog && rewritten_beside(unit, plain, fixed, owner, s));
      };
      if (falls_apart(of_term)) continue;
      Answer answer = falls_apart(of_lane) ? Answer::kEqual : Answer::kOpen;
      for (int lane = 0; lane < spec.lanes && answer == Answer::kEqual; ++lane) {
        std::vector<Sees> parts;
        for (int term = 0; term < terms; ++term)
          parts.emplace_back([&, lane, term](std::string_view port, int index) {
            return lane_of(port, index) == lane && term_of(port, index) == term;
          });
        answer = parts_add(
            unit, fixed,
            [&](std::string_view port, int index) { return lane_of(port, index) == lane; }, parts,
            options_.solver_seconds);
      }
      if (answer == Answer::kEqual) {
        s.how += fmt::format("; its {} terms add (ABC cec)", terms);
        continue;
      }
      if (answer == Answer::kDifferent) s.verdict = Verdict::kFailed;
      if (s.verdict == Verdict::kFailed) {
        s.how = fmt::format("mode {}: its terms do not add: ABC has a counterexample", mode);
        return;
      }
      s.verdict = Verdict::kOpen;
      s.how = fmt::format("mode {}: undecided in {} s (--solver-seconds)", mode,
                          options_.solver_seconds);
      return;
    }
    s.how = fmt::format("{}in each of {} modes {}", of_sum(), spec.modes.size(), s.how);
  }

  // Module `held`: the unit, flat and of word-level cells, some of its inputs held.
  static void write_held(const TemporaryFolder& folder, const rtl_gen::Unit& unit,
                         const Fixed& fixed) {
    std::string ports, pins;
    for (const rtl_gen::Port& port : unit.report.ports) {
      const auto held = fixed.find(port.name);
      if (held != fixed.end()) {
        pins += fmt::format("{}.{}({}'d{})", pins.empty() ? "" : ", ", port.name, port.width,
                            held->second);
        continue;
      }
      ports += fmt::format("{}{} [{}:0] {}", ports.empty() ? "" : ", ",
                           port.is_input ? "input" : "output", port.width - 1, port.name);
      pins += fmt::format("{0}.{1}({1})", pins.empty() ? "" : ", ", port.name);
    }
    write_file_atomic(folder.path() / "unit.v", unit.verilog);
    write_file_atomic(folder.path() / "cells.v", rtl_gen::kCellModels);
    write_file_atomic(
        folder.path() / "held.v",
        fmt::format("module held ({});\n  {} u ({});\nendmodule\n", ports, unit.report.top, pins));
  }
  static constexpr const char* kReadHeld =
      "read_verilog unit.v cells.v held.v; hierarchy -check -top held; proc; flatten; ";

  // Whether every output that is not of the scales falls apart into lanes. Fills `s` where it does.
  static bool rewritten(const rtl_gen::Unit& unit, const Fixed& fixed, const OwnerOf& owner,
                        ProofStep& s) {
    TemporaryFolder folder;
    write_held(folder, unit, fixed);
    sim::require_tool(
        {"yosys", "-q", "-p",
         std::string(kReadHeld) + "opt_expr; opt_merge; opt_clean; write_json held.json"},
        folder.path());
    const nlohmann::json netlist = nlohmann::json::parse(read_file(folder.path() / "held.json"));
    const nlohmann::json& module = netlist.at("modules").at("held");
    // Scales are no part of the sum: if it depends on one, that is of no lane.
    const LaneProof::Result sum =
        LaneProof(module, [&](std::string_view port, int index) {
          return is_scale(port) ? Owner{kMany, kMany, kMany} : owner(port, index);
        }).adds("sum_o");
    if (!sum.proved) return false;
    bool flag = false;
    for (const rtl_gen::Port& port : unit.report.ports) {
      if (!is_flag(port.name)) continue;
      flag = true;
      if (!LaneProof(module, owner).ors(port.name).proved) return false;
    }
    s.verdict = Verdict::kProved;
    s.how = fmt::format(
        "the sum of all lanes is that of each lane alone, for all inputs{}: {} adders and gates "
        "rewritten to {} bits of one lane each",
        flag ? ", and a flag (NaN, Inf) the OR of theirs" : "", sum.rewritten, sum.left);
    return true;
  }

  // The same by way of `plain`, a unit of the same ports. False too where ABC finds a difference,
  // which is said in `s`.
  bool rewritten_beside(const rtl_gen::Unit& unit, const rtl_gen::Unit& plain, const Fixed& fixed,
                        const OwnerOf& owner, ProofStep& s) const {
    ProofStep of_plain;
    if (!rewritten(plain, fixed, owner, of_plain)) return false;
    TemporaryFolder left, right;
    write_held(left, unit, fixed);
    write_held(right, plain, fixed);
    for (const TemporaryFolder* side : {&left, &right})
      sim::require_tool(
          {"yosys", "-q", "-p", std::string(kReadHeld) + kToGates + "write_aiger held.aig"},
          side->path());
    const Answer answer =
        equivalent(left.path() / "held.aig", right.path() / "held.aig", options_.solver_seconds);
    if (answer == Answer::kOpen) return false;
    s.verdict = answer == Answer::kEqual ? Verdict::kProved : Verdict::kFailed;
    s.how = answer == Answer::kEqual ? of_plain.how + "; its last adder is a + (ABC cec)"
                                     : "its last adder is no +: ABC has a counterexample";
    return answer == Answer::kEqual;
  }

  // Module `left`, a unit that sees `whole`, and module `right`, the sum of units that see a part
  // each, its flag the OR of theirs. Scales are zero.
  static std::string miter(const rtl_gen::UnitReport& report, const Fixed& fixed, const Sees& whole,
                           const std::vector<Sees>& parts) {
    std::string ports, outputs = fmt::format("output [{}:0] sum_o", report.sum_width - 1);
    std::vector<std::string> flags;
    for (const rtl_gen::Port& port : report.ports) {
      if (port.is_input && !fixed.contains(port.name))
        ports += fmt::format("input [{}:0] {}, ", port.width - 1, port.name);
      if (is_flag(port.name)) flags.push_back(port.name);
    }
    for (const std::string& flag : flags) outputs += ", output " + flag;
    const auto unit = [&](const std::string& name, const Sees& sees, const std::string& suffix) {
      std::string pins;
      for (const rtl_gen::Port& port : report.ports) {
        if (!port.is_input) continue;
        const auto held = fixed.find(port.name);
        std::string value =
            fmt::format("{}'d{}", port.width, held == fixed.end() ? 0 : held->second);
        if (held == fixed.end() && !is_scale(port.name)) {
          std::string mask;
          for (int i = port.width; i-- > 0;) mask += sees(port.name, i) ? '1' : '0';
          value = fmt::format("{} & {}'b{}", port.name, port.width, mask);
        }
        pins += fmt::format(".{}({}), ", port.name, value);
      }
      std::string wires;
      for (const std::string& flag : flags) {
        pins += fmt::format(".{0}({0}_{1}), ", flag, suffix);
        wires += fmt::format("  wire {}_{};\n", flag, suffix);
      }
      return fmt::format("  wire [{0}:0] sum_{1};\n{4}  {2} u_{1} ({3}.sum_o(sum_{1}));\n",
                         report.sum_width - 1, suffix, name, pins, wires);
    };
    std::string units;
    std::vector<std::string> suffixes;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      units += unit(report.top, parts[i], std::to_string(i));
      suffixes.push_back(std::to_string(i));
    }
    const auto module = [&](const char* name, const std::string& body,
                            const std::vector<std::string>& of) {
      const auto all = [&](const std::string& signal, const char* between) {
        std::string text;
        for (const std::string& suffix : of)
          text += fmt::format("{}{}_{}", text.empty() ? "" : between, signal, suffix);
        return text;
      };
      std::string assigns = fmt::format("  assign sum_o = {};\n", all("sum", " + "));
      for (const std::string& flag : flags)
        assigns += fmt::format("  assign {} = {};\n", flag, all(flag, " | "));
      return fmt::format("module {} ({}{});\n{}{}endmodule\n", name, ports, outputs, body, assigns);
    };
    return module("left", unit(report.top, whole, "all"), {"all"}) +
           module("right", units, suffixes);
  }

  static Answer parts_add(const rtl_gen::Unit& unit, const Fixed& fixed, const Sees& whole,
                          const std::vector<Sees>& parts, int seconds) {
    TemporaryFolder folder;
    write_file_atomic(folder.path() / "unit.v", unit.verilog);
    write_file_atomic(folder.path() / "cells.v", rtl_gen::kCellModels);
    write_file_atomic(folder.path() / "miter.v", miter(unit.report, fixed, whole, parts));
    for (const char* side : {"left", "right"})
      sim::require_tool(
          {"yosys", "-q", "-p",
           fmt::format("read_verilog unit.v cells.v miter.v; hierarchy -check -top {0}; proc; "
                       "flatten; {1}write_aiger {0}.aig",
                       side, kToGates)},
          folder.path());
    return equivalent(folder.path() / "left.aig", folder.path() / "right.aig", seconds);
  }

  // Whether the block dot of so many groups of lanes is the sum of its lanes.
  Answer adds(int groups, int seconds) const {
    const rtl_gen::Unit unit = block_dot(point_, groups * group());
    std::map<std::string, int, std::less<>> widths;
    for (const rtl_gen::Port& port : unit.report.ports) widths[port.name] = port.width;
    std::vector<Sees> parts;
    for (int g = 0; g < groups; ++g)
      parts.emplace_back([&widths, groups, g](std::string_view port, int index) {
        return index / (widths.find(port)->second / groups) == g;
      });
    return parts_add(
        unit, {}, [](std::string_view, int) { return true; }, parts, seconds);
  }

  // Twice as many lanes as proved, as long as the solver's time lasts: trees of carry-save adders
  // and chains of `+` have few signals in common, so each doubling costs some tenfold.
  void searched(ProofStep& s) const {
    if (zero_code(point_.spec.a.element) != 0 || zero_code(point_.spec.b.element) != 0) {
      s.how = "code 0 is no zero in one of the formats: no lane at rest to compare with";
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    const int most = point_.spec.lanes / group();
    int proved = 1;
    while (proved < most) {
      const int next = std::min(2 * proved, most);
      const double spent =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const int left = options_.solver_seconds - static_cast<int>(spent);
      const Answer answer = left < 1 ? Answer::kOpen : adds(next, left);
      if (answer == Answer::kDifferent) {
        s.verdict = Verdict::kFailed;
        s.how = fmt::format(
            "the block dot of {} lanes is not the sum of its lanes: ABC has a counterexample",
            next * group());
        return;
      }
      if (answer == Answer::kOpen) break;
      proved = next;
    }
    if (proved == most) {
      s.verdict = Verdict::kProved;
      s.how = fmt::format(
          "the block dot of all {} lanes is the sum of its lanes for all inputs (ABC cec)",
          most * group());
      return;
    }
    s.how = fmt::format("{}the sum of {} lanes: undecided in {} s (--solver-seconds)",
                        proved > 1 ? fmt::format("the sum of {} lanes is proved for all inputs "
                                                 "(ABC cec), ",
                                                 proved * group())
                                   : "",
                        std::min(2 * proved, most) * group(), options_.solver_seconds);
  }

  // Every pair of codes in every place of every mode, all others zero, as a combinational unit; of
  // a fused unit with the addend zero, of an aligned accumulator as a result of one beat.
  void pairs(ProofStep& s) const {
    const formats::MultiSpec& spec = spec_.multi;
    if (spec.rounding.stochastic() ||
        (spec_.multi.aligned() &&
         formats::drawn_rounding(*spec.accumulation, false).stochastic())) {
      s.how = "random bits: left to the vectors";
      return;
    }
    const rtl_gen::Unit unit = beat_unit(bare_arch());
    Pins pins(unit);
    std::optional<models::GoldenMulti> result;
    if (spec_.multi.aligned()) {
      result.emplace(spec);
      for (const char* port : {"first_i", "last_i"}) pins.put(port, 0, 1, 1);
    }
    for (std::size_t mode = 0; mode < spec.modes.size(); ++mode) {
      const formats::ModeFormats& m = spec.modes[mode];
      const int terms = spec.terms(m);
      if (spec.mode_bits() > 0) {
        pins.clear("mode_i");
        pins.put("mode_i", 0, spec.mode_bits(), mode);
      }
      std::vector<std::uint32_t> a(static_cast<std::size_t>(spec.lanes * terms), 0), b = a;
      for (int place = 0; place < spec.lanes * terms; ++place) {
        const auto at = static_cast<std::size_t>(place);
        const int lane = place / terms, term = place % terms;
        for (a[at] = 0; a[at] < 1u << m.a.width(); ++a[at])
          for (b[at] = 0; b[at] < 1u << m.b.width(); ++b[at]) {
            for (const char* port : {"a_i", "b_i"}) pins.clear(port);
            pins.put("a_i", lane * spec.slot_a() + term * m.a.width(), m.a.width(), a[at]);
            pins.put("b_i", lane * spec.slot_b() + term * m.b.width(), m.b.width(), b[at]);
            pins.run();
            ++s.cases;
            bool equal = false;
            const int code = static_cast<int>(mode);
            if (spec.addend) {
              equal = pins.get("result_o", 0, spec.addend->width()) ==
                      models::golden_fused(spec, code, a, b, 0);
            } else if (result) {
              equal = pins.get("result_o", 0, spec.accumulation->output.width()) ==
                      result->step(code, a, b, true, true);
            } else {
              const models::MultiSum golden = models::golden_multi(spec, code, a, b);
              const auto flag = [&](const char* port) {
                return pins.has_output(port) && pins.get(port, 0, 1) != 0;
              };
              const bool nan = flag("nan_o");
              const models::Exact sum(pins.whole("sum_o"), unit.report.sum_lsb);
              if (spec.accumulation) {
                // Beside a fixed-point accumulator an Inf makes the sum mean nothing.
                const bool inf = golden.flags.plus_inf || golden.flags.minus_inf;
                equal =
                    nan == golden.flags.nan &&
                    (nan ||
                     (flag("plus_inf_o") == golden.flags.plus_inf &&
                      flag("minus_inf_o") == golden.flags.minus_inf &&
                      (sum == golden.sum || (inf && !spec.accumulation->accumulator.is_float()))));
              } else {
                equal = nan == golden.special && (nan || sum == golden.sum);
              }
            }
            if (equal) continue;
            s.verdict = Verdict::kFailed;
            s.how = fmt::format(
                "mode {} lane {} term {}: a {:#x} b {:#x} is not what the golden "
                "model says",
                mode, lane, term, a[at], b[at]);
            return;
          }
        a[at] = b[at] = 0;
      }
    }
    s.verdict = Verdict::kProved;
    s.how = fmt::format(
        "{}every pair of codes in each lane and mode, the others zero{}: Verilog "
        "equals the golden model",
        of_sum(),
        spec.addend             ? ", the addend zero"
        : spec_.multi.aligned() ? ", as a result of one beat"
                                : "");
  }

  // A block of one value, the others zero: every bfloat16 there is, in the first lane.
  void values(ProofStep& s) const {
    const rtl_gen::QuantizerSpec& spec = spec_.quantizer;
    const formats::BlockFormat& f = spec.format;
    if (beats_of(spec) > 1 || f.has_outer() || f.tile_rows > 1 || spec.rounding.stochastic() ||
        (f.block == 0 && f.has_scale())) {
      s.how = "blocks of several beats, scales on a port and random bits: left to the vectors";
      return;
    }
    rtl_gen::Arch arch = point_.arch;
    arch.combinational = true;
    arch.clock_ns = 0;
    Pins pins(generate_quantizer(spec, arch));
    const int w = spec.input.width();
    const int length = row_of(spec);
    std::vector<float> x(static_cast<std::size_t>(length), 0.0f);
    formats::QuantizeOptions options;
    options.scale_rule = spec.rule;
    options.rounding = spec.rounding;
    for (std::uint32_t code = 0; code < 1u << 16; ++code) {
      x[0] = std::bit_cast<float>(code << 16);
      pins.clear("x_i");
      pins.put("x_i", 0, w, w == 16 ? code : code << 16);
      pins.run();
      ++s.cases;
      const formats::QuantizedMatrix wanted =
          formats::quantize_by_definition(f, formats::row_major(x.data(), 1, length), options);
      bool equal = f.block == 0 || pins.get("scale_o", 0, f.scale.width()) == wanted.scale(0, 0);
      for (int j = 0; j < length; ++j)
        equal = equal && pins.get("elements_o", j * f.element.width(), f.element.width()) ==
                             wanted.code(0, j);
      if (equal) continue;
      s.verdict = Verdict::kFailed;
      s.how = fmt::format("value {:a} alone in a block is not what formats says", x[0]);
      return;
    }
    s.verdict = Verdict::kProved;
    s.how = "every bfloat16 value alone in a block: Verilog equals the definition in formats";
  }

  // The testbench that ships with the design.
  void vectors(ProofStep& s) const {
    const int results = static_cast<int>(std::min<std::int64_t>(options_.beats, 2000));
    const sim::Testbench testbench = sim::make_testbench(design_, results, options_.seed);
    TemporaryFolder folder;
    sim::write_testbench(folder.path(), testbench);
    std::vector<std::string> compile = {"iverilog", "-g2005", "-o", "unit_tb", "unit_tb.v"};
    for (const rtl_gen::ModuleFile& file : design_.files) {
      write_file_atomic(folder.path() / file.file(), file.text);
      compile.push_back(file.file());
    }
    sim::require_tool(compile, folder.path());
    const sim::ToolResult run = sim::run_tool({"vvp", "unit_tb"}, folder.path());
    s.cases = testbench.checks;
    if (run.output.find(fmt::format("PASS {}", testbench.checks)) == std::string::npos) {
      s.verdict = Verdict::kFailed;
      s.how = run.output.substr(0, run.output.find('\n'));
      return;
    }
    const bool borders =
        spec_.kind == rtl_gen::UnitKind::kStream || spec_.kind == rtl_gen::UnitKind::kArray;
    s.verdict = Verdict::kSampled;
    s.how = fmt::format("random beats in Icarus give the expected results {}",
                        borders ? "in the stated number of cycles, and with stalls on either side"
                                : "in the cycles that the latency says");
  }

  // Random operands as a trace would bring them, and the extremes that one does not.
  void beats(ProofStep& s) const {
    const DotSpec& spec = point_.spec;
    sim::Model model = sim::Model::load(sim::model_source(dot_unit()));
    std::mt19937_64 random(options_.seed);
    std::normal_distribution<float> normal;
    int round = 0;
    while (s.cases < options_.beats) {
      const std::int64_t m = 24, n = 24;
      std::int64_t k = std::min<std::int64_t>(1 + static_cast<std::int64_t>(random() % 512),
                                              std::max<std::int64_t>(1, spec.max_k / 2));
      auto matrix = [&](std::int64_t rows) {
        std::vector<float> x(static_cast<size_t>(rows * k));
        for (float& v : x) {
          v = normal(random);
          switch (round % 4) {
            case 1:  // every magnitude
              v = std::ldexp(v, static_cast<int>(random() % 240) - 120);
              break;
            case 2:  // sums that cancel
              v = random() % 2 == 0 ? 1.0f : -1.0f;
              break;
            case 3:
              if (random() % 4096 == 0) v = random() % 2 == 0 ? HUGE_VALF : NAN;
              break;
            default:
              break;
          }
        }
        return x;
      };
      std::vector<float> x = matrix(m), y = matrix(n);
      auto a = formats::quantize(spec.a, formats::row_major(x.data(), m, k));
      auto b = formats::quantize(spec.b, formats::row_major(y.data(), n, k));
      const std::uint64_t seed = start_state(spec.lfsr, random() | 1);
      models::GemmResult golden = models::gemm(spec, a, b, {.seed = seed});
      sim::LockstepOptions lockstep;
      lockstep.seed = seed;
      lockstep.bubbles = round % 2 == 0 ? 0.0 : 0.2;
      lockstep.bubble_seed = random();
      sim::LockstepRun run = sim::run_lockstep(model, dot_unit().report, spec, a, b, golden.codes,
                                               fmt::format("sample {}", round), lockstep);
      s.cases += run.beats;
      ++round;
      if (run.mismatches == 0) continue;
      s.verdict = Verdict::kFailed;
      s.how = run.first_mismatch;
      return;
    }
    s.verdict = Verdict::kSampled;
    s.how = fmt::format(
        "the unit in lock-step with the exact GEMM, values and cycles: {} products of random, "
        "wide-ranged, cancelling and special operands",
        round);
  }

  void netlist(ProofStep& s) const {
    NetlistRun run = simulate_netlist(design_, 256, options_.seed);
    s.cases = run.vectors;
    s.verdict = run.passed ? Verdict::kSampled : Verdict::kFailed;
    s.how = run.passed ? fmt::format("{} cells of OSU 0.18 um in Icarus give the golden results",
                                     run.cells)
                       : run.message;
  }

  const rtl_gen::Unit& dot_unit() const { return std::get<rtl_gen::Unit>(design_.made); }

  const DesignPoint& point_;
  const ProveOptions& options_;
  rtl_gen::DesignSpec spec_;
  rtl_gen::Design design_;
  std::vector<ProofStep> steps_;
};

}  // namespace

std::string_view to_text(Verdict verdict) {
  switch (verdict) {
    case Verdict::kProved:
      return "proved";
    case Verdict::kSampled:
      return "sampled";
    case Verdict::kOpen:
      return "open";
    case Verdict::kFailed:
      return "FAILED";
  }
  return "?";
}

std::vector<ProofStep> prove(const DesignPoint& point, const ProveOptions& options) {
  return Prover(point, options).run();
}

}  // namespace blockdot::explore
