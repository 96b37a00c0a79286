#include "sim/trace/gemm_trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"

namespace blockdot::sim {
namespace {

/// fprop Y = X W^T and wgrad dW = dY^T X of one layer; X is shared.
void write_layer(const std::filesystem::path& folder) {
  auto x = std::make_shared<const Matrix>(Matrix{2, 3, {1, 2, 3, 4, 5, NAN}});
  auto w = std::make_shared<const Matrix>(Matrix{4, 3, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}});
  auto dy = std::make_shared<const Matrix>(Matrix{2, 4, {1, 0, 0, 0, 0, 1, 0, 0}});
  GemmTrace fprop;
  fprop.info.name = "m/step0000/l/fprop";
  fprop.info.model = "m";
  fprop.info.layer = "l";
  fprop.info.m = 2;
  fprop.info.n = 4;
  fprop.info.k = 3;
  fprop.info.b.transpose = true;
  fprop.info.source_dtype = "float32";
  fprop.info.loss = 2.5;
  fprop.a = x;
  fprop.b = w;
  GemmTrace wgrad = fprop;
  wgrad.info.name = "m/step0000/l/wgrad";
  wgrad.info.role = Role::kWgrad;
  wgrad.info.m = 4;
  wgrad.info.n = 3;
  wgrad.info.k = 2;
  wgrad.info.a.transpose = true;
  wgrad.info.b.transpose = false;
  wgrad.info.loss.reset();
  wgrad.a = dy;
  wgrad.b = x;
  TraceWriter writer(folder, "test", R"({"seed":7})");
  writer.add(fprop);
  writer.add(wgrad);
  writer.write();
}

class TraceFolder : public ::testing::Test {
 protected:
  TraceFolder() { write_layer(folder_.path()); }
  nlohmann::json manifest() {
    return nlohmann::json::parse(read_file(folder_.path() / "manifest.json"));
  }
  /// The refusal of the trace (opened and loaded whole) with this manifest; "" when it is taken.
  std::string refusal(const std::string& text) {
    write_file_atomic(folder_.path() / "manifest.json", text);
    try {
      TraceReader reader(folder_.path());
      for (std::size_t i = 0; i < reader.size(); ++i) reader.load(i);
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
};

#define EXPECT_REFUSED(text, part) EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, refusal(text))

TEST_F(TraceFolder, ReadsBackWhatItWrote) {
  TraceReader reader(folder_.path());
  ASSERT_EQ(reader.size(), 2u);
  EXPECT_EQ(reader.trace().recipe_json, R"({"seed":7})");
  GemmTrace fprop = reader.load(0);
  EXPECT_EQ(fprop.info.loss, 2.5);
  EXPECT_EQ(fprop.a_view().at(1, 1), 5);
  EXPECT_TRUE(std::isnan(fprop.a_view().at(1, 2)));  // NaN is data
  EXPECT_EQ(fprop.b_view().rows, 4);                 // columns of op(B) = rows of W
  EXPECT_EQ(fprop.b_view().at(3, 1), 10);
  GemmTrace wgrad = reader.load(reader.find("m/step0000/l/wgrad"));
  EXPECT_EQ(wgrad.info.role, Role::kWgrad);
  EXPECT_FALSE(wgrad.info.loss.has_value());
  EXPECT_EQ(wgrad.a_view().at(1, 1), 1);         // dY^T[1][1] = dY[1][1]
  EXPECT_EQ(wgrad.b_view().at(2, 0), 3);         // X[0][2]
  EXPECT_EQ(reader.verify(), (6 + 12 + 8) * 4);  // X is stored once
}

TEST_F(TraceFolder, RefusesAChangedTensorBySha256) {
  auto path = folder_.path() / manifest()["gemms"][0]["a"]["file"].get<std::string>();
  std::string bytes = read_file(path);
  bytes[bytes.size() - 12 * 4 - 8 * 4 - 1] ^= 1;  // the last byte of X
  write_file_atomic(path, bytes);
  EXPECT_REFUSED(manifest().dump(), "sha256");
}

TEST_F(TraceFolder, RefusesAManifestOfAnotherKind) {
  auto good = manifest(), changed = good;
  EXPECT_REFUSED("{", "not JSON");
  EXPECT_REFUSED("[]", "must be a JSON object");
  changed["schema"] = "blockdot.trace/2";
  EXPECT_REFUSED(changed.dump(), "this program reads");
  changed = good;
  changed["gemms"] = nlohmann::json::array();
  EXPECT_REFUSED(changed.dump(), "not empty");
}

TEST_F(TraceFolder, NamesTheMissingField) {
  auto good = manifest();
  int checked = 0;
  for (const char* key : {"name", "model", "step", "layer", "role", "M", "N", "K", "a", "b",
                          "block_axis", "source_dtype"}) {
    auto changed = good;
    changed["gemms"][1].erase(key);
    EXPECT_REFUSED(changed.dump(), fmt::format("\"{}\"", key));
    ++checked;
  }
  for (const char* key : {"file", "tensor", "transpose", "dtype", "shape", "sha256"}) {
    auto changed = good;
    changed["gemms"][0]["b"].erase(key);
    EXPECT_REFUSED(changed.dump(), fmt::format("\"{}\"", key));
    ++checked;
  }
  EXPECT_EQ(checked, 18);
}

TEST_F(TraceFolder, RefusesContradictions) {
  auto good = manifest();
  auto with = [&](const char* pointer, const nlohmann::json& value) {
    auto changed = good;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    return changed.dump();
  };
  EXPECT_REFUSED(with("/gemms/0/K", 4), "do not give M, N, K");
  EXPECT_REFUSED(with("/gemms/0/b/transpose", false), "do not give M, N, K");
  EXPECT_REFUSED(with("/gemms/0/M", 0), "whole number");
  EXPECT_REFUSED(with("/gemms/0/M", "2"), "whole number");
  EXPECT_REFUSED(with("/gemms/0/M", 1e30), "whole number");
  EXPECT_REFUSED(with("/gemms/0/role", "forward"),
                 "manifest.json: m/step0000/l/fprop: role = \"forward\": must be fprop, dgrad or");
  EXPECT_REFUSED(with("/gemms/1/slice", "bad"),
                 "manifest.json: m/step0000/l/wgrad: \"slice\" must be a JSON object");
  EXPECT_REFUSED(with("/gemms/1/slice", nlohmann::json::array({0, 4})), "\"slice\"");
  EXPECT_REFUSED(with("/gemms/0/block_axis", "m"), "block_axis");
  EXPECT_REFUSED(with("/gemms/0/a/dtype", "F16"), "in the file");
  EXPECT_REFUSED(with("/gemms/0/a/dtype", "I8"), "must be F32");
  EXPECT_REFUSED(with("/gemms/0/a/file", "../x.safetensors"), "file name");
  EXPECT_REFUSED(with("/gemms/0/a/file", "missing.safetensors"), "cannot be read");
  EXPECT_REFUSED(with("/gemms/0/a/tensor", "t9"), "no tensor");
  EXPECT_REFUSED(with("/gemms/0/a/sha256", "12"), "64 lower-case hex");
  EXPECT_REFUSED(with("/gemms/1/name", good["gemms"][0]["name"]), "twice");
  EXPECT_REFUSED(with("/gemms/0/loss", "low"), "loss");
  EXPECT_EQ(refusal(with("/gemms/0/slice", {{"rows", 2}})), "");
  EXPECT_EQ(refusal(with("/gemms/0/slice", nullptr)), "");
  EXPECT_EQ(refusal(with("/gemms/0/added_later", 1)), "");  // unknown fields are ignored
}

TEST_F(TraceFolder, CountsNanAndInfOfASharedTensorOnce) {
  // X, with its one NaN, is an operand of both products of write_layer.
  EXPECT_EQ(TraceReader(folder_.path()).not_finite(), (NotFinite{.nan = 1, .inf = 0}));

  TemporaryFolder other;
  TraceWriter writer(other.path());
  writer.add(make_gemm("p", {2, 2, {INFINITY, 1, -INFINITY, NAN}}, {2, 1, {INFINITY, 0}}));
  writer.write();
  EXPECT_EQ(TraceReader(other.path()).not_finite(), (NotFinite{.nan = 1, .inf = 3}));
}

TEST_F(TraceFolder, SuggestsNearGemmNames) {
  TraceReader reader(folder_.path());
  try {
    reader.find("m/step0000/l/fpropp");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean m/step0000/l/fprop"), std::string::npos);
  }
}

TEST(TraceReader, RefusesAFolderWithoutManifest) {
  TemporaryFolder folder;
  EXPECT_THROW(TraceReader(folder.path()), ConfigError);
  EXPECT_THROW(TraceReader("/nonexistent"), ConfigError);
}

TEST(TraceReader, TakesTheShippedTraceWithEverySha256AsTheRecorderWroteIt) {
  TraceReader reader(std::filesystem::path(BLOCKDOT_SOURCE_DIR) / "sim/trace/data");
  EXPECT_GT(reader.verify(), 100'000);
  std::set<Role> roles;
  for (std::size_t i = 0; i < reader.size(); ++i) {
    GemmTrace gemm = reader.load(i);
    roles.insert(gemm.info.role);
    EXPECT_EQ(gemm.a_view().rows * gemm.a_view().length,
              static_cast<std::int64_t>(gemm.a->data.size()));
  }
  EXPECT_EQ(roles.size(), 3u);
}

TEST(MakeGemm, RefusesMatricesThatDoNotMatch) {
  EXPECT_THROW(make_gemm("x", {1, 2, {1, 2}}, {3, 1, {1, 2, 3}}), ConfigError);
}

}  // namespace
}  // namespace blockdot::sim
