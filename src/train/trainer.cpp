#include "train/trainer.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <optional>
#include <utility>

#include "model/error.h"
#include "train/autocast.h"
#include "train/batch_norm.h"
#include "train/checkpoint.h"
#include "train/device_render.h"
#include "train/durable_file.h"
#include "train/kernels.h"
#include "train/network.h"
#include "train/random_batch.h"
#include "train/render.h"

namespace sonar {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

constexpr double kProgressSeconds = 1;
/// Of the full schedule, the learning rate rises from near 0. Networks are judged after a few dozen steps, so it is
/// short: with 0.05 two networks of 1,248 steps stood at 11 and 14 % after 60 steps, with 0.01 at 24 and 28 %, and
/// ahead still after 312.
constexpr double kWarmUpFraction = 0.01;

/// Linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017).
double learning_rate(const TrainOptions& options, long step, long full_steps) {
  const double warm_up = std::max(1.0, std::floor(kWarmUpFraction * double(full_steps)));
  if (double(step) < warm_up) return options.learning_rate * double(step + 1) / warm_up;
  const double progress = (double(step) - warm_up) / std::max(1.0, double(full_steps) - warm_up);
  return options.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, progress)));
}

/// A short training sees a short average: a decay of 0.999 would otherwise show the initial weights for a thousand
/// steps.
double average_decay(double decay, long step) { return std::min(decay, (1 + double(step)) / (10 + double(step))); }

/// The first step after `step` at which training stops to validate (TrainRequest::first_validation).
long next_validation(long step, long epoch, long first_validation) {
  long next = (step / epoch + 1) * epoch;
  if (first_validation > 0)
    while (next > first_validation && next / 2 > step) next /= 2;
  return next;
}

/// LibTorch's setting does not reach OpenBLAS's own threads.
void set_threads(int threads) {
  at::set_num_threads(threads);
  using Setter = void (*)(int);
  if (void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) reinterpret_cast<Setter>(symbol)(threads);
}

torch::Device open_device(const std::string& name) {
  torch::Device device(torch::kCPU);
  try {
    device = torch::Device(name);
  } catch (const c10::Error&) {
    throw UserError(fmt::format("train.devices: '{}' is no device; write \"cpu\" or \"cuda:0\"", name));
  }
  if (device.is_cpu()) return torch::Device(torch::kCPU);
  if (!device.is_cuda()) throw UserError(fmt::format("train.devices: '{}' is neither \"cpu\" nor \"cuda:N\"", name));
  const int count = torch::cuda::is_available() ? int(torch::cuda::device_count()) : 0;
  if (count == 0) {
    throw EnvironmentError(
        fmt::format("device {}: this LibTorch ({}) sees no CUDA device; install a driver, point "
                    "CMAKE_PREFIX_PATH to a LibTorch with CUDA and rebuild, or train on \"cpu\"",
                    name, TORCH_VERSION));
  }
  const int index = device.has_index() ? device.index() : 0;
  if (index >= count) throw EnvironmentError(fmt::format("device {}: there are only {} CUDA devices", name, count));
  return torch::Device(torch::kCUDA, c10::DeviceIndex(index));
}

/// LibTorch's exceptions in our three kinds.
template <class Work>
auto translate_errors(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    if (text.find("out of memory") != std::string::npos || text.find("allocate memory") != std::string::npos) {
      throw EnvironmentError("out of memory: " + text.substr(0, text.find('\n')) +
                             "; lower train.batch or the number of trainers at once");
    }
    if (text.find("CUDA") != std::string::npos) throw EnvironmentError("CUDA: " + text.substr(0, text.find('\n')));
    throw InternalError("LibTorch: " + text);
  } catch (const std::bad_alloc&) {
    throw EnvironmentError("out of memory; lower train.batch or the number of trainers at once");
  }
}

}  // namespace

/// One network while it trains.
struct Session {
  Network network;
  std::optional<Network> average;
  torch::Tensor velocity;
  BatchStream batches;
  long step = 0;
  double seconds = 0, loss_sum = 0;
  long loss_steps = 0;
  bool diverged = false;
  std::vector<TrainPoint> points;

