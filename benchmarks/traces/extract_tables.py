#!/usr/bin/env python3
"""Takes from three public tables what constructed traces need, and writes it, compressed, to data/.

Usage: extract_tables.py TABLES. Only needed to make data/ anew; make-constructed reads data/. See README.md.
"""
import csv
import datetime
import gzip
import io
import math
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RUNS = ["meta_cuda_rtx3080_mnasnet1_0_10k", "meta_cuda_rtx3080_mobilenet_v2_10k", "meta_cuda_a100_mnasnet1_0_10k",
        "meta_cuda_a100_mobilenet_v2_10k", "meta_cuda_a100_shufflenet_10k"]
LEARNED = 0.67  # a curve whose best loss stays above this never learned: a two-class task starts at ln 2 = 0.693
LONGEST_GAP = 600  # seconds between two records of a log; longer ones are pauses


def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


def write(name, header, rows):
    """Writes gzip CSV whose bytes depend on the rows only."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with open(os.path.join(HERE, "data", name), "wb") as file:
        with gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
            packed.write(text.getvalue().encode())


def kind_of(task):
    """The kind of a logged task: pointwise (wider kernels too), depthwise, dense; None for all others."""
    if "winograd" in task["name"] or "NCHWc" in task["name"]:
        return None
    if "dense" in task["name"]:
        return "dense"
    if "conv2d" not in task["name"]:
        return None
    return "depthwise" if task["buffers"].split(";")[1].split("x")[1] == "1" else "pointwise"


def tuning_logs(tables):
    tasks = {(t["run"], t["task"]): t for t in read(os.path.join(tables, "metaschedule_tasks.csv"))}
    trials, last, seconds = {}, {}, {}
    for row in read(os.path.join(tables, "metaschedule_trials.csv.gz")):
        if row["run"] in RUNS:
            trials.setdefault((row["run"], row["task"]), []).append(row)
    for run in RUNS:  # the time before a record is charged to the record's task
        stamped = sorted((datetime.datetime.fromisoformat(r["ts"]), key[1]) for key, rows in trials.items()
                         if key[0] == run for r in rows)
        for (before, _), (now, task) in zip(stamped, stamped[1:]):
            gap = (now - before).total_seconds()
            seconds[run, task] = seconds.get((run, task), 0) + min(gap, LONGEST_GAP)
    for key, rows in sorted(trials.items(), key=lambda item: (item[0][0], int(item[0][1]))):
        kind = kind_of(tasks[key])
        if kind and len(rows) >= 128 and sum(r["latency_us"] != "" for r in rows) >= 64:
            yield [*key, kind, tasks[key]["flop"], f"{seconds[key] / len(rows):.3f}",
                   ";".join(r["latency_us"] for r in sorted(rows, key=lambda r: int(r["trial"])))]


def learning_curves(tables):
    for row in read(os.path.join(tables, "taskset12_valid_loss.csv.gz")):
        losses = [row[f"v{i}"] for i in range(51)]
        values = [float(v) if v else math.nan for v in losses]
        if all(math.isfinite(v) for v in values) and min(values) < LEARNED:
            yield [row["task"].replace("FixedTextRNNClassification_imdb_", ""), row["cfg"], *losses]


def device_latencies(tables):
    for row in read(os.path.join(tables, "help_fbnet_latency.csv.gz")):
        values = [row[device] for device in ("raspi4", "pixel3", "eyeriss")]
        if all(v and float(v) >= 0.1 for v in values):
            yield [row["idx"], *values]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: extract_tables.py TABLES")
    write("tuning_logs.csv.gz", ["run", "task", "kind", "flop", "seconds_per_trial", "latency_us"],
          tuning_logs(sys.argv[1]))
    write("learning_curves.csv.gz", ["task", "cfg", *[f"v{i}" for i in range(51)]], learning_curves(sys.argv[1]))
    write("device_latencies.csv.gz", ["idx", "raspi4", "pixel3", "eyeriss"], device_latencies(sys.argv[1]))
