#include "search/measured_case.h"

#include <cmath>

#include "device/random_values.h"
#include "graph/reference.h"
#include "model/random.h"

namespace sonar {
namespace {

/// Expected outputs kept, in floats (256 MB): those of the subgraphs at hand.
constexpr size_t kExpectedKept = size_t{64} << 20;

uint64_t input_seed(const Subgraph& subgraph, size_t argument) { return derive_seed(argument, subgraph.key()) >> 1; }

/// Values of one tensor of a subgraph: activations in [-1, 1), weights scaled so that outputs stay near 1.
float value_scale(const Subgraph& s, Argument::Role role, size_t argument) {
  if (role != Argument::Role::weight) return role == Argument::Role::bias ? 0.25f : 1.0f;
  double fan_in = double(s.kernel) * s.kernel * s.in_channels;
  if (s.kind == SubgraphKind::depthwise) fan_in = double(s.kernel) * s.kernel;
  if (s.kind == SubgraphKind::squeeze_excite) fan_in = argument == 1 ? s.in_channels : s.squeeze;
  return static_cast<float>(std::sqrt(3.0 / fan_in));
}

std::vector<BufferSpec> buffers(const ProgramSpace& space, const Knobs& knobs, bool rotate) {
  std::vector<BufferSpec> result;
  const Subgraph& subgraph = space.subgraph();
  for (const Argument& argument : space.arguments(knobs)) {
    BufferSpec buffer;
    buffer.extents = argument.extents;
    buffer.block = argument.block;
    buffer.rows = argument.rows;
    if (argument.role == Argument::Role::output) {
      buffer.fill = BufferSpec::Fill::zero;
    } else {
      buffer.seed = input_seed(subgraph, result.size());
      buffer.scale = value_scale(subgraph, argument.role, result.size());
    }
    buffer.rotate = rotate && argument.role == Argument::Role::weight;
    result.push_back(buffer);
  }
  return result;
}

}  // namespace

std::vector<float> ExpectedOutputs::of(const Subgraph& subgraph) {
  const SubgraphKey key = subgraph.key();
  {
    std::lock_guard lock(mutex_);
    const auto found = kept_.find(key);
    if (found != kept_.end()) return found->second;
  }
  std::vector<std::vector<float>> inputs;
  const std::vector<long> sizes = subgraph_input_sizes(subgraph);
  for (size_t i = 0; i < sizes.size(); ++i) {
    // Order of the arguments: input, (weight, bias)*, residual.
    const bool last_is_residual = subgraph.has_second_input() && i + 1 == sizes.size();
    const Argument::Role role = i == 0             ? Argument::Role::input
                                : last_is_residual ? Argument::Role::residual
                                : i % 2 == 1       ? Argument::Role::weight
                                                   : Argument::Role::bias;
    std::vector<float> values(sizes[i]);
    random_values(input_seed(subgraph, i), values.size(), value_scale(subgraph, role, i), values.data());
    inputs.push_back(std::move(values));
  }
  std::vector<float> result = run_subgraph_reference(subgraph, inputs);
  std::lock_guard lock(mutex_);
  if (values_ > kExpectedKept) kept_.clear(), values_ = 0;
  if (kept_.emplace(key, result).second) values_ += result.size();
  return result;
}

Case program_case(const ProgramSpace& space, const Knobs& knobs, int function, std::vector<float> expected) {
  Case one;
  one.buffers = buffers(space, knobs, true);
  CallSpec call{function, {}};
  for (size_t b = 0; b < one.buffers.size(); ++b) call.buffers.push_back(static_cast<int>(b));
  one.calls = {call};
  one.checked_buffer = static_cast<int>(one.buffers.size()) - 1;
  one.expected = std::move(expected);
  return one;
}

Case network_case(const std::vector<SubgraphUse>& uses, const std::vector<std::shared_ptr<const ProgramSpace>>& spaces,
                  const std::vector<Knobs>& knobs, const std::vector<int>& functions) {
  Case whole;
  std::map<int, int> buffer_of_value;        // value of the graph -> buffer
  std::map<int, std::vector<float>> values;  // the same by the reference
  for (size_t i = 0; i < uses.size(); ++i) {
    const SubgraphUse& use = uses[i];
    const std::vector<Argument> arguments = spaces[i]->arguments(knobs[i]);
    const std::vector<BufferSpec> specs = buffers(*spaces[i], knobs[i], false);
    CallSpec call{functions[i], {}};
    std::vector<std::vector<float>> inputs;
    for (size_t a = 0; a < arguments.size(); ++a) {
      const Argument::Role role = arguments[a].role;
      const int value = role == Argument::Role::input      ? use.input
                        : role == Argument::Role::residual ? use.residual
                        : role == Argument::Role::output   ? use.output
                                                           : -1;
      if (role != Argument::Role::output) {
        if (value >= 0 && values.count(value)) {
          inputs.push_back(values.at(value));
        } else {
          const std::vector<long> sizes = subgraph_input_sizes(use.subgraph);
          std::vector<float> fill(sizes[a]);
          random_values(specs[a].seed, fill.size(), specs[a].scale, fill.data());
          inputs.push_back(std::move(fill));
        }
      }
      if (value >= 0 && buffer_of_value.count(value)) {
        call.buffers.push_back(buffer_of_value.at(value));
        continue;
      }
      const int buffer = static_cast<int>(whole.buffers.size());
      whole.buffers.push_back(specs[a]);
      call.buffers.push_back(buffer);
      if (value >= 0) buffer_of_value[value] = buffer;
      if (value >= 0 && role != Argument::Role::output) values[value] = inputs.back();
    }
    values[use.output] = run_subgraph_reference(use.subgraph, inputs);
    whole.checked_buffer = call.buffers.back();
    whole.calls.push_back(std::move(call));
  }
  whole.expected = values.at(uses.back().output);
  whole.tolerance = 1e-3f;  // rounding differs from layer to layer and adds up
  return whole;
}

}  // namespace sonar
