// Runs a graph beat by beat, without a pipeline: outputs of a beat are there at once, states move
// after it. The graph is compiled to a flat plan over 64-bit limbs, so that a 32-lane unit makes
// 10^4 to 10^5 beats a second.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

class UnitInterpreter {
 public:
  /// The graph is not kept. States start at their reset value, or at zero.
  explicit UnitInterpreter(const Graph& graph);

  /// Index of a port by name; InternalError when there is none.
  std::size_t input_index(std::string_view name) const;
  std::size_t output_index(std::string_view name) const;
  bool has_input(std::string_view name) const;
  bool has_output(std::string_view name) const;
  int input_width(std::size_t index) const { return inputs_[index].width; }
  int output_width(std::size_t index) const { return outputs_[index].width; }

  /// Little-endian limbs; missing limbs are zero, bits beyond the port's width are dropped. Inputs
  /// keep their value until set again and start at zero.
  void set_input(std::size_t index, std::span<const std::uint64_t> limbs);
  void set_input(std::size_t index, std::uint64_t value) { set_input(index, {&value, 1}); }
  /// One beat.
  void step();
  /// Outputs of the last beat.
  std::span<const std::uint64_t> output(std::size_t index) const;
  Bits output_bits(std::size_t index) const;
  /// States back to their start.
  void reset();

  /// The same by port names: sets the inputs given, steps, returns every output.
  std::map<std::string, std::vector<std::uint64_t>> step(
      const std::map<std::string, std::vector<std::uint64_t>>& inputs);

 private:
  struct Port {
    std::string name;
    int width;
    std::uint32_t at;
  };
  struct Part {
    std::uint32_t at;
    int width;
    int position;  // lowest bit in the result
  };
  struct Step {
    Op op;
    bool narrow;  // every argument and the result fit one limb
    int width;
    int arg_width;
    int lo;
    std::uint32_t to, a, b, c;
    std::uint32_t first_part, part_count;  // kConcat, kSum
    std::uint64_t mask;                    // of the top limb
  };
  struct Register {
    std::uint32_t at, next;
    int limbs;
    Bits start;
  };

  void run_wide(const Step& step);

  std::vector<Port> inputs_, outputs_;
  std::vector<Step> steps_;
  std::vector<Part> parts_;
  std::vector<Register> registers_;
  std::vector<std::uint64_t> values_;
  std::vector<std::uint64_t> saved_;
  bool pending_ = false;  // a beat has run whose next states are not yet taken over
};

}  // namespace blockdot::rtl_gen
