#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "model/error.h"
#include "space/space.h"

namespace sonar {
namespace {

constexpr const char* kFamily = "mobilenetv3";
constexpr const char* kExample = "mobilenetv3-r32-w0.50-e3-k35335-d22222";
constexpr int kStages = 5;

/// Rounds to a multiple of 8, as the MobileNet family does (Sandler et al. 2018).
int make_divisible(double channels) {
  int rounded = std::max(8, static_cast<int>(channels + 4) / 8 * 8);
  if (rounded < 0.9 * channels) rounded += 8;
  return rounded;
}

/// Two decimals, or as many as it takes to be exact.
std::string width_text(double width) {
  const std::string short_text = fmt::format("{:.2f}", width);
  double back = 0;
  std::from_chars(short_text.data(), short_text.data() + short_text.size(), back);
  return back == width ? short_text : fmt::format("{}", width);
}

std::string digits(const std::array<int, kStages>& values) { return fmt::format("{}", fmt::join(values, "")); }

/// The choices that make an architecture, as the values themselves.
struct Choice {
  int resolution = 0;
  double width = 0;
  int expansion = 0;
  std::array<int, kStages> kernels{};
  std::array<int, kStages> depths{};
};

std::string name_of(const Choice& c) {
  return fmt::format("{}-r{}-w{}-e{}-k{}-d{}", kFamily, c.resolution, width_text(c.width), c.expansion,
                     digits(c.kernels), digits(c.depths));
}

[[noreturn]] void refuse_name(const std::string& name, std::string_view part) {
  throw UserError(
      fmt::format("'{}' is no {} architecture (at '{}'); a name reads like {}", name, kFamily, part, kExample));
}

[[noreturn]] void refuse_value(const std::string& name, const std::string& problem) {
  throw UserError(fmt::format("architecture '{}' is outside the search space: {}", name, problem));
}

template <class Value>
Value parse_number(const std::string& name, std::string_view part) {
  // from_chars would take signs, exponents, "inf" and "nan" too.
  if (part.size() < 2 || part.find_first_not_of("0123456789.", 1) != part.npos) refuse_name(name, part);
  Value value{};
  const auto [end, error] = std::from_chars(part.data() + 1, part.data() + part.size(), value);
  if (error != std::errc{} || end != part.data() + part.size()) refuse_name(name, part);
  return value;
}

std::array<int, kStages> parse_digits(const std::string& name, std::string_view part) {
  std::array<int, kStages> values{};
  if (part.size() != kStages + 1) refuse_name(name, part);
  for (int i = 0; i < kStages; ++i) {
    const char digit = part[i + 1];
    if (digit < '1' || digit > '9') refuse_name(name, part);
    values[i] = digit - '0';
  }
  return values;
}

/// Reads any canonical name of the family, in the space or not.
Choice parse_name(const std::string& name) {
  std::vector<std::string_view> parts;
  std::string_view rest = name;
  for (size_t dash = rest.find('-'); dash != rest.npos; dash = rest.find('-')) {
    parts.push_back(rest.substr(0, dash));
    rest.remove_prefix(dash + 1);
  }
  parts.push_back(rest);
  if (parts[0] != kFamily) refuse_name(name, parts[0]);
  constexpr std::string_view kLetters = "rwekd";
  for (size_t i = 1; i < parts.size(); ++i)
    if (i > kLetters.size() || parts[i].empty() || parts[i][0] != kLetters[i - 1]) refuse_name(name, parts[i]);
  if (parts.size() != kLetters.size() + 1) refuse_name(name, "its end");

  const Choice choice{parse_number<int>(name, parts[1]), parse_number<double>(name, parts[2]),
                      parse_number<int>(name, parts[3]), parse_digits(name, parts[4]), parse_digits(name, parts[5])};
  // Two spellings of one number ("w0.5") would make two names of one architecture.
  if (const std::string canonical = name_of(choice); canonical != name)
    throw UserError(fmt::format("'{}' is no canonical architecture name; write {}", name, canonical));
  return choice;
}

template <class Value>
void require_distinct(const char* what, std::vector<Value> values) {
  if (values.empty()) throw UserError(fmt::format("search space: {} is empty; give at least one value", what));
  std::sort(values.begin(), values.end());
  if (std::adjacent_find(values.begin(), values.end()) != values.end())
    throw UserError(fmt::format("search space: {} holds a value twice", what));
}

template <class Value>
void require_within(const char* what, Value value, Value least, Value most) {
  // Negated, so that a NaN is refused.
  if (!(least <= value && value <= most))
    throw UserError(
        fmt::format("search space: {} has the value {}; it must be between {} and {}", what, value, least, most));
}

class MobileNetV3 : public Space {
 public:
  explicit MobileNetV3(const MobileNetV3Options& options) : options_(options) {
    check_options();
    size_ = count_architectures();
  }

