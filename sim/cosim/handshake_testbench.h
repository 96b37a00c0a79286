// The testbench of what has valid/ready borders: streams and arrays.
#pragma once

#include <cstdint>

#include "sim/cosim/testbench.h"

namespace blockdot::sim {

/// Of a stream or an array. make_testbench is the way in.
Testbench handshake_testbench(const rtl_gen::Design& design, int count, std::uint64_t seed);

}  // namespace blockdot::sim
