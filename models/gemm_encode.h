// Roundings to a float format as the vector code takes them.
#pragma once

#include <cstdint>
#include <optional>

#include "formats/dot_spec.h"
#include "formats/element_format.h"
#include "models/vector_kernels.h"

namespace blockdot::models {

/// The step that rounds to a float format, and the format as it needs it; nothing for RNE to a
/// format without mantissa.
std::optional<StepKind> rounding_step(const formats::ElementFormat& f,
                                      const formats::Rounding& rounding, StepFormat& format);

/// Values to codes of a spec's output, many at once where there is a step for it.
class Encoder {
 public:
  explicit Encoder(const formats::DotSpec& spec);
  std::uint32_t code(double value, std::uint32_t random) const;
  /// `count` is a multiple of 16.
  void operator()(const double* x, const std::uint32_t* draws, int count,
                  std::uint32_t* codes) const;

 private:
  const formats::DotSpec& spec_;
  OutputFormat format_;
  bool nearest32_ = false, vector_ = false;
};

}  // namespace blockdot::models
