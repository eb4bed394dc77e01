// What is run of a program on the device: its buffers, their values, and what must come out.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "device/device.h"
#include "graph/partition.h"
#include "program/program_space.h"
#include "search/call_context.h"

namespace sonar {

/// Expected outputs of subgraphs by the reference executor; the latest are kept. Callable from any thread.
class ExpectedOutputs {
 public:
  std::vector<float> of(const Subgraph& subgraph);

 private:
  std::mutex mutex_;
  std::map<SubgraphKey, std::vector<float>> kept_;
  size_t values_ = 0;
};

/// One call of `function` (its place in the batch) on random values, between the calls of a network that the context
/// tells of, compared with `expected`.
Case program_case(const ProgramSpace& space, const Knobs& knobs, int function, std::vector<float> expected,
                  const CallContext& context);

/// A whole network, subgraph after subgraph, `functions[i]` for the i-th; activations flow from one to the next,
/// weights are random, the result is compared with the reference.
Case network_case(const std::vector<SubgraphUse>& uses, const std::vector<std::shared_ptr<const ProgramSpace>>& spaces,
                  const std::vector<Knobs>& knobs, const std::vector<int>& functions);

}  // namespace sonar
