#include "search/measured_case.h"

#include <cmath>

#include "device/random_values.h"
#include "graph/reference.h"
#include "model/random.h"
#include "search/memory_plan.h"

namespace sonar {
namespace {

/// Expected outputs kept, in floats (256 MB): those of the subgraphs at hand.
constexpr size_t kExpectedKept = size_t{64} << 20;

uint64_t input_seed(const Subgraph& subgraph, size_t argument) { return derive_seed(argument, subgraph.key()) >> 1; }

/// Values of one tensor of a subgraph: activations in [-1, 1), weights scaled so that outputs stay near 1.
float value_scale(const Subgraph& s, Argument::Role role, size_t argument) {
  if (role != Argument::Role::weight) return role == Argument::Role::bias ? 0.25f : 1.0f;
  if (s.kind == SubgraphKind::fused_depthwise) return value_scale(stages_of(s)[(argument - 1) / 2], role, 1);
  double fan_in = double(s.kernel) * s.kernel * s.in_channels;
  if (s.kind == SubgraphKind::depthwise) fan_in = double(s.kernel) * s.kernel;
  if (s.kind == SubgraphKind::squeeze_excite) fan_in = argument == 1 ? s.in_channels : s.squeeze;
  return static_cast<float>(std::sqrt(3.0 / fan_in));
}

BufferSpec zero_buffer(std::vector<int> extents) {
  BufferSpec buffer;
  buffer.extents = std::move(extents);
  buffer.fill = BufferSpec::Fill::zero;
  return buffer;
}

void touch(BufferSpec& buffer, const SinceTouched& since) {
  buffer.reuse_bytes.assign(since.begin(), since.end());
  if (value_count(buffer.extents) < since.size()) buffer.reuse_bytes.resize(1);
}

std::vector<BufferSpec> buffers(const ProgramSpace& space, const Knobs& knobs) {
  std::vector<BufferSpec> result;
  const Subgraph& subgraph = space.subgraph();
  for (const Argument& argument : space.arguments(knobs)) {
    BufferSpec buffer;
    buffer.extents = argument.extents;
    buffer.block = argument.block;
    buffer.rows = argument.rows;
    buffer.run = argument.run;
    buffer.unit = argument.unit;
    buffer.winograd_points = argument.winograd_points;
    if (argument.role == Argument::Role::output) {
      buffer.fill = BufferSpec::Fill::zero;
    } else {
      buffer.seed = input_seed(subgraph, result.size());
      buffer.scale = value_scale(subgraph, argument.role, result.size());
    }
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

Case program_case(const ProgramSpace& space, const Knobs& knobs, int function, std::vector<float> expected,
                  const CallContext& context) {
  Case one;
  one.buffers = buffers(space, knobs);
  const std::vector<Argument> arguments = space.arguments(knobs);
  for (size_t b = 0; b < arguments.size(); ++b) {
    if (arguments[b].role == Argument::Role::input) touch(one.buffers[b], context.input);
    if (arguments[b].role == Argument::Role::residual) touch(one.buffers[b], context.residual);
    if (arguments[b].role == Argument::Role::output) touch(one.buffers[b], context.output);
  }
  one.context_bytes = context.bytes;
  one.context_us = context.us;
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
  const MemoryPlan plan(uses);
  whole.buffers = {zero_buffer({static_cast<int>(plan.floats_without_inputs())})};
  std::map<int, int> buffer_of;              // value -> buffer
  std::map<int, std::vector<float>> values;  // by the reference
  for (size_t i = 0; i < uses.size(); ++i) {
    const SubgraphUse& use = uses[i];
    const std::vector<Argument> arguments = spaces[i]->arguments(knobs[i]);
    const std::vector<BufferSpec> specs = buffers(*spaces[i], knobs[i]);
    const std::vector<long> sizes = subgraph_input_sizes(use.subgraph);
    CallSpec call{functions[i], {}};
    std::vector<std::vector<float>> inputs;
    for (size_t a = 0; a < arguments.size(); ++a) {
      const Argument::Role role = arguments[a].role;
      if (role == Argument::Role::output) {
        BufferSpec part = zero_buffer(specs[a].extents);
        part.inside = 0;
        part.offset = plan.of(use.output).offset;
        buffer_of[use.output] = static_cast<int>(whole.buffers.size());
        call.buffers.push_back(buffer_of[use.output]);
        whole.buffers.push_back(std::move(part));
        continue;
      }
      const int value = role == Argument::Role::input      ? use.input
                        : role == Argument::Role::residual ? use.residual
                                                           : -1;
      if (value < 0 || !values.count(value)) {
        std::vector<float> fill(sizes[a]);
        random_values(specs[a].seed, fill.size(), specs[a].scale, fill.data());
        inputs.push_back(std::move(fill));
      } else {
        inputs.push_back(values.at(value));
      }
      if (value < 0) {
        call.buffers.push_back(static_cast<int>(whole.buffers.size()));
        whole.buffers.push_back(specs[a]);
        continue;
      }
      if (!buffer_of.count(value)) {  // an input of the network
        buffer_of[value] = static_cast<int>(whole.buffers.size());
        whole.buffers.push_back(specs[a]);
        values[value] = inputs.back();
      }
      call.buffers.push_back(buffer_of[value]);
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
