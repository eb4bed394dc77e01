#!/usr/bin/env python3
"""Replays other search methods on a trace, with the ledgers of `sonar replay`; JSON as of `sonar replay --json`.

    search_peers.py TRACE... [--algorithms random,nsga2,...] [--speedups 8,34] [--seeds 20] [--out FOLDER]

Runs in .venv-search (install-search). How each method trains and how it spends the tuning ledger is in
docs/evaluation.md. One file TRACE.ALGORITHM.SPEEDUP.json each; what exists is not computed again.
"""
import argparse
import bisect
import heapq
import json
import logging
import math
import os
import sys
import warnings

import numpy as np
import trace_replay
from trace_replay import Replay, Trace, TraceError


def full_evaluations(replay, propose):
    """Trains network after network in full until the ledger cannot pay the next. propose() gives a network and a
    function that takes its (accuracy, latency)."""
    left = set(range(len(replay.trace.networks)))
    while left:
        network, tell = propose(left)
        left.remove(network)
        last = len(replay.trace.epochs[network]) - 1
        if not replay.default_programs(network) or not replay.train(network, last):
            break
        replay.keep_pace(network)
        tell(float(replay.trace.final_accuracy[network]), float(replay.latency(network)))
    return replay.finish()


def random_search(replay, seed):
    order = iter(np.random.default_rng(seed).permutation(len(replay.trace.networks)))
    return full_evaluations(replay, lambda left: (int(next(order)), lambda accuracy, latency: None))


def evaluations(replay):
    """Full trainings that the ledger pays, at the mean cost of a network."""
    return max(1, int(replay.train_budget / replay.trace.train_full.mean()))


