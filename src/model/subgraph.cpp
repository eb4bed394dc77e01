#include "model/subgraph.h"

#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "model/error.h"

namespace sonar {
namespace {

constexpr std::array<std::pair<SubgraphKind, const char*>, 5> kKinds{{{SubgraphKind::conv, "conv"},
                                                                      {SubgraphKind::depthwise, "depthwise"},
                                                                      {SubgraphKind::pool, "pool"},
                                                                      {SubgraphKind::dense, "dense"},
                                                                      {SubgraphKind::squeeze_excite, "se"}}};
constexpr std::array<std::pair<Activation, const char*>, 4> kActivations{{{Activation::none, "linear"},
                                                                          {Activation::relu, "relu"},
                                                                          {Activation::hard_swish, "hswish"},
                                                                          {Activation::hard_sigmoid, "hsigmoid"}}};

[[noreturn]] void refuse(const SubgraphKey& key, std::string_view part) {
  throw UserError("'" + key + "' is no subgraph key (at '" + std::string(part) +
                  "'); a key reads like conv-f32-n1-h32-w32-i3-o16-k3-s1-p1-hswish");
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

int Subgraph::out_height() const {
  if (kind == SubgraphKind::pool) return 1;
  if (kind == SubgraphKind::squeeze_excite) return height;
  return (height + 2 * padding - kernel) / stride + 1;
}

int Subgraph::out_width() const {
  if (kind == SubgraphKind::pool) return 1;
  if (kind == SubgraphKind::squeeze_excite) return width;
  return (width + 2 * padding - kernel) / stride + 1;
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
    case SubgraphKind::pool:
      return 0;
    case SubgraphKind::squeeze_excite:
      return 4.0 * (2.0 * in_channels * squeeze + squeeze + in_channels);
  }
  throw InternalError("unknown subgraph kind");
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
  text += std::string("-") + to_text(activation);
  if (residual) text += "-res";
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
  const std::string_view activation = next();
  known = false;
  for (auto [value, text] : kActivations)
    if (activation == text) result.activation = value, known = true;
  if (!known) refuse(key, activation);
  if (!rest.empty()) {
    if (rest != "res") refuse(key, rest);
    result.residual = true;
  }
  if (result.batch < 1 || result.height < 1 || result.width < 1 || result.in_channels < 1 || result.out_channels < 1 ||
      result.kernel < 1 || result.stride < 1 || result.key() != key)
    refuse(key, key);
  return result;
}

}  // namespace sonar
