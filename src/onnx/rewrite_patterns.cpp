#include "onnx/rewrite_patterns.h"

#include <cmath>
#include <limits>
#include <set>

#include "model/error.h"

namespace sonar {
namespace {

class Rewriter {
 public:
  explicit Rewriter(OnnxModel& model) : model_(model) {}

  void run() {
    for (OnnxNode& node : model_.nodes) {
      if (node.op == "Mul") rewrite_product(node);
      if (node.op == "Mul" || node.op == "Div") rewrite_sixth(node);
      for (const std::string& output : node.outputs) producer_[output] = &node;
    }
  }

 private:
  const OnnxNode* producer(const std::string& name, const char* op) const {
    const auto found = producer_.find(name);
    return found != producer_.end() && found->second->op == op && found->second->domain.empty() ? found->second
                                                                                                : nullptr;
  }

  /// x of Clip(x + 3, 0, 6), or empty.
  std::string shifted_clip(const std::string& name) const {
    const OnnxNode* clip = producer(name, "Clip");
    if (!clip || clip->inputs.empty()) return "";
    const ClipBounds bounds = clip_bounds(model_, *clip);
    const OnnxNode* add = producer(clip->inputs[0], "Add");
    if (bounds.low != 0 || bounds.high != 6 || !add || add->inputs.size() != 2) return "";
    for (int i : {0, 1})
      if (scalar_constant(model_, add->inputs[i]) == 3) return add->inputs[1 - i];
    return "";
  }

  static void replace(OnnxNode& node, const char* op, const std::string& input) {
    node.op = op;
    node.inputs = {input};
    node.attributes.clear();
    if (node.op == "HardSigmoid") node.attributes["alpha"].number = 1.0f / 6;
  }

  void rewrite_product(OnnxNode& node) {
    if (node.inputs.size() != 2) return;
    for (int i : {0, 1}) {
      const std::string &x = node.inputs[i], &gate = node.inputs[1 - i];
      const OnnxNode* sigmoid = producer(gate, "Sigmoid");
      if (sigmoid && sigmoid->inputs.size() == 1 && sigmoid->inputs[0] == x) return replace(node, "SiLU", x);
      const OnnxNode* hard = producer(gate, "HardSigmoid");
      if (hard && hard->inputs.size() == 1 && hard->inputs[0] == x && is_usual_hard_sigmoid(*hard))
        return replace(node, "HardSwish", x);
      if (shifted_clip(gate) == x) six_times_hard_swish_[node.outputs.empty() ? "" : node.outputs[0]] = x;
    }
  }

  /// y / 6 or y * (1 / 6).
  void rewrite_sixth(OnnxNode& node) {
    if (node.inputs.size() != 2) return;
    for (int i : {0, 1}) {
      const double constant = scalar_constant(model_, node.inputs[1 - i]);
      const bool sixth = node.op == "Div" ? i == 0 && constant == 6 : std::abs(constant - 1.0 / 6) < 1e-6;
      if (!sixth) continue;
      const std::string& y = node.inputs[i];
      if (const auto product = six_times_hard_swish_.find(y); product != six_times_hard_swish_.end())
        return replace(node, "HardSwish", product->second);
      if (const std::string x = shifted_clip(y); !x.empty()) return replace(node, "HardSigmoid", x);
    }
  }

  OnnxModel& model_;
  std::map<std::string, const OnnxNode*> producer_;  // of the nodes seen so far
  std::map<std::string, std::string> six_times_hard_swish_;
};

void check_order(const OnnxModel& model) {
  std::set<std::string> known{"", model.input};
  for (const auto& [name, tensor] : model.constants) known.insert(name);
  for (const OnnxNode& node : model.nodes) {
    for (const std::string& input : node.inputs)
      if (!known.count(input))
        throw UserError("node '" + node.name + "' (" + node.op + "): takes '" + input +
                        "', which no earlier node makes; the file is damaged");
    known.insert(node.outputs.begin(), node.outputs.end());
  }
  if (!known.count(model.output)) throw UserError("the output '" + model.output + "' is made by no node");
}

/// Exporters store equal weights once and give them further names by Identity nodes.
void resolve_names_of_constants(OnnxModel& model) {
  std::map<std::string, std::string> original;
  for (OnnxNode& node : model.nodes) {
    for (std::string& input : node.inputs)
      if (const auto found = original.find(input); found != original.end()) input = found->second;
    const bool renames = node.op == "Identity" && node.inputs.size() == 1 && node.outputs.size() == 1 &&
                         model.constants.count(node.inputs[0]) > 0;
    if (renames) original[node.outputs[0]] = node.inputs[0];
  }
}

void prune(OnnxModel& model) {
  std::set<std::string> needed{model.output};
  std::vector<OnnxNode> kept;
  for (auto node = model.nodes.rbegin(); node != model.nodes.rend(); ++node) {
    bool used = false;
    for (const std::string& output : node->outputs) used |= needed.count(output) > 0;
    if (!used) continue;
    needed.insert(node->inputs.begin(), node->inputs.end());
    kept.push_back(std::move(*node));
  }
  model.nodes.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
}

}  // namespace

double scalar_constant(const OnnxModel& model, const std::string& name) {
  const auto found = model.constants.find(name);
  if (found == model.constants.end()) return NAN;
  const OnnxTensor& tensor = found->second;
  if (tensor.floats.size() == 1) return tensor.floats[0];
  return tensor.integers.size() == 1 ? double(tensor.integers[0]) : NAN;
}

ClipBounds clip_bounds(const OnnxModel& model, const OnnxNode& node) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  ClipBounds bounds{-kInfinity, kInfinity};
  if (const auto low = node.attributes.find("min"); low != node.attributes.end()) bounds.low = low->second.number;
  if (const auto high = node.attributes.find("max"); high != node.attributes.end()) bounds.high = high->second.number;
  if (node.inputs.size() > 1 && !node.inputs[1].empty()) bounds.low = scalar_constant(model, node.inputs[1]);
  if (node.inputs.size() > 2 && !node.inputs[2].empty()) bounds.high = scalar_constant(model, node.inputs[2]);
  return bounds;
}

bool is_usual_hard_sigmoid(const OnnxNode& node) {
  const auto alpha = node.attributes.find("alpha"), beta = node.attributes.find("beta");
  return alpha != node.attributes.end() && std::abs(alpha->second.number - 1.0 / 6) < 1e-4 &&
         (beta == node.attributes.end() || beta->second.number == 0.5f);
}

void rewrite_patterns(OnnxModel& model) {
  check_order(model);
  resolve_names_of_constants(model);
  Rewriter(model).run();
  prune(model);
}

}  // namespace sonar
