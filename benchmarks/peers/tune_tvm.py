#!/usr/bin/env python3
"""Tunes subgraphs with TVM MetaSchedule and times the best program of each beside SONAR's.

usage: tune_tvm.py OUT [--trials 128] [--subgraphs KEY,KEY,...] [--core N] [--tune-cores LIST] [--cases FILE,FILE,...]
                   [--rounds N] [--minutes M] [--lock FILE]

Runs in .venv-tvm (install-inference). Each subgraph is one TVM function, NHWC, its weights free in layout: convolution,
bias, activation and residual in one, as in SONAR. TVM builds on the cores of --tune-cores (default: all) and runs
candidates on whichever it is given; the target is this CPU, one thread. OUT/KEY.json keeps, for every trial, the wall
seconds since tuning began and the latency that TVM measured, and the rounds of timing beside SONAR; what is there is not
done again. --cases: files sonar/cases.json (network_runner) that hold SONAR's programs of these subgraphs; without them
TVM is timed alone. The default are twelve subgraphs over the range of shapes of the networks of compare-inference: all are
in mobilenetv3-r224-w1.00-e6-k35335-d33333 and resnet18.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import time

import numpy as np

import interleave
from network_to_onnx import parse_key
from tvm_subgraphs import host_target, subgraph_function
from worker import measure

SUBGRAPHS = [
    "conv-f32-n1-h224-w224-i3-o16-k3-s2-p1-hswish",
    "conv-f32-n1-h28-w28-i128-o128-k3-s1-p1-relu",
    "conv-f32-n1-h112-w112-i16-o96-k1-s1-p0-relu",
    "conv-f32-n1-h56-w56-i144-o24-k1-s1-p0-linear-res",
    "conv-f32-n1-h28-w28-i40-o240-k1-s1-p0-relu",
    "conv-f32-n1-h14-w14-i480-o80-k1-s1-p0-linear-res",
    "conv-f32-n1-h7-w7-i160-o960-k1-s1-p0-hswish",
    "depthwise-f32-n1-h56-w56-i144-o144-k3-s1-p1-relu",
    "depthwise-f32-n1-h28-w28-i240-o240-k5-s1-p2-relu",
    "depthwise-f32-n1-h14-w14-i480-o480-k3-s1-p1-hswish",
    "dense-f32-n1-h1-w1-i960-o1280-k1-s1-p0-hswish",
    "se-f32-n1-h14-w14-i480-o480-k1-s1-p0-q120-linear",
]


def tune(key, trials, folder, cores):
    """{"trials": [[wall seconds, us or null], ...], "seconds"}; the database is left in `folder`."""
    from tvm.ir.utils import derived_object
    from tvm.s_tir import meta_schedule as ms
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    start, log = time.time(), []

    @derived_object
    class Log(ms.measure_callback.PyMeasureCallback):
        def apply(self, task_scheduler, task_id, measure_candidates, builder_results, runner_results):
            for result in runner_results:
                seconds = None if result.error_msg else [float(s) for s in result.run_secs]
                log.append([time.time() - start, 1e6 * statistics.median(seconds) if seconds else None])

    function, _ = subgraph_function(key)
    ms.tune_tir(function, host_target(), folder, trials, num_trials_per_iter=min(64, trials), seed=1,
                num_tuning_cores=len(cores), builder=ms.builder.LocalBuilder(max_workers=len(cores)),
                runner=ms.runner.LocalRunner(evaluator_config=ms.runner.EvaluatorConfig(
                    number=1, repeat=1, min_repeat_ms=30, enable_cpu_cache_flush=False)),
                measure_callbacks=[*ms.measure_callback.MeasureCallback.create("default"), Log()])
    return {"trials": log, "seconds": time.time() - start}


class Program:
    """TVM's best program of a subgraph, in this process; measured like the peers."""

    def __init__(self, key, folder):
        import tvm
        from tvm.s_tir import meta_schedule as ms, transform
        function, shapes = subgraph_function(key)
        database = ms.database.JSONDatabase(work_dir=folder)
        schedule = ms.tir_integration.compile_tir(database, function, host_target())
        if schedule is None:
            raise RuntimeError("TVM found no program that runs")
        self.check(key, tvm.compile(schedule.mod, target=host_target()), shapes)
        # As TVM itself measures: weights are taken to lie in the layout that the program wants.
        module = transform.RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(schedule.mod)
        compiled = tvm.compile(module, target=host_target())
        random = np.random.default_rng(1)
        main = module["main"]
        shapes = [[int(d) for d in p.shape] for p in main.params]
        arguments = [tvm.runtime.tensor(random.uniform(-1, 1, shape).astype(np.float32)) for shape in shapes]
        entry = compiled["main"]
        self.call = lambda: entry(*arguments)

    def check(self, key, compiled, shapes):
        """Against a plain evaluation, where that is cheap to write: pointwise and dense subgraphs."""
        import tvm
        s = parse_key(key)
        if s["kind"] not in ("conv", "dense") or s["k"] != 1 or s["s"] != 1:
            return
        random = np.random.default_rng(2)
        values = [random.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]
        tensors = [tvm.runtime.tensor(v) for v in values]
        compiled["main"](*tensors)
        x, w, b = values[:3]
        y = x.reshape(-1, s["i"]) @ (w.reshape(s["i"], s["o"]) if s["kind"] == "conv" else w.T) + b
        forms = {None: lambda v: v, "relu": lambda v: np.maximum(v, 0), "relu6": lambda v: np.clip(v, 0, 6),
                 "hard_swish": lambda v: v * np.clip(v + 3, 0, 6) / 6, "hard_sigmoid": lambda v: np.clip(v + 3, 0, 6) / 6}
        y = forms[s["activation"]](y).reshape(shapes[-1])
        if s["residual"]:
            y = y + values[3]
        if not np.allclose(tensors[-1].numpy(), y, rtol=1e-3, atol=1e-3):
            raise RuntimeError("TVM's program computes something else")

    def measure(self, burst_us):
        return {"samples_us": measure(self.call, burst_us, interleave.BURSTS)}


