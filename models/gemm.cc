#include "models/gemm.h"

#include "formats/error.h"

namespace blockdot::models {

GemmResult gemm(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                const formats::QuantizedMatrix& b, const GemmOptions& options) {
  if (options.threads < 1) throw ConfigError("threads = {}: must be at least 1", options.threads);
  return gemm_golden(spec, a, b, options.seed);
}

}  // namespace blockdot::models
