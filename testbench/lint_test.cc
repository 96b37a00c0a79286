// Every design of the catalogue under every lint: each format in each kind of unit that takes it,
// and each accumulator and rounding. Oracles: Verilator -Wall and Icarus -Wall, which must not say
// a word, Yosys for what only synthesis reads, and no text that tells them to be silent.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "formats/block_format.h"
#include "formats/error.h"
#include "rtl_gen/design.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::testbench {
namespace {

using rtl_gen::Design;
using rtl_gen::DesignText;

struct Wanted {
  DesignText text;
  rtl_gen::Arch arch;
  std::string name() const {
    std::string name = text.unit + " " + (text.dot.a.empty() ? text.modes : text.dot.a);
    for (const std::string& part : {text.dot.accumulator, text.dot.rounding, text.dot.output,
                                    text.dataflow, std::string(to_text(arch.technology))})
      if (!part.empty()) name += " " + part;
    return name;
  }
};

struct Linted {
  std::map<std::string, int> clean;  // by kind
  std::set<std::string> refused;     // names of the designs that their generator does not take
};

/// What the linters say of each design, by threads.
Linted lint_all(const std::vector<Wanted>& all) {
  Linted result;
  std::mutex mutex;
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < all.size(); i = next++) {
      const Wanted& wanted = all[i];
      Design design;
      try {
        design = generate_design(resolve(wanted.text), wanted.arch);
      } catch (const ConfigError& error) {
        const std::lock_guard lock(mutex);
        result.refused.insert(wanted.name());
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
        continue;
      }
      std::vector<std::pair<std::string, std::string>> files;
      std::string silencers;
      for (const rtl_gen::ModuleFile& file : design.files) {
        files.emplace_back(file.file(), file.text);
        for (const char* word : {"lint_off", "verilator", "synopsys", "pragma"})
          if (file.text.find(word) != std::string::npos) silencers += word;
      }
      // Cells by name stand under SYNTHESIS: only Yosys reads them.
      const bool cells = wanted.arch.technology == rtl_gen::Technology::kOsu018;
      const std::string said = rtl_gen::testing::lint(files, design.report.top, cells);
      const std::lock_guard lock(mutex);
      EXPECT_EQ(said, "") << wanted.name();
      EXPECT_EQ(silencers, "") << wanted.name();
      ++result.clean[std::string(to_text(design.report.kind))];
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1u, std::thread::hardware_concurrency()); ++t)
    threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return result;
}

DesignText text_of(const char* unit, const std::string& a, const char* lanes) {
  DesignText text;
  text.unit = unit;
  text.dot.a = a;
  text.dot.lanes = lanes;
  return text;
}

TEST(Lint, EveryFormatOfTheCatalogueInEveryKindOfUnitIsClean) {
  std::vector<Wanted> all;
  std::size_t formats = 0;
  for (const formats::CatalogueEntry& entry : formats::catalogue()) {
    ++formats;
    const std::string a(entry.name);
    for (const char* accumulator : {"kulisch", "bf16"}) {
      DesignText dot = text_of("dot", a, "4");
      dot.dot.accumulator = accumulator;
      all.push_back({dot, {}});
    }
    for (rtl_gen::Technology technology :
         {rtl_gen::Technology::kGeneric, rtl_gen::Technology::kOsu018,
          rtl_gen::Technology::kXilinx}) {
      rtl_gen::Arch arch;
      arch.combinational = true;
      arch.technology = technology;
      all.push_back({text_of("block-dot", a, "4"), arch});
    }
    DesignText stream = text_of("stream", a, "4");
    stream.dot.accumulator = "kulisch[20:-30]";
    all.push_back({stream, {}});
    for (const char* dataflow : {"os", "ws"}) {
      DesignText array = text_of("array", a, "4");
      array.dot.accumulator = array.dot.output = "bf16";
      array.dataflow = dataflow;
      array.rows = "2";
      array.cols = "2";
      (array.dataflow == "os" ? array.banks : array.depth) = "2";
      all.push_back({array, {}});
    }
    // A few values a beat: the linters take minutes for a beat of 256 table look-ups.
    const bool wide = formats::parse_block_format(a).block % 8 == 0;
    DesignText quantizer = text_of("quantizer", a, wide ? "8" : "");
    quantizer.input = "bf16";
    all.push_back({quantizer, {}});
  }
  const Linted linted = lint_all(all);
  EXPECT_GE(formats, 20u);
  // Elements beyond 16 bits, a code-book scale with a mean, and a tile too large for its buffer.
  EXPECT_EQ(linted.refused, (std::set<std::string>{
                                "quantizer fp32 generic", "quantizer tf32 generic",
                                "quantizer nf4_dq generic", "quantizer fp8_e4m3_128x128 generic"}));
  EXPECT_EQ(linted.clean.size(), 5u);
}