  uint64_t size() const override { return size_; }

  /// Mixed radix, the depth of the last stage running fastest, then the other depths, kernels, expansion, width and
  /// resolution.
  Architecture at(uint64_t i) const override {
    if (i >= size_) throw InternalError(fmt::format("architecture {} of {} is asked for", i, size_));
    auto next = [&i](const auto& values) {
      const auto& value = values[i % values.size()];
      i /= values.size();
      return value;
    };
    Choice choice;
    for (int stage = kStages - 1; stage >= 0; --stage) choice.depths[stage] = next(options_.depths);
    choice.kernels = next(options_.kernels);
    choice.expansion = next(options_.expansions);
    choice.width = next(options_.widths);
    choice.resolution = next(options_.resolutions);
    return {name_of(choice)};
  }

  void check(const Architecture& architecture) const override { parse(architecture); }

  int resolution(const Architecture& architecture) const override { return parse(architecture).resolution; }

  Graph lower(const Architecture& architecture, int classes) const override {
    const Choice choice = parse(architecture);
    if (classes < 1) throw UserError(fmt::format("a network for {} classes cannot be made", classes));
    auto scaled = [&](int channels) { return make_divisible(channels * choice.width); };
    Graph graph;
    int value = graph.add_input({choice.resolution, choice.resolution, 3});
    value =
        add_conv(graph, value, "stem", scaled(options_.stem_width), 3, options_.stem_stride, Activation::hard_swish);
    for (int stage = 0; stage < kStages; ++stage) {
      for (int block = 0; block < choice.depths[stage]; ++block) {
        const Block shape{.name = fmt::format("stage{}_block{}", stage + 1, block + 1),
                          .out_channels = scaled(options_.stage_widths[stage]),
                          .expansion = choice.expansion,
                          .kernel = choice.kernels[stage],
                          .stride = block == 0 ? options_.strides[stage] : 1,
                          .squeeze_excite = options_.squeeze_excite[stage],
                          .activation = stage < 2 ? Activation::relu : Activation::hard_swish};
        value = add_block(graph, value, shape);
      }
    }
    value = add_conv(graph, value, "head", scaled(options_.head_width), 1, 1, Activation::hard_swish);
    value = graph.add_global_average_pool(value, "pool");
    value = graph.add_dense(value, "hidden", scaled(options_.classifier_width));
    value = graph.add_activation(value, "hidden_act", Activation::hard_swish);
    graph.add_dense(value, "classifier", classes);
    return graph;
  }

 private:
  struct Block {
    std::string name;
    int out_channels, expansion, kernel, stride;
    bool squeeze_excite;
    Activation activation;
  };

  /// Convolution of "same" padding, batch norm, activation unless none. Depthwise when groups is the channel count.
  static int add_conv(Graph& graph, int input, const std::string& name, int out_channels, int kernel, int stride,
                      Activation activation, int groups = 1) {
    int value = graph.add_conv(input, name, out_channels, kernel, stride, kernel / 2, groups, false);
    value = graph.add_batch_norm(value, name + "_bn");
    return activation == Activation::none ? value : graph.add_activation(value, name + "_act", activation);
  }

  static int add_squeeze_excite(Graph& graph, int input, const std::string& name) {
    const int channels = graph.nodes[input].shape.channels;
    int value = graph.add_global_average_pool(input, name + "_pool");
    value = graph.add_dense(value, name + "_reduce", make_divisible(channels / 4));
    value = graph.add_activation(value, name + "_relu", Activation::relu);
    value = graph.add_dense(value, name + "_expand", channels);
    value = graph.add_activation(value, name + "_gate", Activation::hard_sigmoid);
    return graph.add_scale(input, value, name + "_scale");
  }

