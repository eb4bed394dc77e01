#include "train/trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "graph/parameters.h"
#include "sonar/error.h"
#include "train/checkpoint.h"
#include "train/network.h"
#include "train/test_graphs.h"
#include "train/test_images.h"

namespace sonar {
namespace {

namespace fs = std::filesystem;

/// Three colours that a network tells apart at once.
Dataset colours(int per_class = 24) {
  const TemporaryFolder folder;
  write_files(folder.path(), class_folder_images({"bird", "cat", "dog"}, per_class, 16));
  DatasetOptions options;
  options.path = folder.path();
  options.split.val_fraction = 0.25;
  return load_dataset(options, 1);
}

Graph small_graph() { return make_test_network({.resolution = 16, .classes = 3, .width = 4}); }

TrainOptions small_options() {
  TrainOptions options;
  options.batch = 6;
  options.learning_rate = 0.05;
  options.ema = 0.9;
  options.crop_padding = 2;
  options.checkpoint_seconds = 1e9;
  return options;
}

TrainRequest request_to(const std::string& folder, long from, long to, long full = 40) {
  return {"net", small_graph(), from, to, full, 0, folder};
}

std::vector<TrainPoint> train(Trainer& trainer, const TrainRequest& request) {
  std::vector<TrainPoint> points;
  trainer.train(
      request, [&](const TrainPoint& p) { points.push_back(p); }, [](long, double) {});
  return points;
}

Checkpoint load_any(const std::string& folder, long step, const Graph& graph) {
  return load_checkpoint(folder, step, graph_identity(graph));
}

void expect_bit_equal(const torch::Tensor& a, const torch::Tensor& b, const char* what) {
  ASSERT_EQ(a.numel(), b.numel()) << what;
  EXPECT_EQ(std::memcmp(a.data_ptr<float>(), b.data_ptr<float>(), size_t(a.numel()) * sizeof(float)), 0) << what;
}

TEST(Trainer, ResumesBitForBit) {
  const TemporaryFolder folder;
  {
    Trainer straight(colours(), small_options(), "cpu", 5);
    train(straight, request_to(folder.path("straight"), 0, 20));
  }
  {
    Trainer first(colours(), small_options(), "cpu", 5);
    train(first, request_to(folder.path("parts"), 0, 7));
  }
  {
    Trainer second(colours(), small_options(), "cpu", 5);
    train(second, request_to(folder.path("parts"), 7, 20));
  }
  const Checkpoint a = load_any(folder.path("straight"), 20, small_graph());
  const Checkpoint b = load_any(folder.path("parts"), 20, small_graph());
  expect_bit_equal(a.weights, b.weights, "weights");
  expect_bit_equal(a.statistics, b.statistics, "batch norm's statistics");
  expect_bit_equal(a.velocity, b.velocity, "momentum");
  expect_bit_equal(a.average_weights, b.average_weights, "averaged weights");
  expect_bit_equal(a.average_statistics, b.average_statistics, "averaged statistics");
  EXPECT_NE(torch::equal(a.weights, a.average_weights), true);
  EXPECT_EQ(a.points.back().val_accuracy, b.points.back().val_accuracy);
}

TEST(Trainer, OtherSeedsAndNetworksTrainOtherwise) {
  const TemporaryFolder folder;
  Trainer one(colours(), small_options(), "cpu", 1), two(colours(), small_options(), "cpu", 2);
  train(one, request_to(folder.path("a"), 0, 3));
  train(two, request_to(folder.path("b"), 0, 3));
  TrainRequest named = request_to(folder.path("c"), 0, 3);
  named.network = "other";
  train(one, named);
  const torch::Tensor a = load_any(folder.path("a"), 3, small_graph()).weights;
  EXPECT_FALSE(torch::equal(a, load_any(folder.path("b"), 3, small_graph()).weights));
  EXPECT_FALSE(torch::equal(a, load_any(folder.path("c"), 3, small_graph()).weights));
}

TEST(Trainer, LearnsColours) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  const auto points = train(trainer, request_to(folder.path("net"), 0, 40));
  EXPECT_GT(points.back().val_accuracy, 0.9);
  EXPECT_LT(points.back().train_loss, points.front().train_loss);
  const Evaluation test = trainer.evaluate("net", small_graph(), folder.path("net"), 40, "test");
  EXPECT_GE(test.accuracy, 0.66);  // of six images
  EXPECT_EQ(test.images, int(trainer.data().split.test.size()));
  const Evaluation val = trainer.evaluate("net", small_graph(), folder.path("net"), 40, "val");
  EXPECT_EQ(val.accuracy, points.back().val_accuracy);
}

TEST(Trainer, ValidatesAtEveryEpochAndAtTheEnd) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  const long epoch = trainer.steps_per_epoch();
  ASSERT_EQ(epoch, 8);  // 3 classes of 24: 2 test, 6 of the rest (0.25 x 22) validate, 48 train in batches of 6
  TrainRequest request = request_to(folder.path("net"), 0, 19);
  request.val_images = 9;
  const auto points = train(trainer, request);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[0].step, 8);
  EXPECT_EQ(points[1].step, 16);
  EXPECT_EQ(points[2].step, 19);
  for (const TrainPoint& p : points) {
    EXPECT_EQ(p.val_images, 9);
    EXPECT_EQ(p.network, "net");
  }
  EXPECT_LE(points[0].seconds, points[2].seconds);
  EXPECT_EQ(list_checkpoints(folder.path("net")), std::vector<long>{19});
}

