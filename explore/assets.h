// Files of the repository that the program carries inside itself, so that an installed binary
// stands alone. The definitions are made at build time (report/embed.cmake).
#pragma once

#include <string_view>

namespace blockdot::explore::assets {

extern const std::string_view template_html;
extern const std::string_view report_css;
extern const std::string_view report_js;
extern const std::string_view d3_min_js;
extern const std::string_view plot_umd_min_js;
extern const std::string_view measure_unit_sh;

}  // namespace blockdot::explore::assets
