#include "sim/trace/gemm_trace.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"
#include "sim/trace/sha256.h"

namespace blockdot::sim {
namespace {

using nlohmann::json;

/// Field access with errors that say where: `where` is the file and the product.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw ConfigError("{}: must be a JSON object", where_);
  }

  const json& at(const char* key) const {
    auto it = object_.find(key);
    if (it == object_.end()) throw ConfigError("{}: the field \"{}\" is missing", where_, key);
    return *it;
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string()) throw ConfigError("{}: \"{}\" must be a string", where_, key);
    return value.get<std::string>();
  }
  bool boolean(const char* key) const {
    const json& value = at(key);
    if (!value.is_boolean()) throw ConfigError("{}: \"{}\" must be true or false", where_, key);
    return value.get<bool>();
  }
  std::int64_t integer(const char* key, std::int64_t low) const { return whole(at(key), key, low); }
  std::int64_t whole(const json& value, const char* key, std::int64_t low) const {
    constexpr std::int64_t kMost = std::int64_t{1} << 31;  // any product of two fits 64 bits
    if (!value.is_number_integer() || value.get<std::int64_t>() < low ||
        value.get<std::int64_t>() > kMost)
      throw ConfigError("{}: \"{}\" = {}: must be a whole number in [{}, 2^31]", where_, key,
                        value.dump(), low);
    return value.get<std::int64_t>();
  }
  const json* optional(const char* key) const {
    auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

 private:
  const json& object_;
  std::string where_;
};

OperandInfo parse_operand(const json& object, const std::string& where) {
  Fields fields(object, where);
  OperandInfo operand;
  operand.file = fields.text("file");
  if (operand.file.empty() || operand.file.find('/') != std::string::npos ||
      operand.file.find('\\') != std::string::npos || operand.file == "..")
    throw ConfigError("{}: file = \"{}\": must be a file name in the trace's folder", where,
                      operand.file);
  operand.tensor = fields.text("tensor");
  operand.transpose = fields.boolean("transpose");
  auto name = fields.text("dtype");
  auto dtype = find_dtype(name);
  if (!dtype || !is_float(*dtype) || *dtype == Dtype::kF64)
    throw ConfigError("{}: dtype = \"{}\": must be F32, BF16 or F16", where, name);
  operand.dtype = *dtype;
  const json& shape = fields.at("shape");
  if (!shape.is_array() || shape.size() != 2)
    throw ConfigError("{}: shape must be [rows, columns]", where);
  operand.rows = fields.whole(shape[0], "shape", 1);
  operand.columns = fields.whole(shape[1], "shape", 1);
  operand.sha256 = fields.text("sha256");
  if (operand.sha256.size() != 64 ||
      operand.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw ConfigError("{}: sha256 must be 64 lower-case hex digits", where);
  return operand;
}

/// The shape of op(X).
std::pair<std::int64_t, std::int64_t> op_shape(const OperandInfo& x) {
  return x.transpose ? std::pair(x.columns, x.rows) : std::pair(x.rows, x.columns);
}

void check_shapes(const GemmInfo& gemm, const std::string& where) {
  if (op_shape(gemm.a) != std::pair(gemm.m, gemm.k) ||
      op_shape(gemm.b) != std::pair(gemm.k, gemm.n))
    throw ConfigError("{}: shapes {}x{}{} and {}x{}{} do not give M, N, K = {}, {}, {}", where,
                      gemm.a.rows, gemm.a.columns, gemm.a.transpose ? " transposed" : "",
                      gemm.b.rows, gemm.b.columns, gemm.b.transpose ? " transposed" : "", gemm.m,
                      gemm.n, gemm.k);
}

GemmInfo parse_gemm(const json& object, const std::string& manifest, std::size_t index) {
  std::string where = fmt::format("{}: gemms[{}]", manifest, index);
  GemmInfo gemm;
  gemm.name = Fields(object, where).text("name");
  if (gemm.name.empty()) throw ConfigError("{}: \"name\" is empty", where);
  where = fmt::format("{}: {}", manifest, gemm.name);
  Fields fields(object, where);
  gemm.model = fields.text("model");
  gemm.step = fields.integer("step", 0);
  gemm.layer = fields.text("layer");
  auto role = fields.text("role");
  try {
    gemm.role = parse_role(role);
  } catch (const ConfigError& error) {
    throw ConfigError("{}: {}", where, error.what());
  }
  gemm.m = fields.integer("M", 1);
  gemm.n = fields.integer("N", 1);
  gemm.k = fields.integer("K", 1);
  gemm.a = parse_operand(fields.at("a"), where + ": a");
  gemm.b = parse_operand(fields.at("b"), where + ": b");
  if (auto axis = fields.text("block_axis"); axis != "k")
    throw ConfigError("{}: block_axis = \"{}\": must be \"k\"", where, axis);
  gemm.source_dtype = fields.text("source_dtype");
  if (const json* slice = fields.optional("slice")) {
    if (!slice->is_object())
      throw ConfigError("{}: \"slice\" must be a JSON object or null", where);
    gemm.slice_json = slice->dump();
  }
  if (const json* loss = fields.optional("loss")) {
    if (!loss->is_number()) throw ConfigError("{}: \"loss\" must be a number or null", where);
    gemm.loss = loss->get<double>();
  }
  check_shapes(gemm, where);
  return gemm;
}

nlohmann::ordered_json operand_json(const OperandInfo& x) {
  return {{"file", x.file},
          {"tensor", x.tensor},
          {"transpose", x.transpose},
          {"dtype", to_text(x.dtype)},
          {"shape", {x.rows, x.columns}},
          {"sha256", x.sha256}};
}

}  // namespace

