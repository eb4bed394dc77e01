// The table of contents of a search: one call for each stage. `tune` and `train` are the same for one network.
#include <filesystem>

#include "search/search_run.h"

namespace sonar {
namespace {

RunEnd carry_out(SearchRun run) {
  run.open_store();
  if (!run.already_finished()) {
    try {
      run.open_data();
      run.choose_candidates();
      run.start_device();
      run.restore();
      run.measure_proxies();
      run.measure_defaults();
      while (run.begin_round()) {
        run.execute_round();
        run.eliminate();
      }
      run.finish();
    } catch (const Stopped&) {
      run.note_stop();
      return RunEnd::stopped;
    }
  }
  run.write_outcome();
  return RunEnd::finished;
}

}  // namespace

RunEnd run_search(const Config& config, const RunOptions& options) {
  return carry_out(SearchRun(config, options, SearchRun::Purpose::search));
}

RunEnd run_tune(const Config& config, const std::string& architecture, const RunOptions& options) {
  return carry_out(SearchRun(config, options, SearchRun::Purpose::tune, architecture));
}

RunEnd run_tune_onnx(const Config& config, const std::string& file, const RunOptions& options) {
  return carry_out(SearchRun(config, options, SearchRun::Purpose::tune, std::filesystem::path(file).stem().string(),
                             import_onnx(file)));
}

RunEnd run_train(const Config& config, const std::string& architecture, const RunOptions& options) {
  return carry_out(SearchRun(config, options, SearchRun::Purpose::train, architecture));
}

}  // namespace sonar
