#include "search/start_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "device/machine.h"
#include "model/error.h"
#include "search/program_measurer.h"
#include "search/trainer_client.h"

namespace sonar {

Target device_target(const Config& config) {
  Target target = host_target();
  target.threads = static_cast<int>(config.device.threads);
  return target;
}

DeviceParts start_local_device(const Config& config, const std::string& work_folder) {
  CompilerOptions compile;
  compile.target = device_target(config);
  compile.cores.assign(config.compile.cores.begin(), config.compile.cores.end());
  compile.time_limit_s = config.compile.time_limit_s;
  compile.memory_limit_mb = config.compile.memory_limit_mb;
  compile.work_folder = work_folder + "/objects";
  DeviceParts parts;
  parts.compiler = std::make_unique<Compiler>(compile);

  DeviceOptions device;
  const MeasuringCores cores = measuring_cores(config);
  device.cores = cores.timing;
  device.threads = static_cast<int>(config.device.threads);
  device.link_cores = cores.beside;
  device.compiler = config.device.compiler;
  device.work_folder = work_folder + "/runners";
  device.runtime_object = parts.compiler->runtime_object();
  device.halide_include = SONAR_HALIDE_INCLUDE;
  parts.device = make_local_device(device);

  parts.identity.target = parts.compiler->target_text();
  parts.identity.device = parts.device->description();
  parts.identity.compiler = parts.compiler->version();
  parts.identity.program_space = kProgramSpaceVersion;
  parts.identity.protocol = kMeasuringProtocolVersion;
  parts.identity.threads = static_cast<int>(config.device.threads);
  return parts;
}

bool has_outside_tuner(const Config& config) { return config.search.tuner != "halide"; }

RecordIdentity outside_identity(const Config& config, const TunerSession::Identity& tuner) {
  RecordIdentity identity;
  identity.target = tuner.target;
  identity.device = machine_description();
  identity.compiler = tuner.name;
  identity.threads = static_cast<int>(config.device.threads);
  return identity;
}

void refuse_missing_cores(const Config& config) {
  const unsigned cores = std::thread::hardware_concurrency();
  for (const auto* list : {&config.train.cores, &config.compile.cores, &config.device.cores})
    for (int64_t core : *list)
      if (core >= cores)
        throw UserError(
            fmt::format("core {} is not on this machine, which has {} (0 to {}): see train.cores, "
                        "compile.cores and device.cores",
                        core, cores, cores - 1));
}

MeasuringCores measuring_cores(const Config& config) {
  MeasuringCores cores;
  cores.timing.assign(config.device.cores.begin(), config.device.cores.begin() + config.device.threads);
  const auto timed = [&](int64_t core) {
    return std::find(cores.timing.begin(), cores.timing.end(), core) != cores.timing.end();
  };
  for (int64_t core : config.compile.cores)
    if (!timed(core)) cores.beside.push_back(static_cast<int>(core));
  return cores;
}

int classes_of(const Config& config) {
  if (config.data.classes > 0) return static_cast<int>(config.data.classes);
  if (config.data.path.empty())
    throw UserError("neither data.classes nor data.path is set: the last layer's width is not known; set data.classes");
  return static_cast<int>(TrainerClient(config, -1, "cpu", nullptr).data().classes.size());
}

}  // namespace sonar
