// Which stage of a unit a wrong result comes from, told from outside: the unit runs changed
// operands that leave a stage nothing to do, and where it is right again, that stage was wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/dot_spec.h"
#include "models/beats.h"

namespace blockdot::sim {

/// "0x3f800000 (1)".
std::string code_text(const formats::ElementFormat& format, std::uint32_t code);

/// A result as it should be, and what the unit gives; nothing where it gives none.
struct Trial {
  std::uint32_t want = 0;
  std::optional<std::uint32_t> got;
  bool right() const { return got == want; }
};
using RunTrial = std::function<Trial(const std::vector<models::BeatBuffer>&)>;

/// A length in [1, most] of which `wrong` holds, while it does not of one less: the first such
/// where everything longer is wrong too. Asks about twice the logarithm of the length found, no
/// length beyond twice that. Nothing where `wrong` holds of none that it asked, `most` among them.
std::optional<std::size_t> turns_wrong(std::size_t most,
                                       const std::function<bool(std::size_t)>& wrong);

/// "stage: product of lane 2: ..." for a result of these beats that is wrong, while without the
/// last of them, of `count` lanes, it is right. The first of these that holds:
///
///   product of lane N  the lane alone is wrong, and its operands in another lane are right
///   shared exponent    a lane alone is wrong, and with scales of 1 it is right; or each lane alone
///                      is wrong by the same power of two
///   product of a lane, or sum    zeros in all lanes are already wrong
///   result             a lane alone is wrong, and its operands in another lane are too; of a unit
///                      of one lane: product or result
///   sum of the lanes   each lane alone is right, the beat is wrong
///   accumulate         the beat alone is right
///   rounding           instead of the last two, where what comes is the other neighbour of a value
///                      that has no code
///
/// Empty where neither side has a code of zero, without which nothing can be left out.
std::string stage_text(const formats::DotSpec& spec, const std::vector<models::BeatBuffer>& beats,
                       int count, const RunTrial& run);

}  // namespace blockdot::sim
