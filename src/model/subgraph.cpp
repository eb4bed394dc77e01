#include "model/subgraph.h"

#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "model/error.h"

namespace sonar {
namespace {

constexpr std::array<std::pair<SubgraphKind, const char*>, 14> kKinds{{{SubgraphKind::conv, "conv"},
                                                                       {SubgraphKind::depthwise, "depthwise"},
                                                                       {SubgraphKind::pool, "pool"},
                                                                       {SubgraphKind::dense, "dense"},
                                                                       {SubgraphKind::squeeze_excite, "se"},
                                                                       {SubgraphKind::max_pool, "maxpool"},
                                                                       {SubgraphKind::average_pool, "avgpool"},
                                                                       {SubgraphKind::add, "add"},
                                                                       {SubgraphKind::multiply, "multiply"},
                                                                       {SubgraphKind::scale, "scale"},
                                                                       {SubgraphKind::activate, "activate"},
                                                                       {SubgraphKind::concat, "concat"},
                                                                       {SubgraphKind::resize, "resize"},
                                                                       {SubgraphKind::fused_depthwise, "block"}}};
constexpr std::array<std::pair<Activation, const char*>, 7> kActivations{{{Activation::none, "linear"},
                                                                          {Activation::relu, "relu"},
                                                                          {Activation::hard_swish, "hswish"},
                                                                          {Activation::hard_sigmoid, "hsigmoid"},
                                                                          {Activation::relu6, "relu6"},
                                                                          {Activation::sigmoid, "sigmoid"},
                                                                          {Activation::silu, "silu"}}};

[[noreturn]] void refuse(const SubgraphKey& key, std::string_view part) {
  throw UserError("'" + key + "' is no subgraph key (at '" + std::string(part) +
                  "'); a key reads like conv-f32-n1-h32-w32-i3-o16-k3-s1-p1-hswish");
}

/// What the fields cannot say together. The kinds that came first keep what their program spaces check.
bool is_possible(const Subgraph& s) {
  const bool fused = s.kind == SubgraphKind::fused_depthwise;
  if (s.activation_last && (s.activation == Activation::none || s.kind == SubgraphKind::pool ||
                            (s.kind >= SubgraphKind::squeeze_excite && !fused)))
    return false;
  if (fused)
    return (s.expands || s.projects) && s.middle_channels > 0 && s.padding < s.kernel &&
           (s.expands || s.in_channels == s.middle_channels) && (s.projects || s.out_channels == s.middle_channels);
  if (s.kind <= SubgraphKind::squeeze_excite) return true;
  const bool window = s.kind == SubgraphKind::max_pool || s.kind == SubgraphKind::average_pool;
  const bool own_activation = s.kind == SubgraphKind::add || s.kind == SubgraphKind::multiply ||
                              s.kind == SubgraphKind::scale || s.kind == SubgraphKind::activate;
  if (s.residual || (!own_activation && s.activation != Activation::none)) return false;
  if (s.kind == SubgraphKind::activate && s.activation == Activation::none) return false;
  if (window ? s.padding >= s.kernel : s.kernel != 1 || s.padding != 0) return false;
  if (!window && s.kind != SubgraphKind::resize && s.stride != 1) return false;
  return s.kind == SubgraphKind::concat ? s.out_channels > s.in_channels : s.out_channels == s.in_channels;
}

int out_extent(const Subgraph& s, int extent) {
  switch (s.kind) {
    case SubgraphKind::pool:
      return 1;
    case SubgraphKind::resize:
      return extent * s.stride;
    case SubgraphKind::squeeze_excite:
      return extent;
    default:
      return (extent + 2 * s.padding - s.kernel) / s.stride + 1;
  }
}

}  // namespace

const char* to_text(SubgraphKind kind) {
  for (auto [value, text] : kKinds)
    if (value == kind) return text;
  throw InternalError("unknown subgraph kind");
}

const char* to_text(Activation activation) {
  for (auto [value, text] : kActivations)
    if (value == activation) return text;
  throw InternalError("unknown activation");
}

int Subgraph::out_height() const { return out_extent(*this, height); }

int Subgraph::out_width() const { return out_extent(*this, width); }

bool Subgraph::has_second_input() const {
  return residual || kind == SubgraphKind::add || kind == SubgraphKind::multiply || kind == SubgraphKind::scale ||
         kind == SubgraphKind::concat;
}

long Subgraph::second_input_elements() const {
  if (!has_second_input()) return 0;
  if (kind == SubgraphKind::scale) return long(batch) * in_channels;
  const long channels = kind == SubgraphKind::concat ? out_channels - in_channels : out_channels;
  return long(batch) * out_height() * out_width() * channels;
}

std::vector<Subgraph> stages_of(const Subgraph& s) {
  if (s.kind != SubgraphKind::fused_depthwise) return {s};
  std::vector<Subgraph> stages;
  Subgraph stage{.kind = SubgraphKind::conv, .batch = s.batch, .height = s.height, .width = s.width};
  const auto add = [&](SubgraphKind kind, int channels, Activation activation) {
    stage.kind = kind;
    stage.out_channels = channels;
    stage.activation = activation;
    stages.push_back(stage);
    stage.height = stage.out_height(), stage.width = stage.out_width();
    stage.in_channels = channels;
    stage.kernel = stage.stride = 1, stage.padding = 0;
  };
  stage.in_channels = s.in_channels;
  if (s.expands) add(SubgraphKind::conv, s.middle_channels, s.expand_activation);
  stage.kernel = s.kernel, stage.stride = s.stride, stage.padding = s.padding;
  add(SubgraphKind::depthwise, s.middle_channels, s.projects ? s.middle_activation : s.activation);
  if (s.projects) add(SubgraphKind::conv, s.out_channels, s.activation);
  stages.back().residual = s.residual;
  stages.back().activation_last = s.activation_last;
  return stages;
}

double Subgraph::macs() const {
  const double out_pixels = double(batch) * out_height() * out_width();
  switch (kind) {
    case SubgraphKind::conv:
    case SubgraphKind::dense:
      return out_pixels * out_channels * kernel * kernel * in_channels;
    case SubgraphKind::depthwise:
      return out_pixels * out_channels * kernel * kernel;
    case SubgraphKind::pool:
      return double(batch) * height * width * in_channels;
    case SubgraphKind::squeeze_excite:
      return double(batch) * (2.0 * height * width * in_channels + 2.0 * in_channels * squeeze);
    case SubgraphKind::average_pool:
      return out_pixels * out_channels * kernel * kernel;
    case SubgraphKind::multiply:
    case SubgraphKind::scale:
      return out_pixels * out_channels;
    case SubgraphKind::max_pool:
    case SubgraphKind::add:
    case SubgraphKind::activate:
    case SubgraphKind::concat:
    case SubgraphKind::resize:
      return 0;
    case SubgraphKind::fused_depthwise: {
      double sum = 0;
      for (const Subgraph& stage : stages_of(*this)) sum += stage.macs();
      return sum;
    }
  }
  throw InternalError("unknown subgraph kind");
}

double Subgraph::weight_bytes() const {
  switch (kind) {
    case SubgraphKind::conv:
    case SubgraphKind::dense:
      return 4.0 * out_channels * (double(kernel) * kernel * in_channels + 1);
    case SubgraphKind::depthwise:
      return 4.0 * out_channels * (kernel * kernel + 1);
    case SubgraphKind::squeeze_excite:
      return 4.0 * (2.0 * in_channels * squeeze + squeeze + in_channels);
    case SubgraphKind::fused_depthwise: {
      double sum = 0;
      for (const Subgraph& stage : stages_of(*this)) sum += stage.weight_bytes();
      return sum;
    }
    default:
      return 0;
  }
}

SubgraphKey Subgraph::key() const {
  std::string text = std::string(to_text(kind)) + "-f32";
  auto add = [&](char name, int value) { text += "-" + std::string(1, name) + std::to_string(value); };
  add('n', batch);
  add('h', height);
  add('w', width);
  add('i', in_channels);
  add('o', out_channels);
  add('k', kernel);
  add('s', stride);
  add('p', padding);
  if (kind == SubgraphKind::squeeze_excite) add('q', squeeze);
  if (kind == SubgraphKind::fused_depthwise) {
    add('m', middle_channels);
    if (expands) text += std::string("-expand-") + to_text(expand_activation);
    text += "-dw";
    if (projects) text += std::string("-") + to_text(middle_activation) + "-project";
  }
  if (activation_last) text += "-res";
  text += std::string("-") + to_text(activation);
  if (residual && !activation_last) text += "-res";
  return text;
}

Subgraph parse_subgraph(const SubgraphKey& key) {
  Subgraph result;
  std::string_view rest = key;
  auto next = [&]() -> std::string_view {
    const size_t end = rest.find('-');
    std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    return part;
  };
  const std::string_view kind = next();
  bool known = false;
  for (auto [value, text] : kKinds)
    if (kind == text) result.kind = value, known = true;
  if (!known) refuse(key, kind);
  if (const auto dtype = next(); dtype != "f32") refuse(key, dtype);
  auto number = [&](char name, int& value) {
    const std::string_view part = next();
    if (part.size() < 2 || part[0] != name) refuse(key, part);
    auto [end, error] = std::from_chars(part.data() + 1, part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || value < 0) refuse(key, part);
  };
  number('n', result.batch);
  number('h', result.height);
  number('w', result.width);
  number('i', result.in_channels);
  number('o', result.out_channels);
  number('k', result.kernel);
  number('s', result.stride);
  number('p', result.padding);
  if (result.kind == SubgraphKind::squeeze_excite) number('q', result.squeeze);
  const auto activation_named = [&](std::string_view part) {
    for (auto [value, text] : kActivations)
      if (part == text) return value;
    refuse(key, part);
  };
  std::string_view activation;
  if (result.kind == SubgraphKind::fused_depthwise) {
    number('m', result.middle_channels);
    std::string_view stage = next();
    if (stage == "expand") {
      result.expands = true;
      result.expand_activation = activation_named(next());
      stage = next();
    }
    if (stage != "dw") refuse(key, stage);
    activation = next();
    if (rest.starts_with("project-")) {
      result.projects = true;
      result.middle_activation = activation_named(activation);
      next();
      activation = next();
    }
  } else {
    activation = next();
  }
  if (activation == "res") {
    result.residual = result.activation_last = true;
    activation = next();
  }
  result.activation = activation_named(activation);
  if (!rest.empty()) {
    if (rest != "res") refuse(key, rest);
    result.residual = true;
  }
  if (result.batch < 1 || result.height < 1 || result.width < 1 || result.in_channels < 1 || result.out_channels < 1 ||
      result.kernel < 1 || result.stride < 1 || !is_possible(result) || result.key() != key)
    refuse(key, key);
  return result;
}

}  // namespace sonar
