// The driver of the quantiser's proofs: Verilated units, one or many in one model, take the same
// blocks, and formats::quantize_by_definition says what each has to give.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/quantize.h"
#include "rtl_gen/units/quantizer.h"
#include "sim/cosim/model.h"

namespace blockdot::testbench {

/// Values of a block or tile, or of a beat where there is no block.
int group_size(const rtl_gen::QuantizerSpec& spec);

/// What a NaN or Inf does to a scale that others share is for who gives the scale to say: nothing,
/// or with `lost` it becomes NaN. `values`: block after block, the rows of a tile one after
/// another.
formats::QuantizedMatrix by_definition(const rtl_gen::QuantizerSpec& spec,
                                       const std::vector<float>& values, bool lost);

/// The first code that is another one, or nothing.
std::string difference(const rtl_gen::QuantizerSpec& spec, const std::vector<float>& values,
                       const formats::QuantizedMatrix& got, const formats::QuantizedMatrix& wanted);

/// The input's value with these bits on top.
float as_input(const rtl_gen::QuantizerSpec& spec, std::uint32_t bits);

/// Blocks of one kind each: any bits; one exponent with ties and their neighbours; subnormals; near
/// the largest; zeros of both signs; all-ones significands; now and then NaN and Inf; multiples of
/// a short scale by what lies between two elements; borders of the rules. Under an outer scale
/// neighbours are of one size.
std::vector<float> blocks_of_every_kind(const rtl_gen::QuantizerSpec& spec, int blocks,
                                        std::uint64_t seed);

/// Units that differ in rule, rounding and architecture alone, in one model.
class Quantizers {
 public:
  struct One {
    rtl_gen::QuantizerSpec spec;
    rtl_gen::Unit unit;  // where there are several, each of another top
  };
  explicit Quantizers(std::vector<One> units);

  /// What each unit makes of whole blocks of values; now and then a bubble of garbage stands
  /// between beats and, where a block has several, a block breaks off. Outer and given scales are
  /// those of `wanted`. A word of what is wrong with the handshake goes to `complaint`.
  std::vector<formats::QuantizedMatrix> run(const std::vector<float>& values,
                                            const formats::QuantizedMatrix* wanted,
                                            std::string& complaint);

  /// The first difference from the definition among all units, or nothing.
  std::string check(const std::vector<float>& values, bool lost = false);

 private:
  std::string output(std::size_t unit, std::string_view port) const;

  std::vector<One> units_;
  sim::Model model_;
};

}  // namespace blockdot::testbench
