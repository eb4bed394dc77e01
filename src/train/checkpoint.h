// Checkpoints: one file a step, written to a temporary name and renamed, so that a file that has its name is whole.
#pragma once
#include <string>
#include <vector>

#include "graph/graph.h"
#include "model/train.h"
#include "train/torch_headers.h"

namespace sonar {

/// All that training needs to go on bit for bit. Tensors are on the host.
struct Checkpoint {
  std::string identity;  // graph_identity(): a checkpoint of another graph is refused
  long step = 0;
  double seconds = 0;   // of training since step 0
  double loss_sum = 0;  // since the last point
  long loss_steps = 0;
  bool diverged = false;
  std::vector<TrainPoint> points;  // since step 0
  torch::Tensor weights, statistics, velocity;
  torch::Tensor average_weights, average_statistics;  // undefined without an average
};

/// What Checkpoint::identity must be: a hash of the graph, whose nodes and widths make the network.
std::string graph_identity(const Graph& graph);

std::string checkpoint_path(const std::string& folder, long step);

/// Throws EnvironmentError naming the file when the disk is full or the folder cannot be written.
void save_checkpoint(const std::string& folder, const Checkpoint& checkpoint);

/// Throws EnvironmentError when the file is missing or damaged, UserError when it is another network's.
Checkpoint load_checkpoint(const std::string& folder, long step, const std::string& identity);

/// Steps that have a checkpoint in the folder, ascending. A folder that is not there has none.
std::vector<long> list_checkpoints(const std::string& folder);

}  // namespace sonar