  static int add_block(Graph& graph, int input, const Block& block) {
    const int in_channels = graph.nodes[input].shape.channels;
    const int expanded = in_channels * block.expansion;
    int value = input;
    if (block.expansion > 1) value = add_conv(graph, value, block.name + "_expand", expanded, 1, 1, block.activation);
    value = add_conv(graph, value, block.name + "_depthwise", expanded, block.kernel, block.stride, block.activation,
                     expanded);
    if (block.squeeze_excite) value = add_squeeze_excite(graph, value, block.name + "_se");
    value = add_conv(graph, value, block.name + "_project", block.out_channels, 1, 1, Activation::none);
    if (block.stride == 1 && in_channels == block.out_channels)
      value = graph.add_add(value, input, block.name + "_add");
    return value;
  }

  Choice parse(const Architecture& architecture) const {
    const std::string& name = architecture.name;
    const Choice choice = parse_name(name);
    auto require = [&](const char* what, auto value, const auto& allowed) {
      if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
        refuse_value(name, fmt::format("{} {} is not among {}", what, value, fmt::join(allowed, ", ")));
    };
    require("resolution", choice.resolution, options_.resolutions);
    if (std::find(options_.widths.begin(), options_.widths.end(), choice.width) == options_.widths.end()) {
      std::vector<std::string> allowed;
      for (double width : options_.widths) allowed.push_back(width_text(width));
      refuse_value(
          name, fmt::format("width multiplier {} is not among {}", width_text(choice.width), fmt::join(allowed, ", ")));
    }
    require("expansion ratio", choice.expansion, options_.expansions);
    if (std::find(options_.kernels.begin(), options_.kernels.end(), choice.kernels) == options_.kernels.end()) {
      std::vector<std::string> allowed;
      for (const auto& kernels : options_.kernels) allowed.push_back(digits(kernels));
      refuse_value(name, fmt::format("kernels {} are not among {}", digits(choice.kernels), fmt::join(allowed, ", ")));
    }
    for (int depth : choice.depths) require("depth", depth, options_.depths);
    return choice;
  }

  void check_options() const {
    require_distinct("resolutions", options_.resolutions);
    require_distinct("widths", options_.widths);
    require_distinct("expansions", options_.expansions);
    require_distinct("depths", options_.depths);
    require_distinct("kernels", options_.kernels);
    for (int resolution : options_.resolutions) require_within("resolutions", resolution, 1, 4096);
    for (double width : options_.widths) require_within("widths", width, 0.01, 16.0);
    for (int expansion : options_.expansions) require_within("expansions", expansion, 1, 16);
    for (int depth : options_.depths) require_within("depths", depth, 1, 9);  // one digit in the name
    for (const auto& kernels : options_.kernels)
      for (int kernel : kernels) {
        require_within("kernels", kernel, 1, 9);
        if (kernel % 2 == 0)
          throw UserError(fmt::format("search space: kernels has the even value {}; kernels must be odd", kernel));
      }
    require_within("stem_width", options_.stem_width, 1, 4096);
    for (int width : options_.stage_widths) require_within("stage_widths", width, 1, 4096);
    require_within("head_width", options_.head_width, 1, 8192);
    require_within("classifier_width", options_.classifier_width, 1, 8192);
    require_within("stem_stride", options_.stem_stride, 1, 8);
    long reduction = options_.stem_stride;
    for (int stride : options_.strides) {
      require_within("strides", stride, 1, 8);
      reduction *= stride;
    }
    for (int resolution : options_.resolutions)
      if (resolution < reduction)
        throw UserError(fmt::format(
            "search space: the strides divide the resolution by {} in all, which leaves less than one pixel "
            "of resolution {}; drop it or lower stem_stride or strides",
            reduction, resolution));
  }

  uint64_t count_architectures() const {
    uint64_t count = 1;
    auto times = [&count](uint64_t factor) {
      if (count > std::numeric_limits<uint64_t>::max() / factor)
        throw UserError("search space: it holds more than 2^64 architectures; shorten its lists");
      count *= factor;
    };
    times(options_.resolutions.size());
    times(options_.widths.size());
    times(options_.expansions.size());
    times(options_.kernels.size());
    for (int stage = 0; stage < kStages; ++stage) times(options_.depths.size());
    return count;
  }

  const MobileNetV3Options options_;
  uint64_t size_ = 0;
};

}  // namespace

std::unique_ptr<Space> make_mobilenetv3(const MobileNetV3Options& options) {
  return std::make_unique<MobileNetV3>(options);
}

}  // namespace sonar