  Session(const Graph& graph, const torch::Device& device, BatchStream stream)
      : network(graph, device), velocity(torch::zeros_like(network.weights)), batches(std::move(stream)) {}
  Network& judged() { return average ? *average : network; }
  /// The average starts from what the network is.
  void start_average() {
    average->weights.copy_(network.weights);
    average->statistics.copy_(network.statistics);
  }
};

struct Trainer::State {
  Dataset data;
  TrainOptions options;
  torch::Device device;
  uint64_t seed;
  Normalisation normalisation;
  torch::Tensor images;  // of the data set, on a device that is not the CPU

  State(Dataset data_, const TrainOptions& options_, const std::string& device_, uint64_t seed_)
      : data(std::move(data_)), options(options_), device(open_device(device_)), seed(seed_) {
    set_threads(options.threads);
    at::globalContext().setFlushDenormal(true);
    at::globalContext().setDeterministicCuDNN(true);
    normalisation = measure_normalisation(data);
    if (!device.is_cpu()) images = upload_images(data, device);
  }

  BatchStream stream(const std::string& network) const {
    return BatchStream(data.split.train, {options.batch, options.crop_padding, options.flip}, seed, network);
  }

  void check_graph(const Graph& graph) const;
  std::unique_ptr<Session> start(const std::string& network, const Graph& graph) const;
  torch::Tensor render(const std::vector<Placement>& placements, int resolution) const;
  torch::Tensor labels(const std::vector<Placement>& placements) const;
  void take_step(Session& session, long full_steps, StepTime* times) const;
  void update(Session& session, double rate) const;
  Evaluation evaluate(Network& network, const std::vector<int>& part, size_t count) const;
  void save(const Session& session, const std::string& folder) const;
  void restore(Session& session, const Checkpoint& checkpoint) const;
  bool continue_from(Session& session, const TrainRequest& request) const;
  void inherit(Session& session, const TrainRequest::Origin& origin) const;
  void advance(Session& session, long stop, const TrainRequest& request,
               const std::function<void(long, double)>& progress) const;
  bool validate(Session& session, int val_images) const;
};

void Trainer::State::check_graph(const Graph& graph) const {
  const Shape in = graph.input_shape(), out = graph.output_shape();
  if (in.channels != 3 || in.height != in.width) {
    throw UserError(fmt::format("the network's input is {}x{}x{}; images are square with 3 channels", in.height,
                                in.width, in.channels));
  }
  if (out.height != 1 || out.width != 1 || out.channels != int(data.classes.size())) {
    throw UserError(fmt::format("the network's output is {}x{}x{}; the data set has {} classes", out.height, out.width,
                                out.channels, data.classes.size()));
  }
}

std::unique_ptr<Session> Trainer::State::start(const std::string& network, const Graph& graph) const {
  check_graph(graph);
  auto session = std::make_unique<Session>(graph, device, stream(network));
  session->network.initialise(seed, network);
  if (options.ema > 0) {
    session->average.emplace(graph, device);
    session->start_average();
  }
  return session;
}

torch::Tensor Trainer::State::render(const std::vector<Placement>& placements, int resolution) const {
  if (!device.is_cpu()) return render_on_device(images, normalisation, placements, resolution);
  torch::Tensor batch = torch::empty({int64_t(placements.size()), 3, resolution, resolution},
                                     torch::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast));
  render_batch(data, normalisation, placements, resolution, batch.data_ptr<float>());
  return batch;
}

torch::Tensor Trainer::State::labels(const std::vector<Placement>& placements) const {
  torch::Tensor host = torch::empty({int64_t(placements.size())}, torch::kInt64);
  for (size_t i = 0; i < placements.size(); ++i) {
    host.data_ptr<int64_t>()[i] = data.labels[size_t(placements[i].image)];
  }
  return host.to(device);
}

