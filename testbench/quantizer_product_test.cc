// The whole product: every block format of the catalogue that a quantiser unit takes, with short
// blocks and small tiles, under every scale rule that it takes, in every rounding, scheduled in
// three ways, Verilated, against formats::quantize_by_definition. Units of one format stand side by
// side in one model.
//
// A 37th of it, or all with BLOCKDOT_PRODUCT=whole.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "formats/error.h"
#include "testbench/proof.h"
#include "testbench/quantizer_proof.h"

namespace blockdot::testbench {
namespace {

constexpr int kUnitsOfAModel = 24;

bool is_valid(const rtl_gen::QuantizerSpec& spec) {
  try {
    validate(spec);
  } catch (const ConfigError&) {
    return false;
  }
  return true;
}

// The format with blocks of 4 values (groups of a second level), tiles of 2 rows.
formats::BlockFormat shortened(const std::string& text) {
  formats::BlockFormat f = formats::parse_block_format(text);
  if (f.block > 0) f.block = f.micro.bits > 0 ? 4 * f.micro.block : 4;
  f.tile_rows = std::min(f.tile_rows, 2);
  if (f.has_outer() && f.tile_rows == 1) f.outer = {f.outer.scale, formats::Span::kBlock, 4};
  return f;
}

// Of every mode; the stochastic ones with `bits` random bits, or as many as the format takes.
std::vector<rtl_gen::QuantizerSpec> roundings_of(rtl_gen::QuantizerSpec spec, int bits) {
  std::vector<rtl_gen::QuantizerSpec> specs;
  for (const char* mode : {"rne", "rna", "rtz"}) {
    spec.rounding = formats::parse_rounding(mode);
    if (is_valid(spec)) specs.push_back(spec);
  }
  for (const char* mode : {"sr", "srf", "src"})
    for (int r = bits; r >= 1; --r) {
      spec.rounding = formats::parse_rounding(fmt::format("{}:{}", mode, r));
      if (!is_valid(spec)) continue;
      specs.push_back(spec);
      break;
    }
  return specs;
}

TEST(QuantizerProduct, IsTheDefinition) {
  const int stride = every_nth(37);
  std::int64_t of_all = 0, units = 0, models = 0, codes = 0;
  const auto run = [&](std::vector<Quantizers::One>& batch) {
    if (batch.empty()) return;
    const rtl_gen::QuantizerSpec& spec = batch.back().spec;  // a stochastic one, most often
    const std::vector<float> values =
        blocks_of_every_kind(spec, 300, static_cast<std::uint64_t>(models + 1));
    EXPECT_EQ(Quantizers(batch).check(values), "");
    codes += static_cast<std::int64_t>(values.size() * batch.size());
    ++models;
    batch.clear();
  };
  int place = 0;
  for (const formats::CatalogueEntry& entry : formats::catalogue()) {
    ++place;
    std::vector<rtl_gen::QuantizerSpec> specs;
    for (const std::string& rule : formats::scale_rule_names()) {
      rtl_gen::QuantizerSpec spec;
      spec.format = shortened(entry.text);
      spec.rule = formats::parse_scale_rule(rule);
      const int bits = 1 + (static_cast<int>(specs.size()) + place) % 9;
      for (const rtl_gen::QuantizerSpec& one : roundings_of(spec, bits)) specs.push_back(one);
    }
    std::vector<Quantizers::One> batch;
    std::int64_t of_format = 0;
    for (const rtl_gen::QuantizerSpec& wanted : specs)
      for (const char* schedule : {"asap", "min-register", "random"}) {
        if (of_all++ % stride != 0) continue;
        // What the units of a model share changes from one model to the next.
        rtl_gen::QuantizerSpec spec = wanted;
        const formats::BlockFormat& f = spec.format;
        spec.input = formats::parse_element(models % 2 == 0 ? "fp32" : "bf16");
        spec.lanes = f.block == 0 ? 2 : models % 3 == 0 ? f.block / 2 : 0;
        if (!is_valid(spec)) spec.lanes = 0;
        rtl_gen::Arch arch;
        arch.schedule = rtl_gen::parse_schedule_kind(schedule);
        arch.schedule_seed = static_cast<std::uint64_t>(of_all);
        batch.push_back(
            {spec, generate_quantizer(spec, arch, fmt::format("quantizer{}", of_format++))});
        ++units;
        if (batch.size() == kUnitsOfAModel) run(batch);
        if (HasFailure()) return;
      }
    run(batch);
    if (HasFailure()) return;
  }
  EXPECT_GT(of_all, 3000);
  EXPECT_GE(units, of_all / stride);
  EXPECT_GT(codes, units * 300);
  fmt::print("{} of {} units in {} models, {} codes compared\n", units, of_all, models, codes);
}

TEST(QuantizerProduct, FindsAFaultOfOneUnitAmongMany) {
  std::vector<Quantizers::One> batch;
  rtl_gen::QuantizerSpec spec;
  spec.format = shortened("mxfp4_e2m1");
  for (const rtl_gen::QuantizerSpec& one : roundings_of(spec, 4))
    batch.push_back({one, generate_quantizer(one, {}, fmt::format("quantizer{}", batch.size()))});
  const std::vector<float> values = blocks_of_every_kind(batch.back().spec, 300, 1);
  EXPECT_EQ(Quantizers(batch).check(values), "");
  std::string& verilog = batch[3].unit.verilog;
  const size_t at = verilog.find("  assign finite = ");
  ASSERT_NE(at, std::string::npos) << verilog;
  verilog.replace(at, verilog.find(';', at) - at, "  assign finite = 1'b1");
  EXPECT_NE(Quantizers(batch).check(values).find(to_text(batch[3].spec)), std::string::npos);
}

}  // namespace
}  // namespace blockdot::testbench
