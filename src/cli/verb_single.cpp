#include <filesystem>
#include <memory>

#include "cli/verbs.h"

namespace sonar::cli {
namespace {

struct SingleOptions {
  ConfigOptions config;
  std::string architecture, onnx, out;
  double programs = 0;        // tune only
  bool from_records = false;  // tune only
  bool json = false;
};

using Result = std::string (*)(const std::string&, bool);

void add_shared(CLI::App& verb, SingleOptions& options) {
  options.config.add_to(verb);
  verb.add_option("--arch", options.architecture, "the network, by name");
  verb.add_option("--out", options.out,
                  "run directory (default: runs/" + verb.get_name() + "-NETWORK); continues what it holds");
  verb.add_flag("--json", options.json);
}

void carry_out(const SingleOptions& options, const std::string& verb, Result result, int& exit_code) {
  Config config = options.config.load();
  // The search's budget is of no use here.
  config.search.time.clear();
  config.search.epochs = 0;
  config.search.programs = options.programs;
  const bool imported = !options.onnx.empty();
  const std::string network = imported ? std::filesystem::path(options.onnx).stem().string() : options.architecture;
  RunOptions run_options;
  run_options.folder = options.out.empty() ? "runs/" + verb + "-" + network : options.out;
  run_options.stop = &stop_requested;
  run_options.from_records = options.from_records;
  {
    Console console(options.json);
    console.attach(run_options);
    const RunEnd end = imported         ? run_tune_onnx(config, options.onnx, run_options)
                       : verb == "tune" ? run_tune(config, network, run_options)
                                        : run_train(config, network, run_options);
    if (end == RunEnd::stopped) exit_code = kStoppedExit;
  }
  std::puts(result(run_options.folder, options.json).c_str());
}

}  // namespace

void setup_single(CLI::App& app, int& exit_code) {
  auto tune = std::make_shared<SingleOptions>();
  CLI::App* verb = app.add_subcommand("tune", "tune one network only");
  add_shared(*verb, *tune);
  CLI::Option* onnx = verb->add_option("--onnx", tune->onnx, "the network, from an ONNX file (docs/onnx.md)");
  onnx->excludes("--arch");
  verb->add_option("--programs", tune->programs, "tensor programs to try (default: search.full_programs a subgraph)")
      ->check(CLI::Range(1.0, 1e9));
  verb->add_flag("--from-records", tune->from_records,
                 "measure nothing: the best programs that the library search.records holds");
  verb->callback([tune, &exit_code] {
    if (tune->architecture.empty() && tune->onnx.empty())
      throw UserError("tune: name the network with --arch ARCHITECTURE or --onnx FILE");
    carry_out(*tune, "tune", tune_result, exit_code);
  });

  auto train = std::make_shared<SingleOptions>();
  verb = app.add_subcommand("train", "train one network only, in full");
  add_shared(*verb, *train);
  verb->get_option("--arch")->required();
  verb->callback([train, &exit_code] { carry_out(*train, "train", train_result, exit_code); });

  auto onnx_file = std::make_shared<SingleOptions>();
  verb =
      app.add_subcommand("onnx", "write one network as an ONNX file with random weights (what search.proxy is given)");
  onnx_file->config.add_to(*verb);
  verb->add_option("--arch", onnx_file->architecture, "the network, by name")->required();
  verb->add_option("--out", onnx_file->out, "the file (default: ARCHITECTURE.onnx)");
  verb->callback([onnx_file] {
    const SingleOptions& options = *onnx_file;
    const std::string file = options.out.empty() ? options.architecture + ".onnx" : options.out;
    std::puts(export_onnx(options.config.load(), options.architecture, file).c_str());
  });
}

}  // namespace sonar::cli
