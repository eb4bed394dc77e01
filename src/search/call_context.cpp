#include "search/call_context.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "search/value_buffers.h"

namespace sonar {
namespace {

constexpr double kPage = 4096;  // less than that makes no difference

double bytes_of(const BufferSpec& buffer) { return double(floats_in(buffer)) * sizeof(float); }

long input_floats(const Subgraph& s) { return long(s.batch) * s.height * s.width * s.in_channels; }

long output_floats(const Subgraph& s) { return long(s.batch) * s.out_height() * s.out_width() * s.out_channels; }

/// The memory that one use of a subgraph touches, as indices into the network's buffers; < 0: none.
struct Touched {
  int weights, input, residual = -1, output;
  bool any(int buffer) const { return buffer == weights || buffer == input || buffer == residual || buffer == output; }
};

/// Lays out activations as network_case does, and weights apart.
std::vector<Touched> lay_out(const std::vector<SubgraphUse>& uses, std::vector<BufferSpec>& buffers) {
  std::vector<Touched> touched(uses.size());
  ValueBuffers values(uses);
  for (size_t i = 0; i < uses.size(); ++i) {
    const SubgraphUse& use = uses[i];
    const Subgraph& subgraph = use.subgraph;
    if (!values.holds(use.input)) values.keep(use.input, flat_buffer(input_floats(subgraph)), buffers);
    touched[i].input = values.buffer(use.input);
    if (use.residual >= 0) {
      if (!values.holds(use.residual))
        values.keep(use.residual, flat_buffer(subgraph.second_input_elements()), buffers);
      touched[i].residual = values.buffer(use.residual);
    }
    if (i + 1 < uses.size())
      values.write(use.output, flat_buffer(output_floats(subgraph)), buffers);
    else
      values.keep(use.output, flat_buffer(output_floats(subgraph)), buffers);
    touched[i].output = values.buffer(use.output);
    values.end_use(use, i);
    touched[i].weights = static_cast<int>(buffers.size());
    buffers.push_back(flat_buffer(std::max(1L, static_cast<long>(subgraph.weight_bytes() / sizeof(float)))));
  }
  return touched;
}

/// Bytes of other buffers that are touched between the last use of `buffer`, in this pass over the network or the one
/// before, and the i-th call.
double since_last_use(const std::vector<Touched>& uses, const std::vector<BufferSpec>& buffers, size_t i, int buffer) {
  std::set<int> between;
  for (size_t back = 1; back < uses.size(); ++back) {
    const Touched& use = uses[(i + uses.size() - back) % uses.size()];
    if (use.any(buffer)) break;
    for (int other : {use.weights, use.input, use.residual, use.output})
      if (other >= 0 && !uses[i].any(other)) between.insert(other);
  }
  double bytes = 0;
  for (int other : between) bytes += bytes_of(buffers[static_cast<size_t>(other)]);
  return bytes;
}

long rounded_median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double median = values[(values.size() - 1) / 2];
  if (median < kPage) return 0;
  const double rounded = std::exp2(std::round(2 * std::log2(median)) / 2);
  return std::min(kMostContextBytes, static_cast<long>(rounded) / 64 * 64);
}

}  // namespace

std::map<SubgraphKey, CallContext> call_contexts(const std::vector<const std::vector<SubgraphUse>*>& networks) {
  struct Places {
    std::vector<double> bytes, input, residual, output;
  };
  std::map<SubgraphKey, Places> places;
  for (const std::vector<SubgraphUse>* uses : networks) {
    std::vector<BufferSpec> buffers;
    const std::vector<Touched> touched = lay_out(*uses, buffers);
    for (size_t i = 0; i < touched.size(); ++i) {
      const auto since = [&](int buffer) { return since_last_use(touched, buffers, i, buffer); };
      Places& of = places[(*uses)[i].subgraph.key()];
      of.bytes.push_back(since(touched[i].weights));
      of.input.push_back(since(touched[i].input));
      if (touched[i].residual >= 0) of.residual.push_back(since(touched[i].residual));
      of.output.push_back(since(touched[i].output));
    }
  }
  std::map<SubgraphKey, CallContext> result;
  for (const auto& [key, of] : places) {
    CallContext& context = result[key];
    context.bytes = rounded_median(of.bytes);
    context.input = rounded_median(of.input);
    context.residual = of.residual.empty() ? 0 : rounded_median(of.residual);
    context.output = rounded_median(of.output);
  }
  return result;
}

}  // namespace sonar
