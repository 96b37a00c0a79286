// libFuzzer target of the format grammar: any text parses or is a ConfigError of one line, and what
// parses prints a canonical text that parses to the same format.
//
//   cmake -S . -B build/fuzz -DBLOCKDOT_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++
//   cmake --build build/fuzz --target grammar_fuzz
//   build/fuzz/bin/grammar_fuzz -max_total_time=60 testbench/fuzz/corpus
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "formats/dot_spec.h"
#include "formats/error.h"

using namespace blockdot;
using namespace blockdot::formats;

namespace {

template <typename Parse>
void round_trip(std::string_view text, Parse parse) {
  try {
    auto value = parse(text);
    std::string canonical = to_text(value);
    if (!(parse(canonical) == value) || to_text(parse(canonical)) != canonical) std::abort();
  } catch (const ConfigError& error) {
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  round_trip(text, [](std::string_view t) { return parse_block_format(t); });
  round_trip(text, [](std::string_view t) { return parse_scale(t); });
  round_trip(text, [](std::string_view t) { return parse_element(t); });
  round_trip(text, [](std::string_view t) { return parse_rounding(t); });
  return 0;
}
