#!/usr/bin/env python3
"""One inference system in a process of its own, on one core and one thread, in float32.

usage: worker.py SYSTEM CORE     SYSTEM: onnxruntime, openvino, torchscript or executorch (XNNPACK)
Speaks JSON lines on stdin and stdout:
  {"load": {"onnx": FILE, "graph": GRAPH.json or SUBGRAPH-KEY, or "torchvision": NAME, "cache": FOLDER,
            "onnx_channels_last": FILE of the same model with NHWC inputs and output, if there is one}}
      -> {"output": [first values], "note": "..."}
  {"measure": {"burst_us": B, "bursts": N}}  -> {"samples_us": [mean of each burst],
      "switches": times that another process took the core}
Where something fails the answer is {"error": "..."} and the worker goes on.
"""
import json
import os
import resource
import sys
import time

import numpy as np

INPUT_SEED = 7


def model_inputs(onnx_path):
    """Seeded values in [-1, 1) for each input of the model, in order."""
    import onnx
    model = onnx.load(onnx_path, load_external_data=False)
    weights = {w.name for w in model.graph.initializer}
    random = np.random.default_rng(INPUT_SEED)
    result = {}
    for value in model.graph.input:
        if value.name not in weights:
            shape = [max(1, d.dim_value) for d in value.type.tensor_type.shape.dim]
            result[value.name] = random.uniform(-1, 1, shape).astype(np.float32)
    return result


def faster_layout(load):
    """Makes a loader of ONNX files take the faster of the model's two layouts."""
    def load_both(spec):
        values = model_inputs(spec["onnx"])
        call, output, note = load(spec["onnx"], values)
        if "onnx_channels_last" not in spec:
            return call, output, note
        turned = {name: np.ascontiguousarray(v.transpose(0, 2, 3, 1)) if v.ndim == 4 else v
                  for name, v in values.items()}
        other, other_output, _ = load(spec["onnx_channels_last"], turned)
        times = [min(min(measure(c, 1e3, 5)) for _ in range(2)) for c in (call, other)]
        if times[0] <= times[1]:
            return call, output, "NCHW"
        back = lambda: other_output().transpose(0, 3, 1, 2) if other_output().ndim == 4 else other_output()
        return other, back, "NHWC"

    return load_both


@faster_layout
def load_onnxruntime(path, values):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    output = session.get_outputs()[0]
    result = onnxruntime.OrtValue.ortvalue_from_shape_and_type([d if isinstance(d, int) else 1 for d in output.shape],
                                                              np.float32)
    binding.bind_ortvalue_output(output.name, result)
    return lambda: session.run_with_iobinding(binding), result.numpy, ""


@faster_layout
def load_openvino(path, values):
    import openvino
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape({name: openvino.PartialShape(list(value.shape)) for name, value in values.items()})
    # Without the precision hint, cores with AMX or AVX512-BF16 compute in bfloat16.
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1",
                                                 "INFERENCE_NUM_THREADS": "1", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    for name, value in values.items():
        request.set_tensor(name, openvino.Tensor(np.ascontiguousarray(value)))
    # The class that openvino.InferRequest wraps: no dictionaries of results are made for each inference.
    infer = super(openvino.InferRequest, request).infer
    call = lambda: infer(True, False)
    try:
        call()
    except TypeError:
        call = request.infer
    precision = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
    if "f32" not in precision and "float32" not in precision:
        raise RuntimeError(f"OpenVINO computes in {precision}")
    return call, lambda: np.array(request.get_output_tensor(0).data), ""


def torch_module(spec):
    if "torchvision" in spec:
        import export_models
        import torch
        torch.manual_seed(1)  # as export_models.py does, for the same weights
        with torch.no_grad():
            module = export_models.MODELS[spec["torchvision"]](weights=None).eval()
            export_models.randomise(module)
        return module
    import network_to_onnx
    nodes = network_to_onnx.load_graph(spec["graph"])
    return network_to_onnx.to_torch(nodes, network_to_onnx.random_weights(nodes))


def torch_inputs(spec, channels_last):
    import torch
    values = [torch.from_numpy(value) for value in model_inputs(spec["onnx"]).values()]
    return [v.to(memory_format=torch.channels_last) if channels_last and v.dim() == 4 else v for v in values]


