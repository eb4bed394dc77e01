#include "policy/search_state.h"

namespace sonar {

std::vector<size_t> SearchState::alive() const {
  std::vector<size_t> result;
  for (size_t i = 0; i < networks.size(); ++i)
    if (networks[i].alive && networks[i].failure.empty()) result.push_back(i);
  return result;
}

double SearchState::step_cost(size_t network) const { return options.count_steps ? 1 : networks[network].step_cost(); }

double SearchState::macs(size_t network) const {
  double sum = 0;
  for (auto [subgraph, count] : networks[network].subgraphs) sum += count * subgraphs[subgraph].macs;
  return sum;
}

double SearchState::summed_us(size_t network) const {
  double sum = 0;
  for (auto [subgraph, count] : networks[network].subgraphs) sum += count * subgraphs[subgraph].best_us;
  return sum;
}

double SearchState::latency_us(size_t network) const {
  return networks[network].measured_us ? *networks[network].measured_us : summed_us(network);
}

double SearchState::untuned_us(size_t network) const {
  double sum = 0;
  for (auto [subgraph, count] : networks[network].subgraphs) sum += count * subgraphs[subgraph].default_us;
  return sum;
}

}  // namespace sonar
