// Looking at a run directory, live or ended.
#include <filesystem>

#include "model/error.h"
#include "report/report.h"
#include "search/open_run.h"
#include "sonar/sonar.h"

namespace sonar {

RunStore open_run(const std::string& folder) {
  if (!std::filesystem::exists(folder + "/run.db"))
    throw UserError(folder + ": holds no run (no run.db); give the folder that --out named");
  return RunStore(folder, RunStore::Mode::read_only);
}

std::string status(const std::string& folder, bool json) {
  const ReportData data = gather_report(open_run(folder));
  return json ? status_json(data) : status_text(data);
}

std::string front(const std::string& folder, FrontFormat format) {
  const ReportData data = gather_report(open_run(folder));
  switch (format) {
    case FrontFormat::json:
      return front_json(data);
    case FrontFormat::csv:
      return front_csv(data);
    case FrontFormat::text:
      return front_text(data);
  }
  throw InternalError("unknown format of a front");
}

std::string write_report(const std::string& folder) {
  open_run(folder);
  const std::string path = folder + "/report.html";
  write_report(folder, path);
  write_front_csv(folder, folder + "/front.csv");
  return path;
}

const char* version() { return SONAR_VERSION; }

}  // namespace sonar
