// Looking at a run directory, live or ended.
#include <filesystem>

#include "model/error.h"
#include "report/report.h"
#include "sonar/sonar.h"

namespace sonar {
namespace {

RunStore open(const std::string& folder) {
  if (!std::filesystem::exists(folder + "/run.db"))
    throw UserError(folder + ": holds no run (no run.db); give the folder that --out named");
  return RunStore(folder, RunStore::Mode::read_only);
}

}  // namespace
}  // namespace sonar