std::string_view to_text(Role role) {
  switch (role) {
    case Role::kFprop:
      return "fprop";
    case Role::kDgrad:
      return "dgrad";
    case Role::kWgrad:
      return "wgrad";
  }
  BLOCKDOT_CHECK(false, "role {}", static_cast<int>(role));
}

Role parse_role(std::string_view text) {
  for (Role role : {Role::kFprop, Role::kDgrad, Role::kWgrad})
    if (to_text(role) == text) return role;
  throw ConfigError("role = \"{}\": must be fprop, dgrad or wgrad", text);
}

formats::MatrixView GemmTrace::a_view() const {
  return info.a.transpose ? formats::transposed(a->data.data(), info.m, info.k)
                          : formats::row_major(a->data.data(), info.m, info.k);
}

formats::MatrixView GemmTrace::b_view() const {
  return info.b.transpose ? formats::row_major(b->data.data(), info.n, info.k)
                          : formats::transposed(b->data.data(), info.n, info.k);
}

GemmTrace make_gemm(std::string name, Matrix a, Matrix b) {
  if (a.columns != b.rows)
    throw ConfigError("{}: A is {}x{} and B is {}x{}: A's columns must equal B's rows", name,
                      a.rows, a.columns, b.rows, b.columns);
  GemmTrace gemm;
  gemm.info.name = std::move(name);
  gemm.info.m = a.rows;
  gemm.info.k = a.columns;
  gemm.info.n = b.columns;
  gemm.info.source_dtype = "float32";
  gemm.info.a.rows = a.rows;
  gemm.info.a.columns = a.columns;
  gemm.info.b.rows = b.rows;
  gemm.info.b.columns = b.columns;
  gemm.a = std::make_shared<const Matrix>(std::move(a));
  gemm.b = std::make_shared<const Matrix>(std::move(b));
  return gemm;
}

