// The runner's source, carried inside the library (made by CMake from runner/ and the headers it shares), so that an
// installed sonar can compile it for any device.
#pragma once
#include <cstddef>

namespace sonar {

struct EmbeddedFile {
  const char* path;  // as in #include
  const char* text;
};

extern const EmbeddedFile runner_sources[];  // the first is the one to compile
extern const size_t runner_source_count;

}  // namespace sonar
