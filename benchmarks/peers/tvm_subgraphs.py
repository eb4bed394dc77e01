"""Subgraphs, by their keys, as functions of TVM: NHWC, float32, weights free in layout. Needs the packages of .venv-tvm
(install-inference)."""
import tvm
from tvm import te, tirx, topi
from tvm.target import codegen

from network_to_onnx import parse_key


def host_target(threads=1):
    cpu = codegen.llvm_get_system_cpu()
    with open("/proc/cpuinfo") as file:
        # LLVM names a virtual CPU by its model number alone, which may be that of an older one.
        if "avx512_fp16" in file.read():
            cpu = "sapphirerapids"
    return tvm.target.Target({"kind": "llvm", "mcpu": cpu, "num-cores": threads})


def activate(x, activation):
    if activation is None:
        return x
    clip = lambda v, low, high: tirx.max(tirx.min(v, tirx.const(high, "float32")), tirx.const(low, "float32"))
    forms = {
        "relu": lambda v: tirx.max(v, tirx.const(0, "float32")),
        "relu6": lambda v: clip(v, 0, 6),
        "hard_swish": lambda v: v * clip(v + tirx.const(3, "float32"), 0, 6) * tirx.const(1 / 6, "float32"),
        "hard_sigmoid": lambda v: clip(v + tirx.const(3, "float32"), 0, 6) * tirx.const(1 / 6, "float32"),
    }
    if activation not in forms:
        raise ValueError(f"the activation '{activation}' is not written down for TVM")
    return te.compute(x.shape, lambda *i: forms[activation](x(*i)), name="activation")


def subgraph_function(key):
    """(PrimFunc, shapes of its arguments). The output is the last argument. ValueError where there is none."""
    s = parse_key(key)
    if s["kind"] not in ("conv", "depthwise", "pool", "dense", "se"):
        raise ValueError(f"subgraphs of the kind {s['kind']} are not written down for TVM")
    if s["n"] != 1:
        raise ValueError("subgraphs of more than one image are not written down for TVM")
    if "-res-" in key or (s["kind"] == "dense" and s["residual"]):
        raise ValueError("this place of the residual is not written down for TVM")
    channels, out = s["i"], s.get("o", s["i"])
    x = te.placeholder((1, s["h"], s["w"], channels), name="x")
    place = lambda name, *shape: te.placeholder(shape, name=name)
    arguments, weights = [x], []

    def weight(name, *shape):
        arguments.append(place(name, *shape))
        weights.append(len(arguments) - 1)
        return arguments[-1]

    def bias(name, n):
        arguments.append(place(name, n))
        return arguments[-1]

    def dense(value, name, inputs, outputs, activation):
        w, b = weight(name + "_w", outputs, inputs), bias(name + "_b", outputs)
        k = te.reduce_axis((0, inputs), name="k")
        y = te.compute((1, outputs), lambda n, o: te.sum(value(n, k) * w[o, k], axis=k), name=name)
        y = te.compute((1, outputs), lambda n, o: y[n, o] + b[o], name=name + "_biased")
        return activate(y, activation)

    if s["kind"] in ("conv", "depthwise"):
        pads, strides, k = [s["p"]] * 4, (s["s"], s["s"]), s["k"]
        if s["kind"] == "conv":
            y = topi.nn.conv2d_nhwc(x, weight("w", k, k, channels, out), strides, pads, (1, 1))
        else:
            y = topi.nn.depthwise_conv2d_nhwc(x, weight("w", k, k, channels, 1), strides, pads, (1, 1))
        b = bias("b", out)
        convolved = y
        y = te.compute(y.shape, lambda n, i, j, c: convolved[n, i, j, c] + b[c], name="biased")
        y = activate(y, s["activation"])
        if s["residual"]:
            r = place("residual", *[int(d) for d in y.shape])
            arguments.append(r)
            before = y
            y = te.compute(y.shape, lambda *i: before(*i) + r(*i), name="added")
    elif s["kind"] == "pool":
        y = topi.nn.global_pool(x, "avg", layout="NHWC")
    elif s["kind"] == "dense":
        y = dense(lambda n, k: x[0, 0, 0, k], "dense", channels, out, s["activation"])
    else:
        pooled = topi.nn.global_pool(x, "avg", layout="NHWC")
        y = dense(lambda n, k: pooled[0, 0, 0, k], "squeeze", channels, s["q"], "relu")
        squeezed = y
        y = dense(lambda n, k: squeezed[n, k], "excite", s["q"], channels, "hard_sigmoid")
        factor = y
        y = te.compute(x.shape, lambda n, i, j, c: x[n, i, j, c] * factor[0, c], name="scaled")
    function = te.create_prim_func([*arguments, y]).with_attr("layout_free_buffers", weights)
    return function, [[int(d) for d in a.shape] for a in [*arguments, y]]
