// What this machine is.
#pragma once
#include <string>
#include <vector>

namespace sonar {

struct Cache {
  int level = 0;
  long bytes = 0;
};

/// Data and unified caches that core 0 sees, smallest level first; empty where the kernel does not tell.
std::vector<Cache> data_caches(const std::string& sysfs_folder = "/sys/devices/system/cpu/cpu0/cache");

/// "AMD EPYC, 2 cores, L1 32 KiB, L2 1 MiB, L3 32 MiB".
std::string machine_description();

}  // namespace sonar
