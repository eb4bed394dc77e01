#!/usr/bin/env python3
"""Single subgraphs as models of their own: SONAR's tuned programs beside other inference systems on one core.

usage: compare_subgraphs.py NETWORK [--core N] [--rounds N] [--minutes M] [--systems A,B,...] [--lock FILE]

The folder is one of compare_inference.py's. Each subgraph becomes an ONNX model (convolution, bias, activation, residual).
Each peer takes activations NCHW or NHWC, whichever is faster for it, since inside a network it would not reorder them at
every layer; what reordering is left is in its time. Nothing is subtracted: the peers pay for their call, a few microseconds each time, which weighs on small subgraphs;
the summary gives those on which SONAR takes more than 20 us, and all. Results are kept in subgraphs.json and an ended
run continues there.
"""
import argparse
import os
import time

import network_to_onnx
from interleave import (PEERS, SONAR, Lock, Peer, Runner, geometric_mean, load_peers, one_round, read_json, summarize,
                        write_json)

LARGE_US = 20


def compare(folder, case, peers, options):
    """Rounds of one subgraph, and the peers that failed."""
    key = case["name"]
    onnx = os.path.join(folder, "subgraphs", key + ".onnx")
    channels_last = os.path.join(folder, "subgraphs", key + ".nhwc.onnx")
    if not os.path.exists(channels_last):
        nodes = network_to_onnx.subgraph_nodes(key)
        weights = network_to_onnx.random_weights(nodes)
        network_to_onnx.to_onnx(nodes, weights, onnx)
        network_to_onnx.to_onnx(nodes, weights, channels_last, channels_last=True)
    notes, errors = load_peers(peers, {"onnx": onnx, "onnx_channels_last": channels_last, "graph": key,
                                       "cache": os.path.join(folder, "subgraphs")})
    measured = {name: peers[name] for name in notes}
    measured[SONAR] = Runner(case, options.core)
    rounds = [one_round(measured, case["burst_us"], r) for r in range(options.rounds)]
    return {"key": key, "occurrences": case["occurrences"], "notes": notes, "errors": errors, "rounds": rounds}


def table(results):
    names = [n for n in PEERS if any(n in r["us"] for r in results)]
    print("| subgraph | times | " + " | ".join(f"{n}, us" for n in names) + " | SONAR, us | fastest peer | speed-up | range |")
    print("|---" * (6 + len(names)) + "|")
    for r in sorted(results, key=lambda r: r["speedup"][r["fastest_peer"]][0]):
        ratio, low, high = r["speedup"][r["fastest_peer"]]
        print(f"| {r['key']} | {r['occurrences']} | " +
              " | ".join(f"{r['us'][n]:.1f}" if n in r["us"] else "-" for n in names) +
              f" | {r['us'][SONAR]:.1f} | {r['fastest_peer']} | {ratio:.2f} | {low:.2f} to {high:.2f} |")
    for what, chosen in ((f"SONAR above {LARGE_US} us", [r for r in results if r["us"][SONAR] > LARGE_US]),
                         ("all", results)):
        ratios = [r["speedup"][r["fastest_peer"]][0] for r in chosen]
        if ratios:
            print(f"\nGeometric mean, {what} ({len(ratios)} subgraphs): {geometric_mean(ratios):.2f} against the fastest "
                  f"peer of each; least {min(ratios):.2f}; {sum(r < 1 for r in ratios)} slower than a peer.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--systems", default=",".join(PEERS))
    parser.add_argument("--lock", default="")
    options = parser.parse_args()
    deadline = time.time() + 60 * options.minutes
    folder = options.folder.rstrip("/")
    os.makedirs(os.path.join(folder, "subgraphs"), exist_ok=True)
    path = os.path.join(folder, "subgraphs.json")
    cases_path = os.path.join(folder, "sonar", "cases.json")
    tuned = os.path.getmtime(cases_path)
    kept = [r for r in read_json(path, []) if r["tuned"] == tuned]
    done = {r["key"] for r in kept}
    cases = [c for c in read_json(cases_path)["cases"] if c["name"] != "network"]
    left_out = [c["name"] for c in cases if c["name"].split("-")[0] not in network_to_onnx.KINDS]
    cases = [c for c in cases if c["name"] not in left_out]
    if left_out:
        print(f"Not compared, kinds that have no model of their own here: {', '.join(left_out)}\n")
    peers = {name: Peer(name, options.core) for name in options.systems.split(",")}
    lock = Lock(options.lock)
    for case in cases:
        if case["name"] in done or time.time() > deadline:
            continue
        lock.take()
        kept.append({**compare(folder, case, peers, options), "tuned": tuned})
        write_json(path, kept)
    lock.give_back()
    for peer in peers.values():
        peer.close()
    results = [{**r, **summarize(r["rounds"])} for r in kept]
    results = [r for r in results if r["fastest_peer"]]
    if not results:
        raise SystemExit("nothing was measured in the time given; the same command goes on")
    table(results)


if __name__ == "__main__":
    main()
