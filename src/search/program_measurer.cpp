#include "search/program_measurer.h"

#include <cmath>
#include <filesystem>
#include <future>

#include "device/random_values.h"
#include "graph/reference.h"
#include "model/error.h"

namespace sonar {
namespace {

/// Expected outputs kept, in floats (256 MB): those of the subgraphs at hand.
constexpr size_t kExpectedKept = size_t{64} << 20;

/// A whole network is run in so many processes, since where its memory lies differs between them, for this long each.
constexpr int kWholeRepetitions = 5;
constexpr double kWholeSampling = 0.15;  // seconds

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
    buffer.run = argument.run;
    buffer.unit = argument.unit;
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

void remove_files(const std::vector<std::string>& paths) {
  std::error_code ignored;
  for (const std::string& path : paths)
    if (!path.empty()) std::filesystem::remove(path, ignored);
}

}  // namespace

struct ProgramMeasurer::Compiled {
  size_t begin = 0;
  std::vector<CompileResult> results;
  std::vector<std::string> names;
};

ProgramMeasurer::ProgramMeasurer(Compiler& compiler, Device& device, bool overlap)
    : compiler_(compiler), device_(device), overlap_(overlap) {}

const std::vector<float>& ProgramMeasurer::expected(const Subgraph& subgraph) {
  const SubgraphKey key = subgraph.key();
  auto found = expected_.find(key);
  if (found != expected_.end()) return found->second;
  if (expected_values_ > kExpectedKept) expected_.clear(), expected_values_ = 0;
  std::vector<std::vector<float>> inputs;
  const std::vector<long> sizes = subgraph_input_sizes(subgraph);
  for (size_t i = 0; i < sizes.size(); ++i) {
    // Order of the arguments: input, (weight, bias)*, residual.
    const bool last_is_residual = subgraph.residual && i + 1 == sizes.size();
    const Argument::Role role = i == 0             ? Argument::Role::input
                                : last_is_residual ? Argument::Role::residual
                                : i % 2 == 1       ? Argument::Role::weight
                                                   : Argument::Role::bias;
    std::vector<float> values(sizes[i]);
    random_values(input_seed(subgraph, i), values.size(), value_scale(subgraph, role, i), values.data());
    inputs.push_back(std::move(values));
  }
  std::vector<float>& result = expected_[key] = run_subgraph_reference(subgraph, inputs);
  expected_values_ += result.size();
  return result;
}

ProgramMeasurer::Compiled ProgramMeasurer::compile(const std::vector<ProgramToMeasure>& programs, size_t begin,
                                                   size_t end) {
  Compiled compiled;
  compiled.begin = begin;
  std::vector<CompileRequest> requests;
  for (size_t i = begin; i < end; ++i) {
    compiled.names.push_back("sonar_program_" + std::to_string(next_name_++));
    requests.push_back({programs[i].space->subgraph(), programs[i].knobs, compiled.names.back()});
  }
  compiled.results = compiler_.compile(requests);
  return compiled;
}

void ProgramMeasurer::measure(const std::vector<ProgramToMeasure>& programs, double sampling_s,
                              const std::function<void(size_t, const Outcome&, double)>& done,
                              const std::atomic<bool>* stop) {
  const size_t count = programs.size();
  auto compile_chunk = [&](size_t begin) { return compile(programs, begin, std::min(count, begin + kChunk)); };
  std::future<Compiled> next;
  for (size_t begin = 0; begin < count; begin += kChunk) {
    if (stop && stop->load()) break;
    Compiled compiled = next.valid() ? next.get() : compile_chunk(begin);
    if (overlap_ && begin + kChunk < count) next = std::async(std::launch::async, compile_chunk, begin + kChunk);

    Batch batch;
    std::vector<size_t> cases;  // index into compiled.results of each case
    std::vector<std::string> objects;
    for (size_t i = 0; i < compiled.results.size(); ++i) {
      const CompileResult& result = compiled.results[i];
      objects.push_back(result.object);
      if (result.error) {
        done(begin + i, *result.error, result.seconds);
        continue;
      }
      const ProgramToMeasure& program = programs[begin + i];
      Case one;
      one.buffers = buffers(*program.space, program.knobs, true);
      CallSpec call{static_cast<int>(batch.functions.size()), {}};
      for (size_t b = 0; b < one.buffers.size(); ++b) call.buffers.push_back(static_cast<int>(b));
      one.calls = {call};
      one.checked_buffer = static_cast<int>(one.buffers.size()) - 1;
      one.expected = expected(program.space->subgraph());
      one.best_us = program.best_us;
      one.sampling_s = sampling_s;
      batch.objects.push_back(result.object);
      batch.functions.push_back(compiled.names[i]);
      batch.cases.push_back(std::move(one));
      cases.push_back(i);
    }
    try {
      if (!batch.cases.empty())
        device_.measure(batch, [&](size_t i, const Outcome& outcome) {
          done(begin + cases[i], outcome, compiled.results[cases[i]].seconds);
        });
    } catch (...) {
      remove_files(objects);
      throw;
    }
    remove_files(objects);
  }
  if (next.valid()) {
    std::vector<std::string> objects;
    for (const CompileResult& result : next.get().results) objects.push_back(result.object);
    remove_files(objects);
  }
}

Outcome ProgramMeasurer::measure_network(const std::vector<SubgraphUse>& uses,
                                         const std::vector<std::shared_ptr<const ProgramSpace>>& spaces,
                                         const std::vector<Knobs>& knobs) {
  // Two places of one subgraph with the same knobs share their code but have weights of their own.
  std::vector<CompileRequest> requests;
  std::map<std::pair<SubgraphKey, Knobs>, int> functions;
  for (size_t i = 0; i < uses.size(); ++i) {
    auto [place, added] = functions.try_emplace({uses[i].subgraph.key(), knobs[i]}, static_cast<int>(requests.size()));
    if (added) requests.push_back({uses[i].subgraph, knobs[i], "sonar_program_" + std::to_string(next_name_++)});
  }
  const std::vector<CompileResult> results = compiler_.compile(requests);
  Batch batch;
  std::vector<std::string> objects;
  std::optional<MeasureError> error;
  for (size_t i = 0; i < results.size(); ++i) {
    objects.push_back(results[i].object);
    if (results[i].error && !error) error = results[i].error;
    batch.objects.push_back(results[i].object);
    batch.functions.push_back(requests[i].name);
  }
  if (error) {
    remove_files(objects);
    return *error;
  }

  Case whole;
  std::map<int, int> buffer_of_value;        // value of the graph -> buffer
  std::map<int, std::vector<float>> values;  // the same by the reference
  for (size_t i = 0; i < uses.size(); ++i) {
    const SubgraphUse& use = uses[i];
    const std::vector<Argument> arguments = spaces[i]->arguments(knobs[i]);
    const std::vector<BufferSpec> specs = buffers(*spaces[i], knobs[i], false);
    CallSpec call{functions.at({use.subgraph.key(), knobs[i]}), {}};
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
  whole.sampling_s = kWholeSampling;
  batch.cases.assign(kWholeRepetitions, whole);
  std::vector<Outcome> outcomes;
  try {
    outcomes = device_.measure(batch);
  } catch (...) {
    remove_files(objects);
    throw;
  }
  remove_files(objects);
  std::vector<double> samples;
  long runs = 0;
  for (const Outcome& outcome : outcomes) {
    const auto* measurement = std::get_if<Measurement>(&outcome);
    if (!measurement) return outcome;
    samples.insert(samples.end(), measurement->samples_us.begin(), measurement->samples_us.end());
    runs += measurement->runs;
  }
  return summarize(std::move(samples), runs, false);
}

}  // namespace sonar
