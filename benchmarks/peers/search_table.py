#!/usr/bin/env python3
"""Prints a table of searches on traces: mean and half width of the 95 % confidence interval over seeds.

    search_table.py FILE.json... [--metrics achieved,misses,selected,...] [--compact]

--compact: a row per algorithm, a column per speed-up; achieved gap with misses counted (their number in brackets) with its
interval; selected gap likewise; hypervolume ratio; networks returned.

Files are those of search_peers.py, or of `sonar replay --json` saved as TRACE.ALGORITHM.SPEEDUP.json.
"""
import argparse
import json
import os

from search_peers import ALGORITHMS, mean_of


def load(path):
    """(trace, algorithm, speedup, runs) of a file; what the JSON does not name is taken from the file's name."""
    with open(path) as file:
        data = json.load(file)
    parts = os.path.basename(path).removesuffix(".json").split(".", 2)
    trace, algorithm, speedup = parts if len(parts) == 3 else (parts[0], "?", "nan")
    return (data["trace"] if isinstance(data.get("trace"), str) else trace, data.get("algorithm", algorithm),
            float(data.get("speedup", speedup)), data["runs"])


def compact(loaded):
    cells = {}
    for trace, algorithm, speedup, runs in loaded:
        mean, half = mean_of(runs)
        misses = f" ({mean['achieved_misses']:.1f})" if mean["achieved_misses"] else ""
        cells.setdefault(algorithm, {})[speedup] = (
            f"{mean['achieved_with_misses']:.2f} ± {half['achieved_with_misses'] or 0:.2f}{misses}; "
            f"{mean['selected_with_misses']:.2f}; {mean['hypervolume_ratio']:.2f}; {mean['survivors']:.0f}")
    speedups = sorted({s for row in cells.values() for s in row})
    print("| algorithm | " + " | ".join(f"{s:g}x" for s in speedups) + " |")
    print("|---" * (1 + len(speedups)) + "|")
    for algorithm in sorted(cells, key=lambda a: (a in ALGORITHMS, a)):
        name = ("" if algorithm in ALGORITHMS else "SONAR ") + f"`{algorithm}`"
        print(f"| {name} | " + " | ".join(cells[algorithm].get(s, "-") for s in speedups) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--metrics", default="achieved,achieved_misses,selected,misses,hypervolume_ratio,kendall_tau,survivors,candidates,train_spent,tune_spent")
    parser.add_argument("--compact", action="store_true")
    arguments = parser.parse_args()
    if arguments.compact:
        return compact([load(f) for f in arguments.files])
    names = arguments.metrics.split(",")
    print("| trace | speedup | algorithm | seeds | " + " | ".join(names) + " |")
    print("|---" * (4 + len(names)) + "|")
    for trace, algorithm, speedup, runs in sorted((load(f) for f in arguments.files), key=lambda r: (os.path.basename(r[0].rstrip("/")), r[2], r[1])):
        mean, half = mean_of([{k: r.get(k) for k in ["seed", *names]} for r in runs])
        cells = ["-" if mean[n] is None else f"{mean[n]:.3f}" + (f" ± {half[n]:.3f}" if half[n] is not None else "")
                 for n in names]
        print(f"| {os.path.basename(trace.rstrip('/'))} | {speedup:g}x | {algorithm} | {len(runs)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
