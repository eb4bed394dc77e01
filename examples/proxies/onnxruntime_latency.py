#!/usr/bin/env python3
"""Prints the latency of an ONNX file in ONNX Runtime, milliseconds: a command for search.proxy.

usage: onnxruntime_latency.py [--threads N] [--seconds S] FILE.onnx

  [search]
  algorithm = "proxy-command"
  proxy = "examples/proxies/.venv/bin/python examples/proxies/onnxruntime_latency.py"

The median of the runs that S seconds (0.5) take, 10 at least, after a fifth of that to warm up; one thread. Needs onnxruntime and
numpy, from PyPI: python3 -m venv examples/proxies/.venv; examples/proxies/.venv/bin/python -m pip install onnxruntime
"""
import argparse
import statistics
import sys
import time

LEAST_RUNS = 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("file")
    arguments = parser.parse_args()
    try:
        import numpy
        import onnxruntime
    except ImportError as error:
        sys.exit(f"{error}; install it with: {sys.executable} -m pip install onnxruntime")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(arguments.file, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    inputs = {image.name: numpy.random.default_rng(1).standard_normal(image.shape, dtype=numpy.float32)}

    def runs(seconds, least):
        times = []
        end = time.perf_counter() + seconds
        while len(times) < least or time.perf_counter() < end:
            began = time.perf_counter()
            session.run(None, inputs)
            times.append(time.perf_counter() - began)
        return times

    runs(arguments.seconds / 5, 1)
    print(f"{1000 * statistics.median(runs(arguments.seconds, LEAST_RUNS)):.6f}")


if __name__ == "__main__":
    main()
