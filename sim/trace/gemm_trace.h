// GEMM traces: the operands of the matrix products of a training run, before quantisation, as
// safetensors files with a JSON manifest (docs/trace-format.md, schema "blockdot.trace/1").
//
//   C[M,N] = op(A)[M,K] . op(B)[K,N]        op(X) = X, or X transposed where `transpose`
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/quantize.h"
#include "sim/trace/dtype.h"
#include "sim/trace/safetensors.h"

namespace blockdot::sim {

inline constexpr std::string_view kTraceSchema = "blockdot.trace/1";

/// Which product of a layer: Y = X W, dX = dY W^T, dW = X^T dY.
enum class Role { kFprop, kDgrad, kWgrad };
std::string_view to_text(Role role);     // `fprop`, `dgrad`, `wgrad`
Role parse_role(std::string_view text);  // ConfigError names the three

/// One operand of the manifest: a stored tensor [rows, columns], row-major.
struct OperandInfo {
  std::string file;    // in the trace's folder
  std::string tensor;  // key in that file
  bool transpose = false;
  Dtype dtype = Dtype::kF32;  // F32, BF16 or F16
  std::int64_t rows = 0, columns = 0;
  std::string sha256;  // of the raw bytes, 64 lower-case hex digits
};

/// One product of the manifest.
struct GemmInfo {
  std::string name;  // unique in the trace
  std::string model;
  std::int64_t step = 0;
  std::string layer;
  Role role = Role::kFprop;
  std::int64_t m = 0, n = 0, k = 0;
  OperandInfo a, b;
  std::string source_dtype;    // how the run held the operands, e.g. float32
  std::string slice_json;      // JSON text of `slice`; empty: the product is whole
  std::optional<double> loss;  // of the run at that step
};

/// The manifest: what the trace holds, without the numbers.
struct Trace {
  std::string created_by;
  std::string recipe_json = "{}";  // JSON text: how the trace was made
  std::vector<GemmInfo> gemms;
};

/// A dense row-major float32 matrix.
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> data;
};

/// A product with its numbers, stored shapes as in the manifest, values as float32 (exact).
struct GemmTrace {
  GemmInfo info;
  std::shared_ptr<const Matrix> a, b;

  /// op(A) as M rows of length K.
  formats::MatrixView a_view() const;
  /// op(B) as its N columns, each of length K: the rows that a unit reduces.
  formats::MatrixView b_view() const;
};

/// A product from matrices at hand: a is [m,k] and b [k,n], both row-major, not transposed.
GemmTrace make_gemm(std::string name, Matrix a, Matrix b);

/// Elements that are no finite number. They are data, not errors: a run can diverge.
struct NotFinite {
  std::int64_t nan = 0, inf = 0;

  bool operator==(const NotFinite&) const = default;
};

/// Opens a trace folder. All errors are ConfigError: no manifest, not JSON, another schema, missing
/// or contradictory fields, shapes that do not give M, N, K, files or tensors that do not match.
class TraceReader {
 public:
  explicit TraceReader(const std::filesystem::path& folder);

  const Trace& trace() const { return trace_; }
  const std::vector<GemmInfo>& gemms() const { return trace_.gemms; }
  std::size_t size() const { return trace_.gemms.size(); }

  /// Loads one product, checking dtype, shape and sha256 of both operands (once a tensor).
  GemmTrace load(std::size_t index);
  /// By name; ConfigError with the nearest names.
  std::size_t find(std::string_view name) const;
  /// Checks every tensor of the chosen products (empty: of all); bytes checked.
  std::int64_t verify(const std::vector<std::size_t>& chosen = {});
  /// NaN and Inf (of either sign) in the tensors of the trace, each checked, and counted once
  /// however many products read it.
  NotFinite not_finite();

 private:
  std::shared_ptr<const Matrix> load_operand(const GemmInfo& gemm, const OperandInfo& operand);
  std::span<const std::byte> checked_bytes(const GemmInfo& gemm, const OperandInfo& operand);

  std::filesystem::path folder_;
  Trace trace_;
  std::map<std::string, SafetensorsFile> files_;
  std::set<std::pair<std::string, std::string>> verified_;  // (file, tensor)
};

/// Collects products and writes the folder: one safetensors file and the manifest last, each
/// atomically. An operand that is the same shared matrix is stored once. `info.a`/`info.b` need
/// only `transpose`, and `dtype` F32; file, tensor, shape and sha256 are filled in.
class TraceWriter {
 public:
  explicit TraceWriter(std::filesystem::path folder, std::string created_by = "blockdot",
                       std::string recipe_json = "{}");
  void add(GemmTrace gemm);
  void write();

 private:
  std::filesystem::path folder_;
  Trace trace_;
  std::vector<std::shared_ptr<const Matrix>> matrices_;
};

}  // namespace blockdot::sim
