// Design points: what to compute (DotSpec), how it is built (Arch) and how its operands are
// quantised, under a name; read from TOML design files (docs/design-files.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/error.h"
#include "formats/quantize.h"
#include "rtl_gen/design.h"
#include "sim/machine/report.h"
#include "sim/replay/replay.h"

namespace blockdot::explore {

/// One unit to generate, simulate and compare.
struct DesignPoint {
  std::string name;  // unique in its file; for people, no part of the content hash
  formats::DotSpec spec;
  rtl_gen::DesignSpec
      unit;  // its kind, and of a multi, fused or quantizer unit all; see design_spec
  rtl_gen::Arch arch;
  formats::QuantizeOptions quantize;    // of both operands; its seed is the unit's too
  std::optional<sim::Machine> machine;  // none: one unit behind a stream
};

/// One line of key=value that fixes every result of the point: two points with the same text are
/// the same design. The name is not in it.
std::string canonical_text(const DesignPoint& point);

/// SHA-256 of the canonical text, 64 hexadecimal digits.
std::string content_hash(const DesignPoint& point);

struct DesignFile {
  std::string title;  // the file's `title`, or its stem
  std::vector<DesignPoint> points;
};

/// Reads a design file: an optional `title`, an optional [defaults] table and one or more
/// [[design]] tables. A list as value stands for one design for each of its members; several lists
/// give every combination, the later key varying fastest. Names are made unique.
///
/// ConfigError "FILE:LINE:COLUMN: ..." for TOML syntax, unknown keys (with the nearest names),
/// values of a wrong type, empty lists, more than kMaxPoints points, and whatever `formats` or
/// `rtl_gen` refuse.
DesignFile parse_design_file(std::string_view text, const std::string& file_name);
DesignFile read_design_file(const std::filesystem::path& path);

/// The file with the point of this name alone; empty: as it is. ConfigError with the nearest name.
DesignFile only_point(DesignFile designs, const std::string& name);

/// What a point is, of any kind: `unit` with `spec` as its contract.
rtl_gen::DesignSpec design_spec(const DesignPoint& point);

/// What `work` gives; a ConfigError that it throws names the design point.
template <typename Work>
auto in_point(const DesignPoint& point, Work work) {
  try {
    return work();
  } catch (const ConfigError& error) {
    throw ConfigError("design point '{}': {}", point.name, error.what());
  }
}

/// The design of a point; what `rtl_gen` refuses names the point.
rtl_gen::Design generate_design(const DesignPoint& point);

/// The dot unit of a point, for commands that drive no other kind. ConfigError as generate_design,
/// and for a point of another kind.
rtl_gen::Unit generate_unit(const DesignPoint& point);

/// The machine of a point for this engine, nothing where the point has none; errors name the point.
std::optional<sim::MachineDesign> design_machine(const DesignPoint& point, sim::Engine engine);

inline constexpr std::size_t kMaxPoints = 10000;

}  // namespace blockdot::explore
