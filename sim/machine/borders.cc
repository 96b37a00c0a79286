#include "sim/machine/borders.h"

#include <cstring>

namespace blockdot::sim {

WordRow::WordRow(const formats::BlockFormat& format, int lanes, int code_bytes, std::int64_t words)
    : lanes_(lanes),
      code_bytes_(code_bytes),
      micro_block_(format.micro.block),
      micro_bits_(format.micro.bits),
      zero_code_(static_cast<std::uint8_t>(zero_code(format.element))) {
  if (micro_bits_ > 0) micros_ = lanes / micro_block_;
  codes_.resize(index(words * lanes * code_bytes));
  scales_.resize(index(words));
  outers_.resize(index(words));
  micro_.resize(index(words * micros_));
}

std::uint32_t WordRow::code(std::int64_t word, int lane) const {
  std::uint32_t code = 0;
  std::memcpy(&code, codes_.data() + (word * lanes_ + lane) * code_bytes_, index(code_bytes_));
  return code;
}

void WordRow::copy(std::int64_t to, const WordRow& source, std::int64_t from) {
  const std::int64_t bytes = lanes_ * code_bytes_;
  std::memcpy(codes_.data() + to * bytes, source.codes_.data() + from * bytes, index(bytes));
  scales_[index(to)] = source.scales_[index(from)];
  outers_[index(to)] = source.outers_[index(from)];
  if (micros_ > 0)
    std::memcpy(micro_.data() + to * micros_, source.micro_.data() + from * micros_,
                index(micros_));
}

void WordRow::load(std::int64_t to, const formats::QuantizedMatrix& matrix, std::int64_t row,
                   std::int64_t origin, const formats::BeatRange& range) {
  const std::int64_t k = range.k - origin;
  std::uint8_t* codes = codes_.data() + to * lanes_ * code_bytes_;
  std::memset(codes, zero_code_, index(lanes_ * code_bytes_));
  std::memcpy(codes, matrix.codes.data() + (row * matrix.padded_length + k) * code_bytes_,
              index(range.count * code_bytes_));
  scales_[index(to)] = matrix.scale(row, k);
  if (!matrix.outer_scales.empty())
    outers_[index(to)] = matrix.outer_scales[matrix.outer_index(row, k)];
  for (int g = 0; g < micros_; ++g)
    micro_[index(to * micros_ + g)] = static_cast<std::uint8_t>(
        g * micro_block_ < range.count ? matrix.micro(row, k + g * micro_block_) : 0);
}

void WordRow::unload(std::int64_t from, formats::QuantizedMatrix& matrix, std::int64_t row,
                     const formats::BeatRange& range) const {
  std::memcpy(matrix.codes.data() + (row * matrix.padded_length + range.k) * code_bytes_,
              codes_.data() + from * lanes_ * code_bytes_, index(range.count * code_bytes_));
  if (!matrix.scales.empty()) {
    const std::int64_t block = matrix.format.block;
    matrix.scales[index(row * matrix.blocks_per_row() + (block == 0 ? 0 : range.k / block))] =
        scales_[index(from)];
  }
  if (!matrix.outer_scales.empty())
    matrix.outer_scales[matrix.outer_index(row, range.k)] = outers_[index(from)];
  for (int g = 0; g * micro_block_ < range.count && g < micros_; ++g)
    matrix.micros[index((row * matrix.padded_length + range.k) / micro_block_ + g)] =
        micro_[index(from * micros_ + g)];
}

}  // namespace blockdot::sim
