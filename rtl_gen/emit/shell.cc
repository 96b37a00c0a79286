#include "rtl_gen/emit/shell.h"

#include <fmt/format.h>

#include "formats/error.h"
#include "rtl_gen/ir/bits.h"

namespace blockdot::rtl_gen {

std::string fill(std::string_view text, const Words& words) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t open = text.find('@', at);
    if (open == std::string_view::npos) return out.append(text.substr(at));
    out.append(text.substr(at, open - at));
    // "always @(" and "@*" are no words.
    const std::size_t close = text.find('@', open + 1);
    const std::string_view word =
        close == std::string_view::npos ? "" : text.substr(open + 1, close - open - 1);
    const auto found = words.find(word);
    if (found == words.end()) {
      BLOCKDOT_CHECK(open + 1 < text.size() && text[open + 1] == '(', "template word {}", word);
      out.push_back('@');
      at = open + 1;
      continue;
    }
    out += found->second;
    at = close + 1;
  }
  return out;
}

std::string shell_module(const std::vector<std::string>& header, std::string_view name,
                         const std::vector<Parameter>& parameters, const std::vector<Port>& ports,
                         std::string_view body) {
  std::string out;
  for (const std::string& line : header) out += line.empty() ? "//\n" : "// " + line + "\n";
  out += "`default_nettype none\n\n" + module_head(name, parameters, ports);
  out += body;
  return out + "endmodule\n\n`default_nettype wire\n";
}

std::string sized(int width, std::uint64_t value) {
  return verilog_literal(to_bits(Int(value), width));
}

std::string rotated(std::string_view signal, int width) {
  return width == 1 ? std::string(signal)
                    : fmt::format("{{{0}[{1}:0], {0}[{2}]}}", signal, width - 2, width - 1);
}

ModuleFile delay_module(std::string_view name) {
  return {std::string(name),
          fmt::format(R"(// {0}: d_i of CYCLES cycles ago; a wire where CYCLES is 0.
`default_nettype none

module {0} #(
  parameter WIDTH = 1,
  parameter CYCLES = 1,
  parameter RESET = 0
) (
  input  wire clk_i,
  input  wire rst_ni,
  input  wire [WIDTH-1:0] d_i,
  output wire [WIDTH-1:0] q_o
);
  generate
    if (CYCLES == 0) begin : wired
      wire unused_clock;
      assign unused_clock = &{{1'b0, clk_i, rst_ni}};
      assign q_o = d_i;
    end else begin : registered
      wire [(CYCLES+1)*WIDTH-1:0] taps;
      reg [CYCLES*WIDTH-1:0] line_q;
      assign taps = {{line_q, d_i}};
      assign q_o = taps[CYCLES*WIDTH +: WIDTH];
      if (RESET != 0) begin : with_reset
        always @(posedge clk_i) begin
          if (!rst_ni) line_q <= {{(CYCLES*WIDTH){{1'b0}}}};
          else line_q <= taps[CYCLES*WIDTH-1:0];
        end
      end else begin : no_reset
        wire unused_reset;
        assign unused_reset = &{{1'b0, rst_ni}};
        always @(posedge clk_i) line_q <= taps[CYCLES*WIDTH-1:0];
      end
    end
  endgenerate
endmodule

`default_nettype wire
)",
                      name)};
}

std::string credit_queue(const CreditQueue& q) {
  const int count = unsigned_width(q.depth);
  const int place = unsigned_width(q.depth - 1);
  const Words words = {{"RESERVE", q.reserve},
                       {"PUSH", q.push},
                       {"PUSH_DATA", q.push_data},
                       {"POP", q.pop},
                       {"SHOWN", q.shown},
                       {"DATA", q.data},
                       {"CREDIT", q.credit},
                       {"DEPTH", std::to_string(q.depth)},
                       {"TOP", std::to_string(q.depth - 1)},
                       {"W1", std::to_string(q.width - 1)},
                       {"C1", std::to_string(count - 1)},
                       {"P1", std::to_string(place - 1)},
                       {"FULL", sized(count, static_cast<std::uint64_t>(q.depth))},
                       {"ZERO", sized(count, 0)},
                       {"ONE", sized(count, 1)},
                       {"P_ZERO", sized(place, 0)},
                       {"P_ONE", sized(place, 1)},
                       {"P_TOP", sized(place, static_cast<std::uint64_t>(q.depth - 1))}};
  return fill(R"(
  // ---- Result queue: a place is reserved before the word is on its way; @DEPTH@ places ----
  reg [@C1@:0] credit_q;                            // places that nothing under way needs
  reg [@C1@:0] stored_q;                            // words in the queue
  reg [@P1@:0] read_at_q;
  reg [@P1@:0] write_at_q;
  reg [@W1@:0] queue_q [0:@TOP@];
  assign @CREDIT@ = credit_q != @ZERO@;
  wire stored;
  assign stored = stored_q != @ZERO@;
  assign @SHOWN@ = stored || @PUSH@;
  assign @DATA@ = stored ? queue_q[read_at_q] : @PUSH_DATA@;
  wire keep;                                        // the word that comes is not taken at once
  assign keep = @PUSH@ && (stored || !(@POP@));
  wire release_stored;
  assign release_stored = stored && @POP@;
  always @(posedge clk_i) begin
    if (!rst_ni) begin
      credit_q <= @FULL@;
      stored_q <= @ZERO@;
      read_at_q <= @P_ZERO@;
      write_at_q <= @P_ZERO@;
    end else begin
      if (@RESERVE@ && !(@POP@)) credit_q <= credit_q - @ONE@;
      else if (!(@RESERVE@) && @POP@) credit_q <= credit_q + @ONE@;
      if (keep && !release_stored) stored_q <= stored_q + @ONE@;
      else if (!keep && release_stored) stored_q <= stored_q - @ONE@;
      if (keep) write_at_q <= write_at_q == @P_TOP@ ? @P_ZERO@ : write_at_q + @P_ONE@;
      if (release_stored) read_at_q <= read_at_q == @P_TOP@ ? @P_ZERO@ : read_at_q + @P_ONE@;
    end
    if (keep) queue_q[write_at_q] <= @PUSH_DATA@;
  end
)",
              words);
}

}  // namespace blockdot::rtl_gen
