// report.html as text: whole, self-contained, and safe with any name.
#include "explore/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace blockdot::explore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(Report, HoldsItsDataStyleAndLibrariesAndNoPlaceholder) {
  ResultTable table;
  table.title = "A title";
  table.program = "blockdot 0.1";
  std::string page = report_html(table);
  EXPECT_THAT(page, HasSubstr("<title>A title · blockdot report</title>"));
  EXPECT_THAT(page, HasSubstr("\"schema\":\"blockdot.compare/1\""));
  EXPECT_THAT(page, HasSubstr("@observablehq/plot v0.6"));
  EXPECT_THAT(page, HasSubstr("// https://d3js.org"));
  for (const char* name : {"@TITLE@", "@STYLE@", "@DATA@", "@D3@", "@PLOT@", "@SCRIPT@"})
    EXPECT_THAT(page, Not(HasSubstr(name)));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
  EXPECT_LT(page.size(), 1200000u);
}

TEST(Report, NamesCannotBreakOutOfTheirPlace) {
  ResultTable table;
  table.title = "</title><script>alert(1)</script> @DATA@ & more";
  table.points.push_back({});
  table.points[0].name = "</script><img src=x onerror=alert(1)> <!-- @SCRIPT@";
  std::string page = report_html(table);
  EXPECT_EQ(count(page, "</title>"), 1u);
  EXPECT_EQ(count(page, "<script"), count(report_html({}), "<script"));
  EXPECT_EQ(count(page, "</script"), count(report_html({}), "</script"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt; @DATA@ &amp; more"));
  // The data comes back as it was.
  std::size_t begin = page.find("id=\"data\">") + 10;
  std::string data = page.substr(begin, page.find("</script>", begin) - begin);
  EXPECT_EQ(nlohmann::json::parse(data).at("points")[0].at("name"), table.points[0].name);
}

}  // namespace
}  // namespace blockdot::explore
