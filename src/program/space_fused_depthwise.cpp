#include "program/space_fused_depthwise.h"

#include <algorithm>

#include "model/error.h"
#include "program/knob_values.h"
#include "program/space_kinds.h"

namespace sonar {
namespace {

constexpr size_t kOwnKnobs = 3, kConvKnobs = 15, kDepthwiseKnobs = 12;
enum OwnKnob { kFusion = 0, kRows = 1, kByChannels = 2 };
// Of a stage's knobs, by their places in decode_conv and decode_depthwise.
constexpr size_t kConvTileHeight = 4, kConvGroup = 9, kConvBand = 10, kConvParallel = 12;
constexpr size_t kDepthwiseTileHeight = 3, kDepthwiseOrder = 6, kDepthwiseBand = 7, kDepthwiseUnrollTiles = 10,
                 kDepthwiseParallel = 11;

/// A stage of the subgraph: its own program space, and where its knobs stand.
struct Stage {
  std::string name;  // empty: absent
  std::unique_ptr<ProgramSpace> space;
  size_t first_knob = 0;
  size_t knobs() const { return space->knobs().size(); }
};

class FusedDepthwiseSpace : public ProgramSpace {
 public:
  FusedDepthwiseSpace(const Subgraph& subgraph, const Target& target) : subgraph_(subgraph), target_(target) {
    target_.avx2 = false;  // one program, one instruction set
    if (!subgraph.expands && !subgraph.projects)
      throw UserError(subgraph.key() + ": a block without an expansion and a projection is a depthwise convolution");
    const int height = subgraph.out_height();
    specs_ = {{"fusion", subgraph.expands ? std::vector<int>{0, 1, 2} : std::vector<int>{0}},
              {"rows",
               merged({0}, merged(up_to({1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32}, height), {height}))},
              {"by_channels", subgraph.expands ? std::vector<int>{0, 1} : std::vector<int>{0}}};
    const std::vector<Subgraph> parts = stages_of(subgraph);
    size_t part = 0;
    if (subgraph.expands) add_stage("expand", make_conv_space(parts[part++], target_, ConvRows::apart));
    add_stage("dw", make_depthwise_space(parts[part++], target_));
    if (subgraph.projects) add_stage("project", make_conv_space(parts[part++], target_, ConvRows::apart));
  }

  const Subgraph& subgraph() const override { return subgraph_; }
  const std::vector<KnobSpec>& knobs() const override { return specs_; }

  std::string why_illegal(const Knobs& knobs) const override {
    if (std::string why = why_outside(specs_, knobs); !why.empty()) return why;
    for (const Stage& stage : stages_)
      if (const std::string why = stage.space->why_illegal(part(knobs, stage)); !why.empty())
        return stage.name + ": " + why;
    const FusedSchedule s = decode_fused(subgraph_, knobs);
    const bool expands_in_bands = s.fusion != StageFusion::whole;
    if (s.by_channels && !expands_in_bands) return "a whole map is expanded with all its channels";
    if (s.rows == 0) return expands_in_bands ? "a band needs rows" : "";
    if (!expands_in_bands && !s.project) return "bands without a stage to be computed in them do nothing";
    if (s.rows == subgraph_.out_height() && !s.by_channels) return "a band of all rows is the whole map";
    if (s.rows % s.last_tile_height() != 0 || s.rows % s.depthwise.tile_height != 0) return "a band needs whole tiles";
    if (s.depthwise.unroll_tiles) return "rows of tiles are unrolled in whole maps only";
    if (s.depthwise.band > 0 && s.depthwise.band * s.depthwise.tile_height >= s.rows)
      return "the band of the depthwise convolution is no smaller than that of the block";
    if (s.project && s.project->band > 0 && s.project->band * s.project->tile_height >= s.rows)
      return "the band of the projection is no smaller than that of the block";
    if (expands_in_bands && (s.expand->tile_height > 1 || s.expand->band > 0))
      return "a band's rows are expanded one by one, as the first and the last band have fewer";
    if ((expands_in_bands && s.expand->parallel) || (s.project && s.depthwise.parallel))
      return "only the last stage shares its bands among the threads";
    if (s.fusion == StageFusion::sliding) {
      if (s.last_parallel()) return "rows are kept from band to band in one thread only";
      if (subgraph_.kernel <= subgraph_.stride) return "bands share no rows that could be kept";
      if (s.by_channels && s.project) return "the projection needs all channels before the next band";
      if (s.rows >= subgraph_.out_height()) return "a single band keeps no rows for another";
    }
    if (s.by_channels) {
      if (s.depthwise.order != DepthwiseOrder::channels_rows_columns)
        return "channel tiles are expanded one by one where they are the outer loop";
      if (subgraph_.middle_channels % s.depthwise.tile() != 0 || subgraph_.middle_channels == s.depthwise.tile())
        return "channel tiles of the depthwise convolution must divide its channels";
      if (s.depthwise.tile() % s.expand->tile() != 0)
        return "channel tiles of the expansion must divide those of the depthwise convolution";
      if (s.expand->group != 0 || s.expand->pixels_inside)
        return "channels that are expanded for one tile are few enough for one order";
    }
    return "";
  }