void Trainer::State::update(Session& session, double rate) const {
  Network& network = session.network;
  const float momentum = float(options.momentum), decay = float(options.weight_decay);
  const long count = network.weights.numel();
  if (device.is_cpu()) {
    float* weights = network.weights.data_ptr<float>();
    float* gradient = network.gradient.data_ptr<float>();
    float* velocity = session.velocity.data_ptr<float>();
    const long decayed = network.decayed;
    sgd_step(weights, gradient, velocity, decayed, float(rate), momentum, decay);
    sgd_step(weights + decayed, gradient + decayed, velocity + decayed, count - decayed, float(rate), momentum, 0);
  } else {
    network.gradient.narrow(0, 0, network.decayed).add_(network.weights.narrow(0, 0, network.decayed), decay);
    session.velocity.mul_(momentum).add_(network.gradient);
    network.weights.add_(network.gradient.add(session.velocity, momentum), -rate);
    network.gradient.zero_();
  }
  if (!session.average) return;
  const float average = float(average_decay(options.ema, session.step));
  const std::pair<torch::Tensor, torch::Tensor> pairs[] = {{session.average->weights, network.weights},
                                                           {session.average->statistics, network.statistics}};
  for (const auto& [mean, value] : pairs) {
    if (device.is_cpu()) {
      move_average(mean.data_ptr<float>(), value.data_ptr<float>(), mean.numel(), average);
    } else {
      mean.lerp_(value, 1 - average);
    }
  }
}

void Trainer::State::take_step(Session& session, long full_steps, StepTime* times) const {
  const auto begin = Clock::now();
  const std::vector<Placement> placements = session.batches.at(session.step);
  const torch::Tensor input = render(placements, session.network.graph().input_shape().height);
  const torch::Tensor target = labels(placements);
  const auto rendered = Clock::now();
  torch::Tensor loss;
  {
    const Autocast autocast(device, options.bf16);
    session.network.statistics_momentum = batch_norm_momentum(session.step);
    const torch::Tensor logits = session.network.forward(input, /*training=*/true);
    loss = at::cross_entropy_loss(logits.to(torch::kFloat32), target, {}, at::Reduction::Mean, -100,
                                  options.label_smoothing);
  }
  const double value = loss.item<double>();
  const auto computed = Clock::now();
  if (!std::isfinite(value)) {
    session.diverged = true;
    return;
  }
  loss.backward();
  const auto propagated = Clock::now();
  {
    torch::NoGradGuard no_gradient;
    update(session, learning_rate(options, session.step, full_steps));
  }
  ++session.step;
  session.loss_sum += value;
  ++session.loss_steps;
  if (times) {
    const auto seconds = [](Clock::time_point a, Clock::time_point b) {
      return std::chrono::duration<double>(b - a).count();
    };
    times->render += seconds(begin, rendered);
    times->forward += seconds(rendered, computed);
    times->backward += seconds(computed, propagated);
    times->update += seconds_since(propagated);
    times->total += seconds_since(begin);
  }
}

Evaluation Trainer::State::evaluate(Network& network, const std::vector<int>& part, size_t count) const {
  torch::NoGradGuard no_gradient;
  const Autocast autocast(device, options.bf16);
  int64_t right = 0;
  for (size_t begin = 0; begin < count; begin += size_t(options.batch)) {
    const auto placements = plain_batch(part, begin, std::min(count, begin + size_t(options.batch)));
    const torch::Tensor logits = network.forward(render(placements, network.graph().input_shape().height), false);
    right += logits.argmax(1).eq(labels(placements)).sum().item<int64_t>();
  }
  return {double(right) / double(std::max<size_t>(1, count)), int(count)};
}

void Trainer::State::save(const Session& session, const std::string& folder) const {
  Checkpoint checkpoint;
  checkpoint.identity = graph_identity(session.network.graph());
  checkpoint.step = session.step;
  checkpoint.seconds = session.seconds;
  checkpoint.loss_sum = session.loss_sum;
  checkpoint.loss_steps = session.loss_steps;
  checkpoint.diverged = session.diverged;
  checkpoint.points = session.points;
  checkpoint.weights = session.network.weights.cpu();
  checkpoint.statistics = session.network.statistics.cpu();
  checkpoint.velocity = session.velocity.cpu();
  if (session.average) {
    checkpoint.average_weights = session.average->weights.cpu();
    checkpoint.average_statistics = session.average->statistics.cpu();
  }
  save_checkpoint(folder, checkpoint);
}

void Trainer::State::restore(Session& session, const Checkpoint& checkpoint) const {
  torch::NoGradGuard no_gradient;
  session.step = checkpoint.step;
  session.seconds = checkpoint.seconds;
  session.loss_sum = checkpoint.loss_sum;
  session.loss_steps = checkpoint.loss_steps;
  session.diverged = checkpoint.diverged;
  session.points = checkpoint.points;
  session.network.weights.copy_(checkpoint.weights);
  session.network.statistics.copy_(checkpoint.statistics);
  session.velocity.copy_(checkpoint.velocity);
  if (session.average) {  // switched on since: it starts from the weights
    const bool kept = checkpoint.average_weights.defined();
    session.average->weights.copy_(kept ? checkpoint.average_weights : checkpoint.weights);
    session.average->statistics.copy_(kept ? checkpoint.average_statistics : checkpoint.statistics);
  }
}