def with_optuna(replay, sampler, seed, as_mapped):
    """Optuna proposes the features as ordinals; the nearest network that is left (L1 distance of ordinals, each scaled to 0..1; ties at
    random) takes their place. as_mapped: the sampler learns from the network's own features, not from those proposed."""
    import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    draw = np.random.default_rng(seed)
    choices = replay.trace.choices
    highest = choices.max(axis=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    space = {f"x{j}": optuna.distributions.IntDistribution(0, int(h)) for j, h in enumerate(highest)}

    def propose(left):
        trial = study.ask(space)
        wanted = np.array([trial.params[f"x{j}"] for j in range(len(highest))])
        candidates = np.array(sorted(left))
        distance = np.abs((choices[candidates] - wanted) / highest).sum(axis=1)
        network = int(draw.choice(candidates[distance <= distance.min() + 1e-12]))

        def tell(accuracy, latency):
            valid = latency < math.inf
            if valid and not as_mapped:
                study.tell(trial, [accuracy, latency])
                return
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            if valid:
                study.add_trial(optuna.trial.create_trial(
                    params={f"x{j}": int(v) for j, v in enumerate(choices[network])}, distributions=space,
                    values=[accuracy, latency]))
        return network, tell
    return full_evaluations(replay, propose)


def nsga2(replay, seed):
    import optuna
    population = int(np.clip(evaluations(replay) // 5, 4, 50))
    return with_optuna(replay, optuna.samplers.NSGAIISampler(population_size=population, seed=seed), seed, False)


def mo_tpe(replay, seed):
    import optuna
    startup = int(np.clip(evaluations(replay) // 4, 2, 10))
    return with_optuna(replay, optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed), seed, True)


def corrected_priority():
    from syne_tune.optimizer.schedulers.multiobjective import non_dominated_priority
    from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import NonDominatedPriority

    class RankPriority(NonDominatedPriority):
        """What the shipped class means to do: entry i is the place of item i, by front, and within a front by the
        epsilon net. The shipped one confuses ranks and orders twice (docs/evaluation.md)."""

        def priority_unsafe(self, objectives):
            places, done = np.empty(len(objectives), dtype=int), 0
            for inside in fronts(objectives):
                places[inside] = done + non_dominated_priority.compute_epsilon_net(objectives[inside], dim=self.dim)
                done += len(inside)
            return places
    return RankPriority()


def fronts(points):
    """Indices of the non-dominated fronts of two objectives, both minimised, the best front first, each in the order
    of the points. In O(n log n)."""
    x, y = points[:, 0].tolist(), points[:, 1].tolist()
    result, lowest, last = [], [], None  # lowest: y of each front so far; ascending, since each front dominates the next
    for i in sorted(range(len(x)), key=lambda i: (x[i], y[i])):
        if (x[i], y[i]) != last:  # equal points share a front
            last = (x[i], y[i])
            k = bisect.bisect_right(lowest, y[i])
            if k == len(lowest):
                result.append([])
                lowest.append(y[i])
            lowest[k] = y[i]
        result[k].append(i)
    return [sorted(front) for front in result]


def fast_nondominated_sort(X, dim=None, max_items=None):
    """The order that Syne Tune's nondominated_sort gives for two objectives, all fronts found in one sweep."""
    order = []
    for inside in fronts(X):
        order += [inside[k] for k in fast_epsilon_net(X[inside], dim)]
    return order[:max_items]


def fast_epsilon_net(X, dim=None):
    """The ranks that Syne Tune's compute_epsilon_net gives for two objectives, in O(n^2) instead of O(n^3). Plain
    loops: most fronts have a few points."""
    points = X.tolist()
    chosen = int(np.random.choice(len(points))) if dim is None else min(range(len(points)), key=lambda i: points[i][dim])
    ranks = [0] * len(points)
    left, nearest = list(range(len(points))), [math.inf] * len(points)
    for rank in range(1, len(points)):
        left.remove(chosen)
        (x, y), farthest = points[chosen], -1.0
        for i in left:
            dx, dy = points[i][0] - x, points[i][1] - y
            distance = math.sqrt(dx * dx + dy * dy)
            if distance < nearest[i]:
                nearest[i] = distance
            if nearest[i] > farthest:
                chosen, farthest = i, nearest[i]
        ranks[chosen] = rank
    return np.array(ranks)


def epoch_rows(trace, network):
    """The rows of its curve at whole epochs, and the last: after an epoch a trainer reports. Rows in between are for
    those who stop in between. A curve without whole epochs is in units of its own: all its rows."""
    epochs = trace.epochs[network][1:]
    rows = [i + 1 for i, epoch in enumerate(epochs) if epoch == round(epoch) or i + 1 == len(epochs)]
    return rows if len(rows) > 1 else list(range(1, len(epochs) + 1))


def moasha(replay, seed, priority=None, workers=8):
    """MOASHA with its default settings (rungs at 1, 3, 9, ... epochs), `workers` trials at a time."""
    logging.disable(logging.WARNING)
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective import multiobjective_priority, non_dominated_priority
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
    non_dominated_priority.compute_epsilon_net = fast_epsilon_net  # the same answers, sooner
    multiobjective_priority.nondominated_sort = fast_nondominated_sort
    np.random.seed(seed)  # the scheduler draws from the global generator
    trace = replay.trace
    reports = [epoch_rows(trace, i) for i in range(len(trace.networks))]
    scheduler = MOASHA(config_space={"network": 0}, metrics=["error", "latency"], time_attr="epoch",
                       max_t=max(len(r) for r in reports), multiobjective_priority=priority)
    reported = np.zeros(len(trace.networks), dtype=int)
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(trace.networks))]
    running = []

    def start(now):
        if order and replay.default_programs(order[-1]):
            network = order.pop()
            scheduler.on_trial_add(Trial(network, {"network": network}, None))
            heapq.heappush(running, (now + trace.train_seconds[network][reports[network][0]], network))

    for _ in range(workers):
        start(0.0)
    while running:
        now, network = heapq.heappop(running)
        row, last = reports[network][reported[network]], reports[network][-1]
        if not replay.train(network, row):
            continue  # this trial cannot be paid further; a cheaper one that runs may be
        replay.keep_pace(network)
        reported[network] += 1
        best = float(trace.accuracy[network][1:row + 1].max())
        result = {"error": 1 - best, "latency": replay.latency(network), "epoch": int(reported[network])}
        if result["latency"] == math.inf:  # no valid program: given up at once
            start(now)
            continue
        decision = scheduler.on_trial_result(Trial(network, {"network": network}, None), result)
        if decision == SchedulerDecision.CONTINUE and row < last:
            step = trace.train_seconds[network][reports[network][reported[network]]] - trace.train_seconds[network][row]
            heapq.heappush(running, (now + step, network))
        else:
            start(now)
    return replay.finish()


def moasha_corrected(replay, seed):
    return moasha(replay, seed, corrected_priority())


def accuracy_halving(replay, seed, eta=3):
    """Synchronous successive halving on accuracy: levels at 1/27, 1/9, 1/3 and all of training, by the nearest rows. Each
    gets an equal share of the training ledger; what it leaves is shared by the later ones. The tuning ledger is spent at
    the end, on the finalists."""
    trace = replay.trace
    grid = max(trace.epochs, key=len)
    rows = sorted({1 + int(np.abs(grid[1:] - grid[-1] / eta ** k).argmin()) for k in range(4)})

    def dearest_step():
        return max(np.diff(s[np.minimum([0, *rows], len(s) - 1)]).max() for s in trace.train_seconds)
    # The lowest levels are left out where a share might not pay a step of the dearest network: the last is reached.
    while len(rows) > 1 and replay.train_budget / len(rows) < dearest_step():
        rows.pop(0)
    alive = [int(i) for i in np.random.default_rng(seed).permutation(len(trace.networks))]
    for k, row in enumerate(rows):
        end = replay.train_spent + (replay.train_budget - replay.train_spent) / (len(rows) - k)
        # The best first; one that the share no longer pays is passed over for the next that it does. No cap at a third
        # (docs/evaluation.md says what either would change).
        alive = [i for i in alive if replay.train(i, row, end)]
        seen = replay.accuracies()
        alive.sort(key=lambda i: -seen[i])
    finalists = [i for i in alive if replay.default_programs(i)]
    if finalists:
        replay.tune(np.unique(np.concatenate([trace.members[i] for i in finalists])), math.inf)
    accuracy = np.full(len(trace.networks), math.nan)
    accuracy[finalists] = replay.accuracies()[finalists]
    return trace_replay.front(accuracy, replay.latencies())


ALGORITHMS = {"random": random_search, "nsga2": nsga2, "mo-tpe": mo_tpe, "moasha-shipped": moasha,
              "moasha-corrected": moasha_corrected, "halving-accuracy": accuracy_halving}


def mean_of(runs):
    """Means over the runs that have the value; half widths of 95 % confidence intervals of the mean (Student's t)."""
    from scipy.stats import t
    mean, half = {}, {}
    for key in runs[0]:
        if key in ("seed", "networks", "rounds"):
            continue
        values = [r[key] for r in runs if r.get(key) is not None]
        mean[key] = float(np.mean(values)) if values else None
        n = len(values)
        half[key] = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else None
    return mean, half


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="+")
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS))
    parser.add_argument("--speedups", default="2,4,8,17,34,100")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", default="runs/peers")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    wanted = arguments.algorithms.split(",")
    for name in wanted:
        if name not in ALGORITHMS:
            sys.exit(f"search_peers: error: no algorithm '{name}'; there are {', '.join(ALGORITHMS)}")
    os.makedirs(arguments.out, exist_ok=True)
    for folder in arguments.traces:
        try:
            trace = Trace(folder)
        except TraceError as error:
            sys.exit(f"search_peers: error: {error}")
        for speedup in arguments.speedups.split(","):
            for name in wanted:
                path = os.path.join(arguments.out, f"{trace.name}.{name}.{speedup}.json")
                if os.path.exists(path):
                    continue
                runs = []
                for seed in range(arguments.seeds):
                    replay = Replay(trace, float(speedup))
                    survivors = ALGORITHMS[name](replay, seed)
                    runs.append({"seed": seed, **trace_replay.metrics(replay, survivors)})
                mean, half = mean_of(runs)
                with open(path + ".part", "w") as file:
                    json.dump({"trace": trace.name, "algorithm": name, "speedup": float(speedup), "runs": runs,
                               "mean": mean, "half_width_95": half}, file, indent=1)
                os.replace(path + ".part", path)
                print(trace.name, name, speedup, {k: round(v, 3) for k, v in mean.items() if v is not None}, flush=True)


if __name__ == "__main__":
    main()
