#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "model/error.h"
#include "report/report.h"

namespace sonar {
namespace {

ReportData gather_folder(const std::string& run_folder) {
  return gather_report(RunStore(run_folder, RunStore::Mode::read_only));
}

}  // namespace

void replace_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp" + std::to_string(getpid());
  auto fail = [&](int error) {
    std::remove(temporary.c_str());
    throw EnvironmentError(path + " cannot be written (" + std::strerror(error) +
                           "); check the folder, its permissions and the disk space");
  };
  errno = 0;
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) fail(errno ? errno : EIO);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) fail(errno);
}

void write_report(const std::string& run_folder, const std::string& html_path) {
  replace_file(html_path, report_html(gather_folder(run_folder)));
}

void write_front_csv(const std::string& run_folder, const std::string& csv_path) {
  replace_file(csv_path, front_csv(gather_folder(run_folder)));
}

}  // namespace sonar
