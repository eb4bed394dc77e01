#!/usr/bin/env python3
"""Turns a network graph (JSON, as printed by network_graph; its meaning: src/graph/graph.h) or the key of a subgraph into
ONNX and into a PyTorch module, both with the same seeded random weights.

usage: network_to_onnx.py GRAPH.json|SUBGRAPH-KEY OUT.onnx
Activations are NCHW, batch 1, float32. Batch norms are kept: the peers fold them themselves.
"""
import json
import re
import sys

import numpy as np

BATCH_NORM_EPSILON = 1e-3
OPSET = 17
# Of a key, and as a graph has it.
ACTIVATIONS = {"linear": None, "relu": "relu", "relu6": "relu6", "hswish": "hard_swish", "hsigmoid": "hard_sigmoid",
               "sigmoid": "sigmoid", "silu": "silu"}


def load_graph(source):
    """Nodes of a graph JSON file, or of the graph of one subgraph given by its key."""
    if source.endswith(".json"):
        with open(source) as file:
            return json.load(file)["nodes"]
    return subgraph_nodes(source)


def parse_key(key):
    """{"kind", "n", "h", "w", "i", "o", "k", "s", "p", "q", "activation", "residual"} of a subgraph's key; the residual is
    added "before" or "after" the activation. ValueError where a word is not known."""
    words = key.split("-")
    result = {"kind": words[0], "activation": None, "residual": None, "n": 1, "h": 1, "w": 1, "k": 1, "s": 1, "p": 0}
    for word in words[2:]:
        if word == "res":
            result["residual"] = "after" if words[-1] == "res" else "before"
        elif word in ACTIVATIONS:  # before the numbers: relu6
            result["activation"] = ACTIVATIONS[word]
        else:
            number = re.fullmatch(r"([a-z]+)(\d+)", word)
            if not number:
                raise ValueError(f"{key}: '{word}' is not known here")
            result[number[1]] = int(number[2])
    return result


KINDS = ("conv", "depthwise", "pool", "dense", "se")  # that subgraph_nodes knows


