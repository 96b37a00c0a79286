// Structure: how the parts of a block dot are built; never what they compute. Every field may be
// left to the cost model, which builds the candidates of a few lanes and compares.
//
// Text form: `multiplier=booth,align=split,signs=before,sum=timed,counters=3:2,adder=sklansky,
// cells=library,accumulator=segmented:16`, any of the fields in any order; a field that is left out
// is `auto`. `rounding=lazy` is one more, of units whose float accumulator rounds stochastically.
// `optimize=delay` is no part of a structure: it says which one the cost model is to choose.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/build/bit_heap.h"

namespace blockdot::rtl_gen {

enum class Multiplier {
  kAuto,
  kWord,   // one `*` a lane
  kArray,  // rows of AND gates: of significands added a lane, of integers in the heap of the sum
  kBooth,  // integers: rows by radix-4 digits of a, in the heap or on carry chains
  kTable,  // elements of at most 8 bits a pair: the aligned product looked up by both codes
};

enum class Align {
  kAuto,
  kShift,   // the product is shifted by the sum of the exponents
  kSplit,   // a shift by the low bits of the sum, then one of few places by its high bits
  kBefore,  // each significand is shifted by its own exponent, then multiplied
  kBucket,  // a shift by the low bits of the sum, then into the bucket that its high bits name;
            // every bucket is summed over all lanes, and the few sums are added
};

enum class Signs {
  kAuto,
  kAfter,     // the aligned product is complemented, the missing +1s are counted apart
  kBefore,    // the product is complemented and the shifter fills with the sign
  kExtend,    // as kAfter, but +1 and sign enter the sum as single bits, sign extensions folded
  kNegate,    // the product itself is negated, its shifter fills with the sign
  kRelative,  // adders add or subtract by the sign of one side over the other's; the root corrects
};

enum class Summation {
  kAuto,
  kCompress,  // counters on words
  kTimed,     // counters on bits, by arrival time
  kTree,      // a binary tree of adders
  kChain,  // carry chains that take lane after lane, then a tree: the logic of a lane's last step
           // shares the adder's LUTs
};

enum class Counters {
  kAuto,
  kThree,  // 3:2 and 2:2
  kSix,    // 6:3 as long as a column has six bits, then 3:2
};

enum class Adder { kAuto, kPlus, kRipple, kBrentKung, kSklansky, kKoggeStone, kSparse };

enum class Cells {
  kAuto,
  kNone,
  kFull,     // full adders by name: technology osu018 only
  kLibrary,  // full and half adders by name
};

/// How a fixed-point accumulator that does not saturate is kept: as one word, or as segments of so
/// many bits, each with a pending carry into the next, which the finish resolves. Auto: one word,
/// unless the clock that is asked for needs segments.
inline constexpr int kAutoSegment = -1;
inline constexpr int kOneWord = 0;
inline constexpr int kLeastSegment = 2;
inline constexpr int kMostSegment = 1024;

/// Where the random bits of a float accumulator's stochastic rounding come in.
enum class SrPlace {
  kAuto,
  kLazy,   // added to the tail of the normalised sum
  kEager,  // added to the sum at every place where its tail may begin, while it is normalised; the
           // count of leading zeros picks one carry (Ben Ali et al., DATE 2024)
};

/// What the cost model prefers where it chooses: a wish, not a part of the structure. A structure
/// that has been chosen is kAuto again.
enum class Goal {
  kAuto,      // balanced
  kBalanced,  // least area^2 x delay; on an FPGA as kArea
  kArea,      // least area
  kDelay,     // least area x delay^3
};

struct Structure {
  Multiplier multiplier = Multiplier::kAuto;
  Align align = Align::kAuto;
  Signs signs = Signs::kAuto;
  Summation sum = Summation::kAuto;
  Counters counters = Counters::kAuto;
  Adder adder = Adder::kAuto;
  Cells cells = Cells::kAuto;
  int segment = kAutoSegment;
  SrPlace rounding = SrPlace::kAuto;  // stays so where no accumulator rounds stochastically
  Goal goal = Goal::kAuto;

  bool operator==(const Structure&) const = default;
};

/// Regular words and operators, for any synthesiser: what technology generic takes.
inline constexpr Structure kPlain{Multiplier::kWord, Align::kShift, Signs::kAfter, Summation::kTree,
                                  Counters::kThree,  Adder::kPlus,  Cells::kNone};

/// Every field, in the order above; accumulator, rounding and goal only where they are not auto.
std::string to_text(const Structure& structure);
/// Only the fields that are not auto: `align=bucket`.
std::string given_text(const Structure& structure);
/// What each field's choice means, one line a field: `align=split: a shift by ...`.
std::vector<std::string> describe(const Structure& structure);
/// ConfigError names the field, the value and the choices, with suggestions.
Structure parse_structure(std::string_view text);

/// How sums are lowered. The structure has no field left to choose.
SumOptions sum_options(const Structure& structure, Technology technology);

/// What a technology takes where nothing was asked for and the format does not matter.
Structure plain_structure(Technology technology);

}  // namespace blockdot::rtl_gen