def sonar_cases(files):
    cases = {}
    for path in files:
        for case in interleave.read_json(path)["cases"]:
            cases.setdefault(case["name"], case)
    return cases


def table(results):
    print("| subgraph | TVM trials | trials/s | TVM's seconds | TVM, us | SONAR, us | speed-up | range |")
    print("|---" * 8 + "|")
    ratios = []
    for r in results:
        done = len(r["tuning"]["trials"])
        line = f"| {r['key']} | {done} | {done / r['tuning']['seconds']:.2f} | {r['tuning']['seconds']:.0f} | "
        summary = interleave.summarize(r["rounds"])
        line += f"{summary['us'].get('tvm', float('nan')):.1f} | "
        if "tvm" in summary["speedup"]:
            ratio, low, high = summary["speedup"]["tvm"]
            ratios.append(ratio)
            line += f"{summary['us'][interleave.SONAR]:.1f} | {ratio:.2f} | {low:.2f} to {high:.2f} |"
        else:
            line += "- | - | - |"
        print(line)
    print("\nTVM's best latency in us, as it measured it, after so many trials (seconds since tuning began)\n")
    marks = (8, 16, 32, 64, 128)
    print("| subgraph | " + " | ".join(map(str, marks)) + " |\n" + "|---" * (1 + len(marks)) + "|")
    for r in results:
        cells = []
        for n in marks:
            trials = r["tuning"]["trials"][:n]
            valid = [us for _, us in trials if us]
            cells.append(f"{min(valid):.1f} ({trials[-1][0]:.0f})" if len(trials) == n and valid else "-")
        print(f"| {r['key']} | " + " | ".join(cells) + " |")
    if ratios:
        print(f"\nGeometric mean over {len(ratios)} subgraphs: {interleave.geometric_mean(ratios):.2f}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--subgraphs", default=",".join(SUBGRAPHS))
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--tune-cores", default=",".join(str(c) for c in sorted(os.sched_getaffinity(0))))
    parser.add_argument("--cases", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--lock", default="")
    options = parser.parse_args()
    deadline = time.time() + 60 * options.minutes
    cores = {int(c) for c in options.tune_cores.split(",")}
    cases = sonar_cases([f for f in options.cases.split(",") if f])
    lock = interleave.Lock(options.lock)
    results = []
    os.environ["TVM_NUM_THREADS"] = "1"
    os.makedirs(options.out, exist_ok=True)
    for key in options.subgraphs.split(","):
        path, folder = os.path.join(options.out, key + ".json"), os.path.join(options.out, key)
        state = interleave.read_json(path, {"key": key})
        if "tuning" not in state or len(state["tuning"]["trials"]) < options.trials:
            if time.time() > deadline:
                continue
            lock.take()
            os.sched_setaffinity(0, cores)
            state = {"key": key, "tuning": tune(key, options.trials, folder, cores)}
            lock.give_back()
            interleave.write_json(path, state)
        if not state.get("rounds") or (key in cases and interleave.SONAR not in state["rounds"][0]):
            os.sched_setaffinity(0, {options.core})
            try:
                systems = {"tvm": Program(key, folder)}
            except RuntimeError as error:
                print(f"{key}: {error}", file=sys.stderr)
                continue
            if key in cases:
                systems[interleave.SONAR] = interleave.Runner(cases[key], options.core)
            lock.take()
            state["rounds"] = [interleave.one_round(systems, 2e3, r) for r in range(options.rounds)]
            lock.give_back()
            interleave.write_json(path, state)
        results.append(state)
    table(results)


if __name__ == "__main__":
    main()
