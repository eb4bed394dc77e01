#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "graph/graph.h"
#include "graph/infer_shape.h"
#include "model/error.h"

namespace sonar {
namespace {

using Json = nlohmann::ordered_json;  // keeps the fields in reading order

constexpr std::array kOps{
    Op::input,  Op::conv,   Op::batch_norm, Op::activation,   Op::add,      Op::global_average_pool,
    Op::dense,  Op::scale,  Op::max_pool,   Op::average_pool, Op::multiply, Op::concat,
    Op::resize, Op::flatten};
constexpr std::array<std::pair<Activation, const char*>, 6> kActivations{{{Activation::relu, "relu"},
                                                                          {Activation::hard_swish, "hard_swish"},
                                                                          {Activation::hard_sigmoid, "hard_sigmoid"},
                                                                          {Activation::relu6, "relu6"},
                                                                          {Activation::sigmoid, "sigmoid"},
                                                                          {Activation::silu, "silu"}}};

bool has_window(Op op) { return op == Op::conv || op == Op::max_pool || op == Op::average_pool; }

const char* activation_name(Activation activation) {
  for (auto [value, text] : kActivations)
    if (value == activation) return text;
  throw InternalError("a graph holds an activation without a name");
}

/// Reads one node's fields; every complaint names the node.
class NodeReader {
 public:
  NodeReader(const Json& json, size_t index) : json_(json), place_("node " + std::to_string(index)) {
    if (!json.is_object()) refuse("is no object");
    if (auto name = json.find("name"); name != json.end() && name->is_string())
      place_ += " ('" + name->get<std::string>() + "')";
  }

  [[noreturn]] void refuse(const std::string& problem) const { throw UserError("graph: " + place_ + " " + problem); }

  std::string text(const char* field) {
    const Json& value = get(field);
    if (!value.is_string()) refuse(std::string("has a field '") + field + "' that is no text");
    return value.get<std::string>();
  }

  bool boolean(const char* field) {
    const Json& value = get(field);
    if (!value.is_boolean()) refuse(std::string("has a field '") + field + "' that is neither true nor false");
    return value.get<bool>();
  }

  int integer(const char* field) { return to_integer(get(field), field); }

  std::vector<int> integers(const char* field) {
    const Json& value = get(field);
    if (!value.is_array()) refuse(std::string("has a field '") + field + "' that is no array");
    std::vector<int> result;
    for (const Json& element : value) result.push_back(to_integer(element, field));
    return result;
  }

  /// Call last: an object holds no field twice, so the counts differ only when a field was not read.
  void check_all_read() const {
    for (const auto& [field, value] : json_.items())
      if (std::find(read_.begin(), read_.end(), field) == read_.end())
        refuse("has a field '" + field + "' that its operator does not know");
  }

 private:
  const Json& get(const char* field) {
    auto found = json_.find(field);
    if (found == json_.end()) refuse(std::string("has no field '") + field + "'");
    read_.push_back(field);
    return *found;
  }

  int to_integer(const Json& value, const char* field) const {
    if (!value.is_number_integer()) refuse(std::string("has a value in '") + field + "' that is no whole number");
    const bool too_large = value.is_number_unsigned() ? value.get<uint64_t>() > uint64_t{kMaxExtent}
                                                      : value.get<int64_t>() < -int64_t{kMaxExtent};
    if (too_large) refuse("has the value " + value.dump() + " in '" + field + "', which is out of range");
    return value.get<int>();
  }

  const Json& json_;
  std::string place_;
  std::vector<std::string> read_;
};

Op parse_op(NodeReader& reader) {
  const std::string text = reader.text("op");
  for (Op op : kOps)
    if (text == to_text(op)) return op;
  reader.refuse("has the unknown operator '" + text + "'");
}

Activation parse_activation(NodeReader& reader) {
  const std::string text = reader.text("activation");
  for (auto [value, name] : kActivations)
    if (text == name) return value;
  reader.refuse("has the unknown activation '" + text + "'");
}

Node parse_node(const Json& json, const std::vector<Node>& earlier) {
  NodeReader reader(json, earlier.size());
  Node node;
  node.op = parse_op(reader);
  node.name = reader.text("name");
  node.inputs = reader.integers("inputs");
  const std::vector<int> shape = reader.integers("shape");
  if (shape.size() != 3) reader.refuse("has a shape that is not [height, width, channels]");
  node.shape = {shape[0], shape[1], shape[2]};
  if (has_window(node.op)) {
    node.kernel = reader.integer("kernel");
    node.stride = reader.integer("stride");
    node.padding = reader.integer("padding");
  }
  if (node.op == Op::resize) node.stride = reader.integer("stride");
  if (node.op == Op::conv) {
    node.groups = reader.integer("groups");
    node.bias = reader.boolean("bias");
  }
  if (node.op == Op::dense) node.bias = true;
  if (node.op == Op::activation) node.activation = parse_activation(reader);
  reader.check_all_read();

  const InferredShape inferred = infer_shape(earlier, node);
  if (!inferred.error.empty()) reader.refuse(inferred.error);
  if (inferred.shape != node.shape) {
    const Shape& right = inferred.shape;
    reader.refuse("has a wrong shape; its inputs give [" + std::to_string(right.height) + ", " +
                  std::to_string(right.width) + ", " + std::to_string(right.channels) + "]");
  }
  return node;
}

}  // namespace

std::string graph_to_json(const Graph& graph) {
  Json nodes = Json::array();
  for (const Node& node : graph.nodes) {
    Json json{{"op", to_text(node.op)},
              {"name", node.name},
              {"inputs", node.inputs},
              {"shape", {node.shape.height, node.shape.width, node.shape.channels}}};
    if (has_window(node.op)) {
      json["kernel"] = node.kernel;
      json["stride"] = node.stride;
      json["padding"] = node.padding;
    }
    if (node.op == Op::resize) json["stride"] = node.stride;
    if (node.op == Op::conv) {
      json["groups"] = node.groups;
      json["bias"] = node.bias;
    }
    if (node.op == Op::activation) json["activation"] = activation_name(node.activation);
    nodes.push_back(std::move(json));
  }
  return Json{{"nodes", std::move(nodes)}}.dump();
}

Graph graph_from_json(const std::string& text) {
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    throw UserError(std::string("graph: the text is no JSON: ") + error.what());
  }
  if (!json.is_object() || json.size() != 1 || !json.contains("nodes") || !json["nodes"].is_array())
    throw UserError("graph: the JSON must be an object with one field 'nodes', an array");
  if (json["nodes"].empty()) throw UserError("graph: the JSON holds no nodes");
  Graph graph;
  for (const Json& node : json["nodes"]) graph.nodes.push_back(parse_node(node, graph.nodes));
  return graph;
}

}  // namespace sonar
