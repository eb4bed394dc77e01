// The program space of a subgraph: its knobs, which combinations are legal, and how to move in it. No Halide here.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/knobs.h"
#include "model/random.h"
#include "model/subgraph.h"

namespace sonar {

/// Bumped whenever a knob vector comes to mean another program: part of a record's identity.
inline constexpr int kProgramSpaceVersion = 4;

/// What schedules depend on.
struct Target {
  std::string halide;     // "host", or a Halide target string; features such as no_runtime are added by the compiler
  int vector_floats = 8;  // native width in float32 lanes
  long l1_bytes = 32 << 10;
  long l2_bytes = 1 << 20;
  int registers = 16;    // vector registers
  int native_units = 2;  // multiply-adds of native vectors in a cycle; 1: each is split in two halves
  int threads = 1;
  bool avx2 = false;  // AVX-512 beside which programs may be compiled for AVX2: half the width, half the registers
};

/// The target as programs for AVX2 see it.
Target narrower(Target target);

/// The target of this machine (vector width and caches detected). Throws EnvironmentError when detection fails.
Target host_target();

struct KnobSpec {
  std::string name;         // "vector", "tile_width", ...
  std::vector<int> values;  // allowed values, ascending
};

/// One tensor argument of a program, in calling order; the output is the last. Extents are constants in the code, which
/// reads nothing of a halide_buffer_t but its host pointer (unless compiled with asserts): a value may be handed from
/// one program to the next in a buffer of another shape.
struct Argument {
  enum class Role { input, weight, bias, residual, output };
  Role role = Role::input;
  std::vector<int> extents;  // innermost first, as stored
  int block = 0, rows = 0;   // packing of weights, see BufferSpec
  int run = 0, unit = 1;     // likewise: values that stay together
  int winograd_points = 0;   // likewise: of the transform that comes before
};

class ProgramSpace {
 public:
  virtual ~ProgramSpace() = default;
  virtual const Subgraph& subgraph() const = 0;
  virtual const std::vector<KnobSpec>& knobs() const = 0;
  /// Empty when legal; otherwise the rule that is broken.
  virtual std::string why_illegal(const Knobs& knobs) const = 0;
  /// Always legal, compiles fast, never absurdly slow.
  virtual Knobs default_program() const = 0;
  /// The arguments of the compiled function under these knobs.
  virtual std::vector<Argument> arguments(const Knobs& knobs) const = 0;
  /// Numbers for a learned cost model: log2 of tile extents, footprints, unroll, lanes...; same length for one kind.
  virtual std::vector<float> features(const Knobs& knobs) const = 0;

  /// The program is compiled for AVX2 though the target has AVX-512.
  virtual bool for_avx2(const Knobs&) const { return false; }

  /// Knobs that mean nothing beside the others take the one value that is legal there: draws and moves are more often
  /// legal.
  virtual void settle(Knobs&) const {}

  /// Number of knob vectors, legal or not.
  double size() const;
  /// Number of legal programs: counted in spaces of up to a million knob vectors, otherwise estimated from 400,000
  /// draws of them (always the same ones).
  double legal_size() const;
  /// A legal program, uniformly from the knob vectors (by rejection; falls back to mutations of the default).
  virtual Knobs random(Random& random) const;
  /// A legal program that differs from `knobs` in one or a few knobs.
  Knobs mutate(const Knobs& knobs, Random& random) const;
  /// A legal program, each knob from one of the parents.
  Knobs crossover(const Knobs& a, const Knobs& b, Random& random) const;
  /// The legal program that is nearest to the knobs of another subgraph's program, given by name: each takes its
  /// nearest value here, names that this space does not have are passed over, knobs that are not named keep the default
  /// program's value, and what is illegal together is moved as little as possible.
  virtual Knobs closest_legal(const std::vector<std::pair<std::string, int>>& named) const;
  /// "vector=16 tile_width=4 ..." and back; throws UserError naming the knob.
  std::string to_text(const Knobs& knobs) const;
  Knobs from_text(const std::string& text) const;
};

std::unique_ptr<ProgramSpace> make_program_space(const Subgraph& subgraph, const Target& target);

}  // namespace sonar
