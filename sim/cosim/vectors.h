// What the vectors of a shipped testbench are made of: bits as text, and random operands.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "formats/block_format.h"
#include "models/exact.h"
#include "rtl_gen/emit/verilog.h"

namespace blockdot::sim {

/// What every shipped testbench has: its clock, and its verdict at the end of `initial`.
inline constexpr std::string_view kTick =
    R"(  task tick;  // the rest of a cycle: both edges of the clock
    begin
      #5 clk = 1'b1;
      #5 clk = 1'b0;
    end
  endtask
)";
inline constexpr std::string_view kVerdict =
    R"(    if (errors == 0 && checks == CHECKS) $display("PASS %0d", checks);
    else $display("FAIL %0d mismatches in %0d results of %0d", errors, checks, CHECKS);
    $finish;
  end
endmodule

`default_nettype wire
)";

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
            std::vector<std::uint8_t>& micros, std::uint32_t& outer, float& mean) const {
    codes.resize(static_cast<std::size_t>(lanes_));
    // Most beats hold finite numbers only, else nearly every wide beat would have a NaN.
    bool any = random() % 8 == 0;
    for (std::uint32_t& code : codes) do
        code = static_cast<std::uint32_t>(random() >> (64 - format_.element.width()));
      while (!usable(code, any));
    scale = random_scale(format_.scale, random);
    outer = random_scale(format_.outer.scale, random);
    mean = 0;
    if (format_.outer.mean)  // of the order of the product it is added to, and beyond
      mean =
          std::ldexp(static_cast<float>(random() >> 40), -24 - 6 + static_cast<int>(random() % 13));
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

  static std::uint32_t random_scale(const formats::ScaleFormat& scale, std::mt19937_64& random) {
    if (scale.kind == formats::ScaleKind::kNone) return 0;
    auto code = static_cast<std::uint32_t>(random() >> (64 - scale.width()));
    // Near 1, where sums of beats interact and results stay within the output; now and then any.
    const bool any = random() % 16 == 0;
    const double near = std::ldexp(1 + static_cast<double>(random() >> 40) * 0x1p-24,
                                   static_cast<int>(random() % 13) - 6);
    switch (scale.kind) {
      case formats::ScaleKind::kE8M0:
        return any ? code : static_cast<std::uint32_t>(formats::kE8M0Bias) - 6 + code % 13;
      case formats::ScaleKind::kMinifloat:
        return any ? code : encode(scale, near);
      case formats::ScaleKind::kNone:
      case formats::ScaleKind::kInteger:
      case formats::ScaleKind::kCodeBook:
        return code;
    }
    return code;
  }

  formats::BlockFormat format_;
  int lanes_;
};

/// The part of an operand that its ports carry.
struct SideBeat {
  std::vector<std::uint32_t> codes;
  std::uint32_t scale = 0;
  std::vector<std::uint8_t> micros;
  std::uint32_t outer = 0;
  float mean = 0;
};
/// `part`: the port's name, or a field's, without the side: "", "_scale", "_micro", "_outer" or
/// "_mean". The last element first.
inline Bits side_bits(const formats::BlockFormat& format, const SideBeat& beat,
                      std::string_view part) {
  Bits bits;
  if (part == "_scale") {
    bits.add(std::uint64_t{beat.scale}, format.scale.width());
  } else if (part == "_outer") {
    bits.add(std::uint64_t{beat.outer}, format.outer.scale.width());
  } else if (part == "_mean") {
    bits.add(std::uint64_t{std::bit_cast<std::uint32_t>(beat.mean)}, 32);
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
