"""A trace in memory, two ledgers on it, and the metrics of a search (definitions: docs/evaluation.md).

Only numpy. `Replay` is what an algorithm may touch: it trains and tunes by looking curves up, and charges the ledgers.
"""
import csv
import gzip
import math
import os

import numpy as np

# Columns of networks.csv that follow from the architecture: no choice of a search, so not offered to optimisers.
DERIVED = {"chance", "test_accuracy", "macs", "params", "depth", "proxy_latency_us"}


class TraceError(Exception):
    """A trace that cannot be read; the message names the place and the remedy."""


def _rows(folder, name):
    path = os.path.join(folder, name)
    for candidate, opener in ((path, open), (path + ".gz", gzip.open)):
        if os.path.exists(candidate):
            with opener(candidate, "rt", newline="") as file:
                yield from csv.DictReader(file)
            return
    raise TraceError(f"{path} is missing; a trace is a folder with networks.csv, training.csv and tuning.csv")


class Trace:
    """N networks and S subgraphs.

    accuracy, train_seconds: per network an array over its rows, the first of which is the start (chance, 0 s).
    occurrences: [N, S]. tune_seconds, tune_latency: per subgraph its rows from the first valid program on (s, us).
    choices: [N, F], features that a search may choose, as indices into their sorted distinct values.
    """

    def __init__(self, folder):
        self.name = os.path.basename(os.path.normpath(folder))
        networks = list(_rows(folder, "networks.csv"))
        self.networks = [r["network"] for r in networks]
        training = {name: [] for name in self.networks}
        for number, row in enumerate(_rows(folder, "training.csv"), 2):
            if row["network"] not in training:
                raise TraceError(f"{folder}/training.csv line {number}: no network '{row['network']}' in networks.csv")
            training[row["network"]].append((float(row["epoch"]), float(row["val_accuracy"]), float(row["seconds"])))
        tuning = {}
        for row in _rows(folder, "tuning.csv"):
            tuning.setdefault(row["subgraph"], []).append(
                (float(row["programs"]), float(row["latency_us"] or "inf"), float(row["seconds"])))
        self.epochs, self.accuracy, self.train_seconds = [], [], []
        for row in networks:
            curve = sorted(training[row["network"]])
            if not curve:
                raise TraceError(f"{folder}/training.csv: network '{row['network']}' has no row; give it one or remove it")
            chance = float(row.get("chance") or 0)
            self.epochs.append(np.array([0.0] + [c[0] for c in curve]))
            self.accuracy.append(np.array([chance] + [c[1] for c in curve]))
            self.train_seconds.append(np.array([0.0] + [c[2] for c in curve]))
        used = sorted({part.rsplit(":", 1)[0] for r in networks for part in r["subgraphs"].split(";")})
        for key in used:
            if key not in tuning:
                raise TraceError(f"{folder}/tuning.csv: subgraph '{key}' of networks.csv has no row")
        column = {key: j for j, key in enumerate(used)}
        self.occurrences = np.zeros((len(networks), len(used)))
        for i, row in enumerate(networks):
            for part in row["subgraphs"].split(";"):
                key, count = part.rsplit(":", 1)
                self.occurrences[i, column[key]] += int(count)
        self.tune_seconds, self.tune_latency, full = [], [], []
        for key in used:
            curve = sorted(tuning[key])
            full.append(curve[-1][2])
            valid = [c for c in curve if c[1] < math.inf]
            self.tune_seconds.append(np.array([c[2] for c in valid]))
            self.tune_latency.append(np.array([c[1] for c in valid]))
        self.tune_full = np.array(full)  # seconds of all programs of each subgraph
        self.tune_first = np.array([s[0] if len(s) else f for s, f in zip(self.tune_seconds, full)])
        ends = np.array([t[-1] if len(t) else math.inf for t in self.tune_latency])
        self.final_latency = np.array([float(o[o > 0] @ ends[o > 0]) for o in self.occurrences])
        self.final_accuracy = np.array([a[1:].max() for a in self.accuracy])
        self.train_full = np.array([s[-1] for s in self.train_seconds])
        self.train_total, self.tune_total = float(self.train_full.sum()), float(self.tune_full.sum())
        self.members = [np.flatnonzero(o) for o in self.occurrences]
        names = [n for n in networks[0] if n not in DERIVED | {"network", "subgraphs"}]
        columns = []
        for name in names:
            values = [r[name] for r in networks]
            distinct = sorted(set(values), key=lambda v: (0, float(v), "") if _is_number(v) else (1, 0.0, v))
            if len(distinct) > 1:
                columns.append([distinct.index(v) for v in values])
        if not columns:  # no features: the only choice is which network
            columns = [list(range(len(networks)))]
        self.choices = np.array(columns).T


