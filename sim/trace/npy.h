// NumPy's .npy files: one array, as its header describes it (NEP 1, versions 1 to 3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace blockdot::sim {

struct NpyArray {
  std::string descr;  // little-endian type, e.g. "<f4", "|u1"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::string_view data;  // into the file's bytes: product(shape) * item size
};

/// Reads the header and checks that the data are there. `name` is for messages. ConfigError for a
/// damaged header, a big-endian or structured type, or data that do not match the shape.
NpyArray parse_npy(std::string_view file, std::string_view name);

/// The bytes of a version 1 file in C order.
std::string make_npy(std::string_view descr, const std::vector<std::int64_t>& shape,
                     std::string_view data);

}  // namespace blockdot::sim
