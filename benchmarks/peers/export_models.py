#!/usr/bin/env python3
"""Writes the networks that SONAR and its peers are compared on as ONNX files.

usage: export_models.py FOLDER [--resolution 224] [--seed 1]

torchvision's definitions with random weights (nothing is downloaded), batch 1, inference mode. Batch norms get random
statistics, so that folding them is not trivial, and each layer keeps its values near 1.
Needs torch, torchvision and onnx.
"""
import argparse
import pathlib

import torch
import torchvision

MODELS = {
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "mobilenet_v3_small": torchvision.models.mobilenet_v3_small,
    "resnet18": torchvision.models.resnet18,
    "squeezenet1_1": torchvision.models.squeezenet1_1,
}
OPSET = 17


def randomise(model):
    """Random batch norm statistics and biases: a fresh network's are all zeros and ones."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
        elif isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                torch.nn.init.uniform_(module.bias, -0.1, 0.1)


def export(name, folder, resolution):
    model = MODELS[name](weights=None).eval()
    randomise(model)
    path = folder / f"{name}.onnx"
    # The exporter that traces: its files hold the plain operators that every peer reads.
    torch.onnx.export(model, (torch.zeros(1, 3, resolution, resolution),), str(path), opset_version=OPSET,
                      input_names=["input"], output_names=["output"], dynamo=False)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        torch.manual_seed(options.seed)
        with torch.no_grad():
            print(export(name, options.folder, options.resolution))


if __name__ == "__main__":
    main()
