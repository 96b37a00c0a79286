// sample_report FOLDER: the quickstart's comparison on the shipped trace by the fast engine,
// without a store, written into FOLDER; for the test of the report in a browser.
#include <fmt/core.h>

#include <exception>

#include "explore/compare.h"

int main(int argc, char** argv) {
  using namespace blockdot;
  if (argc != 2) {
    fmt::print(stderr, "usage: explore_sample_report FOLDER\n");
    return 2;
  }
  try {
    explore::DesignFile designs =
        explore::read_design_file(BLOCKDOT_SOURCE_DIR "/explore/designs/quickstart.toml");
    explore::CompareOptions options;
    options.jobs = 2;
    explore::write_results(
        explore::compare(designs, BLOCKDOT_SOURCE_DIR "/sim/trace/data", options), argv[1]);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