TEST(Trainer, EarlyValidationsLookAndDoNotTouch) {
  const TemporaryFolder folder;
  TrainOptions often = small_options();
  often.checkpoint_seconds = 1e-9;  // after every step
  Trainer trainer(colours(), often, "cpu", 1);
  ASSERT_EQ(trainer.steps_per_epoch(), 8);
  const auto without = train(trainer, request_to(folder.path("without"), 0, 20));
  const auto early = [&](const std::string& name, long first, long from = 0) {
    TrainRequest request = request_to(folder.path(name), from, 20);
    request.first_validation = first;
    return request;
  };
  const auto steps = [](const std::vector<TrainPoint>& points) {
    std::vector<long> result;
    for (const TrainPoint& p : points) result.push_back(p.step);
    return result;
  };
  const auto expect_same = [&](const std::string& name, const std::vector<TrainPoint>& points) {
    const Checkpoint a = load_any(folder.path("without"), 20, small_graph());
    const Checkpoint b = load_any(folder.path(name), 20, small_graph());
    expect_bit_equal(a.weights, b.weights, "weights");
    expect_bit_equal(a.statistics, b.statistics, "batch norm's statistics");
    expect_bit_equal(a.velocity, b.velocity, "momentum");
    expect_bit_equal(a.average_weights, b.average_weights, "averaged weights");
    expect_bit_equal(a.average_statistics, b.average_statistics, "averaged statistics");
    ASSERT_GE(points.size(), without.size());
    for (size_t i = 0; i < without.size(); ++i) {
      const TrainPoint& p = points[points.size() - without.size() + i];
      EXPECT_EQ(p.step, without[i].step) << name;
      EXPECT_EQ(p.val_accuracy, without[i].val_accuracy) << name;
    }
  };
  const auto whole = train(trainer, early("early", 3));
  EXPECT_EQ(steps(whole), (std::vector<long>{2, 4, 8, 16, 20}));
  expect_same("early", whole);
  EXPECT_EQ(steps(train(trainer, early("every", 1))), (std::vector<long>{1, 2, 4, 8, 16, 20}));
  EXPECT_EQ(steps(train(trainer, early("late", 8))), (std::vector<long>{8, 16, 20}));

  // A kill right after each of the points, and a continuation that knows those before it.
  struct Killed {};
  for (const long at : {2, 4, 8, 16}) {
    const std::string name = "killed at " + std::to_string(at);
    EXPECT_THROW(trainer.train(
                     early(name, 3),
                     [&](const TrainPoint& p) {
                       if (p.step == at) throw Killed{};
                     },
                     [](long, double) {}),
                 Killed);
    const auto resumed = train(trainer, early(name, 3));
    ASSERT_EQ(steps(resumed), steps(whole)) << name;
    for (size_t i = 0; i < whole.size(); ++i) {
      EXPECT_EQ(resumed[i].val_accuracy, whole[i].val_accuracy) << name;
      EXPECT_EQ(resumed[i].train_loss, whole[i].train_loss) << name;
    }
    expect_same(name, resumed);
  }
  // Continued from a checkpoint that was made without them, as by an older version: those that are still ahead.
  train(trainer, request_to(folder.path("older"), 0, 3));
  const auto older = train(trainer, early("older", 3, 3));
  EXPECT_EQ(steps(older), (std::vector<long>{4, 8, 16, 20}));
  expect_same("older", older);
}

