// Whether a sum is the sum of its lanes, of however many: by rewriting, where a solver would
// search.
//
// An output is a weighted sum of its bits, modulo 2^width. From the output back, every bit that
// depends on more than one lane is replaced by what makes it:
//
//   a + b   a word adder: its two words, where nothing leaves its top or that no longer counts
//   a ^ b   a + b - 2ab
//   a | b   a + b - ab; ab = 0 where the two exclude each other, as in a full adder's carry
//   ~a      1 - a
//
// In counters the products of sums and carries cancel. If all that is left are bits of one lane
// each, the output is a constant plus one function a lane, for all inputs: each lane may then be
// tried alone, the others and what they do not share with it held, for what is left is a sum of
// functions that each see one lane's inputs. A proof of that kind is never wrong, but may be
// missed: a prefix adder in gates keeps products, multiplexers between lanes stay.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace blockdot::explore {

/// The lanes from `first` to before `end` that a bit may belong to: of an element's bit its one
/// lane, of an exponent that a group shares any of the group, of a mode or a count any there is. A
/// bit that depends on others belongs to the lanes that all of them may belong to: where that is
/// none, it depends on what no lane has.
struct Owner {
  int first = 0, end = 0;
};
inline constexpr Owner kAnyLane = {0, std::numeric_limits<int>::max()}, kNoLane = {0, 0};

struct LaneNetlist;

/// A module as Yosys' write_json gives it: flat, combinational, cells of the word-level library.
class LaneProof {
 public:
  /// `owner`: of bit `index` of an input port. InternalError on a cell that is not combinational.
  LaneProof(const nlohmann::json& module,
            const std::function<Owner(std::string_view port, int index)>& owner);
  ~LaneProof();
  LaneProof(const LaneProof&) = delete;
  LaneProof& operator=(const LaneProof&) = delete;

  struct Result {
    bool proved = false;
    std::int64_t rewritten = 0;  // word adders, and single gates
    std::int64_t left = 0;       // proved: bits of one lane each; else: what could not be replaced
  };
  /// Output `port`, modulo 2^width, is a constant plus a function of each lane's inputs.
  Result adds(std::string_view port) const;
  /// Output `port`, of one bit, is the OR of a function of each lane's inputs.
  Result ors(std::string_view port) const;

 private:
  std::unique_ptr<const LaneNetlist> netlist_;
};

}  // namespace blockdot::explore
