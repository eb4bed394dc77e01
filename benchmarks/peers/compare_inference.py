#!/usr/bin/env python3
"""Whole networks, batch 1, one thread, float32: SONAR's tuned programs beside other inference systems on one core.

usage: compare_inference.py NETWORK... [--out FILE.json] [--core N] [--rounds N] [--minutes M] [--systems A,B,...]
                            [--lock FILE] [--prepare]

NETWORK is a folder that holds network.onnx, sonar/cases.json (network_runner) and graph.json (network_graph); without
graph.json it is named after a network of export_models.py. The systems are measured in turns, round after round, each in
a process of its own; a ratio is of two medians of one round. Results are kept in NETWORK/inference.json: an ended run
continues where it stopped, and a new tuning starts anew. --prepare only loads every network once, which exports what a
system exports, and measures nothing. --lock: a file that is locked while something is timed, where several share the core.
Prints a table; FILE.json receives the figures.
"""
import argparse
import os
import time

from interleave import (PEERS, SONAR, Lock, Peer, Runner, geometric_mean, load_peers, one_round, read_json, summarize,
                        write_json)


def model_spec(folder):
    spec = {"onnx": os.path.join(folder, "network.onnx"), "cache": folder}
    graph = os.path.join(folder, "graph.json")
    return {**spec, "graph": graph} if os.path.exists(graph) else {**spec, "torchvision": os.path.basename(folder)}


def compare(folder, systems, options, lock, deadline):
    path = os.path.join(folder, "inference.json")
    cases_path = os.path.join(folder, "sonar", "cases.json")
    cases = read_json(cases_path, {} if options.prepare else None)
    state = read_json(path, {"rounds": []})
    if not options.prepare and os.path.getmtime(cases_path) != state.get("tuned"):
        state = {"rounds": [], "tuned": os.path.getmtime(cases_path)}
    if not options.prepare and len(state["rounds"]) >= options.rounds:
        return
    peers = {name: Peer(name, options.core) for name in systems}
    try:
        notes, errors = load_peers(peers, model_spec(folder))
        for name, error in errors.items():
            print(f"{os.path.basename(folder)}: {name}: {error}", flush=True)
        if options.prepare:
            return
        state.update({"network": os.path.basename(folder), "macs": cases["macs"], "notes": notes, "errors": errors})
        case = cases["cases"][0]
        measured = {name: peers[name] for name in notes}
        measured[SONAR] = Runner(case, options.core)
        while len(state["rounds"]) < options.rounds and time.time() < deadline:
            lock.take()
            state["rounds"].append(one_round(measured, case["burst_us"], len(state["rounds"])))
            write_json(path, state)
    finally:
        lock.give_back()
        for peer in peers.values():
            peer.close()


def table(results):
    names = [n for n in PEERS if any(n in r["us"] for r in results)]
    print("| network | MMACs | " + " | ".join(f"{n}, us" for n in names) +
          " | SONAR, us | fastest peer | speed-up | range of rounds |")
    print("|---" * (6 + len(names)) + "|")
    for r in sorted(results, key=lambda r: r["macs"]):
        ratio, low, high = r["speedup"][r["fastest_peer"]]
        print(f"| {r['network']} | {r['macs'] / 1e6:.1f} | " +
              " | ".join(f"{r['us'][n]:.1f}" if n in r["us"] else "-" for n in names) +
              f" | {r['us'][SONAR]:.1f} | {r['fastest_peer']} | {ratio:.2f} | {low:.2f} to {high:.2f} |")
    ratios = [r["speedup"][r["fastest_peer"]][0] for r in results]
    print(f"\nGeometric mean over {len(ratios)} networks, against the fastest peer of each: "
          f"{geometric_mean(ratios):.3f}; least {min(ratios):.2f}.")
    for name in names:
        of_peer = [r["speedup"][name][0] for r in results if name in r["speedup"]]
        print(f"- against {name}: {geometric_mean(of_peer):.2f} over {len(of_peer)} networks, least {min(of_peer):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--out", default="")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--systems", default=",".join(PEERS))
    parser.add_argument("--lock", default="")
    parser.add_argument("--prepare", action="store_true")
    options = parser.parse_args()
    deadline = time.time() + 60 * options.minutes
    lock = Lock(options.lock)
    folders = [os.path.abspath(folder) for folder in options.networks]
    for folder in folders:
        if time.time() < deadline:
            compare(folder, options.systems.split(","), options, lock, deadline)
    if options.prepare:
        return
    results = []
    for folder in folders:
        state = read_json(os.path.join(folder, "inference.json"), {"rounds": []})
        if state["rounds"]:
            results.append({**{k: state[k] for k in ("network", "macs", "notes", "errors")},
                            **summarize(state["rounds"]), "rounds": state["rounds"]})
    results = [r for r in results if r["fastest_peer"]]
    if not results:
        raise SystemExit("nothing was measured in the time given; the same command goes on")
    if options.out:
        write_json(options.out, results)
    table(results)


if __name__ == "__main__":
    main()
