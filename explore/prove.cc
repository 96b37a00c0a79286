// The proof of a block dot is put together: the lanes are exhausted one by one in the unit itself,
// and a solver shows that lanes add. What lies behind the block dot (scales, accumulator, rounding)
// has too many states for either and is sampled in lock-step.
#include "explore/prove.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

#include "explore/synth.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "models/gemm.h"
#include "models/golden.h"
#include "models/multi.h"
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
      step("two lanes", [&](ProofStep& s) { two_lanes(s); });
      if (point_.spec.lanes > 2 * group()) step("more lanes", [&](ProofStep& s) { more_lanes(s); });
    }
    switch (spec_.kind) {
      case rtl_gen::UnitKind::kDot:
        step("beats", [&](ProofStep& s) { beats(s); });
        break;
      case rtl_gen::UnitKind::kMulti:
      case rtl_gen::UnitKind::kFused:
        step("pairs", [&](ProofStep& s) { pairs(s); });
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
    return std::lcm(a, b);
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
    s.how = fmt::format("{} of each of {} lanes, the others zero: Verilog equals the golden model",
                        all ? "every pair of codes" : "random pairs of codes", spec.lanes);
  }

  // The unit, and the sum of units that see one group of lanes each, zeros elsewhere.
  static std::string miter(const rtl_gen::UnitReport& report, int groups) {
    std::string ports, whole;
    std::vector<std::string> part(static_cast<size_t>(groups));
    for (const rtl_gen::Port& port : report.ports) {
      if (!port.is_input) continue;
      // The sum does not depend on it.
      if (port.name.find("_scale_") != std::string::npos ||
          port.name.find("_outer_") != std::string::npos ||
          port.name.find("_mean_") != std::string::npos) {
        std::string connection = fmt::format(".{}({}'d0), ", port.name, port.width);
        whole += connection;
        for (std::string& text : part) text += connection;
        continue;
      }
      ports += fmt::format("input wire [{}:0] {}, ", port.width - 1, port.name);
      whole += fmt::format(".{0}({0}), ", port.name);
      int width = port.width / groups;
      for (int g = 0; g < groups; ++g)
        part[static_cast<size_t>(g)] +=
            fmt::format(".{0}({{{3}'d0, {0}[{2} +: {1}]}} << {2}), ", port.name, width, g * width,
                        port.width - width);
    }
    std::string sums, sum;
    for (int g = 0; g < groups; ++g) {
      sums += fmt::format("  wire [{0}:0] sum{1};\n  unit u{1} ({2}.sum_o(sum{1}));\n",
                          report.sum_width - 1, g, part[static_cast<size_t>(g)]);
      sum += fmt::format("{}sum{}", g > 0 ? " + " : "", g);
    }
    return fmt::format(
        "module whole ({0}output wire [{1}:0] sum_o);\n  unit u ({2}.sum_o(sum_o));\nendmodule\n"
        "module parts ({0}output wire [{1}:0] sum_o);\n{3}  assign sum_o = {4};\nendmodule\n",
        ports, report.sum_width - 1, whole, sums, sum);
  }

  enum class Answer { kEqual, kDifferent, kOpen };

  // Whether the block dot of so many groups of lanes is the sum of its lanes.
  Answer adds(int groups, int seconds) const {
    rtl_gen::Unit unit = block_dot(point_, groups * group());
    TemporaryFolder folder;
    write_file_atomic(folder.path() / "unit.v", unit.verilog);
    write_file_atomic(folder.path() / "cells.v", rtl_gen::kCellModels);
    write_file_atomic(folder.path() / "miter.v", miter(unit.report, groups));
    for (const char* side : {"whole", "parts"})
      sim::require_tool(
          {"yosys", "-q", "-p",
           fmt::format(
               "read_verilog unit.v cells.v miter.v; hierarchy -check -top {0}; proc; flatten; "
               "opt -full; techmap; opt; simplemap; opt_clean -purge; aigmap; "
               "write_aiger {0}.aig",
               side)},
          folder.path());
    sim::ToolResult result =
        sim::run_tool({"berkeley-abc", "-q", fmt::format("cec -T {} whole.aig parts.aig", seconds)},
                      folder.path());
    if (result.output.find("are equivalent") != std::string::npos) return Answer::kEqual;
    if (result.output.find("NOT EQUIVALENT") != std::string::npos) return Answer::kDifferent;
    return Answer::kOpen;
  }

  bool has_zero() const {
    return zero_code(point_.spec.a.element) == 0 && zero_code(point_.spec.b.element) == 0;
  }

  void two_lanes(ProofStep& s) const {
    const int lanes = 2 * group();
    if (!has_zero()) {
      s.how = "code 0 is no zero in one of the formats: no lane at rest to compare with";
      return;
    }
    if (lanes > point_.spec.lanes) {
      s.how = "there is one group of lanes: nothing is added";
      s.verdict = Verdict::kProved;
      return;
    }
    std::string what = fmt::format("the block dot of {} lanes is the sum of its lanes", lanes);
    switch (adds(2, options_.solver_seconds)) {
      case Answer::kEqual:
        s.verdict = Verdict::kProved;
        s.how = what + " for all inputs (ABC cec)";
        break;
      case Answer::kDifferent:
        s.verdict = Verdict::kFailed;
        s.how = what + ": ABC has a counterexample";
        break;
      case Answer::kOpen:
        s.how =
            fmt::format("{}: undecided in {} s (--solver-seconds)", what, options_.solver_seconds);
        break;
    }
  }

  // Twice as many, as long as the solver's time lasts: trees of carry-save adders and chains of `+`
  // have few signals in common, so each doubling costs some tenfold.
  void more_lanes(ProofStep& s) const {
    if (!has_zero()) {
      s.how = "as with two lanes";
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    const int most = point_.spec.lanes / group();
    int proved = 2;
    while (proved < most) {
      const int next = std::min(2 * proved, most);
      const double spent =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const int left = options_.solver_seconds - static_cast<int>(spent);
      const Answer answer = left < 1 ? Answer::kOpen : adds(next, left);
      if (answer == Answer::kDifferent) {
        s.verdict = Verdict::kFailed;
        s.how = fmt::format(
            "the block dot of {} lanes is not the sum of its lanes: ABC has a "
            "counterexample",
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
    } else if (proved > 2) {
      s.how = fmt::format(
          "the sum of {} lanes is proved for all inputs (ABC cec), that of {} undecided in {} s "
          "(--solver-seconds)",
          proved * group(), std::min(2 * proved, most) * group(), options_.solver_seconds);
    } else {
      s.how = fmt::format("the sum of {} lanes: undecided in {} s (--solver-seconds)",
                          std::min(4, most) * group(), options_.solver_seconds);
    }
  }

  // Every pair of codes in every place of every mode, all others zero, as a combinational unit; of
  // a fused unit with the addend zero.
  void pairs(ProofStep& s) const {
    const formats::MultiSpec& spec = spec_.multi;
    if (spec.rounding.stochastic()) {
      s.how = "random bits: left to the vectors";
      return;
    }
    rtl_gen::Arch arch = point_.arch;
    arch.combinational = true;
    arch.clock_ns = 0;
    const rtl_gen::Unit unit = rtl_gen::generate(spec, arch);
    Pins pins(unit);
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
            } else {
              const models::MultiSum golden = models::golden_multi(spec, code, a, b);
              const bool nan = pins.has_output("nan_o") && pins.get("nan_o", 0, 1) != 0;
              equal =
                  nan == golden.special &&
                  (nan || models::Exact(pins.whole("sum_o"), unit.report.sum_lsb) == golden.sum);
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
        "every pair of codes in each lane and mode, the others zero{}: Verilog "
        "equals the golden model",
        spec.addend ? ", the addend zero" : "");
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
