// What the vectors of a shipped testbench are made of: bits as text, and random operands.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "formats/block_format.h"
#include "models/exact.h"
#include "rtl_gen/emit/verilog.h"

namespace blockdot::sim {

/// Bits from the most significant on, written as hexadecimal.
class Bits {
 public:
  void add(std::uint64_t value, int width) {
    for (int i = width - 1; i >= 0; --i) bits_ += (value >> i & 1) != 0 ? '1' : '0';
  }
  /// The low `width` bits of a two's complement integer.
  void add(models::Exact::Integer value, int width) {
    models::Exact::Integer modulus = models::Exact::Integer(1) << static_cast<unsigned>(width);
    if (value < 0) value += modulus;
    for (int i = width - 1; i >= 0; --i)
      bits_ += bit_test(value, static_cast<unsigned>(i)) ? '1' : '0';
  }
  void add(const Bits& other) { bits_ += other.bits_; }
  std::string hex() const {
    std::string padded = std::string((4 - bits_.size() % 4) % 4, '0') + bits_, text;
    for (std::size_t i = 0; i < padded.size(); i += 4)
      text += "0123456789abcdef"[std::stoi(padded.substr(i, 4), nullptr, 2)];
    return text;
  }

 private:
  std::string bits_;
};

/// Random operands of one side.
class SideSource {
 public:
  SideSource(const formats::BlockFormat& format, int lanes) : format_(format), lanes_(lanes) {}

  void fill(std::mt19937_64& random, std::vector<std::uint32_t>& codes, std::uint32_t& scale,
            std::vector<std::uint8_t>& micros) const {
    codes.resize(static_cast<std::size_t>(lanes_));
    // Most beats hold finite numbers only, else nearly every wide beat would have a NaN.
    bool any = random() % 8 == 0;
    for (std::uint32_t& code : codes) do
        code = static_cast<std::uint32_t>(random()) & ((1u << format_.element.width()) - 1);
      while (!usable(code, any));
    scale = random_scale(random);
    micros.clear();
    if (format_.micro.bits > 0)
      for (int i = 0; i < lanes_ / format_.micro.block; ++i)
        micros.push_back(static_cast<std::uint8_t>(random() % (1u << format_.micro.bits)));
  }

 private:
  bool usable(std::uint32_t code, bool any) const {
    const formats::ElementFormat& e = format_.element;
    // The most negative code of a symmetric integer never occurs.
    if (e.kind == formats::ElementKind::kInteger && e.symmetric)
      return code != 1u << (e.width() - 1);
    return any || std::isfinite(formats::decode(e, code));
  }

  std::uint32_t random_scale(std::mt19937_64& random) const {
    int width = format_.scale.width();
    if (width == 0) return 0;
    std::uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
    auto code = static_cast<std::uint32_t>(random()) & mask;
    if (format_.scale.kind == formats::ScaleKind::kE8M0)  // near 1, where sums of beats interact
      return random() % 16 == 0 ? code
                                : static_cast<std::uint32_t>(formats::kE8M0Bias) - 6 + code % 13;
    while (random() % 16 != 0 && !std::isfinite(formats::decode(format_.scale, code)))
      code = static_cast<std::uint32_t>(random()) & mask;
    return code;
  }

  formats::BlockFormat format_;
  int lanes_;
};

/// The part of an operand that port NAME_i, NAME_scale_i or NAME_micro_i carries.
struct SideBeat {
  std::vector<std::uint32_t> codes;
  std::uint32_t scale = 0;
  std::vector<std::uint8_t> micros;
};
/// `part`: the port's name, or a field's, without the side: "", "_scale" or "_micro". The last
/// element first.
inline Bits side_bits(const formats::BlockFormat& format, const SideBeat& beat,
                      std::string_view part) {
  Bits bits;
  if (part == "_scale") {
    bits.add(std::uint64_t{beat.scale}, format.scale.width());
  } else if (part == "_micro") {
    for (std::size_t g = beat.micros.size(); g-- > 0;)
      bits.add(std::uint64_t{beat.micros[g]}, format.micro.bits);
  } else {
    for (std::size_t j = beat.codes.size(); j-- > 0;)
      bits.add(std::uint64_t{beat.codes[j]}, format.element.width());
  }
  return bits;
}

}  // namespace blockdot::sim
