// From the configuration to the networks of a run: space, candidates, graphs, subgraphs.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/partition.h"
#include "records/run_store.h"
#include "sonar/config.h"
#include "space/space.h"

namespace sonar {

std::unique_ptr<Space> make_space(const Config& config);

/// The names of space.architectures, checked, or search.candidates of them sampled with the seed (0: all).
std::vector<Architecture> choose_architectures(const Config& config, const Space& space);

struct Candidate {
  Architecture architecture;
  Graph graph;                        // for training, batch norm included
  std::vector<SubgraphUse> uses;      // of the folded graph
  std::map<SubgraphKey, int> counts;  // unique subgraphs with occurrences
};

/// `batch`: images per inference.
Candidate make_candidate(const std::string& name, const Graph& graph, int batch,
                         DepthwiseFusion fusion = DepthwiseFusion::apart);
Candidate lower(const Space& space, const Architecture& architecture, int classes, int batch,
                DepthwiseFusion fusion = DepthwiseFusion::apart);

/// What search.fusion asks for.
DepthwiseFusion depthwise_fusion(const Config& config);

NetworkRow network_row(const Candidate& candidate);

}  // namespace sonar
