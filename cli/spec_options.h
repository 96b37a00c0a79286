// The options that describe a DotSpec and an Arch, shared by the commands that take them.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "formats/dot_spec.h"
#include "rtl_gen/generate.h"

namespace blockdot::cli {

struct SpecArguments {
  formats::DotSpecText text;
};
/// --a --b --lanes --accumulator --output --rounding --specials --max-k --lfsr
void add_spec_options(CLI::App& command, SpecArguments& arguments);

struct ArchArguments {
  std::string technology = "generic", schedule, structure;
  std::string clock_ns;  // empty: the technology's default
  bool combinational = false;
  std::string schedule_seed;
};
/// --clock-ns --combinational --tech --schedule --schedule-seed --arch
void add_arch_options(CLI::App& command, ArchArguments& arguments);
rtl_gen::Arch resolve(const ArchArguments& arguments);

}  // namespace blockdot::cli
