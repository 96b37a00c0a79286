// blockdot completion and blockdot man: made from the commands themselves, so that they cannot
// say anything else than --help does.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "cli/command.h"
#include "formats/block_format.h"
#include "formats/quantize.h"

namespace blockdot::cli {

namespace {

std::vector<CLI::App*> commands_of(CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::string join(const std::vector<std::string>& words, const char* separator = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
  return text;
}

// Values worth completing after an option, "" for file names.
std::string values_after(const std::string& option) {
  if (option == "--a" || option == "--b") {
    std::vector<std::string> names;
    for (const auto& entry : formats::catalogue()) names.push_back(entry.name);
    return join(names);
  }
  if (option == "--accumulator") return "kulisch fp32 bf16 fp16";
  if (option == "--output") return "fp32 bf16 fp16";
  if (option == "--rounding") return "rne rna rtz sr:8 sr:16";
  if (option == "--engine") return "fast systemc rtl all";
  if (option == "--tech") return "generic osu018 xilinx";
  if (option == "--unit") return "dot block-dot multi fused stream array quantizer";
  if (option == "--dataflow") return "os ws";
  if (option == "--scale-rule")
    return fmt::format("{}", fmt::join(formats::scale_rule_names(), " "));
  return "";
}

constexpr const char* kValued[] = {"--a",          "--b",       "--accumulator", "--output",
                                   "--rounding",   "--engine",  "--tech",        "--unit",
                                   "--scale-rule", "--dataflow"};

std::string bash_script(CLI::App& program) {
  std::string script =
      "# bash completion of blockdot: source it, or put it in "
      "~/.local/share/bash-completion/completions/blockdot\n"
      "_blockdot() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
      "command=${COMP_WORDS[1]}\n"
      "  local words=''\n"
      "  case $before in\n";
  for (const char* option : kValued)
    script += fmt::format("    {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n",
                          option, values_after(option));
  script += "  esac\n  if [ \"$COMP_CWORD\" = 1 ]; then\n";
  std::vector<std::string> names;
  for (CLI::App* command : commands_of(program)) names.push_back(command->get_name());
  script += fmt::format("    words='{} {}'\n  else\n    case $command in\n", join(names),
                        join(option_names(program)));
  for (CLI::App* command : commands_of(program)) {
    std::vector<std::string> words = option_names(*command);
    for (CLI::App* inner : commands_of(*command)) words.push_back(inner->get_name());
    if (command->get_name() == "formats" || command->get_name() == "quantize")
      words.push_back(values_after("--a"));
    if (command->get_name() == "completion") words.emplace_back("bash zsh");
    script += fmt::format("      {}) words='{} {}' ;;\n", command->get_name(), join(words),
                          join(option_names(program)));
  }
  script +=
      "    esac\n  fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
      "  # Nothing of ours fits: a file name does.\n"
      "  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "}\n"
      "complete -o filenames -F _blockdot blockdot\n";
  return script;
}

std::string zsh_script(CLI::App& program) {
  // zsh runs bash completions by bashcompinit: one description of the commands serves both.
  return "#compdef blockdot\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(program);
}

// Text for roff: a leading dot or quote would be a request, a backslash an escape, and a plain
// hyphen a typographic one.
std::string roff(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += "\\&";
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string man_options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    std::string type = option->get_type_size() == 0 ? "" : " " + option->get_type_name();
    std::string name =
        option->get_positional() ? option->get_name(true) : option->get_name(false, true);
    std::string fallback = option->get_default_str();
    text += fmt::format(".TP\n\\fB{}\\fR{}\n{}{}\n", roff(name), roff(type),
                        roff(option->get_description()),
                        fallback.empty() ? "" : roff(fmt::format(" (default {})", fallback)));
  }
  return text;
}

std::string man_page(CLI::App& program) {
  std::string page = fmt::format(
      ".TH BLOCKDOT 1 \"\" \"blockdot {}\" \"User Commands\"\n"
      ".SH NAME\nblockdot \\- hardware for block\\-scaled dot products: generate, simulate, "
      "compare\n"
      ".SH SYNOPSIS\n\\fBblockdot\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
      ".SH DESCRIPTION\n{}\n.SH OPTIONS\n{}",
      BLOCKDOT_VERSION, roff(program.get_description()), man_options(program));
  std::function<void(CLI::App&, const std::string&)> add = [&](CLI::App& app,
                                                               const std::string& path) {
    for (CLI::App* command : commands_of(app)) {
      std::string name = path + " " + command->get_name();
      page += fmt::format(".SH {}\n{}\n{}", roff(name), roff(command->get_description()),
                          man_options(*command));
      if (!command->get_footer().empty())
        page += fmt::format(".PP\n.nf\n{}\n.fi\n", roff(command->get_footer()));
      add(*command, name);
    }
  };
  add(program, "blockdot");
  page +=
      ".SH EXIT STATUS\n0 done; 1 a check failed; 2 bad input, said in one line; 128 + signal "
      "interrupted.\n"
      ".SH ENVIRONMENT\n.TP\n\\fBBLOCKDOT_CACHE\\fR\nFolder of compiled models and results "
      "(default "
      "~/.cache/blockdot); safe to delete.\n"
      ".SH EXAMPLES\n.nf\n" +
      roff(program.get_footer()) + "\n.fi\n";
  return page;
}

}  // namespace

void add_completion(CLI::App& program, Context&) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      program.add_subcommand("completion", "Print the completion script of a shell");
  command->add_option("SHELL", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->footer(examples({"source <(blockdot completion bash)",
                            "blockdot completion zsh > \"${fpath[1]}/_blockdot\""}));
  command->callback([shell, &program] {
    fmt::print("{}", *shell == "bash" ? bash_script(program) : zsh_script(program));
  });
}

void add_man(CLI::App& program, Context&) {
  CLI::App* command = program.add_subcommand("man", "Print the manual page (roff)");
  command->footer(examples({"blockdot man | man -l -"}));
  command->callback([&program] { fmt::print("{}", man_page(program)); });
}

}  // namespace blockdot::cli
