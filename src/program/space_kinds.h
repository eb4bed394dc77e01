// The program spaces, one file per kind of subgraph: this is the list. A new kind is a new space_*.cpp, its lowering in
// worker/lower_*.cpp, and a line here.
#pragma once
#include <memory>

#include "program/program_space.h"
#include "program/space_conv.h"

namespace sonar {

std::unique_ptr<ProgramSpace> make_conv_space(const Subgraph& subgraph, const Target& target,
                                              ConvRows rows = ConvRows::joined);
std::unique_ptr<ProgramSpace> make_depthwise_space(const Subgraph& subgraph, const Target& target);
std::unique_ptr<ProgramSpace> make_pool_space(const Subgraph& subgraph, const Target& target);
std::unique_ptr<ProgramSpace> make_dense_space(const Subgraph& subgraph, const Target& target);
std::unique_ptr<ProgramSpace> make_squeeze_excite_space(const Subgraph& subgraph, const Target& target);
std::unique_ptr<ProgramSpace> make_window_pool_space(const Subgraph& subgraph, const Target& target);
std::unique_ptr<ProgramSpace> make_elementwise_space(const Subgraph& subgraph, const Target& target);
std::unique_ptr<ProgramSpace> make_fused_depthwise_space(const Subgraph& subgraph, const Target& target);

}  // namespace sonar
