// Text of what is structure and no arithmetic: shells around generated units (streams, arrays).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/emit/verilog.h"

namespace blockdot::rtl_gen {

/// One Verilog file of a design: `name` is the module's, the file's and that of its instances.
struct ModuleFile {
  std::string name;
  std::string text;

  std::string file() const { return name + ".v"; }
};

/// Words of a template and what stands for them.
using Words = std::map<std::string, std::string, std::less<>>;
/// `text` with every @WORD@ replaced.
std::string fill(std::string_view text, const Words& words);

/// Header lines, `default_nettype none`, the parameters, the ports, the body, and the end.
std::string shell_module(const std::vector<std::string>& header, std::string_view name,
                         const std::vector<Parameter>& parameters, const std::vector<Port>& ports,
                         std::string_view body);

/// A literal of `width` bits: 4'd9.
std::string sized(int width, std::uint64_t value);
/// A one-hot vector turned left by one place.
std::string rotated(std::string_view signal, int width);

/// A module of that name with parameters WIDTH, CYCLES and RESET: q_o is d_i of CYCLES cycles ago,
/// a wire where that is 0; with RESET its registers are zero in reset.
ModuleFile delay_module(std::string_view name);

/// A queue whose place is kept for each word before it is on its way, so that what feeds it needs
/// no stall. A word that finds the queue empty is shown in the cycle it comes. All names are wires
/// of the surrounding module.
struct CreditQueue {
  int depth = 2;
  int width = 1;
  std::string reserve;    // read: 1 in a cycle that sends a word on its way
  std::string push;       // read: 1 in the cycle the word arrives
  std::string push_data;  // read: `width` bits
  std::string pop;        // read: 1 in a cycle that takes the word shown; only where one is shown
  std::string shown;      // driven: a word is there
  std::string data;       // driven: the word
  std::string credit;     // driven, from a register: `reserve` may be 1
};
std::string credit_queue(const CreditQueue& queue);

}  // namespace blockdot::rtl_gen
