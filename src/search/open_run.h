#pragma once
#include <string>

#include "records/run_store.h"

namespace sonar {

/// A run directory for reading. Throws UserError when the folder holds none.
RunStore open_run(const std::string& folder);

}  // namespace sonar
