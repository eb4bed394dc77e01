#include "program/worker/compile.h"

#include "model/error.h"
#include "program/worker/lower.h"

namespace sonar {
namespace {

/// Warnings concern schedules that the space chose on purpose: nobody is there to read them.
class QuietReporter : public Halide::CompileTimeErrorReporter {
 public:
  void warning(const char*) override {}
  void error(const char* message) override { throw CompileFault(message); }
};

void be_quiet() {
  static QuietReporter reporter;
  Halide::set_custom_compile_time_error_reporter(&reporter);
}

Lowered lower(const ProgramSpace& space, const Knobs& knobs) {
  switch (space.subgraph().kind) {
    case SubgraphKind::conv:
      return lower_conv(space, knobs);
    case SubgraphKind::depthwise:
      return lower_depthwise(space, knobs);
    case SubgraphKind::pool:
      return lower_pool(space, knobs);
    case SubgraphKind::dense:
      return lower_dense(space, knobs);
    case SubgraphKind::squeeze_excite:
      return lower_squeeze_excite(space, knobs);
    case SubgraphKind::max_pool:
    case SubgraphKind::average_pool:
      return lower_window_pool(space, knobs);
    case SubgraphKind::add:
    case SubgraphKind::multiply:
    case SubgraphKind::scale:
    case SubgraphKind::activate:
    case SubgraphKind::concat:
    case SubgraphKind::resize:
      return lower_elementwise(space, knobs);
    case SubgraphKind::fused_depthwise:
      return lower_fused_depthwise(space, knobs);
  }
  throw InternalError("unknown subgraph kind");
}

/// Halide::Error does not derive from std::exception.
template <class Function>
auto translated(const Function& function) {
  be_quiet();
  try {
    return function();
  } catch (const Halide::Error& error) {
    throw CompileFault(error.what());
  }
}

/// Scheduled as for a core that has no AVX-512: tuned for the one that it runs on, the code is slower by 1 to 3 %.
Halide::Target without_avx512(Halide::Target target) {
  using T = Halide::Target;
  for (const T::Feature feature : {T::AVX512, T::AVX512_KNL, T::AVX512_Skylake, T::AVX512_Cannonlake, T::AVX512_Zen4,
                                   T::AVX512_Zen5, T::AVX512_SapphireRapids, T::AVX10_1})
    target.set_feature(feature, false);
  target.set_feature(T::AVX2);
  target.set_feature(T::FMA);
  target.processor_tune = T::ProcessorGeneric;
  return target;
}

}  // namespace

std::string halide_version() {
  return "Halide " + std::to_string(HALIDE_VERSION_MAJOR) + "." + std::to_string(HALIDE_VERSION_MINOR) + "." +
         std::to_string(HALIDE_VERSION_PATCH);
}

std::string resolve_target(const std::string& halide_target) {
  return translated([&] { return Halide::Target(halide_target).to_string(); });
}

void compile_program(const ProgramSpace& space, const Knobs& knobs, const Target& target,
                     const ProgramOptions& options) {
  translated([&] {
    Halide::Target halide(target.halide);
    if (space.for_avx2(knobs)) halide = without_avx512(halide);
    halide.set_feature(Halide::Target::NoRuntime);
    if (!options.asserts) {
      halide.set_feature(Halide::Target::NoAsserts);
      halide.set_feature(Halide::Target::NoBoundsQuery);
    }
    Lowered lowered = lower(space, knobs);
    Halide::Module module = lowered.output.compile_to_module(lowered.arguments, options.name, halide);
    module.compile({{Halide::OutputFileType::object, options.object}});
  });
}

void compile_runtime(const Target& target, const std::string& object) {
  translated([&] { Halide::compile_standalone_runtime(object, Halide::Target(target.halide)); });
}

}  // namespace sonar
