// Pieces that the front and the status share. Private to report/.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/report.h"

namespace sonar {

nlohmann::json front_points_json(const ReportData& data, FrontScope scope);
std::string json_text(const nlohmann::json& json);

/// Columns aligned by display width; right[i]: column i is set flush right.
std::string table_text(const std::vector<std::vector<std::string>>& table, const std::vector<bool>& right);

}  // namespace sonar