TEST(Trainer, ARepeatedRequestReportsTheSamePoints) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  const auto first = train(trainer, request_to(folder.path("net"), 0, 19));
  const auto again = train(trainer, request_to(folder.path("net"), 0, 19));
  ASSERT_EQ(first.size(), again.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].step, again[i].step);
    EXPECT_EQ(first[i].val_accuracy, again[i].val_accuracy);
    EXPECT_EQ(first[i].train_loss, again[i].train_loss);
    EXPECT_EQ(first[i].seconds, again[i].seconds);  // recorded, not trained again
  }
  const auto later = train(trainer, request_to(folder.path("net"), 16, 19));
  ASSERT_EQ(later.size(), 1u);
  EXPECT_EQ(later[0].step, 19);
}

TEST(Trainer, GoesOnFromIntermediateCheckpointsAndKeepsTheirPoints) {
  const TemporaryFolder folder;
  TrainOptions often = small_options();
  often.checkpoint_seconds = 1e-9;  // after every step
  Trainer trainer(colours(), often, "cpu", 1);
  const auto whole = train(trainer, request_to(folder.path("whole"), 0, 20));
  EXPECT_EQ(list_checkpoints(folder.path("whole")), std::vector<long>{20});

  // As after a kill at step 18: the points at 8 and 16 are in the checkpoint only.
  struct Killed {};
  EXPECT_THROW(trainer.train(
                   request_to(folder.path("killed"), 0, 20),
                   [&](const TrainPoint& p) {
                     if (p.step == 16) throw Killed{};
                   },
                   [](long, double) {}),
               Killed);
  ASSERT_EQ(list_checkpoints(folder.path("killed")).back(), 15);
  const auto resumed = train(trainer, request_to(folder.path("killed"), 0, 20));
  ASSERT_EQ(resumed.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(resumed[i].step, whole[i].step);
    EXPECT_EQ(resumed[i].val_accuracy, whole[i].val_accuracy);
    EXPECT_EQ(resumed[i].train_loss, whole[i].train_loss);
  }
  expect_bit_equal(load_any(folder.path("whole"), 20, small_graph()).weights,
                   load_any(folder.path("killed"), 20, small_graph()).weights, "weights");
}

TEST(Trainer, ADamagedIntermediateCheckpointIsPassedOver) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  train(trainer, request_to(folder.path("net"), 0, 5));
  train(trainer, request_to(folder.path("net"), 5, 10));
  const Bytes whole = read_file(checkpoint_path(folder.path("net"), 10));
  const torch::Tensor expected = load_any(folder.path("net"), 10, small_graph()).weights;
  for (size_t length : {size_t{0}, size_t{10}, whole.size() / 2, whole.size() - 1}) {
    write_file(checkpoint_path(folder.path("net"), 10), Bytes(whole.begin(), whole.begin() + long(length)));
    EXPECT_EQ(train(trainer, request_to(folder.path("net"), 5, 10)).size(), 2u) << length;
    expect_bit_equal(load_any(folder.path("net"), 10, small_graph()).weights, expected, "weights");
  }
}

TEST(Trainer, PointsNewerThanEveryCheckpointAreReachedAgain) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  const auto whole = train(trainer, request_to(folder.path("whole"), 0, 20));
  const torch::Tensor expected = load_any(folder.path("whole"), 20, small_graph()).weights;
  ASSERT_GE(whole.size(), 3u);
  train(trainer, request_to(folder.path("older"), 0, 5));
  for (const std::string name : {"older", "none"}) {
    const long known = whole[whole.size() - 2].step;  // as if a kill had come right after this point was recorded
    const auto rest = train(trainer, request_to(folder.path(name), known, 20));
    ASSERT_EQ(rest.size(), 1u) << name;
    EXPECT_EQ(rest[0].val_accuracy, whole.back().val_accuracy) << name;
    expect_bit_equal(load_any(folder.path(name), 20, small_graph()).weights, expected, name.c_str());
  }
}

