#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include <fstream>
#include <string>

#include "model/error.h"
#include "program/program_space.h"

namespace sonar {
namespace {

/// Bytes of the data (or unified) cache of a level, 0 when the system does not tell.
long cache_bytes(int level) {
  const std::string root = "/sys/devices/system/cpu/cpu0/cache/index";
  for (int index = 0; index < 8; ++index) {
    const std::string folder = root + std::to_string(index) + "/";
    int found_level = 0;
    std::string type, size;
    std::ifstream(folder + "level") >> found_level;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size;
    if (found_level != level || type == "Instruction" || size.empty()) continue;
    const long number = std::atol(size.c_str());
    return size.back() == 'M' ? number << 20 : size.back() == 'K' ? number << 10 : number;
  }
#ifdef _SC_LEVEL1_DCACHE_SIZE
  const long bytes = sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : 0;
#else
  return 0;
#endif
}

#if defined(__x86_64__) || defined(__i386__)
/// AMD's cores of family 19h (Zen 4) execute a vector of 512 bits as two halves.
bool splits_native_vectors() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__builtin_cpu_is("amd") || !__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return false;
  return ((eax >> 8) & 0xf) + ((eax >> 20) & 0xff) == 0x19;
}
#endif

}  // namespace

Target host_target() {
  Target target;
  target.halide = "host";
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
    target.vector_floats = 16;
    target.registers = 32;
    target.native_units = splits_native_vectors() ? 1 : 2;
    target.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  } else {
    target.vector_floats = __builtin_cpu_supports("avx") ? 8 : 4;
    target.registers = 16;
  }
#elif defined(__aarch64__) || defined(__riscv)
  target.vector_floats = 4;
  target.registers = 32;
#else
  target.vector_floats = 4;
  target.registers = 16;
#endif
  target.l1_bytes = cache_bytes(1);
  target.l2_bytes = cache_bytes(2);
  if (target.l1_bytes == 0 || target.l2_bytes == 0)
    throw EnvironmentError(
        "the sizes of this machine's L1 and L2 caches cannot be found (/sys/devices/system/cpu/cpu0/cache); mount "
        "sysfs");
  return target;
}

}  // namespace sonar