def _is_number(text):
    try:
        float(text)
        return True
    except ValueError:
        return False


class Replay:
    """What a search has paid for on a trace; budget = brute force / speedup, on each of two ledgers (seconds).

    Brute force trains each network in full and tunes each unique subgraph once, in full.
    """

    def __init__(self, trace, speedup):
        self.trace = trace
        self.train_budget, self.tune_budget = trace.train_total / speedup, trace.tune_total / speedup
        self.train_spent = self.tune_spent = 0.0
        self.row = np.zeros(len(trace.networks), dtype=int)  # last row of its curve that each network has reached
        self.tuned = np.zeros(len(trace.tune_full))  # seconds spent on each subgraph

    def train(self, network, row, end=math.inf):
        """Trains to a row of the curve (at most its last). False, and nothing paid, if the ledger cannot pay, or not
        without more than `end` being spent."""
        seconds = self.trace.train_seconds[network]
        row = min(row, len(seconds) - 1)
        cost = max(0.0, seconds[row] - seconds[self.row[network]])
        if self.train_spent + cost > min(end, self.train_budget) * (1 + 1e-9):
            return False
        self.train_spent += cost
        self.row[network] = max(row, self.row[network])
        return True

    def default_programs(self, network):
        """Pays the first valid program of each subgraph. False, and nothing paid, if the ledger cannot pay."""
        which = self.trace.members[network]
        cost = np.maximum(0, self.trace.tune_first[which] - self.tuned[which]).sum()
        if self.tune_spent + cost > self.tune_budget * (1 + 1e-9):
            return False
        self.tune_spent += cost
        self.tuned[which] = np.maximum(self.tuned[which], self.trace.tune_first[which])
        return True

    def tune(self, subgraphs, seconds):
        """Raises the subgraphs to the highest common fraction of their full tuning that `seconds` pays."""
        seconds = min(seconds, self.tune_budget - self.tune_spent)
        if seconds <= 0 or len(subgraphs) == 0:
            return
        full, have = self.trace.tune_full[subgraphs], self.tuned[subgraphs]
        cost = lambda level: np.maximum(0, level * full - have).sum()
        low, high = 0.0, 1.0
        if cost(1.0) > seconds:
            for _ in range(40):
                middle = (low + high) / 2
                low, high = (middle, high) if cost(middle) <= seconds else (low, middle)
        else:
            low = 1.0
        self.tune_spent += cost(low)
        self.tuned[subgraphs] = np.maximum(have, low * full)

    def keep_pace(self, network):
        """Spends on a network's subgraphs what brings the tuning ledger level with the training ledger."""
        self.tune(self.trace.members[network],
                  self.tune_budget * self.train_spent / self.train_budget - self.tune_spent)

    def accuracies(self):
        """Best accuracy observed by each network; NaN where it was not trained."""
        return np.array([a[1:r + 1].max() if r else math.nan for a, r in zip(self.trace.accuracy, self.row)])

    def latency(self, network):
        """The network's latency from the programs tried (us); infinite without a valid one for each subgraph."""
        return sum(self.trace.occurrences[network, s] * self._subgraph(s) for s in self.trace.members[network])

    def latencies(self):
        """latency() of every network."""
        now = np.array([self._subgraph(s) for s in range(len(self.tuned))])
        return np.array([float(o[m] @ now[m]) for o, m in zip(self.trace.occurrences, self.trace.members)])

    def _subgraph(self, s):
        seconds = self.trace.tune_seconds[s]
        if len(seconds) == 0 or self.tuned[s] < seconds[0] * (1 - 1e-9):
            return math.inf
        return float(np.interp(self.tuned[s], seconds, self.trace.tune_latency[s]))

    def estimated_front(self):
        """The trained networks that are not dominated by the estimates at this time."""
        accuracy, latency = self.accuracies(), self.latencies()
        return [i for i in front(accuracy, latency) if not math.isnan(accuracy[i]) and latency[i] < math.inf]

    def finish(self):
        """Spends what is left of the tuning ledger on the estimated front; returns that front afterwards."""
        survivors = self.estimated_front()
        if survivors:
            self.tune(np.unique(np.concatenate([self.trace.members[i] for i in survivors])), math.inf)
        return self.estimated_front()


