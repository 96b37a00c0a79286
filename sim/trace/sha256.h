// SHA-256 of bytes, as 64 lower-case hex digits (FIPS 180-4, by OpenSSL).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace blockdot::sim {

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view bytes);

}  // namespace blockdot::sim
