#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {
namespace {

struct RecordsOptions {
  std::string library, file;
  bool json = false, skip_bad = false;
};

void export_to_stdout(const std::string& from) {
  bool good = true;
  export_records(from, [&](const std::string& line) { good = good && std::puts(line.c_str()) >= 0; });
  if (!good || std::fflush(stdout) != 0) throw EnvironmentError("the standard output cannot be written");
}

void export_to_file(const std::string& from, const std::string& path) {
  // Under another name until it is whole.
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  if (!file) throw EnvironmentError(part + " cannot be written; choose another place with --out");
  try {
    const long count = export_records(from, [&](const std::string& line) { file << line << '\n'; });
    file.close();
    if (!file) throw EnvironmentError(part + " cannot be written to its end; is the disk full?");
    std::filesystem::rename(part, path);
    std::fprintf(stderr, "%ld records written to %s\n", count, path.c_str());
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(part, ignored);
    throw;
  }
}

}  // namespace

void setup_records(CLI::App& app) {
  auto options = std::make_shared<RecordsOptions>();
  CLI::App* verb = app.add_subcommand("records", "record libraries: what runs share (docs/records.md)");
  verb->require_subcommand(1);

  CLI::App* export_verb = verb->add_subcommand("export", "the records of a library or a run as JSON lines");
  export_verb->add_option("from", options->library, "record library or run directory")->required();
  export_verb->add_option("--out", options->file, "file to write (default: standard output)");
  export_verb->callback([options] {
    if (options->file.empty())
      export_to_stdout(options->library);
    else
      export_to_file(options->library, options->file);
  });

  CLI::App* import_verb = verb->add_subcommand("import", "adds records to a library, which is made when absent");
  import_verb->add_option("library", options->library, "record library")->required();
  import_verb->add_option("file", options->file, "JSON lines, another library, or a run directory")->required();
  import_verb->add_flag("--skip-bad", options->skip_bad, "pass over bad lines instead of importing nothing");
  import_verb->callback([options] {
    const ImportCount count = import_records(options->library, options->file, options->skip_bad);
    for (const std::string& why : count.why) std::fprintf(stderr, "sonar: warning: %s\n", why.c_str());
    std::printf("%ld records added, %ld were there already", count.added, count.known);
    if (count.bad > 0) std::printf(", %ld bad lines passed over", count.bad);
    std::puts("");
  });

  CLI::App* show_verb = verb->add_subcommand("show", "counts, failures by cause, best latencies");
  show_verb->add_option("library", options->library, "record library")->required();
  show_verb->add_flag("--json", options->json);
  show_verb->callback([options] { std::puts(show_records(options->library, options->json).c_str()); });
}

}  // namespace sonar::cli
