#include "sim/trace/dtype.h"

#include <array>
#include <bit>
#include <cstring>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

struct DtypeRow {
  Dtype dtype;
  std::string_view name;
  int bytes;
};
constexpr std::array kDtypes{
    DtypeRow{Dtype::kF64, "F64", 8},        DtypeRow{Dtype::kF32, "F32", 4},
    DtypeRow{Dtype::kF16, "F16", 2},        DtypeRow{Dtype::kBF16, "BF16", 2},
    DtypeRow{Dtype::kF8E4M3, "F8_E4M3", 1}, DtypeRow{Dtype::kF8E5M2, "F8_E5M2", 1},
    DtypeRow{Dtype::kI64, "I64", 8},        DtypeRow{Dtype::kI32, "I32", 4},
    DtypeRow{Dtype::kI16, "I16", 2},        DtypeRow{Dtype::kI8, "I8", 1},
    DtypeRow{Dtype::kU64, "U64", 8},        DtypeRow{Dtype::kU32, "U32", 4},
    DtypeRow{Dtype::kU16, "U16", 2},        DtypeRow{Dtype::kU8, "U8", 1},
    DtypeRow{Dtype::kBool, "BOOL", 1},
};

const DtypeRow& row(Dtype dtype) {
  for (const DtypeRow& r : kDtypes)
    if (r.dtype == dtype) return r;
  BLOCKDOT_CHECK(false, "dtype {} has no row", static_cast<int>(dtype));
}

template <typename Word, typename Convert>
void convert(std::span<const std::byte> bytes, std::vector<float>& out, Convert value) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Word word;
    std::memcpy(&word, bytes.data() + i * sizeof(Word), sizeof(Word));
    out[i] = value(word);
  }
}

}  // namespace

std::string_view to_text(Dtype dtype) { return row(dtype).name; }
int byte_size(Dtype dtype) { return row(dtype).bytes; }

std::optional<Dtype> find_dtype(std::string_view name) {
  for (const DtypeRow& r : kDtypes)
    if (r.name == name) return r.dtype;
  return std::nullopt;
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::kF64 || dtype == Dtype::kF32 || dtype == Dtype::kF16 ||
         dtype == Dtype::kBF16;
}

float from_bf16(std::uint16_t code) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
}

float from_f16(std::uint16_t code) {
  std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000u) << 16;
  std::uint32_t exponent = (code >> 10) & 0x1Fu;
  std::uint32_t mantissa = code & 0x3FFu;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in float32
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  std::uint32_t wide = exponent == 31 ? 255 : exponent - 15 + 127;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

std::vector<float> to_float32(Dtype dtype, std::span<const std::byte> bytes) {
  BLOCKDOT_CHECK(is_float(dtype), "{}", to_text(dtype));
  std::vector<float> out(bytes.size() / static_cast<std::size_t>(byte_size(dtype)));
  if (dtype == Dtype::kF32) {
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  } else if (dtype == Dtype::kF64) {
    convert<double>(bytes, out, [](double x) { return static_cast<float>(x); });
  } else if (dtype == Dtype::kBF16) {
    convert<std::uint16_t>(bytes, out, from_bf16);
  } else {
    convert<std::uint16_t>(bytes, out, from_f16);
  }
  return out;
}

}  // namespace blockdot::sim
