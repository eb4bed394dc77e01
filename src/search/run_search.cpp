// The table of contents of a search: one call for each stage.
#include "search/search_run.h"

namespace sonar {

RunEnd run_search(const Config& config, const RunOptions& options) {
  SearchRun run(config, options);
  run.open_store();
  if (run.already_finished()) {
    run.write_outcome();
    return RunEnd::finished;
  }
  try {
    run.open_data();
    run.choose_candidates();
    run.start_device();
    run.restore();
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
  run.write_outcome();
  return RunEnd::finished;
}

}  // namespace sonar
