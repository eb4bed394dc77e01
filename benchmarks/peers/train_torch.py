#!/usr/bin/env python3
"""Training steps of Python PyTorch, eager and channels-last, on one network: the reference of train_throughput.

    train_torch.py GRAPH.json [--batch 64] [--steps 20] [--warmup 3] [--threads 1]

Random input that stays in memory: no data set, no augmentation, no input pipeline. Forward, label-smoothed cross
entropy, backward, SGD with momentum and weight decay. Prints one JSON object.
"""
import argparse
import json
import time

import torch
from torch import nn

ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "hard_swish": nn.Hardswish, "hard_sigmoid": nn.Hardsigmoid}


class GraphNetwork(nn.Module):
    """The network of a SONAR graph (src/graph/graph.h), operator by operator, as one would write it by hand."""

    def __init__(self, graph):
        super().__init__()
        self.nodes = graph["nodes"]
        self.layers = nn.ModuleDict()
        for node in self.nodes:
            layer = self.make_layer(node)
            if layer is not None:
                self.layers[node["name"]] = layer

    def channels(self, index):
        return self.nodes[index]["shape"][2]

    def make_layer(self, node):
        op, out = node["op"], node["shape"][2]
        if op == "conv":
            return nn.Conv2d(self.channels(node["inputs"][0]), out, node["kernel"], node["stride"], node["padding"],
                             groups=node["groups"], bias=node["bias"])
        if op == "batch_norm":
            return nn.BatchNorm2d(out, eps=1e-3)
        if op == "dense":
            return nn.Linear(self.channels(node["inputs"][0]), out)
        if op == "activation":
            kind = ACTIVATIONS[node["activation"]]
            return kind() if kind is nn.Identity else kind(inplace=kind is not nn.Hardsigmoid)
        return None

    def forward(self, x):
        values = []
        for node in self.nodes:
            inputs = [values[i] for i in node["inputs"]]
            op = node["op"]
            if op == "input":
                value = x
            elif op == "add":
                value = inputs[0] + inputs[1]
            elif op == "scale":
                value = inputs[0] * inputs[1].view(*inputs[1].shape[:2], 1, 1)
            elif op == "global_average_pool":
                value = inputs[0].mean((2, 3))
            else:
                value = self.layers[node["name"]](inputs[0])
            values.append(value)
        return values[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    with open(options.graph) as file:
        graph = json.load(file)
    height, width, channels = graph["nodes"][0]["shape"]
    classes = graph["nodes"][-1]["shape"][2]
    model = GraphNetwork(graph).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, nesterov=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    x = torch.randn(options.batch, channels, height, width).to(memory_format=torch.channels_last)
    y = torch.randint(0, classes, (options.batch,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(model(x), y).backward()
        optimizer.step()

    for _ in range(options.warmup):
        step()
    begin = time.perf_counter()
    for _ in range(options.steps):
        step()
    seconds = (time.perf_counter() - begin) / options.steps
    print(json.dumps({"torch": torch.__version__, "seconds_per_step": seconds,
                      "images_per_second": options.batch / seconds}))


if __name__ == "__main__":
    main()
