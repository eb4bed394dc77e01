// What the worker does, free of Halide's header. Faults are thrown as CompileFault.
#pragma once
#include <stdexcept>
#include <string>

#include "program/program_space.h"

namespace sonar {

/// Halide refused; the message is Halide's own.
struct CompileFault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string halide_version();                                  // "Halide 21.0.0"
std::string resolve_target(const std::string& halide_target);  // features of the host included

struct ProgramOptions {
  std::string name;      // C symbol
  std::string object;    // path to write
  bool asserts = false;  // checks in the code: slower to compile and to run; for tests
};
void compile_program(const ProgramSpace& space, const Knobs& knobs, const Target& target,
                     const ProgramOptions& options);

/// Halide's runtime alone, as an object file.
void compile_runtime(const Target& target, const std::string& object);

}  // namespace sonar
