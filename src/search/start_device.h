// What `search`, `tune` and `doctor` share: compiler and device started from the configuration.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "device/device.h"
#include "program/compiler.h"
#include "records/run_store.h"
#include "search/program_measurer.h"
#include "search/tuner_session.h"
#include "sonar/config.h"

namespace sonar {

struct DeviceParts {
  std::unique_ptr<Compiler> compiler;
  std::unique_ptr<Device> device;
  RecordIdentity identity;
};

/// Throws EnvironmentError when the compiler or the toolchain that links runners is missing.
DeviceParts start_local_device(const Config& config, const std::string& work_folder);

/// search.tuner names a command.
bool has_outside_tuner(const Config& config);

/// Of what an outside tuner measures here: another compiler, so that such records are never mixed with ours.
RecordIdentity outside_identity(const Config& config, const TunerSession::Identity& tuner);

/// Throws UserError naming the first core of train, compile or device that this machine does not have.
void refuse_missing_cores(const Config& config);

/// The host, as device.threads says.
Target device_target(const Config& config);

/// Programs are timed on the first device.threads of device.cores; what prepares them runs on the rest of
/// compile.cores.
MeasuringCores measuring_cores(const Config& config);

/// data.classes, or the number found by opening the data set.
int classes_of(const Config& config);

}  // namespace sonar