/// Loads the newest usable checkpoint of at most to_step; a damaged one is passed over for an older one. False: there
/// is none, and training begins anew.
bool Trainer::State::continue_from(Session& session, const TrainRequest& request) const {
  std::vector<long> steps = list_checkpoints(request.folder);
  std::erase_if(steps, [&](long step) { return step > request.to_step; });
  const std::string identity = graph_identity(request.graph);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      restore(session, load_checkpoint(request.folder, *step, identity));
      return true;
    } catch (const EnvironmentError&) {  // missing or damaged
    }
  }
  return false;
}

/// Weights and statistics of the checkpoint's network as far as the session's has them, before its first step.
void Trainer::State::inherit(Session& session, const TrainRequest::Origin& origin) const {
  torch::NoGradGuard no_gradient;
  Network other(origin.graph, device);
  const Checkpoint checkpoint = load_checkpoint(origin.folder, origin.step, graph_identity(origin.graph));
  other.weights.copy_(checkpoint.weights);
  other.statistics.copy_(checkpoint.statistics);
  const Parameters known = other.parameters();
  Parameters own = session.network.parameters();
  for (auto& [name, values] : own) {
    const auto found = known.find(name);
    if (found != known.end() && found->second.size() == values.size()) values = found->second;
  }
  const std::vector<Node>& nodes = session.network.graph().nodes;
  for (const Node& sum : nodes) {
    if (sum.op != Op::add) continue;
    for (int input : sum.inputs) {
      const Node& last = nodes[size_t(input)];
      const std::string weight = last.name + ".weight";
      if (last.op == Op::batch_norm && !known.count(weight)) own.at(weight).assign(own.at(weight).size(), 0.f);
    }
  }
  session.network.set_parameters(own);
  if (session.average) session.start_average();
}

/// Trains to `stop`, with an intermediate checkpoint now and then.
void Trainer::State::advance(Session& session, long stop, const TrainRequest& request,
                             const std::function<void(long, double)>& progress) const {
  double saved = session.seconds, reported = session.seconds;
  while (session.step < stop && !session.diverged) {
    const auto begin = Clock::now();
    take_step(session, request.full_steps, nullptr);
    session.seconds += seconds_since(begin);
    if (session.seconds - reported >= kProgressSeconds) {
      progress(session.step, session.seconds);
      reported = session.seconds;
    }
    if (session.seconds - saved >= options.checkpoint_seconds && session.step < stop) {
      save(session, request.folder);
      saved = session.seconds;
    }
  }
  if (session.diverged) session.step = stop;
}

/// Makes sure that the last point is this step's, on that many images. False when it was so already.
bool Trainer::State::validate(Session& session, int val_images) const {
  const size_t all = data.split.val.size();
  const size_t count = val_images > 0 ? std::min(all, size_t(val_images)) : all;
  std::vector<TrainPoint>& points = session.points;
  if (!points.empty() && points.back().step == session.step) {
    if (points.back().val_images == int(count)) return false;
    points.back().val_accuracy = evaluate(session.judged(), data.split.val, count).accuracy;
    points.back().val_images = int(count);
    return true;
  }
  TrainPoint point;
  point.step = session.step;
  point.seconds = session.seconds;
  point.val_images = int(count);
  point.val_accuracy = evaluate(session.judged(), data.split.val, count).accuracy;
  // Without a finite loss since the last point: the last one known, or that of guessing.
  point.train_loss = session.loss_steps ? session.loss_sum / double(session.loss_steps)
                     : points.empty()   ? std::log(double(data.classes.size()))
                                        : points.back().train_loss;
  session.loss_sum = 0;
  session.loss_steps = 0;
  points.push_back(point);
  return true;
}

Trainer::Trainer(Dataset data, const TrainOptions& options, const std::string& device, uint64_t seed)
    : state_(translate_errors([&] { return std::make_unique<State>(std::move(data), options, device, seed); })) {}