TEST(Trainer, WeightsComeFromASmallerNetwork) {
  const TemporaryFolder folder;
  TrainOptions still = small_options();  // what it starts from is what it shows
  still.learning_rate = 1e-30;
  still.weight_decay = 0;
  Trainer trainer(colours(), small_options(), "cpu", 1), probe(colours(), still, "cpu", 1);
  train(trainer, request_to(folder.path("small"), 0, 20));
  const Checkpoint parent = load_any(folder.path("small"), 20, small_graph());

  TrainRequest larger = request_to(folder.path("larger"), 0, 1);
  larger.graph = make_test_network({.resolution = 32, .classes = 3, .width = 4});
  larger.origin = {small_graph(), folder.path("small"), 20};
  train(probe, larger);
  expect_bit_equal(load_any(folder.path("larger"), 1, larger.graph).weights, parent.weights, "weights");

  // A block more, which begins as the identity: as accurate as the network without it.
  const auto grow = [&](bool with) {
    Graph graph;
    int value = graph.add_input({16, 16, 3});
    value = add_test_conv(graph, value, "stem", 8, 3, 2, 1, Activation::relu);
    if (with) value = graph.add_add(add_test_conv(graph, value, "extra", 8, 3, 1, 1, Activation::none), value, "sum");
    value = graph.add_global_average_pool(value, "pool");
    graph.add_dense(value, "classifier", 3);
    return graph;
  };
  const auto parameters = [&](const std::string& name, long step, const Graph& graph) {
    Network network(graph, torch::kCPU);
    network.weights.copy_(load_any(folder.path(name), step, graph).weights);
    return network.parameters();
  };
  TrainRequest shallow = request_to(folder.path("shallow"), 0, 20), deep = request_to(folder.path("deep"), 0, 1);
  shallow.graph = grow(false);
  deep.graph = grow(true);
  train(trainer, shallow);
  deep.origin = {shallow.graph, folder.path("shallow"), 20};
  train(probe, deep);
  const Parameters before = parameters("shallow", 20, shallow.graph), after = parameters("deep", 1, deep.graph);
  for (const char* name : {"stem.weight", "stem_bn.bias", "classifier.weight"})
    EXPECT_EQ(after.at(name), before.at(name)) << name;
  for (float scale : after.at("extra_bn.weight")) EXPECT_NEAR(scale, 0, 1e-20);
  deep.origin->step = 3;
  deep.folder = folder.path("nothing");
  EXPECT_THROW(train(probe, deep), EnvironmentError);  // no such checkpoint
}

TEST(Trainer, AForeignCheckpointIsAnError) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  train(trainer, request_to(folder.path("net"), 0, 5));
  TrainRequest other = request_to(folder.path("net"), 5, 10);
  other.graph = make_test_network({.resolution = 16, .classes = 3, .width = 5});
  try {
    train(trainer, other);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("belongs to another network or graph"), std::string::npos);
  }
}

TEST(Trainer, DivergenceIsReportedAndDoesNotCrash) {
  const TemporaryFolder folder;
  TrainOptions wild = small_options();
  wild.learning_rate = 1e30;
  Trainer trainer(colours(), wild, "cpu", 1);
  const auto points = train(trainer, request_to(folder.path("net"), 0, 40));
  ASSERT_FALSE(points.empty());
  EXPECT_EQ(points.back().step, 40);
  for (const TrainPoint& p : points) {
    EXPECT_GE(p.val_accuracy, 0);
    EXPECT_LE(p.val_accuracy, 1);
    EXPECT_TRUE(std::isfinite(p.train_loss));
  }
  EXPECT_TRUE(load_any(folder.path("net"), 40, small_graph()).diverged);
}

TEST(Trainer, UnwritableFolderIsAnEnvironmentError) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  write_file(folder.path("file"), {'x'});
  try {
    train(trainer, request_to(folder.path("file/net"), 0, 1));
    FAIL() << "no error";
  } catch (const EnvironmentError& error) {
    EXPECT_EQ(std::string(error.what()).find("cannot make the folder " + folder.path("file/net")), 0u) << error.what();
  }
  if (fs::exists("/dev/full")) {  // the device that is always full: a link with the temporary file's name
    fs::create_directories(folder.path("full"));
    fs::create_symlink("/dev/full", folder.path("full/1.pt.tmp." + std::to_string(getpid())));
    try {
      train(trainer, request_to(folder.path("full"), 0, 1));
      FAIL() << "no error";
    } catch (const EnvironmentError& error) {
      EXPECT_EQ(error.what(),
                "cannot write " + folder.path("full/1.pt") + ": No space left on device; free some space and resume");
    }
    EXPECT_FALSE(fs::exists(folder.path("full/1.pt")));
  }
}

