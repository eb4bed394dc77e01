#!/usr/bin/env python3
"""Compares SONAR's reading of ONNX files with ONNX Runtime's: outputs on random images, to 1e-3 of the largest.

usage: compare_onnx.py BUILD_FOLDER FILE.onnx ...      (files of export_models.py, or any others)

Needs numpy and onnxruntime, and `run_reference` built in BUILD_FOLDER/bin.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnxruntime

TOLERANCE = 1e-3


def compare(run_reference, path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = [extent if isinstance(extent, int) else 1 for extent in session.get_inputs()[0].shape]
    image = numpy.random.default_rng(1).standard_normal(shape).astype(numpy.float32)
    expected = session.run(None, {session.get_inputs()[0].name: image})[0]
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "in"), pathlib.Path(folder, "out")
        image.tofile(source)
        subprocess.run([run_reference, path, source, target], check=True)
        got = numpy.fromfile(target, numpy.float32)
    if got.size != expected.size:
        return float("inf")
    return float(numpy.abs(got - expected.ravel()).max() / numpy.abs(expected).max())


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    run_reference = pathlib.Path(sys.argv[1], "bin", "run_reference").resolve()
    failed = 0
    for path in sys.argv[2:]:
        error = compare(run_reference, path)
        failed += not error <= TOLERANCE
        print(f"{path}: largest difference {error:.2e} of the largest output{'' if error <= TOLERANCE else ': WRONG'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
