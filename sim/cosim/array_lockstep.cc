#include "sim/cosim/array_lockstep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "formats/element_format.h"
#include "formats/error.h"
#include "sim/cosim/lockstep.h"
#include "sim/cosim/stage.h"
#include "sim/machine/tile_values.h"
#include "sim/systemc/machine.h"

namespace blockdot::sim {

void check_rtl_size(const Machine& machine, const formats::DotSpec& spec) {
  for (const auto& [field, size] : {std::pair{"rows", machine.rows}, {"cols", machine.cols}})
    if (size > rtl_gen::kMostArrayUnits)
      throw ConfigError(
          "{} = {}: the RTL engine builds arrays of at most {} rows and {} columns; take a smaller "
          "array, or --engine fast or systemc",
          field, size, rtl_gen::kMostArrayUnits, rtl_gen::kMostArrayUnits);
  const std::int64_t products = std::int64_t{machine.rows} * machine.cols * spec.lanes;
  if (products > kMostRtlProducts)
    throw ConfigError(
        "rows x cols x lanes = {} x {} x {} = {}: the RTL engine builds arrays of at most {} "
        "products a beat; take a smaller array, or --engine fast or systemc",
        machine.rows, machine.cols, spec.lanes, products, kMostRtlProducts);
}

ModelSource model_source(const rtl_gen::Array& array, WaveFormat wave) {
  ModelSource source;
  source.wave = wave;
  source.verilog = array.verilog();
  source.top = array.top;
  for (const rtl_gen::Port& port : array.ports)
    source.ports.push_back({port.name, port.is_input, port.width});
  return source;
}

ArrayLockstep::ArrayLockstep(const Model& model, const rtl_gen::Array& array,
                             const Schedule& schedule, const std::string& name, const Wave* wave)
    : model_(model),
      schedule_(schedule),
      name_(name),
      wave_(wave),
      instance_(model),
      in_(model.input_bytes(), 0),
      out_(model.output_bytes(), 0),
      os_(schedule.os()),
      a_(side(model, "a")),
      b_(side(model, "b")) {
  BLOCKDOT_CHECK(array.timing.rows == schedule.machine.rows &&
                 array.timing.cols == schedule.machine.cols);
  for (int i = 0; i < 3; ++i) instance_.run(1, in_.data(), out_.data());
  set_field(in_.data(), model.input("rst_ni"), 1);
  if (!array.seeds.empty()) instance_.run(1, in_.data(), out_.data());  // loads the seeds
}

ArrayLockstep::~ArrayLockstep() { instance_.end_wave(); }

ArrayLockstep::Side ArrayLockstep::side(const Model& model, const std::string& name) const {
  Side side{model.input(name + "_i"), {}, {}, {}, {}};
  if (model.has_input(name + "_scale_i")) side.scale = model.input(name + "_scale_i");
  if (model.has_input(name + "_outer_i")) side.outer = model.input(name + "_outer_i");
  if (model.has_input(name + "_micro_i")) side.micro = model.input(name + "_micro_i");
  if (name == "a" && model.has_input("count_i")) side.count = model.input("count_i");
  return side;
}

void ArrayLockstep::put(const Side& side, const WordRow& words, const formats::BlockFormat& format,
                        std::int64_t count) {
  const auto clear = [&](const ModelField& field) {
    std::fill_n(in_.begin() + static_cast<std::ptrdiff_t>(field.offset), field.bytes,
                std::uint8_t{0});
  };
  clear(side.codes);
  if (side.scale) clear(*side.scale);
  if (side.outer) clear(*side.outer);
  if (side.micro) clear(*side.micro);
  const int width = format.element.width();
  for (int w = 0; w < static_cast<int>(count); ++w) {
    for (int j = 0; j < words.lanes(); ++j)
      put_bits(in_.data(), side.codes, (w * words.lanes() + j) * width, width, words.code(w, j));
    if (side.scale)
      put_bits(in_.data(), *side.scale, w * format.scale.width(), format.scale.width(),
               words.scale(w));
    if (side.outer)
      put_bits(in_.data(), *side.outer, w * format.outer.scale.width(), format.outer.scale.width(),
               words.outer(w));
    if (side.micro)
      for (int g = 0; g < words.micros(); ++g)
        put_bits(in_.data(), *side.micro, (w * words.micros() + g) * format.micro.bits,
                 format.micro.bits, words.micro(w, g));
  }
}

void ArrayLockstep::put_counts(std::int64_t beat) {
  const ModelField& field = *a_.count;
  std::fill_n(in_.begin() + static_cast<std::ptrdiff_t>(field.offset), field.bytes,
              std::uint8_t{0});
  const int width = field.width / schedule_.machine.rows;
  for (int w = 0; w < schedule_.machine.rows; ++w) {
    const std::int64_t at = std::min(os_ ? beat : beat + w, schedule_.beats() - 1);
    const int count = schedule_.ranges[static_cast<std::size_t>(at)].count;
    put_bits(in_.data(), field, w * width, width, static_cast<std::uint32_t>(count));
  }
}

void ArrayLockstep::note(Mismatch mismatch) {
  if (mismatches_++ == 0) first_ = std::move(mismatch);
}

void ArrayLockstep::compare(const char* port, std::uint64_t want, const ArrayBorders& borders) {
  ++handshakes_;
  const ModelField field = model_.output(port);
  const std::uint64_t got = get_bits(out_.data(), field, 0, field.width);
  if (got == want) return;
  note({fmt::format("{}: {} is {} in cycle {}, the SystemC array has {}; {}", name_, port, got,
                    borders.cycle, want, channel_text(port, borders)),
        -1, -1, 0, 0});
}

std::string ArrayLockstep::channel_text(std::string_view port, const ArrayBorders& borders) const {
  const auto offer = [&](const char* channel, const ArrayBorders::Offer& lane, bool of_row) {
    if (!lane.valid) return fmt::format("{} channel: nothing is offered", channel);
    return fmt::format("{} channel: offered tile {}, beat {}{}", channel, lane.tile, lane.beat,
                       of_row ? fmt::format(", row of a {}", lane.row) : "");
  };
  const std::string operands = offer(os_ ? "operand" : "a", borders.a, !os_);
  if (port == "start_ready_o")
    return (borders.start_valid
                ? fmt::format("start channel: offered a tile of {} x {}, {} beats",
                              borders.start_rows, borders.start_cols, borders.start_beats)
                : std::string("start channel: nothing is offered")) +
           "; " + operands;
  if (port.starts_with("out_")) {
    const std::string state = !borders.out_valid ? "no row is due"
                              : os_ ? fmt::format("due from row {} of the array, tile {}",
                                                  borders.out_number, borders.out_tile)
                                    : fmt::format(
                                          "due from the last row of the array, tile {}, row of "
                                          "a {}",
                                          borders.out_tile, borders.out_number);
    return fmt::format("result channel: {}, out_ready_i {}; {}", state, int{borders.out_ready},
                       operands);
  }
  if (os_) return operands;
  return port == "w_ready_o" ? offer("weight", borders.b, false) + "; " + operands
                             : operands + "; " + offer("weight", borders.b, false);
}

void ArrayLockstep::cycle(const ArrayBorders& borders) {
  const auto drive = [&](const char* port, std::uint64_t value) {
    set_field(in_.data(), model_.input(port), value);
  };
  drive("start_valid_i", borders.start_valid);
  drive("beats_i", static_cast<std::uint64_t>(borders.start_beats));
  drive("rows_i", static_cast<std::uint64_t>(borders.start_rows));
  drive("cols_i", static_cast<std::uint64_t>(borders.start_cols));
  drive("out_ready_i", borders.out_ready);
  drive(os_ ? "in_valid_i" : "a_valid_i", borders.a.valid);
  if (!os_) drive("w_valid_i", borders.b.valid);
  // Words beyond the tile, and words that are not offered, are what was there before.
  if (borders.a.valid) put(a_, *borders.a.words, schedule_.spec.a, schedule_.machine.rows);
  if (borders.a.valid && a_.count) put_counts(borders.a.beat);
  if (borders.b.valid) put(b_, *borders.b.words, schedule_.spec.b, schedule_.machine.cols);
  if (wave_ != nullptr && borders.cycle == wave_->from)
    instance_.begin_wave(wave_->file, borders.cycle);
  instance_.run(1, in_.data(), out_.data());
  if (wave_ != nullptr && borders.cycle + 1 == wave_->to) instance_.end_wave();
  ++cycles_;

  compare("start_ready_o", borders.start_ready, borders);
  compare(os_ ? "in_ready_o" : "a_ready_o", borders.a.ready, borders);
  if (!os_) compare("w_ready_o", borders.b.ready, borders);
  compare("out_valid_o", borders.out_valid, borders);
  if (!borders.out_valid) return;
  compare("out_last_o", borders.out_last, borders);
  const ModelField field = model_.output("out_result_o");
  const int width = schedule_.spec.output.width();
  const MachineTile tile = schedule_.tile(borders.out_tile);
  for (int c = 0; c < schedule_.machine.cols; ++c) {
    const auto got = static_cast<std::uint32_t>(get_bits(out_.data(), field, c * width, width));
    const std::uint32_t want = borders.out_row[static_cast<std::size_t>(c)];
    if (borders.out_ready && c < tile.cols) ++results_;
    if (got == want) continue;
    const std::int64_t row = tile.row + borders.out_number, column = tile.col + c;
    note({fmt::format("{}: result [{}, {}] (tile {}, row {}, column {} of the array) in cycle {}: "
                      "expected 0x{:x} ({:.9g}), got 0x{:x} ({:.9g})",
                      name_, row, column, borders.out_tile, borders.out_number, c, borders.cycle,
                      want, decode(schedule_.spec.output, want), got,
                      decode(schedule_.spec.output, got)),
          c < tile.cols ? row : -1, c < tile.cols ? column : -1, want, got});
  }
}

namespace {

/// The first `length` elements of every row.
formats::QuantizedMatrix shortened(const formats::QuantizedMatrix& matrix, std::int64_t length) {
  formats::QuantizedMatrix part;
  part.format = matrix.format;
  part.rows = matrix.rows;
  part.length = part.padded_length = length;
  part.code_bytes = matrix.code_bytes;
  if (const std::int64_t block = matrix.format.block; block > 0)
    part.padded_length = (length + block - 1) / block * block;
  const auto take = [&](const auto& from, auto& to, std::int64_t stride, std::int64_t count) {
    if (from.empty()) return;
    for (std::int64_t r = 0; r < matrix.rows; ++r)
      to.insert(to.end(), from.begin() + r * stride, from.begin() + r * stride + count);
  };
  take(matrix.codes, part.codes, matrix.padded_length * matrix.code_bytes,
       part.padded_length * matrix.code_bytes);
  take(matrix.scales, part.scales, matrix.blocks_per_row(), part.blocks_per_row());
  part.outer_scales = matrix.outer_scales;  // of rows or the tensor
  if (const std::int64_t micro = matrix.format.micro.block; micro > 0)
    take(matrix.micros, part.micros, matrix.padded_length / micro, part.padded_length / micro);
  return part;
}

/// `rows` copies of one row's first `length` elements, with the codes and scales of the beats.
formats::QuantizedMatrix filled(const formats::QuantizedMatrix& row, std::int64_t rows,
                                std::int64_t length, const Schedule& s,
                                const std::vector<models::BeatBuffer>& beats, bool is_a) {
  formats::QuantizedMatrix part = shortened(row, length);
  for (std::size_t t = 0; t < beats.size(); ++t) {
    const formats::BeatRange& range = s.ranges[t];
    const models::BeatBuffer& beat = beats[t];
    for (int j = 0; j < range.count; ++j) {
      const std::uint32_t code = (is_a ? beat.a : beat.b)[static_cast<std::size_t>(j)];
      std::memcpy(&part.codes[static_cast<std::size_t>((range.k + j) * part.code_bytes)], &code,
                  static_cast<std::size_t>(part.code_bytes));
    }
    if (!part.scales.empty())
      part.scales[static_cast<std::size_t>(part.format.block == 0 ? 0
                                                                  : range.k / part.format.block)] =
          is_a ? beat.a_scale : beat.b_scale;
    if (!part.outer_scales.empty()) part.outer_scales[0] = is_a ? beat.a_outer : beat.b_outer;
  }
  formats::QuantizedMatrix all = part;
  all.rows = rows;
  const auto repeat = [&](const auto& from, auto& to) {
    for (std::int64_t r = 1; r < rows; ++r) to.insert(to.end(), from.begin(), from.end());
  };
  repeat(part.codes, all.codes);
  repeat(part.scales, all.scales);
  repeat(part.micros, all.micros);
  if (part.format.outer.span == formats::Span::kRow) repeat(part.outer_scales, all.outer_scales);
  return all;
}

}  // namespace

std::string explain(const ArrayLockstep::Mismatch& mismatch, const Model& model,
                    const rtl_gen::Array& array, const Schedule& s,
                    const formats::QuantizedMatrix& a, const formats::QuantizedMatrix& b) {
  if (mismatch.row < 0) return mismatch.text;
  Machine machine = s.machine;  // the memory has no part in it
  machine.bandwidth = Machine::kUnlimited;
  machine.operands = OperandSource::kPacked;
  machine.k_tile = 0;
  const std::int64_t tile_row = mismatch.row / s.height * s.height;
  const std::int64_t tile_col = mismatch.column / machine.cols * machine.cols;
  const auto rows = rows_of(a, tile_row, std::min(s.height, s.m - tile_row));
  const auto cols = rows_of(b, tile_col, std::min<std::int64_t>(machine.cols, s.n - tile_col));
  // A product of some beats of the tile on the array alone: its first mismatch.
  const auto run = [&](const formats::QuantizedMatrix& part_a,
                       const formats::QuantizedMatrix& part_b) {
    const Schedule part =
        make_schedule(machine, s.timing, 0, s.spec, part_a.rows, part_b.rows, part_a.length);
    ArrayLockstep lockstep(model, array, part, "");
    const MachineRun all =
        run_machine(part, {&part_a, &part_b, {}, {}, {}, {}}, {.watcher = &lockstep});
    ArrayLockstep::Mismatch first = lockstep.first();
    if (first.text.empty()) first.expected = first.got = all.codes[0];
    return first;
  };
  ArrayLockstep::Mismatch first;  // of the shortest that was found wrong
  const auto length_of = [&](std::size_t beats) {
    return s.ranges[beats - 1].k + s.ranges[beats - 1].count;
  };
  const std::optional<std::size_t> turn = turns_wrong(s.ranges.size(), [&](std::size_t beats) {
    const std::int64_t length = length_of(beats);
    ArrayLockstep::Mismatch found = run(shortened(rows, length), shortened(cols, length));
    const bool wrong = !found.text.empty();
    if (wrong) first = std::move(found);
    return wrong;
  });
  if (!turn)
    return mismatch.text +
           "\n  its tile alone, after a reset, gives the right results: something is left from the "
           "tiles before it";
  if (first.row < 0) return fmt::format("{}\n  its tile alone: {}", mismatch.text, first.text);
  const std::size_t t = *turn - 1;
  const auto part_a = shortened(rows, length_of(*turn)), part_b = shortened(cols, length_of(*turn));
  std::vector<models::BeatBuffer> beats(*turn);
  for (std::size_t u = 0; u <= t; ++u)
    fill_beat(s.spec, rows, first.row, cols, first.column, s.ranges[u], beats[u]);
  // Every unit gets the same operands, so that no other can be the first to differ.
  const RunTrial everywhere = [&](const std::vector<models::BeatBuffer>& trial) {
    const std::int64_t length = length_of(trial.size());
    const auto same_a = filled(rows_of(part_a, first.row, 1), part_a.rows, length, s, trial, true);
    const auto same_b =
        filled(rows_of(part_b, first.column, 1), part_b.rows, length, s, trial, false);
    const ArrayLockstep::Mismatch found = run(same_a, same_b);
    return Trial{found.expected, found.got};
  };
  const int count = s.ranges[t].count;
  const auto in_pass = static_cast<std::int64_t>(t) % machine.rows;
  return fmt::format(
      "{}\n  its tile alone is right before and differs after {}, result [{}, {}] of the tile: "
      "unit ({}, {}){}{}{}",
      mismatch.text, beat_name(s.ranges, t), first.row, first.column, s.os() ? first.row : in_pass,
      first.column,
      s.os() ? std::string()
             : fmt::format(" in pass {}", static_cast<std::int64_t>(t) / machine.rows),
      beat_text(s.spec, beats[t], count),
      everywhere(beats).right()
          ? "\n  stage: between the units: with these operands in all of them each is right"
          : stage_text(s.spec, beats, count, everywhere));
}

}  // namespace blockdot::sim
