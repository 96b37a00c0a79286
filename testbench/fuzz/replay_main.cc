// Runs the fuzz target on files and on random texts, without libFuzzer: what ctest does with any
// compiler. Exit 1 when a directory held nothing.
#include <fmt/core.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {
void run(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}
}  // namespace

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      run({std::istreambuf_iterator<char>(file), {}});
      ++files;
    }
  std::mt19937 random(1);  // always the same texts
  const std::string letters = "eemmbfintsu0123456789@/+*:=x_.rowtensrmean -\n";
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (std::uint32_t n = random() % 24; n > 0; --n)
      text += random() % 50 == 0 ? static_cast<char>(random()) : letters[random() % letters.size()];
    run(text);
  }
  run(std::string(1 << 20, 'e'));
  fmt::print("{} files and 200000 texts\n", files);
  return files > 0 ? 0 : 1;
}