  Knobs default_program() const override {
    Knobs knobs(kOwnKnobs, 0);
    for (const Stage& stage : stages_) append(knobs, stage.space->default_program());
    // Bands read the weights of the pointwise convolutions again, whole maps the maps.
    const double map = 4.0 * subgraph_.middle_channels * subgraph_.height * subgraph_.width;
    if (map > std::min(subgraph_.weight_bytes(), double(target_.l2_bytes))) {
      Knobs fused = fused_default();
      if (why_illegal(fused).empty()) knobs = std::move(fused);
    }
    if (const std::string why = why_illegal(knobs); !why.empty())
      throw InternalError("the default program of " + subgraph_.key() + " is illegal: " + why);
    return knobs;
  }

  std::vector<Argument> arguments(const Knobs& knobs) const override {
    std::vector<Argument> result;
    for (const Stage& stage : stages_) {
      const std::vector<Argument> own = stage.space->arguments(part(knobs, stage));
      if (result.empty()) result.push_back(own[0]);
      result.insert(result.end(), {own[1], own[2]});
      if (&stage == &stages_.back()) result.insert(result.end(), own.begin() + 3, own.end());
    }
    return result;
  }

  std::vector<float> features(const Knobs& knobs) const override {
    const FusedSchedule s = decode_fused(subgraph_, knobs);
    std::vector<float> f = knob_features({knobs.begin(), knobs.begin() + kOwnKnobs});
    for (int kind = 0; kind <= 2; ++kind) f.push_back(static_cast<int>(s.fusion) == kind ? 1.0f : 0.0f);
    // What lies between the stages, and what of it is computed twice.
    const int rows = s.rows == 0 ? subgraph_.out_height() : s.rows;
    const double in_band = std::min<double>(subgraph_.height, (rows - 1.0) * subgraph_.stride + subgraph_.kernel);
    const double input_rows = s.fusion == StageFusion::whole ? subgraph_.height : in_band;
    const double channels = s.by_channels ? s.depthwise.tile() : subgraph_.middle_channels;
    const double kept_rows = s.fusion == StageFusion::sliding ? s.ring_rows(subgraph_) : input_rows;
    const double expanded = 4 * kept_rows * subgraph_.width * channels;
    const double convolved = 4.0 * rows * subgraph_.out_width() * subgraph_.middle_channels;
    const double bands = ceil_div(subgraph_.out_height(), rows);
    for (const double bytes : {subgraph_.expands ? expanded : 0, subgraph_.projects ? convolved : 0}) {
      f.push_back(log2_of(bytes / double(target_.l1_bytes)));
      f.push_back(log2_of(bytes / double(target_.l2_bytes)));
    }
    f.push_back(s.fusion == StageFusion::band && subgraph_.expands ? float(bands * input_rows / subgraph_.height)
                                                                   : 1.0f);
    f.push_back(log2_of(bands));
    f.push_back(subgraph_.expands ? 1.0f : 0.0f);
    f.push_back(subgraph_.projects ? 1.0f : 0.0f);
    const auto append_stage = [&](const Stage* stage) {
      static const size_t kConvFeatures = [] {
        const auto any = make_conv_space(Subgraph{}, Target{});
        return any->features(any->default_program()).size();
      }();
      if (!stage) return f.insert(f.end(), kConvFeatures, 0.0f), void();
      const std::vector<float> own = stage->space->features(part(knobs, *stage));
      f.insert(f.end(), own.begin(), own.end());
    };
    append_stage(subgraph_.expands ? &stages_.front() : nullptr);
    append_stage(&depthwise());
    append_stage(subgraph_.projects ? &stages_.back() : nullptr);
    return f;
  }

