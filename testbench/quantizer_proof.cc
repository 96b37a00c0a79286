#include "testbench/quantizer_proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "sim/cosim/lockstep.h"
#include "testbench/proof.h"

namespace blockdot::testbench {

using formats::QuantizedMatrix;

int group_size(const rtl_gen::QuantizerSpec& spec) { return row_of(spec) * spec.format.tile_rows; }

namespace {

// Blocks or tiles side by side along one matrix; the values of each stand together, row after row.
std::vector<float> side_by_side(const rtl_gen::QuantizerSpec& spec,
                                const std::vector<float>& values) {
  const int block = row_of(spec), rows = spec.format.tile_rows;
  const size_t groups = values.size() / static_cast<size_t>(group_size(spec));
  std::vector<float> matrix(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t group = i / static_cast<size_t>(block * rows);
    const size_t row = i / static_cast<size_t>(block) % static_cast<size_t>(rows);
    const size_t k = i % static_cast<size_t>(block);
    matrix[(row * groups + group) * static_cast<size_t>(block) + k] = values[i];
  }
  return matrix;
}

sim::Model load(const std::vector<Quantizers::One>& units) {
  if (units.size() == 1) {
    sim::ModelSource source = sim::model_source(units[0].unit);
    source.quick = group_size(units[0].spec) > 4;  // few blocks of many values
    return sim::Model::load(source);
  }
  std::vector<Part> parts;
  for (const auto& [spec, unit] : units)
    parts.push_back({unit.report.top, unit.verilog, unit.report.ports});
  return sim::Model::load(together(parts));
}

}  // namespace

QuantizedMatrix by_definition(const rtl_gen::QuantizerSpec& spec, const std::vector<float>& values,
                              bool lost) {
  formats::QuantizeOptions options;
  options.scale_rule = spec.rule;
  options.rounding = spec.rounding;
  if (spec.format.block == 0 && !lost) options.specials = formats::BlockSpecials::kPerElement;
  const std::vector<float> matrix = side_by_side(spec, values);
  const int rows = spec.format.tile_rows;
  return quantize_by_definition(
      spec.format,
      formats::row_major(matrix.data(), rows, static_cast<std::int64_t>(matrix.size()) / rows),
      options);
}

std::string difference(const rtl_gen::QuantizerSpec& spec, const std::vector<float>& values,
                       const QuantizedMatrix& got, const QuantizedMatrix& wanted) {
  const int size = group_size(spec), block = row_of(spec);
  for (std::int64_t r = 0; r < got.rows; ++r)
    for (std::int64_t k = 0; k < got.length; ++k) {
      if (got.scale(r, k) == wanted.scale(r, k) && got.code(r, k) == wanted.code(r, k) &&
          got.micro(r, k) == wanted.micro(r, k))
        continue;
      std::string text =
          fmt::format("value {} of row {} has code {} scale {} micro {}, wanted {} {} {}; block", k,
                      r, got.code(r, k), got.scale(r, k), got.micro(r, k), wanted.code(r, k),
                      wanted.scale(r, k), wanted.micro(r, k));
      for (std::int64_t i = k / block * size; i < (k / block + 1) * size; ++i)
        text += fmt::format(" {:a}", values[static_cast<size_t>(i)]);
      if (spec.format.has_outer())
        text += fmt::format("; outer scale {}", wanted.outer_scales[wanted.outer_index(r, k)]);
      return text;
    }
  return "";
}

Quantizers::Quantizers(std::vector<One> units) : units_(std::move(units)), model_(load(units_)) {}

std::string Quantizers::output(std::size_t unit, std::string_view port) const {
  const std::string& top = units_[unit].unit.report.top;
  return units_.size() == 1 ? std::string(port) : fmt::format("{}_{}", top, port);
}

std::vector<QuantizedMatrix> Quantizers::run(const std::vector<float>& values,
                                             const QuantizedMatrix* wanted,
                                             std::string& complaint) {
  const rtl_gen::QuantizerSpec& spec = units_[0].spec;
  const formats::BlockFormat& f = spec.format;
  const int block = row_of(spec), size = group_size(spec), lanes = lanes_of(spec),
            beats = beats_of(spec);
  const auto blocks = static_cast<std::int64_t>(values.size()) / size;
  const int w = spec.input.width();
  const bool has_reset = model_.has_input("rst_ni");
  int longest = 0;
  for (const One& one : units_) longest = std::max(longest, one.unit.report.latency);
  const size_t in_bytes = model_.input_bytes(), out_bytes = model_.output_bytes();
  std::vector<std::uint8_t> in, out;
  std::vector<std::int64_t> when;  // of each block's last beat
  std::mt19937_64 random(3);
  const auto cycle = [&](std::int64_t b, int beat, bool valid = true) {
    in.resize(in.size() + in_bytes, 0);
    std::uint8_t* record = in.data() + in.size() - in_bytes;
    if (has_reset) sim::put_bits(record, model_.input("rst_ni"), 0, 1, 1);
    sim::put_bits(record, model_.input("valid_i"), 0, 1, valid);
    if (beats > 1)
      sim::put_bits(record, model_.input("first_i"), 0, 1, valid ? beat == 0 : random() % 2);
    const bool last = b >= 0 && beat == beats - 1;
    if (f.has_outer())
      sim::put_bits(record, model_.input("outer_i"), 0, f.outer.scale.width(),
                    last ? wanted->outer_scales[wanted->outer_index(0, b * f.block)] : random());
    if (f.block == 0 && f.has_scale())
      sim::put_bits(record, model_.input("scale_i"), 0, f.scale.width(),
                    b >= 0 ? wanted->scales[0] : random());
    for (int j = 0; j < lanes; ++j) {
      std::uint32_t code = b >= 0 ? std::bit_cast<std::uint32_t>(
                                        values[static_cast<size_t>(b * size + beat * lanes + j)])
                                  : static_cast<std::uint32_t>(random());
      if (w == 16) code >>= 16;
      sim::put_bits(record, model_.input("x_i"), j * w, w, code);
    }
  };
  in.resize(3 * in_bytes, 0);  // reset
  for (std::int64_t b = 0; b < blocks; ++b) {
    if (beats > 1 && random() % 16 == 0)
      for (int beat = 0; beat < static_cast<int>(random() % static_cast<unsigned>(beats)); ++beat)
        cycle(-1, beat);
    for (int beat = 0; beat < beats; ++beat) {
      if (random() % 5 == 0) cycle(-1, beat, false);
      cycle(b, beat);
    }
    when.push_back(static_cast<std::int64_t>(in.size() / in_bytes) - 1);
  }
  for (int i = 0; i <= longest + beats; ++i) cycle(-1, 0, false);
  out.resize(in.size() / in_bytes * out_bytes);
  sim::Model::Instance instance(model_);
  instance.run(static_cast<std::int64_t>(in.size() / in_bytes), in.data(), out.data());

  std::vector<QuantizedMatrix> all;
  for (std::size_t n = 0; n < units_.size(); ++n) {
    const int latency = units_[n].unit.report.latency;
    const auto read = [&](const std::uint8_t* record, std::string_view port, int lo, int width) {
      return sim::get_bits(record, model_.output(output(n, port)), lo, width);
    };
    const auto complain = [&](const char* what) {
      if (complaint.empty()) complaint = fmt::format("{}: {}", what, to_text(units_[n].spec));
    };
    std::int64_t shown = 0;
    for (size_t c = 3; c < in.size() / in_bytes; ++c)
      shown += static_cast<std::int64_t>(read(out.data() + c * out_bytes, "valid_o", 0, 1));
    if (shown != blocks * beats) complain("valid_o in other cycles");
    QuantizedMatrix q;
    q.format = f;
    q.rows = f.tile_rows;
    q.length = q.padded_length = blocks * block;
    const int e = f.element.width();
    q.code_bytes = e <= 8 ? 1 : 2;
    q.codes.resize(values.size() * static_cast<size_t>(q.code_bytes));
    if (f.block > 0) q.scales.resize(static_cast<size_t>(blocks * f.tile_rows));
    if (f.block == 0 && f.has_scale()) q.scales = wanted->scales;
    const formats::MicroExponent& micro = f.micro;
    for (std::int64_t b = 0; b < blocks; ++b) {
      for (int beat = 0; beat < beats; ++beat) {
        const std::int64_t at = when[static_cast<size_t>(b)] + latency + beat;
        const std::uint8_t* record = out.data() + static_cast<size_t>(at) * out_bytes;
        if (read(record, "valid_o", 0, 1) != 1) complain("no valid_o after the latency");
        if (beats > 1) {
          if ((read(record, "first_o", 0, 1) != 0) != (beat == 0)) complain("first_o");
          if ((read(record, "last_o", 0, 1) != 0) != (beat == beats - 1)) complain("last_o");
        }
        for (int j = 0; j < lanes; ++j) {
          const int place = beat * lanes + j;
          const std::int64_t row = place / block, k = b * block + place % block;
          const std::uint64_t code = read(record, "elements_o", j * e, e);
          for (int byte = 0; byte < q.code_bytes; ++byte)
            q.codes[static_cast<size_t>((row * q.length + k) * q.code_bytes + byte)] =
                static_cast<std::uint8_t>(code >> (8 * byte));
          if (f.block > 0)
            q.scales[static_cast<size_t>(row * blocks + b)] =
                static_cast<std::uint32_t>(read(record, "scale_o", 0, f.scale.width()));
        }
        for (int g = 0; micro.bits > 0 && g < lanes / micro.block; ++g)
          q.micros.push_back(
              static_cast<std::uint8_t>(read(record, "micro_o", g * micro.bits, micro.bits)));
      }
    }
    all.push_back(std::move(q));
  }
  return all;
}

std::string Quantizers::check(const std::vector<float>& values, bool lost) {
  std::vector<QuantizedMatrix> wanted;
  for (const One& one : units_) wanted.push_back(by_definition(one.spec, values, lost));
  std::string text;
  const std::vector<QuantizedMatrix> got = run(values, &wanted[0], text);
  for (std::size_t n = 0; n < units_.size() && text.empty(); ++n) {
    if (got[n].scales.size() != wanted[n].scales.size() ||
        got[n].codes.size() != wanted[n].codes.size() ||
        got[n].micros.size() != wanted[n].micros.size())
      text = "another shape";
    else
      text = difference(units_[n].spec, values, got[n], wanted[n]);
    if (!text.empty())
      text = fmt::format("{} ({}): {}", to_text(units_[n].spec), units_[n].unit.report.arch_text,
                         text);
  }
  return text;
}

float as_input(const rtl_gen::QuantizerSpec& spec, std::uint32_t bits) {
  return std::bit_cast<float>(spec.input.width() == 16 ? bits & 0xFFFF0000u : bits);
}

std::vector<float> blocks_of_every_kind(const rtl_gen::QuantizerSpec& spec, int blocks,
                                        std::uint64_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  const formats::ElementFormat& element = spec.format.element;
  const bool far = !spec.format.has_outer() && (spec.format.block > 0 || !spec.format.has_scale());
  std::uint32_t near = random() % 254 + 1;
  std::vector<float> values;
  for (int b = 0; b < blocks; ++b) {
    auto kind = random() % 11;
    std::uint32_t centre = random() % 254 + 1;
    if (!far) {  // of one size under one scale
      if (b % 8 == 0 && spec.format.block > 0) near = centre;
      centre = std::min(near + static_cast<std::uint32_t>(random() % 12), 254u);
      if ((kind == 0 || kind == 4 || kind == 5 || kind == 9) &&
          (random() % 8 || spec.format.block == 0))
        kind = 10;
    }
    const int lowest =
        random() % 2 ? static_cast<int>(centre) - 127 : static_cast<int>(random() % 4) - 129;
    const double scale = std::ldexp(1 + random() % 16 / 16.0, static_cast<int>(centre) - 127);
    for (int j = 0; j < group_size(spec); ++j) {
      std::uint32_t bits = random();
      const auto with_exponent = [&](std::uint32_t exponent) {
        bits = (bits & 0x807FFFFFu) | std::min(exponent, 254u) << 23;
      };
      switch (kind) {
        case 0:  // any bits, now and then not finite
          if (random() % 64) with_exponent(bits >> 23 & 0xFF);
          break;
        case 1:
          with_exponent(centre > 12 ? centre - random() % 12 : centre);
          break;
        case 2:  // short significands: ties
          with_exponent(centre > 9 ? centre - random() % 9 : centre);
          bits &= ~0u << (random() % 8 + 15);
          break;
        case 3:  // next to a tie
          with_exponent(centre > 9 ? centre - random() % 9 : centre);
          bits = (bits & ~0u << (random() % 8 + 15)) +
                 (random() % 3 - 1) * (spec.input.width() == 16 ? 0x10000u : 1u);
          break;
        case 4:
          with_exponent(random() % 3 ? 0 : random() % 24);
          break;
        case 5:
          with_exponent(254 - random() % 20);
          break;
        case 6:
          bits = random() % 3 ? bits & 0x80000000u : bits;
          if (random() % 4 == 0)
            with_exponent(centre);
          else
            bits &= 0x80000000u;
          break;
        case 7:
          with_exponent(centre > 3 ? centre - random() % 3 : centre);
          bits |= 0x7FFFFFu & ~0u << (random() % 20);
          break;
        case 8: {
          const std::uint32_t code = random() % formats::max_finite_code(element);
          // The middle; under stochastic rounding what half a draw steps by.
          const std::uint32_t parts = 2u << std::min(spec.rounding.random_bits, 20);
          const double place = spec.rounding.stochastic() ? random() % parts / double(parts) : 0.5;
          const double low = formats::decode(element, code);
          const double between = low + (formats::decode(element, code + 1) - low) * place;
          bits = std::bit_cast<std::uint32_t>(static_cast<float>(
              scale * (j % 4 ? between * (random() % 2 ? 1 : -1) : formats::max_value(element))));
          break;
        }
        case 9: {  // at a border of the rules, most of all at the lowest scales
          const double border = std::ldexp(formats::max_value(element), lowest);
          bits = std::bit_cast<std::uint32_t>(static_cast<float>(border));
          if (j > 0) bits -= random() % bits;
          if (j == 0) bits += (random() % 5 - 2) * (spec.input.width() == 16 ? 0x10000u : 1u);
          break;
        }
        default:
          with_exponent(centre > 20 ? centre - random() % 20 : centre);
          if (random() % 40 == 0)
            bits = (bits & 0x80000000u) | 0x7F800000u | (random() % 2 ? 0x400000u : 0u);
          break;
      }
      float value = as_input(spec, bits);
      if (kind != 0 && kind < 10 && !std::isfinite(value)) value = 1.0f;
      values.push_back(value);
    }
  }
  return values;
}

}  // namespace blockdot::testbench