TEST(Lint, EveryAccumulatorAndRoundingIsClean) {
  std::vector<Wanted> all;
  for (const char* a : {"mxfp8_e5m2", "mxint8"})
    for (const char* accumulator : {"kulisch", "kulisch[20:-30]", "kulisch[20:-30]:wrap", "fp32",
                                    "bf16:rtz", "fp16:rna", "e5m2:sr:9"})
      for (const char* rounding : {"rne", "rtz", "rna", "sr:8"})
        for (const char* output : {"fp32", "e4m3"})
          for (const char* unit : {"dot", "stream"}) {
            DesignText text = text_of(unit, a, "2");
            text.dot.accumulator = accumulator;
            text.dot.rounding = rounding;
            text.dot.output = output;
            all.push_back({text, {}});
          }
  for (const auto& [a, b] : {std::pair{"mxfp8_e5m2", "mxint8"}, {"e4m3:fnuz@e4m3/16", "mx9"}})
    for (const char* unit : {"dot", "stream"}) {
      DesignText text = text_of(unit, a, "4");
      text.dot.b = b;
      all.push_back({text, {}});
    }
  for (const char* rounding : {"rne", "rtz", "rna", "sr:8"})
    for (const char* a : {"e4m3@e8m0/4", "sm4@e8m0/8+u1/2", "e2m1@e4m3/8"}) {
      DesignText text = text_of("quantizer", a, "");
      text.dot.rounding = rounding;
      all.push_back({text, {}});
    }
  for (const char* unit : {"multi", "fused"})
    for (const char* technology : {"generic", "osu018", "xilinx"})
      for (bool combinational : {false, true}) {
        DesignText text;
        text.unit = unit;
        text.modes = "e4m3,e5m2,e2m1,e3m2xe4m3";
        text.dot.lanes = "2";
        rtl_gen::Arch arch;
        arch.combinational = combinational;
        arch.technology = rtl_gen::parse_technology(technology);
        all.push_back({text, arch});
        if (text.unit == "fused") continue;
        for (const char* accumulator :
             {"kulisch", "kulisch[18:-9]:wrap:sticky", "bf16:sr:8", "aligned[6]:bf16"}) {
          text.dot.accumulator = accumulator;
          all.push_back({text, arch});
        }
      }
  Linted linted = lint_all(all);
  // Two stochastic roundings at once.
  std::set<std::string> refused;
  for (const char* unit : {"dot", "stream"})
    for (const char* a : {"mxfp8_e5m2", "mxint8"})
      for (const char* output : {"fp32", "e4m3"})
        refused.insert(fmt::format("{} {} e5m2:sr:9 sr:8 {} generic", unit, a, output));
  EXPECT_EQ(linted.refused, refused);
  EXPECT_EQ(linted.clean["multi"], 30);
  EXPECT_EQ(linted.clean["fused"], 6);
  EXPECT_EQ(linted.clean["quantizer"], 12);
}

}  // namespace
}  // namespace blockdot::testbench
