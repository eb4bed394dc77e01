// network_graph CONFIG ARCHITECTURE: the network's graph as JSON (graph.h), as the programs in peers/ read it.
#include <cstdio>

#include "search/candidates.h"
#include "sonar/error.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: network_graph CONFIG ARCHITECTURE\n", stderr);
    return 2;
  }
  try {
    const sonar::Config config = sonar::load_config(argv[1]);
    const auto space = sonar::make_space(config);
    const sonar::Architecture architecture{argv[2]};
    space->check(architecture);
    const int classes = config.data.classes > 0 ? static_cast<int>(config.data.classes) : 10;
    std::puts(sonar::graph_to_json(space->lower(architecture, classes)).c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "network_graph: %s\n", error.what());
    return 2;
  }
}
