#include "explore/report.h"

#include <string_view>
#include <utility>
#include <vector>

#include "explore/assets.h"

namespace blockdot::explore {
namespace {

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string escape_html(std::string text) {
  text = replace_all(std::move(text), "&", "&amp;");
  text = replace_all(std::move(text), "<", "&lt;");
  return replace_all(std::move(text), ">", "&gt;");
}

// Inside <script> only `</script` ends the element; in JavaScript `<\/script` is the same string.
std::string script(std::string_view text) {
  return replace_all(std::string(text), "</script", "<\\/script");
}

}  // namespace

std::string report_html(const ResultTable& table) {
  const std::vector<std::pair<std::string_view, std::string>> parts = {
      {"TITLE", escape_html(table.title)},
      {"STYLE", std::string(assets::report_css)},
      // In JSON a `<` stands only in strings, where its escape means the same.
      {"DATA", replace_all(to_json(table), "<", "\\u003c")},
      {"D3", script(assets::d3_min_js)},
      {"PLOT", script(assets::plot_umd_min_js)},
      {"SCRIPT", script(assets::report_js)}};
  // One pass over the template: what is put in is never looked at again.
  std::string page;
  std::string_view rest = assets::template_html;
  while (true) {
    std::size_t at = rest.find('@');
    page += rest.substr(0, at);
    if (at == std::string_view::npos) return page;
    rest.remove_prefix(at + 1);
    bool replaced = false;
    for (const auto& [name, text] : parts) {
      if (rest.starts_with(name) && rest.substr(name.size()).starts_with('@')) {
        page += text;
        rest.remove_prefix(name.size() + 1);
        replaced = true;
        break;
      }
    }
    if (!replaced) page += '@';
  }
}

}  // namespace blockdot::explore
