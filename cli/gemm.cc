// blockdot gemm: the exact result of a unit on a user's own matrices.
#include "models/gemm.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <optional>
#include <thread>

#include "cli/command.h"
#include "formats/error.h"
#include "formats/quantize.h"
#include "sim/replay/replay.h"
#include "sim/trace/matrix_file.h"

namespace blockdot::cli {

namespace {

struct GemmArguments {
  std::string a, b, c, spec, scale_rule = "floor", element_rounding = "rne";
  std::string a_tensor, b_tensor;
  std::int64_t a_columns = 0, b_columns = 0;
  std::optional<std::uint64_t> seed;
  int threads = 0;
};

void run(const GemmArguments& arguments, const Context& context) {
  using namespace formats;
  // `--spec mxint8` and `--spec "a=mxint8 accumulator=fp32"` both say what they mean.
  bool bare = arguments.spec.find('=') == std::string::npos ||
              arguments.spec.find('=') > arguments.spec.find(':');
  DotSpec spec = parse_dot_spec(bare ? "a=" + arguments.spec : arguments.spec);
  if (arguments.seed) check_seed(*arguments.seed);
  QuantizeOptions options;
  options.scale_rule = parse_operand_scale_rule(arguments.scale_rule);
  options.rounding = parse_rounding(arguments.element_rounding);
  options.seed = arguments.seed.value_or(options.seed);
  if (arguments.seed && !options.rounding.stochastic() && !draws(spec))
    throw ConfigError(
        "seed = {}: no rounding draws; add rounding=sr:8 to --spec or --element-rounding sr:8, or "
        "leave it out",
        *arguments.seed);
  if (arguments.seed && draws(spec)) {
    if (!spec.lfsr.port)
      throw ConfigError("seed = {}: lfsr = {} has no port for one; leave out one of the two",
                        *arguments.seed, to_text(spec.lfsr));
    if (*arguments.seed > spec.lfsr.mask())
      throw ConfigError("seed = {}: must be in [1, {}], what lfsr = {} holds", *arguments.seed,
                        spec.lfsr.mask(), to_text(spec.lfsr));
  }
  sim::Matrix a = sim::read_matrix(arguments.a, {arguments.a_tensor, arguments.a_columns});
  sim::Matrix b = sim::read_matrix(arguments.b, {arguments.b_tensor, arguments.b_columns});
  if (a.columns != b.rows)
    throw ConfigError(
        "{}: has {} rows, but {} has {} columns; C = A . B needs A [M, K] and B [K, N]",
        arguments.b, b.rows, arguments.a, a.columns);
  QuantizedMatrix qa = quantize(spec.a, row_major(a.data.data(), a.rows, a.columns), options);
  QuantizedMatrix qb =
      quantize(spec.b, transposed(b.data.data(), b.columns, b.rows), sim::b_options(options));
  models::GemmOptions gemm_options;
  gemm_options.seed = arguments.seed;
  gemm_options.threads = arguments.threads > 0
                             ? arguments.threads
                             : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  models::GemmResult result = models::gemm(spec, qa, qb, gemm_options);
  sim::write_matrix(arguments.c, {result.m, result.n, result.values()});
  if (context.json) {
    print_json({{"schema", "blockdot.gemm/1"},
                {"spec", to_text(spec)},
                {"M", result.m},
                {"N", result.n},
                {"K", a.columns},
                {"out", arguments.c}});
  } else if (!context.quiet) {
    fmt::print("{} x {} x {} ({}); wrote {}\n", result.m, result.n, a.columns, to_text(spec),
               arguments.c);
  }
}

}  // namespace

void add_gemm(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<GemmArguments>();
  CLI::App* command =
      program.add_subcommand("gemm", "Multiply two matrices exactly as a unit would");
  command->add_option("A", arguments->a, "float32 [M, K]: .npy, .safetensors or .f32")->required();
  command->add_option("B", arguments->b, "float32 [K, N]")->required();
  command->add_option("C", arguments->c, "Where the result [M, N] goes, by extension")->required();
  command
      ->add_option("--spec", arguments->spec,
                   "What is computed: \"a=FORMAT [b=FORMAT lanes=N accumulator=...]\"")
      ->required();
  command
      ->add_option(
          "--scale-rule", arguments->scale_rule,
          fmt::format("Any but three-quarters of {}", fmt::join(formats::scale_rule_names(), ", ")))
      ->capture_default_str();
  command
      ->add_option("--element-rounding", arguments->element_rounding,
                   "Rounding of the operands' elements")
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--seed",
          [arguments](const std::string& text) { arguments->seed = parse_seed("seed", text); },
          "Seed of stochastic rounding (default: the lfsr's)")
      ->type_name("SEED");
  command->add_option("--threads", arguments->threads, "Threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--a-tensor", arguments->a_tensor, "Which tensor of a .safetensors A");
  command->add_option("--b-tensor", arguments->b_tensor, "Which tensor of a .safetensors B");
  command->add_option("--a-columns", arguments->a_columns, "Row length of a raw .f32 A");
  command->add_option("--b-columns", arguments->b_columns, "Row length of a raw .f32 B");
  command->footer(examples(
      {"blockdot gemm x.npy w.npy y.npy --spec mxfp8_e4m3",
       "blockdot gemm x.npy w.npy y.npy --spec \"a=mxfp8_e4m3 b=mxfp4 accumulator=fp32\"",
       "blockdot gemm x.npy w.npy y.npy --spec \"a=bm8 accumulator=fp32 rounding=sr:16\""}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
