// report.html: one file that holds a result table, its charts and its script, and opens without a
// network.
#pragma once

#include <string>

#include "explore/compare.h"

namespace blockdot::explore {

/// The page, UTF-8. The table is inside it as JSON (docs/json-schemas.md, blockdot.compare/1).
std::string report_html(const ResultTable& table);

}  // namespace blockdot::explore