TraceReader::TraceReader(const std::filesystem::path& folder) : folder_(folder) {
  auto path = folder / "manifest.json";
  if (!std::filesystem::exists(path))
    throw ConfigError("{}: no manifest.json in it: not a trace folder (see docs/trace-format.md)",
                      folder.string());
  std::string file = path.string();
  json manifest;
  try {
    manifest = json::parse(read_file(path));
  } catch (const json::exception& error) {
    throw ConfigError("{}: not JSON: truncated or damaged", file);
  }
  Fields fields(manifest, file);
  if (auto schema = fields.text("schema"); schema != kTraceSchema)
    throw ConfigError("{}: schema = \"{}\": this program reads \"{}\"", file, schema, kTraceSchema);
  trace_.created_by = fields.text("created_by");
  if (const json* recipe = fields.optional("recipe")) trace_.recipe_json = recipe->dump();
  const json& gemms = fields.at("gemms");
  if (!gemms.is_array() || gemms.empty())
    throw ConfigError("{}: \"gemms\" must be a list that is not empty", file);
  std::set<std::string> names;
  for (std::size_t i = 0; i < gemms.size(); ++i) {
    trace_.gemms.push_back(parse_gemm(gemms[i], file, i));
    if (!names.insert(trace_.gemms.back().name).second)
      throw ConfigError("{}: the name \"{}\" stands twice", file, trace_.gemms.back().name);
  }
}

std::size_t TraceReader::find(std::string_view name) const {
  std::vector<std::string> known;
  for (std::size_t i = 0; i < size(); ++i) {
    if (gemms()[i].name == name) return i;
    known.push_back(gemms()[i].name);
  }
  throw ConfigError("{}: has no GEMM \"{}\"{}", folder_.string(), name,
                    formats::did_you_mean(name, known));
}

std::span<const std::byte> TraceReader::checked_bytes(const GemmInfo& gemm,
                                                      const OperandInfo& operand) {
  auto it = files_.find(operand.file);
  if (it == files_.end())
    it = files_.emplace(operand.file, SafetensorsFile(folder_ / operand.file)).first;
  const TensorInfo& tensor = it->second.find(operand.tensor);
  auto where = [&] {
    return fmt::format("{}: {}: tensor \"{}\"", (folder_ / operand.file).string(), gemm.name,
                       operand.tensor);
  };
  if (tensor.dtype != operand.dtype)
    throw ConfigError("{}: dtype {} in the file, {} in the manifest", where(),
                      to_text(tensor.dtype), to_text(operand.dtype));
  if (tensor.shape != std::vector<std::int64_t>{operand.rows, operand.columns})
    throw ConfigError("{}: its shape in the file is not [{}, {}], as in the manifest", where(),
                      operand.rows, operand.columns);
  auto bytes = it->second.bytes(tensor);
  if (verified_.contains({operand.file, operand.tensor + operand.sha256})) return bytes;
  if (auto found = sha256_hex(bytes); found != operand.sha256)
    throw ConfigError("{}: sha256 is {}, the manifest says {}: the data were changed or damaged",
                      where(), found, operand.sha256);
  verified_.emplace(operand.file, operand.tensor + operand.sha256);
  return bytes;
}

std::shared_ptr<const Matrix> TraceReader::load_operand(const GemmInfo& gemm,
                                                        const OperandInfo& operand) {
  auto bytes = checked_bytes(gemm, operand);
  return std::make_shared<const Matrix>(
      Matrix{operand.rows, operand.columns, to_float32(operand.dtype, bytes)});
}

GemmTrace TraceReader::load(std::size_t index) {
  BLOCKDOT_CHECK(index < size(), "{} of {}", index, size());
  GemmTrace gemm;
  gemm.info = gemms()[index];
  gemm.a = load_operand(gemm.info, gemm.info.a);
  gemm.b = load_operand(gemm.info, gemm.info.b);
  return gemm;
}

std::int64_t TraceReader::verify(const std::vector<std::size_t>& chosen) {
  std::int64_t total = 0;
  std::set<std::pair<std::string, std::string>> seen;
  const auto take = [&](const GemmInfo& gemm) {
    for (const OperandInfo* operand : {&gemm.a, &gemm.b}) {
      auto bytes = checked_bytes(gemm, *operand);
      if (seen.emplace(operand->file, operand->tensor).second)
        total += static_cast<std::int64_t>(bytes.size());
    }
  };
  for (std::size_t index : chosen) take(gemms().at(index));
  if (chosen.empty())
    for (const GemmInfo& gemm : gemms()) take(gemm);
  return total;
}