def front(accuracy, latency):
    """Indices of non-dominated points, fastest first; equal points are all kept; NaN is never on the front."""
    order = sorted((i for i in range(len(accuracy)) if not math.isnan(accuracy[i])), key=lambda i: (latency[i], -accuracy[i]))
    result, best, at = [], -math.inf, math.nan
    for i in order:
        if accuracy[i] > best:
            result.append(i)
            best, at = accuracy[i], latency[i]
        elif accuracy[i] == best and latency[i] == at:
            result.append(i)
    return result


def true_front(trace):
    """The networks that brute force would return, fastest first; without a valid program there is no latency."""
    return front(np.where(np.isfinite(trace.final_latency), trace.final_accuracy, math.nan), trace.final_latency)


def average_gap(trace, accuracy):
    """Paper, section 4.4. `accuracy`: one value per network, NaN for those that do not count.

    Returns (mean gap over the networks p of the true front that have one at or under p's latency, None if there is no
    such p; the mean over all p, where one that is missed counts with its accuracy less chance; misses). Percent points.
    """
    gaps, missed = [], []
    for p in true_front(trace):
        within = accuracy[(trace.final_latency <= trace.final_latency[p]) & ~np.isnan(accuracy)]
        if len(within):
            gaps.append(100 * (trace.final_accuracy[p] - within.max()))
        else:
            missed.append(100 * (trace.final_accuracy[p] - trace.accuracy[p][0]))
    return (float(np.mean(gaps)) if gaps else None), float(np.mean(gaps + missed)), len(missed)


def hypervolume(accuracy, latency, worst_accuracy, worst_latency):
    """Area dominated in (accuracy up, latency down), bounded by a reference point that is no better than any point."""
    area, best = 0.0, worst_accuracy
    for i in front(np.asarray(accuracy), np.asarray(latency)):
        if accuracy[i] > best and latency[i] < worst_latency:
            area += (worst_latency - latency[i]) * (accuracy[i] - best)
            best = accuracy[i]
    return area


def kendall_tau(a, b):
    """Kendall's tau-b; None when fewer than two values differ in each."""
    below = np.tril_indices(len(a), -1)
    order = lambda v: (np.greater.outer(v, v).astype(int) - np.less.outer(v, v))[below]  # infinities are ties
    s, t = order(a), order(b)
    scale = math.sqrt(float(np.count_nonzero(s)) * float(np.count_nonzero(t)))
    return float((s * t).sum() / scale) if scale else None


def hypervolume_ratio(trace, networks):
    """Hypervolume of the networks' final values over the true front's. Reference: lowest final accuracy, highest
    final latency of the trace."""
    finite = np.isfinite(trace.final_latency)
    reference = (trace.final_accuracy[finite].min(), trace.final_latency[finite].max())
    volume = lambda which: hypervolume(trace.final_accuracy[which], trace.final_latency[which], *reference)
    whole = volume(true_front(trace))
    return volume(np.array(networks, dtype=int)) / whole if whole > 0 else 1.0


def metrics(replay, survivors):
    """One run's entry of the JSON; gaps in percent points, spent as fractions of brute force."""
    trace = replay.trace
    observed = replay.accuracies()
    achieved, achieved_all, achieved_misses = average_gap(trace, observed)
    chosen = np.full(len(observed), math.nan)
    chosen[survivors] = trace.final_accuracy[survivors]
    selected, selected_all, misses = average_gap(trace, chosen)
    trained = np.flatnonzero(replay.row > 0)
    return {"selected": selected, "achieved": achieved, "misses": misses, "achieved_misses": achieved_misses,
            "selected_with_misses": selected_all, "achieved_with_misses": achieved_all, "survivors": len(survivors),
            "hypervolume_ratio": hypervolume_ratio(trace, survivors),
            "kendall_tau": kendall_tau(replay.latencies()[trained], trace.final_latency[trained]),
            "train_spent": replay.train_spent / trace.train_total, "tune_spent": replay.tune_spent / trace.tune_total,
            "candidates": len(trained), "networks": [trace.networks[i] for i in survivors]}
