#!/usr/bin/env python3
"""Prints the latency of an ONNX file of SONAR's in LibTorch (TorchScript), milliseconds: a command for search.proxy.

usage: libtorch_latency.py [--threads N] [--seconds S] FILE.onnx

  [search]
  algorithm = "proxy-command"
  proxy = "examples/proxies/.venv/bin/python examples/proxies/libtorch_latency.py"

The file's nodes become a module that is traced and frozen, the fastest of four ways: contiguous or channels-last, as it is
or optimised for inference. Of that, the median of the runs that S seconds (0.5) take, 10 at least, after a fifth of that to
warm up; one thread. Needs torch and onnx, from PyPI:
python3 -m venv examples/proxies/.venv; examples/proxies/.venv/bin/python -m pip install torch onnx
"""
import argparse
import statistics
import sys
import time
import warnings

LEAST_RUNS = 10


def attributes(node, onnx):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def padding(a):
    pads = a.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        sys.exit(f"padding {pads} differs between the sides, which LibTorch's layers cannot do")
    return pads[:2]


def operators(torch):
    """ONNX operators that `sonar onnx` writes, as functions of (attributes, inputs)."""
    f = torch.nn.functional
    return {
        "Conv": lambda a, x, w, b=None: f.conv2d(x, w, b, a.get("strides", 1), padding(a), 1, a.get("group", 1)),
        "Gemm": lambda a, x, w, b: f.linear(x, w if a.get("transB") else w.t(), b),
        "BatchNormalization": lambda a, x, weight, bias, mean, var: f.batch_norm(
            x, mean, var, weight, bias, eps=a.get("epsilon", 1e-5)),
        "Relu": lambda a, x: f.relu(x),
        "Clip": lambda a, x, low, high: x.clamp(float(low), float(high)),
        "HardSwish": lambda a, x: f.hardswish(x),
        "HardSigmoid": lambda a, x: f.hardsigmoid(x),
        "Sigmoid": lambda a, x: x.sigmoid(),
        "Identity": lambda a, x: x,
        "Add": lambda a, x, y: x + y,
        "Mul": lambda a, x, y: x * y,
        "Concat": lambda a, *x: torch.cat(x, a["axis"]),
        "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
        "MaxPool": lambda a, x: f.max_pool2d(x, a["kernel_shape"], a.get("strides", 1), padding(a)),
        "AveragePool": lambda a, x: f.avg_pool2d(x, a["kernel_shape"], a.get("strides", 1), padding(a)),
        "Resize": lambda a, x, _, scales: f.interpolate(x, scale_factor=float(scales[2])),
        "Flatten": lambda a, x: x.flatten(1),
        "Unsqueeze": lambda a, x, _: x[:, :, None, None],
    }


def module_of(model, torch, onnx):
    """(torch.nn.Module of one input, shape of that input)"""
    known = operators(torch)
    for node in model.graph.node:
        if node.op_type not in known:
            sys.exit(f"node '{node.name}' ({node.op_type}): this script knows the operators of `sonar onnx` only")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for number, tensor in enumerate(model.graph.initializer):
                self.register_buffer(f"weight{number}", torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()))

        def forward(self, image):
            values = {"": None, model.graph.input[0].name: image}
            for number, tensor in enumerate(model.graph.initializer):
                values[tensor.name] = getattr(self, f"weight{number}")
            for node in model.graph.node:
                inputs = [values[name] for name in node.input]
                values[node.output[0]] = known[node.op_type](attributes(node, onnx), *inputs)
            return values[model.graph.output[0].name]

    return Network().eval(), [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("file")
    arguments = parser.parse_args()
    try:
        import onnx
        import torch
    except ImportError as error:
        sys.exit(f"{error}; install it with: {sys.executable} -m pip install torch onnx")
    warnings.filterwarnings("ignore")  # what tracing fixes is fixed in the file too
    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(1)

    def runs(call, seconds, least):
        times = []
        end = time.perf_counter() + seconds
        while len(times) < least or time.perf_counter() < end:
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        return times

    module, shape = module_of(onnx.load(arguments.file), torch, onnx)
    ways = []
    for layout in (torch.contiguous_format, torch.channels_last):
        image = torch.randn(shape).contiguous(memory_format=layout)
        for finish in (torch.jit.freeze, torch.jit.optimize_for_inference):
            script = finish(torch.jit.trace(module.to(memory_format=layout), image))
            call = lambda script=script, image=image: script(image)
            runs(call, arguments.seconds / 20, 3)
            ways.append((statistics.median(runs(call, arguments.seconds / 20, 3)), call))
    call = min(ways, key=lambda way: way[0])[1]
    print(f"{1000 * statistics.median(runs(call, arguments.seconds, LEAST_RUNS)):.6f}")


if __name__ == "__main__":
    main()
