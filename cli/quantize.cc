// blockdot quantize: a matrix through a block format.
#include "formats/quantize.h"

#include <fmt/core.h>

#include <cmath>
#include <filesystem>

#include "cli/command.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/pack.h"
#include "sim/trace/matrix_file.h"

namespace blockdot::cli {

namespace {

struct QuantizeArguments {
  std::string format, in, out, codes, scales, axis = "row", scale_rule = "floor", rounding = "rne";
  std::string specials = "nan-block", overflow, compat, packed;
  bool flush_subnormals = false, drop_negative_zero = false;
  sim::MatrixFileOptions file;
  std::uint64_t seed = 1;
};

bool is_raw(const std::string& file) {
  std::string extension = std::filesystem::path(file).extension().string();
  return extension == ".f32" || extension == ".bin";
}

void run(const QuantizeArguments& arguments, const Context& context) {
  using namespace formats;
  BlockFormat format = parse_block_format(arguments.format);
  check_distinct({arguments.out, arguments.codes, arguments.scales, arguments.packed});
  check_seed(arguments.seed);
  QuantizeOptions options;
  options.scale_rule = parse_scale_rule(arguments.scale_rule);
  options.rounding = parse_rounding(arguments.rounding);
  options.seed = arguments.seed;
  options.specials = parse_block_specials(arguments.specials);
  options.flush_subnormals = arguments.flush_subnormals;
  options.keep_negative_zero = !arguments.drop_negative_zero;
  if (arguments.overflow == "saturate") options.overflow = Overflow::kSaturate;
  if (arguments.overflow == "inf") options.overflow = Overflow::kToSpecial;
  if (arguments.overflow == "nan") options.overflow = Overflow::kToNan;
  if (!arguments.compat.empty()) apply_compat(arguments.compat, format, options);

  // Raw float32 has no shape: rows of one block, unless --columns says otherwise.
  sim::MatrixFileOptions file = arguments.file;
  if (file.columns == 0 && format.block > 0 && is_raw(arguments.in)) file.columns = format.block;
  sim::Matrix x = sim::read_matrix(arguments.in, file);
  bool columns = arguments.axis == "column";
  MatrixView view = columns ? transposed(x.data.data(), x.columns, x.rows)
                            : row_major(x.data.data(), x.rows, x.columns);
  QuantizedMatrix q = quantize(format, view, options);

  sim::Matrix y{x.rows, x.columns, dequantize(q)};
  if (columns) {
    std::vector<float> along = std::move(y.data);
    y.data.resize(along.size());
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t c = 0; c < x.columns; ++c)
        y.data[static_cast<size_t>(r * x.columns + c)] = along[static_cast<size_t>(c * x.rows + r)];
  }
  double signal = 0, noise = 0;
  std::int64_t not_finite = 0;
  for (size_t i = 0; i < x.data.size(); ++i) {
    double error = static_cast<double>(y.data[i]) - x.data[i];
    if (!std::isfinite(error)) {
      ++not_finite;
      continue;
    }
    signal += static_cast<double>(x.data[i]) * x.data[i];
    noise += error * error;
  }
  sim::write_matrix(arguments.out, y);
  if (!arguments.codes.empty()) sim::write_codes(arguments.codes, sim::element_codes(q));
  if (!arguments.scales.empty()) sim::write_codes(arguments.scales, sim::scale_codes(q), "scales");

  if (!arguments.packed.empty()) {
    PackedMatrix packed = pack(q);
    std::string bytes;
    for (const auto* part : {&packed.elements, &packed.scales, &packed.micros, &packed.outers})
      bytes.append(part->begin(), part->end());
    if (format.outer.mean)
      bytes.append(reinterpret_cast<const char*>(&packed.mean), sizeof packed.mean);
    write_file_atomic(arguments.packed, bytes);
  }

  double qsnr =
      noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
  if (context.json) {
    nlohmann::json j = {{"schema", "blockdot.quantize/1"},
                        {"format", to_text(format)},
                        {"rows", x.rows},
                        {"columns", x.columns},
                        {"not_finite", not_finite},
                        {"out", arguments.out}};
    j["qsnr_db"] = std::isfinite(qsnr) ? nlohmann::json(qsnr) : nlohmann::json(nullptr);
    print_json(j);
  } else if (!context.quiet) {
    fmt::print("{} x {} values in {}: QSNR {:.2f} dB", x.rows, x.columns, display_name(format),
               qsnr);
    if (not_finite > 0) fmt::print(", {} not finite", not_finite);
    fmt::print("; wrote {}\n", arguments.out);
  }
}

}  // namespace

void add_quantize(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command = program.add_subcommand("quantize", "Quantise a matrix to a format and back");
  command->add_option("FORMAT", arguments->format, "Block format, e.g. mxfp8_e4m3")->required();
  command->add_option("IN", arguments->in, "float32 matrix: .f32 (raw), .npy or .safetensors")
      ->required();
  command->add_option("OUT", arguments->out, "Where the dequantised values go, by extension")
      ->required();
  command->add_option("--codes", arguments->codes, "Write the element codes here");
  command->add_option("--scales", arguments->scales, "Write the scale codes here");
  command->add_option("--axis", arguments->axis, "Blocks along each row or each column")
      ->check(CLI::IsMember({"row", "column"}))
      ->capture_default_str();
  command->add_option("--columns", arguments->file.columns,
                      "Row length of a raw .f32 (default: one block)");
  command->add_option("--tensor", arguments->file.tensor, "Which tensor of a .safetensors");
  command
      ->add_option("--scale-rule", arguments->scale_rule,
                   "floor (OCP), ceil, even, rceil, amax, three-quarters, optimal, shift")
      ->capture_default_str();
  command->add_option("--rounding", arguments->rounding, "rne, rna, rtz, sr:R, srf:R or src:R")
      ->capture_default_str();
  command
      ->add_option("--specials", arguments->specials,
                   "NaN and Inf in a block: nan-block, per-element or saturate")
      ->capture_default_str();
  command
      ->add_option("--overflow", arguments->overflow,
                   "Values beyond the largest (default: saturate under a scale, inf without)")
      ->check(CLI::IsMember({"saturate", "inf", "nan"}));
  command->add_flag("--flush-subnormals", arguments->flush_subnormals,
                    "Elements that round to subnormals become zero");
  command->add_flag("--drop-negative-zero", arguments->drop_negative_zero, "-0 becomes +0");
  command->add_option("--packed", arguments->packed,
                      "Write the bit-packed storage here: elements, scales, taus, outer scales");
  command->add_option("--compat", arguments->compat,
                      "Reproduce a library: microxcaling, torchao or gfloat");
  add_seed(*command, arguments->seed, "Seed of stochastic rounding");
  command->footer(examples({"blockdot quantize mxfp4_e2m1 x.npy y.npy",
                            "blockdot quantize mx9 blocks.f32 out.f32 --codes codes.bin",
                            "blockdot quantize e4m3@fp32/128 w.safetensors q.npy --axis column"}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
