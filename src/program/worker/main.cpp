// sonar-compiler: compiles tensor programs in a process of its own, because Halide and LLVM may abort, hang or grow
// without bound. Requests and answers are lines of JSON on stdin and stdout:
//   {"target": {...}}                          -> {"compiler": "Halide 21.0.0", "target": "x86-64-linux-avx-..."}
//   {"runtime": "runtime.o"}                   -> {"ok": true}
//   {"subgraph": KEY, "knobs": [...], "name": SYMBOL, "object": PATH, "asserts": false}  -> {"ok": true}
// A request that fails is answered by {"error": MESSAGE}. The target comes first and holds for what follows.
//
//   sonar-compiler --runtime FOLDER    writes the runtime for this machine there (Compiler::runtime_object)
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/error.h"
#include "program/compiler.h"
#include "program/program_space.h"
#include "program/worker/compile.h"

namespace {

using nlohmann::json;
using namespace sonar;

Target parse_target(const json& text) {
  Target target;
  target.halide = text.at("halide");
  target.vector_floats = text.at("vector_floats");
  target.l1_bytes = text.at("l1_bytes");
  target.l2_bytes = text.at("l2_bytes");
  target.registers = text.at("registers");
  target.threads = text.at("threads");
  target.native_units = text.at("native_units");
  target.avx2 = text.at("avx2");
  return target;
}

json answer(const json& request, Target& target) {
  if (request.contains("target")) {
    target = parse_target(request["target"]);
    return {{"compiler", halide_version()}, {"target", resolve_target(target.halide)}};
  }
  if (request.contains("runtime")) {
    compile_runtime(target, request["runtime"]);
    return {{"ok", true}};
  }
  const std::unique_ptr<ProgramSpace> space = make_program_space(parse_subgraph(request.at("subgraph")), target);
  const Knobs knobs = request.at("knobs");
  if (const std::string why = space->why_illegal(knobs); !why.empty()) return {{"error", "illegal program: " + why}};
  ProgramOptions options;
  options.name = request.at("name");
  options.object = request.at("object");
  options.asserts = request.value("asserts", false);
  compile_program(*space, knobs, target, options);
  return {{"ok", true}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--runtime") {
    try {
      const Target host = host_target();
      const std::string path =
          std::string(argv[2]) + "/" + runtime_file_name(halide_version(), resolve_target(host.halide));
      compile_runtime(host, path + ".part.o");  // Halide asks for the ending
      std::filesystem::rename(path + ".part.o", path);
      return 0;
    } catch (const std::exception& error) {
      std::cerr << "sonar-compiler: " << error.what() << "\n";
      return 1;
    }
  }
  std::ios::sync_with_stdio(false);
  Target target;
  std::string line;
  while (std::getline(std::cin, line)) {
    json reply;
    try {
      reply = answer(json::parse(line), target);
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}};
    }
    std::cout << reply.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
  }
  return 0;
}