  void settle(Knobs& knobs) const override {
    for (const Stage& stage : stages_) {
      Knobs own = part(knobs, stage);
      stage.space->settle(own);
      put(own, stage, knobs);
    }
    const bool whole = knobs[kFusion] == static_cast<int>(StageFusion::whole);
    if (whole) knobs[kByChannels] = 0;
    if (whole && (!subgraph_.projects || knobs[kRows] == subgraph_.out_height())) knobs[kRows] = 0;
    if (whole && knobs[kRows] == 0) return;
    if (!whole) {
      knobs[stages_.front().first_knob + kConvTileHeight] = 1;
      knobs[stages_.front().first_knob + kConvBand] = 0;
      knobs[stages_.front().first_knob + kConvParallel] = 0;
    }
    const size_t dw = depthwise().first_knob;
    knobs[dw + kDepthwiseUnrollTiles] = 0;
    if (subgraph_.projects) knobs[dw + kDepthwiseParallel] = 0;
    if (knobs[kByChannels] == 1) {
      knobs[dw + kDepthwiseOrder] = static_cast<int>(DepthwiseOrder::channels_rows_columns);
      knobs[stages_.front().first_knob + kConvGroup] = 0;
    }
    const FusedSchedule s = decode_fused(subgraph_, knobs);
    if (s.rows == 0 || s.rows % s.last_tile_height() != 0 || s.rows % s.depthwise.tile_height != 0)
      for (int rows : specs_[kRows].values)
        if (rows > 0 && rows % s.last_tile_height() == 0 && rows % s.depthwise.tile_height == 0) {
          knobs[kRows] = rows;
          break;
        }
    const int tile_rows = knobs[kRows] / s.depthwise.tile_height;
    if (s.depthwise.band >= tile_rows) knobs[dw + kDepthwiseBand] = 0;
    if (s.project && s.project->band >= knobs[kRows] / s.project->tile_height)
      knobs[stages_.back().first_knob + kConvBand] = 0;
  }

  /// Each stage's part is drawn by itself: hardly any draw of all of them together would be legal.
  Knobs random(Random& random) const override {
    constexpr int kTries = 100;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      Knobs result;
      for (size_t i = 0; i < kOwnKnobs; ++i) result.push_back(specs_[i].values[random.below(specs_[i].values.size())]);
      for (const Stage& stage : stages_) append(result, stage.space->random(random));
      settle(result);
      if (why_illegal(result).empty()) return result;
    }
    Knobs result = default_program();
    for (int step = 0; step < 32; ++step) result = mutate(result, random);
    return result;
  }

  /// Stage by stage; then the bands, if the stages leave them as they are wanted.
  Knobs closest_legal(const std::vector<std::pair<std::string, int>>& named) const override {
    const Knobs fallback = default_program();
    Knobs result(fallback.begin(), fallback.begin() + kOwnKnobs);
    std::vector<std::pair<std::string, int>> own;
    for (size_t i = 0; i < kOwnKnobs; ++i) {
      const std::vector<int>& values = specs_[i].values;
      for (const auto& [name, value] : named)
        if (name == specs_[i].name && value >= 0)
          result[i] = value > values.back() ? values.back() : *std::lower_bound(values.begin(), values.end(), value);
    }
    for (const Stage& stage : stages_) {
      std::vector<std::pair<std::string, int>> own;
      const std::string prefix = stage.name + "_";
      const Knobs at_default = part(fallback, stage);
      for (size_t i = 0; i < at_default.size(); ++i) own.emplace_back(stage.space->knobs()[i].name, at_default[i]);
      for (const auto& [name, value] : named)
        if (name.starts_with(prefix) && value >= 0) own.emplace_back(name.substr(prefix.size()), value);
      append(result, stage.space->closest_legal(own));
    }
    if (why_illegal(result).empty()) return result;
    settle(result);
    if (why_illegal(result).empty()) return result;
    result[kByChannels] = 0;
    settle(result);
    if (why_illegal(result).empty()) return result;
    result[kFusion] = static_cast<int>(StageFusion::whole);
    result[kRows] = 0;
    settle(result);
    return why_illegal(result).empty() ? result : fallback;
  }

