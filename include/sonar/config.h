// The configuration of a search: one TOML file, every key overridable as section.key=value.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sonar {

/// Every key with its default. Units stand in the name or the comment; docs/configuration.md lists them all.
struct Config {
  struct Search {
    std::string algorithm = "pareto";    // docs/algorithm.md lists them
    std::vector<std::string> settings;   // of that algorithm alone: "key=value", ... (docs/algorithm.md)
    double threshold_ms = 0;             // of algorithm = "threshold"
    std::string time;                    // "20m", "2h", "2d": the time budget; empty: counted budgets
    double epochs = 0;                   // counted budget: epochs over all networks
    double programs = 0;                 // counted budget: tensor programs over all subgraphs
    std::string schedule = "parallel";   // parallel: train and tune side by side; sequential: in turns
    double train_fraction = 0.5;         // of the time, schedule = "sequential"
    int64_t candidates = 0;              // networks sampled from the space; 0: all
    std::string survivors = "paper";     // paper, at-most-half, crowded
    std::string share = "steps";         // steps, seconds
    std::string scheduler = "gradient";  // gradient, paper
    std::string latency = "sum";         // sum: of the subgraphs' best programs; end-to-end: measured
    std::string tuner = "halide";        // halide, or the command line of an outside tuner (docs/tuners.md)
    double tuner_time_limit_s = 300;     // an outside tuner that says nothing for so long is started anew
    std::string proxy;                 // command line that tells a network's latency (docs/evaluation.md); empty: none
    double proxy_time_limit_s = 300;   // of one network
    bool cost_model = true;            // programs are chosen by predicted speed
    bool fusion = false;               // a depthwise convolution and its pointwise neighbours are one subgraph
    bool transfer = true;              // a subgraph starts from the best programs of similar ones
    int64_t batch_programs = 64;       // beta: programs tried in a batch, at most
    int64_t full_programs = 256;       // programs per subgraph that count as tuned in full
    int64_t minimum_slice_steps = 10;  // the least further training that teaches something
    int64_t seed = 1;
    std::string records;  // record library shared over runs; relative to the file; empty: none
  } search;

  struct Space {
    std::string family = "mobilenetv3";
    std::vector<int64_t> resolutions = {128, 160, 192, 224};
    std::vector<double> widths = {0.25, 0.5, 0.75, 1.0};
    std::vector<int64_t> expansions = {3, 6};
    std::vector<int64_t> depths = {2, 3};
    std::vector<std::string> kernels = {"35335"};  // digits: the kernel size of each stage
    int64_t stem_stride = 2;
    std::vector<int64_t> strides = {2, 2, 2, 1, 2};
    int64_t stem_width = 16;
    std::vector<int64_t> stage_widths = {24, 40, 80, 112, 160};
    int64_t head_width = 960;
    int64_t classifier_width = 1280;
    std::vector<std::string> architectures;  // names: search exactly these; empty: the space
  } space;

  struct Data {
    std::string path;            // archive, folder of class folders, or CIFAR-10 binary; relative to the file
    std::string test_path;       // a separate test set
    double val_fraction = 0.1;   // of the training images
    double test_fraction = 0.1;  // when no test split is given
    int64_t limit_train = 0, limit_val = 0, limit_test = 0;  // images, balanced; 0: all
    int64_t resolution = 0;                                  // images are kept at this size, pixels; 0: as they are
    double max_corrupt_fraction = 0.01;
    int64_t classes = 0;  // 0: as found in the data; set: must agree, and `space` needs no data
  } data;

  struct Train {
    int64_t epochs = 8;  // full training
    int64_t batch = 64;
    double learning_rate = 0.1;
    double momentum = 0.9;
    double weight_decay = 4e-5;
    double label_smoothing = 0.1;
    double ema = 0;            // decay per step; 0: off
    int64_t crop_padding = 4;  // pixels at the base resolution
    bool flip = true;
    std::string schedule = "full";               // what the learning rate's cosine spans: "full" training or a "slice"
    bool inherit = false;                        // networks start from weights of smaller ones
    bool bf16 = false;                           // autocast, CUDA only
    std::vector<int64_t> cores = {0};            // one network at a time on each
    std::vector<std::string> devices = {"cpu"};  // "cpu", or "cuda:0", ...
    double checkpoint_seconds = 60;
    bool keep_checkpoints = false;  // of eliminated networks too
  } train;

  struct Compile {
    std::vector<int64_t> cores = {1};
    double time_limit_s = 20;
    int64_t memory_limit_mb = 4096;
  } compile;

  struct Device {
    std::string kind = "local";
    std::vector<int64_t> cores = {1};
    int64_t threads = 1;           // of one inference, on the first so many of `cores`
    int64_t batch = 1;             // images per inference
    std::string compiler = "c++";  // links the measuring runner
    double peak_gflops = 0;        // per core, for lower bounds; 0: estimated
  } device;
};

using Override = std::pair<std::string, std::string>;  // "section.key", "value"

/// Reads and checks a file. Throws UserError naming file, line, key and the nearest known key.
Config load_config(const std::string& path, const std::vector<Override>& overrides = {});
/// The whole configuration as TOML that load_config reads back to the same values.
std::string to_toml(const Config& config);
/// Flat "section.key" -> value, every key.
std::vector<std::pair<std::string, std::string>> flatten(const Config& config);
/// "90s", "20m", "2h", "2d" in seconds. Throws UserError.
double parse_duration(const std::string& text);

}  // namespace sonar
