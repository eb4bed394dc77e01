#pragma once
#include <iosfwd>

namespace sonar {

/// Answers requests of the trainer protocol (protocol.md), one line each, until the input ends. A request that fails is
/// answered with an error line; none ends the loop.
void serve(std::istream& in, std::ostream& out);

}  // namespace sonar