 private:
  void add_stage(const std::string& name, std::unique_ptr<ProgramSpace> space) {
    Stage stage{name, std::move(space), specs_.size()};
    if (stage.knobs() != (name == "dw" ? kDepthwiseKnobs : kConvKnobs))
      throw InternalError("the stage '" + name + "' has " + std::to_string(stage.knobs()) + " knobs");
    for (const KnobSpec& spec : stage.space->knobs()) specs_.push_back({name + "_" + spec.name, spec.values});
    stages_.push_back(std::move(stage));
  }
  static Knobs part(const Knobs& knobs, const Stage& stage) {
    const auto first = knobs.begin() + static_cast<long>(stage.first_knob);
    return {first, first + static_cast<long>(stage.knobs())};
  }
  static void put(const Knobs& own, const Stage& stage, Knobs& knobs) {
    std::copy(own.begin(), own.end(), knobs.begin() + static_cast<long>(stage.first_knob));
  }
  static void append(Knobs& knobs, const Knobs& more) { knobs.insert(knobs.end(), more.begin(), more.end()); }
  const Stage& depthwise() const { return stages_[subgraph_.expands ? 1 : 0]; }

  /// Rows are kept from band to band, a band so high that what lies between the stages takes half of the L2 cache;
  /// each stage has the default of a map of a band's rows.
  Knobs fused_default() const {
    Subgraph banded = subgraph_;
    const double row = 4.0 * subgraph_.middle_channels * subgraph_.width;
    const int height = subgraph_.out_height();
    FusedSchedule s{.rows = 1};
    int rows = 1;
    for (int more : specs_[kRows].values) {
      s.rows = more;
      const double bytes = row * (s.ring_rows(subgraph_) + double(more) / subgraph_.stride);
      if (more > 0 && more < height && height % more == 0 && bytes <= 0.5 * double(target_.l2_bytes)) rows = more;
    }
    banded.height = std::min(subgraph_.height, std::max(1, (rows - 1) * subgraph_.stride + subgraph_.kernel));
    Knobs knobs(kOwnKnobs, 0);
    const bool slides = subgraph_.expands && subgraph_.kernel > subgraph_.stride && target_.threads == 1;
    knobs[kFusion] = static_cast<int>(slides              ? StageFusion::sliding
                                      : subgraph_.expands ? StageFusion::band
                                                          : StageFusion::whole);
    knobs[kRows] = rows;
    const std::vector<Subgraph> parts = stages_of(banded);
    for (size_t i = 0; i < stages_.size(); ++i) {
      Subgraph one = parts[i];
      if (one.kind == SubgraphKind::conv) one.height = 1;
      const auto space = one.kind == SubgraphKind::depthwise ? make_depthwise_space(one, target_)
                                                             : make_conv_space(one, target_, ConvRows::apart);
      const Knobs row_program = space->default_program();
      std::vector<std::pair<std::string, int>> named;
      for (size_t k = 0; k < row_program.size(); ++k) named.emplace_back(space->knobs()[k].name, row_program[k]);
      append(knobs, stages_[i].space->closest_legal(named));
    }
    settle(knobs);
    return knobs;
  }

  Subgraph subgraph_;
  Target target_;
  std::vector<Stage> stages_;
  std::vector<KnobSpec> specs_;
};

}  // namespace

FusedSchedule decode_fused(const Subgraph& subgraph, const Knobs& knobs) {
  size_t next = kOwnKnobs;
  const auto take = [&](size_t count) {
    const auto first = knobs.begin() + static_cast<long>(next);
    next += count;
    return Knobs(first, first + static_cast<long>(count));
  };
  FusedSchedule s{
      .fusion = static_cast<StageFusion>(knobs[kFusion]), .rows = knobs[kRows], .by_channels = knobs[kByChannels] == 1};
  if (subgraph.expands) s.expand = decode_conv(take(kConvKnobs));
  s.depthwise = decode_depthwise(take(kDepthwiseKnobs));
  if (subgraph.projects) s.project = decode_conv(take(kConvKnobs));
  return s;
}

std::unique_ptr<ProgramSpace> make_fused_depthwise_space(const Subgraph& subgraph, const Target& target) {
  return std::make_unique<FusedDepthwiseSpace>(subgraph, target);
}

}  // namespace sonar