def subgraph_nodes(key):
    """The graph of one subgraph; its residual is a second input."""
    s = parse_key(key)
    if s["n"] != 1:
        raise SystemExit(f"{key}: only batch 1 is compared")
    nodes = []

    def add(op, inputs, shape, **fields):
        nodes.append({"op": op, "name": f"{op}{len(nodes)}", "inputs": inputs, "shape": shape, **fields})
        return len(nodes) - 1

    channels = s["i"]
    x = add("input", [], [s["h"], s["w"], channels])
    if s["kind"] in ("conv", "depthwise"):
        out = s.get("o", channels)
        height, width = ((s[d] + 2 * s["p"] - s["k"]) // s["s"] + 1 for d in "hw")
        shape = [height, width, out]
        y = add("conv", [x], shape, kernel=s["k"], stride=s["s"], padding=s["p"],
                groups=channels if s["kind"] == "depthwise" else 1, bias=True)
    elif s["kind"] == "pool":
        shape = [1, 1, channels]
        y = add("global_average_pool", [x], shape)
    elif s["kind"] == "dense":
        shape = [1, 1, s["o"]]
        y = add("dense", [x], shape)
    else:
        squeezed, shape = [1, 1, s["q"]], [s["h"], s["w"], channels]
        y = add("global_average_pool", [x], [1, 1, channels])
        y = add("dense", [y], squeezed)
        y = add("activation", [y], squeezed, activation="relu")
        y = add("dense", [y], [1, 1, channels])
        y = add("activation", [y], [1, 1, channels], activation="hard_sigmoid")
        y = add("scale", [x, y], shape)
    if s["residual"] == "before":
        y = add("add", [y, add("input", [], shape)], shape)
    if s["activation"]:
        y = add("activation", [y], shape, activation=s["activation"])
    if s["residual"] == "after":
        add("add", [y, add("input", [], shape)], shape)
    return nodes


def random_weights(nodes, seed=1):
    """{"<node>.weight": array, ...}: He-scaled; conv weights [out][in/groups][k][k], dense [out][in]."""
    random = np.random.default_rng(seed)
    weights = {}
    for node in nodes:
        name, channels = node["name"], node["shape"][2]
        if node["op"] in ("conv", "dense"):
            inputs = nodes[node["inputs"][0]]["shape"][2]
            shape = [channels, inputs]
            if node["op"] == "conv":
                shape = [channels, inputs // node["groups"], node["kernel"], node["kernel"]]
            scale = np.sqrt(2 / np.prod(shape[1:]))
            weights[name + ".weight"] = random.normal(0, scale, shape).astype(np.float32)
            if node["op"] == "dense" or node["bias"]:
                weights[name + ".bias"] = random.normal(0, 0.1, channels).astype(np.float32)
        elif node["op"] == "batch_norm":
            for field, low, high in (("weight", 0.8, 1.2), ("bias", -0.1, 0.1), ("running_mean", -0.1, 0.1),
                                     ("running_var", 0.8, 1.2)):
                weights[f"{name}.{field}"] = random.uniform(low, high, channels).astype(np.float32)
    return weights


def pointwise_dense(nodes):
    """Indices of the dense nodes inside squeeze-excite blocks, which libraries write as 1x1 convolutions."""
    result = set()
    for node in nodes:
        at = node["inputs"][1] if node["op"] == "scale" else None
        while at is not None and nodes[at]["op"] in ("dense", "activation"):
            if nodes[at]["op"] == "dense":
                result.add(at)
            at = nodes[at]["inputs"][0]
    return result


def to_onnx(nodes, weights, path, channels_last=False):
    """`channels_last`: inputs and output are NHWC, with transpositions that a runtime may turn into layouts."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    convolved = pointwise_dense(nodes)
    consumers = {i for node in nodes for i in node["inputs"]}
    values, steps, inputs, initializers = [], [], [], []

    def tensor(name, array):
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def step(op, operands, output, **attributes):
        steps.append(helper.make_node(op, operands, [output], name=output, **attributes))
        return output

    flat = set()  # values of rank 2
    for i, node in enumerate(nodes):
        op, name = node["op"], node["name"]
        operands = [values[j] for j in node["inputs"]]
        parameters = lambda *fields: [tensor(f"{name}.{f}", weights[f"{name}.{f}"]) for f in fields]
        if op == "input":
            h, w, c = node["shape"]
            # A dense subgraph standing alone takes the matrix that it would get in a network.
            alone = [n for n in nodes if n["inputs"] == [i] and n["op"] == "dense"]
            given = [1, h, w, c] if channels_last else [1, c, h, w]
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c] if alone else given))
            if alone:
                flat.add(i)
            elif channels_last:
                name = step("Transpose", [name], name + ".nchw", perm=[0, 3, 1, 2])
            values.append(name)
        elif op == "conv":
            k, s, p = node["kernel"], node["stride"], node["padding"]
            fields = ("weight", "bias") if node["bias"] else ("weight",)
            values.append(step("Conv", operands + parameters(*fields), name, kernel_shape=[k, k], strides=[s, s],
                               pads=[p, p, p, p], group=node["groups"]))
        elif op == "batch_norm":
            values.append(step("BatchNormalization", operands + parameters("weight", "bias", "running_mean",
                                                                           "running_var"), name,
                               epsilon=BATCH_NORM_EPSILON))
        elif op == "activation":
            kind = {"relu": "Relu", "relu6": "Clip", "hard_swish": "HardSwish", "hard_sigmoid": "HardSigmoid",
                    "sigmoid": "Sigmoid", "silu": "Sigmoid"}[node["activation"]]
            extra = {"alpha": 1 / 6, "beta": 0.5} if kind == "HardSigmoid" else {}
            if kind == "Clip":
                operands += [tensor(f"{name}.{bound}", np.float32(value)) for bound, value in (("low", 0), ("high", 6))]
            if node["activation"] == "silu":
                gate = step(kind, operands, name + ".gate")
                values.append(step("Mul", [operands[0], gate], name))
            else:
                values.append(step(kind, operands, name, **extra))
            if node["inputs"][0] in flat:
                flat.add(i)
        elif op == "add":
            values.append(step("Add", operands, name))
        elif op == "scale":
            values.append(step("Mul", operands, name))
        elif op == "global_average_pool":
            values.append(step("GlobalAveragePool", operands, name))
        elif op == "dense" and i in convolved:
            weight = tensor(name + ".weight", weights[name + ".weight"][:, :, None, None])
            values.append(step("Conv", [operands[0], weight] + parameters("bias"), name, kernel_shape=[1, 1]))
        elif op == "dense":
            if node["inputs"][0] not in flat:
                operands = [step("Flatten", operands, name + ".flat")]
            flat.add(i)
            values.append(step("Gemm", operands + parameters("weight", "bias"), name, transB=1))
        else:
            raise SystemExit(f"node {name}: the operator {op} has no ONNX form here")
    assert len(nodes) - 1 not in consumers
    h, w, c = nodes[-1]["shape"]
    if len(nodes) - 1 in flat:
        shape = [1, c]
    elif channels_last:
        shape = [1, h, w, c]
        values.append(step("Transpose", [values[-1]], "output.nhwc", perm=[0, 2, 3, 1]))
    else:
        shape = [1, c, h, w]
    output = helper.make_tensor_value_info(values[-1], TensorProto.FLOAT, shape)
    graph = helper.make_graph(steps, "network", inputs, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def to_torch(nodes, weights):
    """The same network as an nn.Module in evaluation mode; takes one tensor for each input."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict()
            for i, node in enumerate(nodes):
                channels = node["shape"][2]
                inputs = nodes[node["inputs"][0]]["shape"][2] if node["inputs"] else 0
                layer = None
                if node["op"] == "conv":
                    layer = nn.Conv2d(inputs, channels, node["kernel"], node["stride"], node["padding"],
                                      groups=node["groups"], bias=node["bias"])
                elif node["op"] == "batch_norm":
                    layer = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)
                elif node["op"] == "dense":
                    layer = nn.Conv2d(inputs, channels, 1) if i in convolved else nn.Linear(inputs, channels)
                elif node["op"] == "activation":
                    layer = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish,
                             "hard_sigmoid": nn.Hardsigmoid, "sigmoid": nn.Sigmoid,
                             "silu": nn.SiLU}[node["activation"]]()
                if layer is not None:
                    self.layers[str(i)] = layer
                    for field, target in [*layer.named_parameters(), *layer.named_buffers()]:
                        if f"{node['name']}.{field}" in weights:
                            target.data.copy_(torch.from_numpy(weights[f"{node['name']}.{field}"]).view_as(target))

        def forward(self, *inputs):
            values, fed = [], iter(inputs)
            for i, node in enumerate(nodes):
                operands = [values[j] for j in node["inputs"]]
                if node["op"] == "input":
                    value = next(fed)
                elif node["op"] == "add":
                    value = operands[0] + operands[1]
                elif node["op"] == "scale":
                    value = operands[0] * operands[1]
                elif node["op"] == "global_average_pool":
                    value = nn.functional.adaptive_avg_pool2d(operands[0], 1)
                elif node["op"] == "dense" and i not in convolved:
                    value = self.layers[str(i)](operands[0].flatten(1))
                else:
                    value = self.layers[str(i)](operands[0])
                values.append(value)
            return values[-1]

    convolved = pointwise_dense(nodes)
    return Network().eval()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    nodes = load_graph(sys.argv[1])
    to_onnx(nodes, random_weights(nodes), sys.argv[2])


if __name__ == "__main__":
    main()