Trainer::~Trainer() = default;

const Dataset& Trainer::data() const { return state_->data; }
long Trainer::steps_per_epoch() const { return state_->stream("").steps_per_epoch(); }

void Trainer::train(const TrainRequest& request, const std::function<void(const TrainPoint&)>& point,
                    const std::function<void(long step, double seconds)>& progress) {
  if (request.from_step < 0 || request.from_step > request.to_step || request.to_step > request.full_steps) {
    throw UserError(fmt::format("train {}: from_step {} <= to_step {} <= full_steps {} does not hold", request.network,
                                request.from_step, request.to_step, request.full_steps));
  }
  translate_errors([&] {
    const std::unique_ptr<Session> session = state_->start(request.network, request.graph);
    const bool continued = state_->continue_from(*session, request);
    if (!continued && request.origin) state_->inherit(*session, *request.origin);
    const auto report = [&](TrainPoint p) {
      p.network = request.network;
      if (p.step > request.from_step) point(p);
    };
    for (const TrainPoint& p : session->points) {
      if (p.step < request.to_step) report(p);
    }
    const bool recorded = continued && session->step == request.to_step;
    const long epoch = steps_per_epoch();
    while (session->step < request.to_step) {
      const long stop = std::min(request.to_step, next_validation(session->step, epoch, request.first_validation));
      state_->advance(*session, session->diverged ? request.to_step : stop, request, progress);
      if (session->step == request.to_step) break;
      state_->validate(*session, request.val_images);
      report(session->points.back());
    }
    const bool validated = request.to_step > 0 && state_->validate(*session, request.val_images);
    if (validated || !recorded) state_->save(*session, request.folder);
    if (!session->points.empty()) report(session->points.back());
    for (long step : list_checkpoints(request.folder)) {
      std::error_code ignored;  // a leftover costs disk space and nothing else
      if (step > request.from_step && step < request.to_step) {
        std::filesystem::remove(checkpoint_path(request.folder, step), ignored);
      }
    }
  });
}

StepTime Trainer::time_steps(const std::string& network, const Graph& graph, int steps) {
  if (steps < 1) throw UserError("time: steps must be at least 1");
  return translate_errors([&] {
    constexpr int kWarmUpSteps = 2;  // the first ones make memory and kernels ready
    const std::unique_ptr<Session> session = state_->start(network, graph);
    StepTime sum;
    for (int i = 0; i < steps + kWarmUpSteps; ++i) {
      state_->take_step(*session, 1000 * (steps + kWarmUpSteps), i < kWarmUpSteps ? nullptr : &sum);
      if (session->diverged) throw UserError("time: the loss of " + network + " is not finite within a few steps");
    }
    const double n = steps;
    return StepTime{sum.total / n, sum.render / n, sum.forward / n, sum.backward / n, sum.update / n};
  });
}

Evaluation Trainer::evaluate(const std::string& network, const Graph& graph, const std::string& folder, long step,
                             const std::string& part) {
  if (part != "test" && part != "val") throw UserError("split '" + part + "' is neither \"test\" nor \"val\"");
  const std::vector<int>& images = part == "test" ? state_->data.split.test : state_->data.split.val;
  if (images.empty()) {
    throw UserError("the data set has no test images; give test/CLASS/IMAGE, data.test_path or data.test_fraction");
  }
  return translate_errors([&] {
    const std::unique_ptr<Session> session = state_->start(network, graph);
    state_->restore(*session, load_checkpoint(folder, step, graph_identity(graph)));
    return state_->evaluate(session->judged(), images, images.size());
  });
}

void Trainer::write_parameters(const Graph& graph, const std::string& folder, long step, const std::string& path) {
  translate_errors([&] {
    const std::unique_ptr<Session> session = state_->start("", graph);
    state_->restore(*session, load_checkpoint(folder, step, graph_identity(graph)));
    const Parameters parameters = session->judged().parameters();
    static_assert(std::endian::native == std::endian::little, "parameter files are little-endian");
    std::string bytes;
    for (const auto& [name, count] : parameter_sizes(graph)) {
      bytes.append(reinterpret_cast<const char*>(parameters.at(name).data()), size_t(count) * sizeof(float));
    }
    write_file_durably(path, bytes);
  });
}

}  // namespace sonar
