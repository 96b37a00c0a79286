// Both directions walk the same items in the same order (walk): a writer appends what it is given,
// a reader fills what it is given. So the layout is said once.
#include "formats/pack.h"

#include <algorithm>
#include <cstring>

#include "formats/error.h"

namespace blockdot::formats {

namespace {

class Writer {
 public:
  explicit Writer(std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}
  void item(std::uint32_t& value, int bits) {
    for (int i = 0; i < bits; ++i, ++at_) {
      if (at_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() |= static_cast<std::uint8_t>(((value >> i) & 1) << (at_ % 8));
    }
  }
  void align() { at_ = bytes_.size() * 8; }

 private:
  std::vector<std::uint8_t>& bytes_;
  std::size_t at_ = 0;
};

class BitReader {
 public:
  explicit BitReader(const std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}
  void item(std::uint32_t& value, int bits) {
    value = 0;
    for (int i = 0; i < bits; ++i, ++at_) {
      BLOCKDOT_CHECK(at_ / 8 < bytes_.size(), "packed matrix of {} bytes is too short",
                     bytes_.size());
      value |= static_cast<std::uint32_t>((bytes_[at_ / 8] >> (at_ % 8)) & 1) << i;
    }
  }
  void align() { at_ = (at_ + 7) / 8 * 8; }

 private:
  const std::vector<std::uint8_t>& bytes_;
  std::size_t at_ = 0;
};

/// Counts instead of writing: the size of a layout.
class Counter {
 public:
  explicit Counter(std::int64_t& bytes) : bytes_(bytes) {}
  void item(std::uint32_t&, int bits) {
    at_ += bits;
    bytes_ = (at_ + 7) / 8;
  }
  void align() { at_ = bytes_ * 8; }