NotFinite TraceReader::not_finite() {
  NotFinite found;
  std::set<std::pair<std::string, std::string>> seen;
  for (const GemmInfo& gemm : gemms())
    for (const OperandInfo* operand : {&gemm.a, &gemm.b}) {
      if (!seen.emplace(operand->file, operand->tensor).second) continue;
      auto matrix = load_operand(gemm, *operand);
      for (float x : matrix->data) {
        found.nan += std::isnan(x);
        found.inf += std::isinf(x);
      }
    }
  return found;
}

TraceWriter::TraceWriter(std::filesystem::path folder, std::string created_by,
                         std::string recipe_json)
    : folder_(std::move(folder)) {
  trace_.created_by = std::move(created_by);
  trace_.recipe_json = std::move(recipe_json);
}

void TraceWriter::add(GemmTrace gemm) {
  for (auto [operand, matrix] :
       {std::pair(&gemm.info.a, gemm.a), std::pair(&gemm.info.b, gemm.b)}) {
    operand->dtype = Dtype::kF32;
    operand->rows = matrix->rows;
    operand->columns = matrix->columns;
    auto it = std::find(matrices_.begin(), matrices_.end(), matrix);
    operand->tensor = fmt::format("t{}", it - matrices_.begin());
    operand->sha256 = sha256_hex(std::as_bytes(std::span(matrix->data)));
    if (it == matrices_.end()) matrices_.push_back(matrix);
  }
  check_shapes(gemm.info, gemm.info.name);
  for (const GemmInfo& other : trace_.gemms)
    BLOCKDOT_CHECK(other.name != gemm.info.name, "{} written twice", other.name);
  trace_.gemms.push_back(std::move(gemm.info));
}

void TraceWriter::write() {
  // The name follows from the content, so two writers into one folder cannot mix their data.
  std::string content;
  for (const GemmInfo& gemm : trace_.gemms) content += gemm.a.sha256 + gemm.b.sha256;
  std::string file = fmt::format("data-{}.safetensors", sha256_hex(content).substr(0, 12));
  for (GemmInfo& gemm : trace_.gemms) gemm.a.file = gemm.b.file = file;

  std::vector<TensorToWrite> tensors;
  for (std::size_t i = 0; i < matrices_.size(); ++i)
    tensors.push_back({fmt::format("t{}", i),
                       Dtype::kF32,
                       {matrices_[i]->rows, matrices_[i]->columns},
                       std::as_bytes(std::span(matrices_[i]->data))});
  write_safetensors(folder_ / file, tensors);

  nlohmann::ordered_json manifest = {{"schema", kTraceSchema},
                                     {"created_by", trace_.created_by},
                                     {"recipe", nlohmann::ordered_json::parse(trace_.recipe_json)},
                                     {"gemms", nlohmann::ordered_json::array()}};
  for (const GemmInfo& gemm : trace_.gemms) {
    nlohmann::ordered_json entry = {{"name", gemm.name},
                                    {"model", gemm.model},
                                    {"step", gemm.step},
                                    {"layer", gemm.layer},
                                    {"role", to_text(gemm.role)},
                                    {"M", gemm.m},
                                    {"N", gemm.n},
                                    {"K", gemm.k},
                                    {"a", operand_json(gemm.a)},
                                    {"b", operand_json(gemm.b)},
                                    {"block_axis", "k"},
                                    {"source_dtype", gemm.source_dtype}};
    if (!gemm.slice_json.empty()) entry["slice"] = nlohmann::ordered_json::parse(gemm.slice_json);
    if (gemm.loss) entry["loss"] = *gemm.loss;
    manifest["gemms"].push_back(entry);
  }
  write_file_atomic(folder_ / "manifest.json", manifest.dump(1) + "\n");
}

}  // namespace blockdot::sim
