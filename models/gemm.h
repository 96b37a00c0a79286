// The fast exact GEMM: the bits of gemm_golden, at the speed of ordinary matrix products.
#pragma once

#include <cstdint>
#include <optional>

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/golden.h"
#include "models/golden_array.h"

namespace blockdot::models {

struct GemmOptions {
  std::optional<std::uint64_t> seed = {};  // of the random stream; else the spec's
  int threads = 1;                         // results do not depend on it
};

/// gemm_golden(spec, a, b, options.seed), bit for bit, for every spec. The result's `way` says how:
/// "macs", "integers:...", "digits:...", "doubles:..." and "aligned:..." are vector code at the
/// speed of a float GEMM (the part behind the colon: the widest step that a tile's data asked for),
/// "results:..." takes any spec, one result at a time (in that many bits), "golden" is a product
/// without results; docs/numerics.md has their ranges.
///
/// `a` is [M rows along K], `b` is [N rows along K]; result (i, j) = dot(row i of a, row j of b),
/// as a unit of `spec` computes it. ConfigError by check_operands, and for threads < 1. The calling
/// thread keeps up to 64 MB of working memory for its next product.
///
///   DotSpec spec = parse_dot_spec("a=mxfp8_e4m3 lanes=32 accumulator=fp32");
///   std::vector<float> x = ...;   // [M][K]
///   std::vector<float> w = ...;   // [K][N], as a layer stores it
///   QuantizedMatrix a = quantize(spec.a, row_major(x.data(), M, K));
///   QuantizedMatrix b = quantize(spec.b, transposed(w.data(), N, K));
///   GemmResult y = gemm(spec, a, b, {.threads = 2});
///   float y00 = y.values()[0];    // y.code(0, 0) is its fp32 encoding
GemmResult gemm(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                const formats::QuantizedMatrix& b, const GemmOptions& options = {});

/// The same, into the memory that `result` has: for product after product, as a BLAS does it.
void gemm_into(GemmResult& result, const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
               const formats::QuantizedMatrix& b, const GemmOptions& options = {});

/// An array of units whose results are computed in tiles of `height` rows and shape.cols columns,
/// tile row after tile row.
struct ArrayTiles {
  ArrayShape shape;
  std::int64_t height = 1;  // os: shape.rows
};

/// The same product by such an array: what GoldenArray gives for these tiles, bit for bit. Differs
/// from gemm where results depend on random bits: each unit has a stream of its own. ConfigError as
/// gemm, for rows, cols or height < 1, an os height that is not rows, and more streams than the
/// register has states.
GemmResult gemm_on_array(const formats::DotSpec& spec, const ArrayTiles& tiles,
                         const formats::QuantizedMatrix& a, const formats::QuantizedMatrix& b,
                         int threads = 1);

}  // namespace blockdot::models