 private:
  std::int64_t& bytes_;
  std::int64_t at_ = 0;
};

bool whole_bytes(const ScaleFormat& scale) {
  return scale.kind == ScaleKind::kE8M0 || scale.kind == ScaleKind::kMinifloat;
}

// Code of element `index` and back, whichever way the stream goes.
template <typename Stream>
void element_item(QuantizedMatrix& q, std::int64_t index, Stream& stream) {
  std::uint32_t code = 0;
  std::uint8_t* place = q.codes.data() + index * q.code_bytes;
  auto size = static_cast<std::size_t>(q.code_bytes);
  if (!q.codes.empty()) std::memcpy(&code, place, size);
  stream.item(code, q.format.element.width());
  if (!q.codes.empty()) std::memcpy(place, &code, size);
}

template <typename Stream>
void scale_item(std::uint32_t& code, const ScaleFormat& scale, Stream& stream) {
  stream.item(code, scale.storage_width());
  if (whole_bytes(scale)) stream.align();
}

template <typename Stream>
void walk(QuantizedMatrix& q, PackLayout layout, Stream elements, Stream scales, Stream micros,
          Stream outers) {
  const BlockFormat& f = q.format;
  std::uint32_t none = 0;
  std::int64_t columns = q.blocks_per_row();
  auto scale_at = [&](std::int64_t r, std::int64_t column) -> std::uint32_t& {
    return q.scales.empty() ? none : q.scales[static_cast<size_t>(r * columns + column)];
  };
  auto micro_item = [&](std::int64_t index, Stream& stream) {
    std::uint32_t tau = q.micros.empty() ? 0 : q.micros[static_cast<size_t>(index)];
    stream.item(tau, f.micro.bits);
    if (!q.micros.empty()) q.micros[static_cast<size_t>(index)] = static_cast<std::uint8_t>(tau);
  };
  if (layout == PackLayout::kInterleaved) {
    std::int64_t taus = f.micro.bits > 0 ? f.block / f.micro.block : 0;
    for (std::int64_t r = 0; r < q.rows; ++r)
      for (std::int64_t column = 0; column < columns; ++column) {
        elements.item(scale_at(r, column), f.scale.storage_width());
        std::int64_t block = r * columns + column;
        for (std::int64_t t = 0; t < taus; ++t) micro_item(block * taus + t, elements);
        for (std::int64_t k = 0; k < f.block; ++k) element_item(q, block * f.block + k, elements);
        elements.align();
      }
  } else {
    for (std::int64_t r = 0; r < q.rows; ++r) {
      for (std::int64_t k = 0; k < q.padded_length; ++k)
        element_item(q, r * q.padded_length + k, elements);
      elements.align();
    }
    std::int64_t height = f.span == Span::kTensor ? std::max<std::int64_t>(q.rows, 1) : f.tile_rows;
    for (std::int64_t r = 0; r < q.rows; r += height)
      for (std::int64_t column = 0; column < columns; ++column) {
        scale_item(scale_at(r, column), f.scale, scales);
        if (q.scales.empty()) continue;
        // The other rows of a tile share it.
        for (std::int64_t other = r + 1; other < std::min(r + height, q.rows); ++other)
          scale_at(other, column) = scale_at(r, column);
      }
    if (f.micro.bits > 0)
      for (std::int64_t i = 0; i < q.rows * q.padded_length / f.micro.block; ++i)
        micro_item(i, micros);
  }
  for (std::uint32_t& code : q.outer_scales) scale_item(code, f.outer.scale, outers);
}

std::size_t outer_count(const BlockFormat& f, std::int64_t rows, std::int64_t columns) {
  if (!f.has_outer() || rows == 0 || columns == 0) return 0;
  if (f.outer.span == Span::kTensor) return 1;
  if (f.outer.span == Span::kRow) return static_cast<std::size_t>(rows);
  return static_cast<std::size_t>((rows * columns + f.outer.blocks - 1) / f.outer.blocks);
}

void check_layout(const BlockFormat& format, PackLayout layout) {
  if (layout == PackLayout::kInterleaved && (format.block == 0 || format.tile_rows != 1))
    throw ConfigError("layout interleaved: takes one-row blocks with a scale, not {}",
                      to_text(format));
}

// The matrix's shape without its contents.
QuantizedMatrix shape_of(const BlockFormat& format, std::int64_t rows, std::int64_t length) {
  QuantizedMatrix q;
  q.format = format;
  q.rows = rows;
  q.length = length;
  std::int64_t block = std::max(format.block, 1);
  q.padded_length = (length + block - 1) / block * block;
  int width = format.element.width();
  q.code_bytes = width <= 8 ? 1 : width <= 16 ? 2 : 4;
  return q;
}

}  // namespace

PackedSize packed_size(const BlockFormat& format, std::int64_t rows, std::int64_t length,
                       PackLayout layout) {
  check_layout(format, layout);
  QuantizedMatrix q = shape_of(format, rows, length);
  q.outer_scales.resize(outer_count(format, rows, q.blocks_per_row()));
  PackedSize size;
  walk(q, layout, Counter(size.elements), Counter(size.scales), Counter(size.micros),
       Counter(size.outers));
  size.mean = format.outer.mean ? static_cast<std::int64_t>(sizeof(float)) : 0;
  return size;
}

PackedMatrix pack(const QuantizedMatrix& matrix, PackLayout layout) {
  check_layout(matrix.format, layout);
  PackedMatrix packed;
  packed.format = matrix.format;
  packed.layout = layout;
  packed.rows = matrix.rows;
  packed.length = matrix.length;
  packed.mean = matrix.mean;
  packed.factor = matrix.factor;
  QuantizedMatrix q = matrix;  // the walk takes what it may write
  walk(q, layout, Writer(packed.elements), Writer(packed.scales), Writer(packed.micros),
       Writer(packed.outers));
  return packed;
}

QuantizedMatrix unpack(const PackedMatrix& packed) {
  const BlockFormat& f = packed.format;
  QuantizedMatrix q = shape_of(f, packed.rows, packed.length);
  q.mean = packed.mean;
  q.factor = packed.factor;
  q.codes.resize(static_cast<size_t>(q.rows * q.padded_length * q.code_bytes));
  q.scales.resize(static_cast<size_t>(q.rows * q.blocks_per_row()));
  if (f.micro.bits > 0)
    q.micros.resize(static_cast<size_t>(q.rows * q.padded_length / f.micro.block));
  q.outer_scales.resize(outer_count(f, q.rows, q.blocks_per_row()));
  walk(q, packed.layout, BitReader(packed.elements), BitReader(packed.scales),
       BitReader(packed.micros), BitReader(packed.outers));
  return q;
}

}  // namespace blockdot::formats
