// The proof of a block dot is put together: the lanes are exhausted one by one in the unit itself,
// and its netlist is shown to add them (additivity.h): a constant and a function of what each lane
// sees, its codes and the exponents of its groups. The golden model is such a sum too, and so is
// the difference of both; it is zero wherever all but one lane and its exponents are zero, and
// therefore everywhere. What lies behind the block dot (scales,
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
constexpr std::int64_t kMostCounted = 1 << 24;  // cases of lanes under every count
// Unless asked for more: beats of a Verilated unit, results of one in Icarus, which is some hundred
// times slower. So many of Icarus are one run, whose vectors lie in memory.
constexpr std::int64_t kVerilatedBeats = 200'000, kIcarusResults = 2000;

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

  /// A record with the zero code in every lane but one, whose bits are clear; `counted` lanes
  /// count.
  std::vector<std::uint8_t> rest_but(int lane, int counted) const {
    std::vector<std::uint8_t> record(model_.input_bytes(), 0);
    if (needs_count(spec_)) {
      sim::ModelField count = model_.input("count_i");
      put_bits(record.data(), count, 0, count.width, static_cast<std::uint64_t>(counted));
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
    for (rtl_gen::ModuleFile& file : design_.files) alter(file.text);
    if (auto* unit = std::get_if<rtl_gen::Unit>(&design_.made)) alter(unit->verilog);
    const std::vector<Step> plan = steps();
    std::vector<ProofStep> shown;
    for (const Step& step : plan) {
      report_ = [&, before = static_cast<double>(shown.size())](double share) {
        if (options_.progress)
          options_.progress(step.what, (before + share) / static_cast<double>(plan.size()));
      };
      report_(0);
      ProofStep s;
      s.what = step.what;
      const auto start = std::chrono::steady_clock::now();
      (this->*step.show)(s);
      s.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      shown.push_back(s);
    }
    return shown;
  }

 private:
  struct Step {
    const char* what;
    void (Prover::*show)(ProofStep& s) const;
  };
  /// Inputs that are held.
  using Fixed = std::map<std::string, int>;
  using OwnerOf = std::function<Owner(std::string_view port, int index)>;
  /// Which bits of the inputs a unit sees; the others are zero.
  using Sees = std::function<bool(std::string_view port, int index)>;

  std::vector<Step> steps() {
    std::vector<Step> plan = {{"lint", &Prover::lint}};
    if (spec_.contract() != nullptr) {
      plan.push_back({"lanes", &Prover::lanes});
      plan.push_back({"sum", &Prover::sum});
    }
    switch (spec_.kind) {
      case rtl_gen::UnitKind::kDot:
        plan.push_back({"beats", &Prover::beats});
        break;
      case rtl_gen::UnitKind::kMulti:
      case rtl_gen::UnitKind::kFused:
        plan.push_back({"pairs", &Prover::pairs});
        if (!spec_.multi.addend && !spec_.multi.aligned())
          plan.push_back({"sum", &Prover::sum_of_modes});
        if (feeds_sums()) {
          halves_ = multi_halves(spec_.multi, point_.arch);
          for (rtl_gen::Unit* unit : {&halves_.whole, &halves_.beat, &halves_.accumulator})
            alter(unit->verilog);
          plan.push_back({"split", &Prover::split});
          if (has_register_step(*spec_.multi.accumulation, halves_.accumulator))
            plan.push_back({"register", &Prover::accumulator_register});
          plan.push_back({"accumulator", &Prover::accumulator});
        }
        if (spec_.multi.aligned()) plan.push_back({"beats", &Prover::beats_of_modes});
        plan.push_back({"vectors", &Prover::vectors});
        break;
      case rtl_gen::UnitKind::kQuantizer:
        plan.push_back({"values", &Prover::values});
        plan.push_back({"vectors", &Prover::vectors});
        break;
      case rtl_gen::UnitKind::kBlockDot:
      case rtl_gen::UnitKind::kStream:
      case rtl_gen::UnitKind::kArray:
        plan.push_back({"vectors", &Prover::vectors});
        break;
    }
    if (options_.netlist) plan.push_back({"netlist", &Prover::netlist});
    return plan;
  }

  void alter(std::string& verilog) const {
    if (options_.alter) options_.alter(verilog);
  }
  rtl_gen::Unit altered(rtl_gen::Unit unit) const {
    alter(unit.verilog);
    return unit;
  }

  rtl_gen::Arch combinational() const {
    rtl_gen::Arch arch = point_.arch;
    arch.combinational = true;
    arch.clock_ns = 0;
    return arch;
  }
  rtl_gen::Unit block_dot(const rtl_gen::Arch& arch, int lanes) const {
    DotSpec spec = point_.spec;
    spec.lanes = lanes;
    return altered(rtl_gen::generate(rtl_gen::UnitKind::kBlockDot, spec, arch));
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
    BlockDotModel model(block_dot(combinational(), spec.lanes), spec);
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
    const models::Exact rest = models::golden_block_dot(one, beat.beat(true, true)).sum;
    std::vector<models::BlockDot> alone;
    for (const Pair& p : pairs) {
      beat.a[0] = p.a;
      beat.b[0] = p.b;
      if (ta > 0) beat.a_micro[0] = p.ta;
      if (tb > 0) beat.b_micro[0] = p.tb;
      alone.push_back(models::golden_block_dot(one, beat.beat(true, true)));
    }
    // Every number of lanes that count, or all of them.
    const bool counted = needs_count(spec);
    const bool every_count =
        one.lanes == 1 &&
        static_cast<std::int64_t>(pairs.size()) * spec.lanes * spec.lanes <= kMostCounted;
    std::vector<std::uint8_t> records;
    for (int lane = 0; lane < spec.lanes; ++lane)
      for (int count = counted && every_count ? 1 : spec.lanes; count <= spec.lanes; ++count) {
        report_(static_cast<double>(lane) / spec.lanes);
        records.clear();
        const std::vector<std::uint8_t> base = model.rest_but(lane, count);
        for (const Pair& p : pairs) {
          std::vector<std::uint8_t> record = base;
          model.element(record, "a", lane, spec.a, p.a);
          model.element(record, "b", lane, spec.b, p.b);
          model.micro(record, "a", lane, spec.a, p.ta);
          model.micro(record, "b", lane, spec.b, p.tb);
          records.insert(records.end(), record.begin(), record.end());
        }
        model.run(records, static_cast<std::int64_t>(pairs.size()));
        // What the others add: 0, but for a code book without zero.
        const bool counts = lane < count;
        models::Exact others;
        for (int other = counts ? one.lanes : 0; other < count; other += one.lanes) others += rest;
        for (size_t i = 0; i < pairs.size(); ++i) {
          auto at = static_cast<std::int64_t>(i);
          ++s.cases;
          // Where a NaN or Inf takes part the sum may mean nothing; the flag must say so.
          const bool nan = counts && alone[i].nan;
          const models::Exact expected = counts ? alone[i].sum + others : others;
          if ((nan || model.sum(at) == expected) && model.nan(at) == nan) continue;
          s.verdict = Verdict::kFailed;
          s.how = fmt::format("lane {}: a {:#x} b {:#x}: sum {}, golden {}", lane, pairs[i].a,
                              pairs[i].b, model.sum(at).text(), expected.text());
          return;
        }
      }
    s.verdict = all && (!counted || every_count) ? Verdict::kProved : Verdict::kSampled;
    s.how = fmt::format(
        "{} of each of {} lanes{}, the others {}: sum and NaN of the combinational block dot equal "
        "the golden model's",
        all ? "every pair of codes" : "random pairs of codes", spec.lanes,
        ta + tb > 0 ? ", with every exponent of its group" : "",
        !counted      ? "zero"
        : every_count ? "at code 0, every number of lanes counted"
                      : "at code 0, all lanes counted");
  }

  // Whether the sum is the sum of its lanes: by rewriting what is emitted; where the last adder is
  // a tree of gates, by rewriting the same sum with a `+` there, to which ABC compares it; where
  // that fails too, by ABC alone, as many lanes as its time allows.
  void sum(ProofStep& s) const {
    const DotSpec& spec = point_.spec;
    const OwnerOf owner = [this](std::string_view port, int index) {
      return owner_of(port, index);
    };
    const rtl_gen::Unit unit = block_dot(combinational(), spec.lanes);
    if (rewritten(unit, {}, owner, s)) return;
    rtl_gen::Arch plain = combinational();
    plain.structure = rtl_gen::choose(spec, plain.technology, plain.structure).structure;
    if (plain.structure.adder != rtl_gen::Adder::kPlus) {
      plain.structure.adder = rtl_gen::Adder::kPlus;
      if (rewritten_beside(unit, block_dot(plain, spec.lanes), {}, owner, s)) return;
    }
    searched(s);
  }

  // Of an input of a block dot.
  Owner owner_of(std::string_view port, int index) const {
    for (const auto& [side, format] :
         {std::pair("a", &point_.spec.a), std::pair("b", &point_.spec.b)}) {
      if (port == std::string(side) + "_i") {
        const int lane = index / format->element.width();
        return {lane, lane + 1};
      }
      if (port == std::string(side) + "_micro_i") {
        const int first = index / format->micro.bits * format->micro.block;
        return {first, first + format->micro.block};
      }
    }
    return kAnyLane;
  }

  // A multi unit that has no sum before its accumulator.
  bool feeds_sums() const { return spec_.multi.accumulation && !spec_.multi.aligned(); }

  // The bare multi unit, or what an accumulator is fed with; of an aligned one the whole unit.
  rtl_gen::Unit beat_unit(const rtl_gen::Arch& arch) const {
    return altered(feeds_sums() ? rtl_gen::generate_multi_beat(spec_.multi, arch, "unit")
                                : rtl_gen::generate(spec_.multi, arch));
  }
  std::string_view of_sum() const {
    return feeds_sums() ? "what a beat feeds the accumulator with: " : "";
  }

  void split(ProofStep& s) const {
    for (std::size_t mode = 0; mode < spec_.multi.modes.size(); ++mode) {
      const Answer answer = splits(halves_, static_cast<int>(mode), options_.solver_seconds);
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

  void accumulator_register(ProofStep& s) const {
    switch (register_step(halves_.accumulator, spec_.multi, options_.solver_seconds)) {
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

  void accumulator(ProofStep& s) const {
    sampled("the accumulator alone, given random, cancelling and extreme sums and flags",
            run_accumulator(halves_.accumulator, spec_.multi, verilated_beats(), options_.seed), s);
  }

  // Of an aligned accumulator, which no sum stands before: the whole unit.
  void beats_of_modes(ProofStep& s) const {
    sampled("the unit with its pipeline, given random and cancelling codes in every mode",
            run_beats(dot_unit(), spec_.multi, verilated_beats(), options_.seed), s);
  }

  // The same of a multi unit, mode by mode. A bit that a mode does not use may have no influence.
  // Where terms of a lane share a multiplier, lanes are rewritten and ABC adds the terms of each.
  void sum_of_modes(ProofStep& s) const {
    const formats::MultiSpec& spec = spec_.multi;
    rtl_gen::Arch arch = combinational();
    const rtl_gen::Unit unit = beat_unit(arch);
    arch.structure = rtl_gen::choose(spec, arch.technology, arch.structure).structure;
    arch.structure.adder = rtl_gen::Adder::kPlus;
    const rtl_gen::Unit plain = beat_unit(arch);
    // The numbers of what `rewritten` says, mode by mode.
    const auto how_many = [](const std::string& how) { return how.substr(how.find(": ") + 2); };
    std::string modes;
    const auto note = [&](std::size_t mode, const std::string& how) {
      modes += fmt::format("{}mode {}: {}", modes.empty() ? "" : "; ", mode, how);
    };
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
        if (port != "a_i" && port != "b_i") return kAnyLane;
        const int term = term_of(port, index), place = lane_of(port, index) * terms + term;
        return term < terms ? Owner{place, place + 1} : kNoLane;
      };
      const auto of_lane = [&](std::string_view port, int index) -> Owner {
        if (port != "a_i" && port != "b_i") return kAnyLane;
        return {lane_of(port, index), lane_of(port, index) + 1};
      };
      const Fixed fixed = {{"mode_i", static_cast<int>(mode)}};
      const auto falls_apart = [&](const OwnerOf& owner) {
        return rewritten(unit, fixed, owner, s) ||
               (unit.verilog != plain.verilog && rewritten_beside(unit, plain, fixed, owner, s));
      };
      if (falls_apart(of_term)) {
        note(mode, how_many(s.how));
        continue;
      }
      const bool lanes_add = falls_apart(of_lane);
      // Whether terms add: of each lane, or of all of them where rewriting cannot say that lanes
      // do.
      Answer answer = Answer::kEqual;
      for (int first = 0; first < spec.lanes && answer == Answer::kEqual;) {
        const int end = lanes_add ? first + 1 : spec.lanes;
        std::vector<Sees> parts;
        for (int place = first * terms; place < end * terms; ++place)
          parts.emplace_back([&, place](std::string_view port, int index) {
            return lane_of(port, index) == place / terms && term_of(port, index) == place % terms;
          });
        answer = parts_add(
            unit, fixed,
            [&, first, end](std::string_view port, int index) {
              return first <= lane_of(port, index) && lane_of(port, index) < end;
            },
            parts, options_.solver_seconds);
        first = end;
      }
      if (answer == Answer::kEqual) {
        s.verdict = Verdict::kProved;
        note(mode,
             !lanes_add ? "ABC cec"
             : terms > 1
                 ? how_many(s.how) + fmt::format(", the {} terms of each added by ABC cec", terms)
                 : how_many(s.how) + ", without what the mode does not use (ABC cec)");
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
    const bool flag = std::any_of(unit.report.ports.begin(), unit.report.ports.end(),
                                  [](const rtl_gen::Port& port) { return is_flag(port.name); });
    s.how = fmt::format(
        "{}in each of {} modes the sum is a constant and a part of each term, for all inputs{} "
        "({})",
        of_sum(), spec.modes.size(), flag ? kOrOfFlags : "", modes);
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

  static constexpr const char* kOrOfFlags = ", and a flag (NaN, Inf) the OR of theirs";

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
    // Scales are no part of the sum: if it depends on one, that is of no lane. A flag may be raised
    // by a lane or by them: there they are a lane of their own, behind all.
    const auto lanes_and = [&](const Owner& of_scales) {
      return LaneProof(module, [&](std::string_view port, int index) {
        return is_scale(port) ? of_scales : owner(port, index);
      });
    };
    const LaneProof::Result sum = lanes_and(kNoLane).adds("sum_o");
    if (!sum.proved) return false;
    const LaneProof flags = lanes_and({kAnyLane.end - 1, kAnyLane.end});
    bool flag = false;
    for (const rtl_gen::Port& port : unit.report.ports) {
      if (!is_flag(port.name)) continue;
      flag = true;
      if (!flags.ors(port.name).proved) return false;
    }
    s.verdict = Verdict::kProved;
    s.how = fmt::format(
        "the sum is a constant and a part of each lane, for all inputs{}: {} adders and gates "
        "rewritten to {} bits of one lane each",
        flag ? kOrOfFlags : "", sum.rewritten, sum.left);
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
  // each, its flag the OR of theirs and of what the scales alone raise.
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
        if (held == fixed.end()) {
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
    std::vector<std::string> suffixes, of_flags;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      units += unit(report.top, parts[i], std::to_string(i));
      suffixes.push_back(std::to_string(i));
    }
    of_flags = suffixes;
    if (!flags.empty()) {
      units += unit(
          report.top, [](std::string_view port, int) { return is_scale(port); }, "scales");
      of_flags.emplace_back("scales");
    }
    const auto module = [&](const char* name, const std::string& body,
                            const std::vector<std::string>& summed,
                            const std::vector<std::string>& raising) {
      const auto all = [](const std::string& signal, const char* between,
                          const std::vector<std::string>& of) {
        std::string text;
        for (const std::string& suffix : of)
          text += fmt::format("{}{}_{}", text.empty() ? "" : between, signal, suffix);
        return text;
      };
      std::string assigns = fmt::format("  assign sum_o = {};\n", all("sum", " + ", summed));
      for (const std::string& flag : flags)
        assigns += fmt::format("  assign {} = {};\n", flag, all(flag, " | ", raising));
      return fmt::format("module {} ({}{});\n{}{}endmodule\n", name, ports, outputs, body, assigns);
    };
    return module("left", unit(report.top, whole, "all"), {"all"}, {"all"}) +
           module("right", units, suffixes, of_flags);
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

  // Whether the block dot of so many lanes is the sum of what each gives alone, with the exponents
  // that its groups share.
  Answer adds(int lanes, int seconds) const {
    std::vector<Sees> parts;
    for (int lane = 0; lane < lanes; ++lane)
      parts.emplace_back([this, lane](std::string_view port, int index) {
        const Owner owner = owner_of(port, index);
        return !is_scale(port) && owner.first <= lane && lane < owner.end;
      });
    return parts_add(
        block_dot(combinational(), lanes), {}, [](std::string_view, int) { return true; }, parts,
        seconds);
  }

  // A group, and then twice as many lanes as proved, as long as the solver's time lasts: trees of
  // carry-save adders and chains of `+` have few signals in common, so each doubling costs some
  // tenfold. Where units have less to prove a smaller one has a counterexample, if any, sooner.
  void searched(ProofStep& s) const {
    // A difference that was found counts, unless all is proved another way.
    const auto open = [&](const std::string& how) {
      if (s.verdict != Verdict::kFailed) s.how = how;
    };
    if (zero_code(point_.spec.a.element) != 0 || zero_code(point_.spec.b.element) != 0)
      return open("code 0 is no zero in one of the formats: no lane at rest to compare with");
    const auto start = std::chrono::steady_clock::now();
    const int most = point_.spec.lanes;
    int proved = 0, next = 0;
    while (proved < most) {
      next = proved == 0 ? std::min(std::max(2, group()), most) : std::min(2 * proved, most);
      const double spent =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const int left = options_.solver_seconds - static_cast<int>(spent);
      const Answer answer = left < 1 ? Answer::kOpen : adds(next, left);
      if (answer == Answer::kDifferent) {
        s.verdict = Verdict::kFailed;
        s.how = fmt::format(
            "the block dot of {} lanes is not the sum of its lanes: ABC has a counterexample",
            next);
        return;
      }
      if (answer == Answer::kOpen) break;
      proved = next;
    }
    if (proved == most) {
      s.verdict = Verdict::kProved;
      s.how = fmt::format(
          "the block dot of all {} lanes is the sum of what each gives alone, for all inputs (ABC "
          "cec)",
          most);
      return;
    }
    open(fmt::format("{}the sum of {} lanes: undecided in {} s (--solver-seconds)",
                     proved > 0 ? fmt::format("the sum of {} lanes is proved for all inputs "
                                              "(ABC cec), ",
                                              proved)
                                : "",
                     next, options_.solver_seconds));
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
    const rtl_gen::Unit unit = beat_unit(combinational());
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
        "{}every pair of codes in each lane and mode, the others zero{}: the combinational unit "
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
    Pins pins(altered(generate_quantizer(spec, combinational())));
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
      for (int j = 0; j < length && f.micro.bits > 0; j += f.micro.block)
        equal = equal && pins.get("micro_o", j / f.micro.block * f.micro.bits, f.micro.bits) ==
                             static_cast<std::uint64_t>(wanted.micro(0, j));
      if (equal) continue;
      s.verdict = Verdict::kFailed;
      s.how = fmt::format("value {:a} alone in a block is not what formats says", x[0]);
      return;
    }
    s.verdict = Verdict::kProved;
    s.how =
        "every bfloat16 value in the first place of a block, the others zero: the combinational "
        "unit equals the definition in formats";
  }

  // The testbench that ships with the design, of another seed every run.
  void vectors(ProofStep& s) const {
    const std::int64_t beats = options_.beats.value_or(kIcarusResults);
    for (std::uint64_t seed = options_.seed; s.cases < beats; ++seed) {
      report_(static_cast<double>(s.cases) / static_cast<double>(beats));
      const std::int64_t results = std::min(beats - s.cases, kIcarusResults);
      if (!passes(sim::make_testbench(design_, static_cast<int>(results), seed), s)) return;
    }
    const bool borders =
        spec_.kind == rtl_gen::UnitKind::kStream || spec_.kind == rtl_gen::UnitKind::kArray;
    s.verdict = Verdict::kSampled;
    s.how = fmt::format("random beats in Icarus give the expected results {}",
                        borders ? "in the stated number of cycles, and with stalls on either side"
                                : "in the cycles that the latency says");
  }

  // Whether a testbench passes in Icarus: its checks count as cases, or `s` says what failed.
  bool passes(const sim::Testbench& testbench, ProofStep& s) const {
    TemporaryFolder folder;
    sim::write_testbench(folder.path(), testbench);
    std::vector<std::string> compile = {"iverilog", "-g2005", "-o", "unit_tb", "unit_tb.v"};
    for (const rtl_gen::ModuleFile& file : design_.files) {
      write_file_atomic(folder.path() / file.file(), file.text);
      compile.push_back(file.file());
    }
    sim::require_tool(compile, folder.path());
    const sim::ToolResult run = sim::run_tool({"vvp", "unit_tb"}, folder.path());
    s.cases += testbench.checks;
    if (run.output.find(fmt::format("PASS {}", testbench.checks)) != std::string::npos) return true;
    s.verdict = Verdict::kFailed;
    s.how = run.output.substr(0, run.output.find('\n'));
    return false;
  }

  // Random operands as a trace would bring them, and the extremes that one does not.
  void beats(ProofStep& s) const {
    const DotSpec& spec = point_.spec;
    sim::Model model = sim::Model::load(sim::model_source(dot_unit()));
    std::mt19937_64 random(options_.seed);
    std::normal_distribution<float> normal;
    int round = 0;
    while (s.cases < verilated_beats()) {
      report_(static_cast<double>(s.cases) / static_cast<double>(verilated_beats()));
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

  std::int64_t verilated_beats() const { return options_.beats.value_or(kVerilatedBeats); }

  const DesignPoint& point_;
  const ProveOptions& options_;
  rtl_gen::DesignSpec spec_;
  rtl_gen::Design design_;
  MultiHalves halves_;                  // of a unit that feeds sums
  std::function<void(double)> report_;  // how much of a step is done
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