def load_torchscript(spec):
    """The fastest of frozen and optimised-for-inference modules, contiguous and channels-last."""
    import torch
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    candidates = []
    for channels_last in (False, True):
        module = torch_module(spec)
        if channels_last:
            module = module.to(memory_format=torch.channels_last)
        inputs = torch_inputs(spec, channels_last)
        for optimize in (False, True):
            script = torch.jit.freeze(torch.jit.trace(module, inputs))
            if optimize:
                script = torch.jit.optimize_for_inference(script)
            call = lambda script=script, inputs=inputs: script(*inputs)
            name = ("channels-last" if channels_last else "contiguous") + (", optimised" if optimize else "")
            candidates.append((min(measure(call, 20e3, 3)), name, call))
    _, name, call = min(candidates, key=lambda c: c[0])
    return call, lambda: call().numpy(), name


def load_executorch(spec):
    """XNNPACK through ExecuTorch, channels-last or contiguous, the faster; the exported programs are kept in the cache."""
    import torch
    torch.set_num_threads(1)
    from executorch.extension.pybindings import _C
    from executorch.runtime import Runtime
    if _C._threadpool_get_thread_count() != 1:  # on a single core too it starts with two
        _C._unsafe_reset_threadpool(1)
    candidates = []
    for channels_last in (True, False):
        kind = "channels-last" if channels_last else "contiguous"
        name = os.path.splitext(os.path.basename(spec["onnx"]))[0]
        path = os.path.join(spec["cache"], f"{name}.{kind}.pte")
        inputs = torch_inputs(spec, channels_last)
        try:
            if not os.path.exists(path):
                export_executorch(spec, inputs, channels_last, path)
            if not os.path.getsize(path):
                raise RuntimeError("ExecuTorch could not export it")
            method = Runtime.get().load_program(path).load_method("forward")
            call = lambda method=method, inputs=inputs: method.execute(inputs)
            candidates.append((min(measure(call, 5e3, 5)), kind, call))
        except Exception as error:
            open(path, "a").close()  # an empty file: not to be tried again
            failure = error
    if not candidates:
        raise failure
    _, kind, call = min(candidates, key=lambda c: c[0])
    return call, lambda: call()[0].numpy(), kind


def export_executorch(spec, inputs, channels_last, path):
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    module = torch_module(spec)
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
    program = to_edge_transform_and_lower(torch.export.export(module, tuple(inputs)),
                                          partitioner=[XnnpackPartitioner()]).to_executorch()
    with open(path + ".part", "wb") as file:
        file.write(program.buffer)
    os.replace(path + ".part", path)


SYSTEMS = {"onnxruntime": load_onnxruntime, "openvino": load_openvino, "torchscript": load_torchscript,
           "executorch": load_executorch}


def measure(call, burst_us, bursts):
    """The mean time of an inference, microseconds, in each of so many bursts of at least burst_us, after one to warm up."""
    clock = time.perf_counter_ns
    runs, spent = 1, 0.0
    while True:
        start = clock()
        for _ in range(runs):
            call()
        spent = (clock() - start) / 1e3
        if spent >= burst_us:
            break
        runs = max(runs + 1, min(int(1.2 * runs * burst_us / max(spent, 0.01)), 10 * runs))
    samples = []
    for _ in range(bursts):
        start = clock()
        for _ in range(runs):
            call()
        samples.append((clock() - start) / 1e3 / runs)
    return samples


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in SYSTEMS:
        sys.exit(__doc__)
    os.sched_setaffinity(0, {int(sys.argv[2])})
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    call = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "load" in request:
                call = None  # so that the model before is freed first
                call, output, note = SYSTEMS[sys.argv[1]](request["load"])
                call()
                values = np.asarray(output()).ravel().astype(float)
                reply = {"output": values[:256].tolist(), "note": note}
            else:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
                samples = measure(call, request["measure"]["burst_us"], request["measure"]["bursts"])
                reply = {"samples_us": samples,
                         "switches": resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before}
        except Exception as error:  # any peer may fail on any model: that is a result
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