TEST(Trainer, WrongNetworksAndDevicesAreNamed) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  const auto message = [&](const auto& work) -> std::string {
    try {
      work();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  };
  TrainRequest request = request_to(folder.path("net"), 0, 1);
  request.graph = make_test_network({.resolution = 16, .classes = 4});
  EXPECT_EQ(message([&] { train(trainer, request); }), "the network's output is 1x1x4; the data set has 3 classes");
  EXPECT_EQ(message([&] { train(trainer, request_to(folder.path("net"), 0, 50)); }),
            "train net: from_step 0 <= to_step 50 <= full_steps 40 does not hold");
  EXPECT_EQ(message([&] { Trainer(colours(4), small_options(), "tpu:0", 1); }).find("train.devices: 'tpu:0' is no"),
            0u);
  if (!torch::cuda::is_available()) {
    try {
      Trainer(colours(4), small_options(), "cuda:0", 1);
      FAIL() << "no error";
    } catch (const EnvironmentError& error) {
      EXPECT_EQ(std::string(error.what()).find("device cuda:0: this LibTorch ("), 0u);
    }
  }
}

TEST(Trainer, OtherResolutionsAreRenderedFromTheSameImages) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  TrainRequest request = request_to(folder.path("net"), 0, 40);
  request.graph = make_test_network({.resolution = 12, .classes = 3, .width = 4});
  EXPECT_GT(train(trainer, request).back().val_accuracy, 0.8);
}

TEST(Trainer, Bf16Trains) {
  const TemporaryFolder folder;
  TrainOptions options = small_options();
  options.bf16 = true;
  Trainer trainer(colours(), options, "cpu", 1);
  EXPECT_GT(train(trainer, request_to(folder.path("net"), 0, 40)).back().val_accuracy, 0.8);
}

TEST(Trainer, TimesStepsWithoutATrace) {
  Trainer trainer(colours(), small_options(), "cpu", 1);
  const StepTime time = trainer.time_steps("net", small_graph(), 3);
  EXPECT_GT(time.total, 0);
  EXPECT_NEAR(time.render + time.forward + time.backward + time.update, time.total, 0.1 * time.total);
}

TEST(Trainer, WrittenParametersAreTheAverages) {
  const TemporaryFolder folder;
  Trainer trainer(colours(), small_options(), "cpu", 1);
  train(trainer, request_to(folder.path("net"), 0, 5));
  const Graph graph = small_graph();
  trainer.write_parameters(graph, folder.path("net"), 5, folder.path("net.f32"));
  const Bytes bytes = read_file(folder.path("net.f32"));
  long count = 0;
  for (const auto& [name, size] : parameter_sizes(graph)) count += size;
  ASSERT_EQ(bytes.size(), size_t(count) * sizeof(float));
  float first = 0;
  std::memcpy(&first, bytes.data(), sizeof first);
  const Checkpoint checkpoint = load_any(folder.path("net"), 5, graph);
  EXPECT_EQ(first, checkpoint.average_weights.data_ptr<float>()[0]);  // the stem's first weight, decayed ones first
}

TEST(Trainer, LearnsTheBundledSample) {
  const TemporaryFolder folder;
  DatasetOptions data;
  data.path = SONAR_SOURCE_DIR "/examples/data/cifar10-sample.tar.xz";
  TrainOptions options;
  Trainer trainer(load_dataset(data, 1), options, "cpu", 1);
  ASSERT_EQ(trainer.data().classes.size(), 10u);
  ASSERT_EQ(trainer.data().split.train.size(), 4500u);
  ASSERT_EQ(trainer.data().split.test.size(), 1000u);
  TrainRequest request{
      "sample", make_test_network({.resolution = 32, .classes = 10, .width = 16}), 0, 80, 80, 0, folder.path("net")};
  EXPECT_GT(train(trainer, request).back().val_accuracy, 0.25);  // chance is 0.1
}

}  // namespace
}  // namespace sonar
