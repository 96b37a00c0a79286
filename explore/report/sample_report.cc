// sample_report FOLDER: the quickstart's comparison on the shipped trace by the fast engine,
// without a store, written into FOLDER; for the test of the report in a browser. All points but the
// last are on a machine, the first two with walls of their own, and energies, which take minutes to
// measure, are made up.
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
    for (std::size_t i = 0; i + 1 < designs.points.size(); ++i)
      designs.points[i].machine =
          sim::parse_machine(i == 0   ? "rows=4 cols=4 bandwidth=16 a-banks=1"
                             : i == 1 ? "rows=4 cols=4 bandwidth=16 operands=fp32 quantizer-rate=2"
                                      : "rows=4 cols=4 bandwidth=16");
    explore::CompareOptions options;
    options.jobs = 2;
    explore::ResultTable table =
        explore::compare(designs, BLOCKDOT_SOURCE_DIR "/sim/trace/data", options);
    for (explore::PointRow& point : table.points) point.energy = {1, 2, "made up"};
    for (explore::ResultRow& row : table.results)
      row.energy.unit = static_cast<double>(1 + row.point + row.gemm % 3);
    explore::write_results(table, argv[1]);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
