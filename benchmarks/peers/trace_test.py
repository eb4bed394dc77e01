#!/usr/bin/env python3
"""Tests of trace_replay.py and of what search_peers.py says about Syne Tune. Runs in .venv-search.

    trace_test.py [--sonar BINARY --trace FOLDER]     with these, metrics are also compared with `sonar replay`
"""
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock

import numpy as np
import search_peers
import trace_replay
from trace_replay import Replay, Trace

OPTIONS = {}


def small_trace():
    """a: 1 ms, 0.6; b: 2 ms, 0.8; c: 3 ms, 0.7 (dominated); d: no valid program. x is shared by a, b and c."""
    folder = tempfile.mkdtemp()
    def write(name, text):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    write("networks.csv", "network,subgraphs,chance,size\na,x:1,0.1,1\nb,x:1;y:1,0.1,2\nc,x:1;y:2,0.1,3\nd,z:1,0.1,4\n")
    write("training.csv", "network,epoch,val_accuracy,seconds\n" + "".join(
        f"{n},{e},{v},{10 * e}\n" for n, values in
        {"a": (0.6, 0.5), "b": (0.3, 0.8), "c": (0.5, 0.7), "d": (0.9, 0.9)}.items() for e, v in enumerate(values, 1)))
    write("tuning.csv", "subgraph,programs,latency_us,seconds\nx,1,3000,1\nx,5,1000,5\ny,1,,1\ny,2,1500,2\ny,4,1000,4\nz,1,,1\n")
    return Trace(folder)


class Metrics(unittest.TestCase):
    def test_true_front_leaves_out_what_is_dominated_or_has_no_program(self):
        trace = small_trace()
        self.assertEqual([trace.networks[i] for i in trace_replay.true_front(trace)], ["a", "b"])

    def test_gap_counts_misses_apart(self):
        trace = small_trace()
        gap, with_misses, misses = trace_replay.average_gap(trace, np.array([math.nan, 0.5, math.nan, 0.9]))
        self.assertAlmostEqual(gap, 30)  # b: 0.8 - 0.5; a has nothing as fast; d is never fast enough
        self.assertEqual(misses, 1)
        self.assertAlmostEqual(with_misses, (30 + 50) / 2)  # a: 0.6 - 0.1

    def test_hypervolume_ratio(self):
        trace = small_trace()  # reference (0.6, 3 ms): a spans nothing, b spans 1 ms x 0.2
        self.assertEqual(trace_replay.hypervolume_ratio(trace, [1]), 1.0)
        self.assertEqual(trace_replay.hypervolume_ratio(trace, [0, 2]), 0.0)

    def test_kendall_tau(self):
        self.assertEqual(trace_replay.kendall_tau([1, 2, 3], [1, 2, 3]), 1.0)
        self.assertAlmostEqual(trace_replay.kendall_tau([1, 2, 3], [1, 3, 2]), 1 / 3)
        self.assertAlmostEqual(trace_replay.kendall_tau([1, 2, 2], [1, 2, 3]), 2 / math.sqrt(2 * 3))
        self.assertAlmostEqual(trace_replay.kendall_tau([1, math.inf, math.inf], [1, 2, 3]), 2 / math.sqrt(2 * 3))
        self.assertIsNone(trace_replay.kendall_tau([1, 1], [1, 2]))

    @unittest.skipUnless("--sonar" in sys.argv, "no --sonar given")
    def test_agrees_with_sonar_replay(self):
        trace = Trace(OPTIONS["trace"])
        command = [OPTIONS["sonar"], "replay", OPTIONS["trace"], "--algorithm", "random", "--speedup", "8", "--seeds", "5", "--json"]
        data = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.assertAlmostEqual(data["brute_force"]["train_s"] / trace.train_total, 1, places=6)
        self.assertAlmostEqual(data["brute_force"]["tune_s"] / trace.tune_total, 1, places=6)
        self.assertEqual(data["true_front"], len(trace_replay.true_front(trace)))
        for run in data["runs"]:
            chosen = np.full(len(trace.networks), math.nan)
            which = [trace.networks.index(n) for n in run["networks"]]
            chosen[which] = trace.final_accuracy[which]
            gap, with_misses, misses = trace_replay.average_gap(trace, chosen)
            self.assertEqual(misses, run["misses"])
            self.assertAlmostEqual(gap, run["selected"], places=6)
            self.assertAlmostEqual(with_misses, run["selected_with_misses"], places=6)
            self.assertAlmostEqual(trace_replay.hypervolume_ratio(trace, which), run["hypervolume_ratio"], places=6)


class Ledgers(unittest.TestCase):
    def test_a_shared_subgraph_is_paid_once(self):
        replay = Replay(small_trace(), 1)
        self.assertTrue(replay.default_programs(0))
        self.assertEqual(replay.tune_spent, 1)
        self.assertTrue(replay.default_programs(1))  # x is there; y's first valid program is its second
        self.assertEqual(replay.tune_spent, 3)
        replay.tune(replay.trace.members[1], 100)
        self.assertEqual(replay.tune_spent, 9)
        self.assertEqual(replay.latency(2), 3000)

    def test_training_is_resumed_and_refused_beyond_the_budget(self):
        replay = Replay(small_trace(), 4)  # 20 s of 80
        self.assertTrue(replay.train(1, 1))
        self.assertTrue(replay.train(1, 2))
        self.assertEqual(replay.train_spent, 20)
        self.assertFalse(replay.train(0, 1))
        self.assertEqual(replay.train_spent, 20)

    def test_no_peer_overspends_or_returns_what_it_has_not_trained(self):
        trace = small_trace()
        for name, algorithm in search_peers.ALGORITHMS.items():
            for speedup in (1, 2, 8):
                with self.subTest(algorithm=name, speedup=speedup):
                    replay = Replay(trace, speedup)
                    survivors = algorithm(replay, 3)
                    self.assertLessEqual(replay.train_spent, replay.train_budget * 1.000001)
                    self.assertLessEqual(replay.tune_spent, replay.tune_budget * 1.000001)
                    self.assertTrue(all(replay.row[i] > 0 for i in survivors))

    def test_halving_gives_its_levels_equal_shares(self):
        for speedup, expected in ((12, [75, 37, 10, 4]),  # 300 epochs: 75, 74, 70, and 80 of the 81 that are left
                                  (6, [120, 80, 22, 8]),  # 600: 120 of 150, then 160, 154 of 160, 160 of 166
                                  (1, [120] * 4)):
            replay = Replay(wide_trace(), speedup)
            search_peers.accuracy_halving(replay, 0)
            self.assertEqual([int((replay.row >= row).sum()) for row in (1, 3, 10, 30)], expected)

    def test_halving_reaches_the_last_level_where_accurate_networks_cost_more(self):
        trace = dear_trace()
        replay = Replay(trace, 5)  # 324 s, four shares of 81
        survivors = search_peers.accuracy_halving(replay, 0)
        # All begin: 60 s. Of 88: 10 dear ones, 4 cheap ones. Of 88: 3 and 2, 84 s. Of 92: 1 and 1, 90 s.
        self.assertEqual([int((replay.row >= row).sum()) for row in (1, 2, 3, 4)], [30, 14, 5, 2])
        self.assertAlmostEqual(replay.train_spent, 322)
        self.assertEqual(sorted(survivors), [0, 10])  # the best of either kind
        dearest = trace.train_full.max()
        for budget in [*dearest * np.array([1, 1.2, 1.4, 2, 2.5, 3, 5]), trace.train_total]:
            for seed in range(10):
                replay = Replay(trace, trace.train_total / budget)
                search_peers.accuracy_halving(replay, seed)
                self.assertTrue((replay.row == 4).any(), budget)
                self.assertLessEqual(replay.train_spent, replay.train_budget * 1.000001)

    def test_the_whole_budget_finds_the_whole_front(self):
        trace = Trace(good_trace())
        replay = Replay(trace, 1)
        result = trace_replay.metrics(replay, search_peers.random_search(replay, 0))
        self.assertEqual((result["selected"], result["achieved"], result["misses"]), (0.0, 0.0, 0))
        self.assertAlmostEqual(result["hypervolume_ratio"], 1)
        self.assertAlmostEqual(result["kendall_tau"], 1)


def good_trace():
    """Two networks, both on the front."""
    folder = tempfile.mkdtemp()
    for name, text in {
            "networks.csv": "network,subgraphs\na,x:1\nb,x:1;y:1\n",
            "training.csv": "network,epoch,val_accuracy,seconds\na,1,0.5,10\nb,1,0.6,20\n",
            "tuning.csv": "subgraph,programs,latency_us,seconds\nx,1,30,1\nx,5,10,5\ny,1,10,1\n"}.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    return folder


def trace_of(networks, training, tuning):
    """A trace of these rows; networks have a feature, their size."""
    folder = tempfile.mkdtemp()
    for name, header, rows in (("networks.csv", "network,subgraphs,size", networks),
                               ("training.csv", "network,epoch,val_accuracy,seconds", training),
                               ("tuning.csv", "subgraph,programs,latency_us,seconds", tuning)):
        with open(os.path.join(folder, name), "w") as file:
            file.write("\n".join([header] + rows) + "\n")
    return Trace(folder)


def wide_trace():
    """120 networks of one subgraph each, 30 epochs, whose early accuracies say something about the later ones."""
    draw = np.random.default_rng(3)
    final, speed = draw.uniform(0.5, 0.9, 120), draw.uniform(1, 8, 120)
    return trace_of(
        [f"n{i},s{i}:1,{i}" for i in range(120)],
        [f"n{i},{e},{final[i] * (1 - math.exp(-e / speed[i])):.4f},{e}" for i in range(120) for e in range(1, 31)],
        [f"s{i},{p},{100 * final[i] ** 3 * draw.uniform(0.8, 1.2) / p:.3f},{p}" for i in range(120) for p in (1, 2, 4)])


def dear_trace():
    """Ten networks of 4 s an epoch, then twenty of 1 s; each is a little less accurate than the one before, and faster."""
    return trace_of(
        [f"n{i},s{i}:1,{i}" for i in range(30)],
        [f"n{i},{e},{0.9 - i / 50},{e * (4 if i < 10 else 1)}" for i in range(30) for e in (1, 3, 9, 27)],
        [f"s{i},1,{100 - i},1" for i in range(30)])


class SyneTune(unittest.TestCase):
    # Fronts {1, 2, 3}, {4}, {0}.
    POINTS = np.array([[5.0, 5.0], [1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0]])

    def setUp(self):
        from syne_tune.optimizer.schedulers.multiobjective import multiobjective_priority, non_dominated_priority
        for module, name in ((multiobjective_priority, "nondominated_sort"), (non_dominated_priority, "compute_epsilon_net")):
            shipped = unittest.mock.patch.object(module, name, getattr(SHIPPED, name))  # other tests have replaced it
            shipped.start()
            self.addCleanup(shipped.stop)

    def test_the_shipped_priorities_are_an_order_and_not_ranks(self):
        from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import NonDominatedPriority
        shipped = NonDominatedPriority()(self.POINTS)
        self.assertEqual(shipped.tolist()[3:], [4, 0])  # entry k is the item in place k ...
        self.assertEqual(shipped.argmin(), 4)  # ... so that item 4 comes first, before item 2, which dominates it

    def test_the_shipped_order_within_a_front_takes_ranks_for_an_order(self):
        line = np.array([[0.0, 10.0], [1.0, 9.0], [5.0, 5.0], [10.0, 0.0]])  # one front
        # The net starts at 0; 3 is farthest from it, then 2, which is far from both, then 1.
        self.assertEqual(SHIPPED.compute_epsilon_net(line, dim=0).tolist(), [0, 3, 2, 1])  # ranks; here also an order
        line = line[[2, 0, 1, 3]]  # the same net is now 1, 3, 0, 2
        self.assertEqual(SHIPPED.compute_epsilon_net(line, dim=0).tolist(), [2, 0, 3, 1])
        self.assertEqual(SHIPPED.nondominated_sort(line, dim=0), [2, 0, 3, 1])  # should be 1, 3, 0, 2

    def test_the_corrected_priorities_are_ranks(self):
        draw = np.random.default_rng(1)
        for _ in range(100):
            points = draw.random((draw.integers(2, 30), 2))
            places = search_peers.corrected_priority()(points)
            self.assertEqual(sorted(places), list(range(len(points))))
            for i, j in itertools.permutations(range(len(points)), 2):
                if (points[i] < points[j]).all():
                    self.assertLess(places[i], places[j])
            best = np.flatnonzero(SHIPPED.pareto_efficient(points))
            self.assertEqual(places.argmin(), best[points[best, 0].argmin()])  # the net's first item

    def test_the_faster_functions_give_the_same(self):
        draw = np.random.default_rng(0)
        for round in range(300):
            points = draw.random((draw.integers(1, 60), 2)) * [1, 1000]
            if round % 3 == 0:  # with ties and equal points
                points = draw.integers(0, 12, points.shape).astype(float)
            for dim in (0, 1):
                np.testing.assert_array_equal(search_peers.fast_epsilon_net(points, dim), SHIPPED.compute_epsilon_net(points, dim))
                for most in (None, 7):
                    self.assertEqual(search_peers.fast_nondominated_sort(points, dim, most), SHIPPED.nondominated_sort(points, dim, most))
            np.random.seed(round)
            expected = SHIPPED.nondominated_sort(points)  # draws the first item of each front
            np.random.seed(round)
            self.assertEqual(search_peers.fast_nondominated_sort(points), expected)

    def test_fronts_are_peeled_one_by_one(self):
        draw = np.random.default_rng(2)
        for _ in range(100):
            points = draw.integers(0, 12, (draw.integers(1, 60), 2)).astype(float)
            left, peeled = np.arange(len(points)), []
            while len(left):
                mask = SHIPPED.pareto_efficient(points[left])
                peeled.append(left[mask].tolist())
                left = left[~mask]
            self.assertEqual(search_peers.fronts(points), peeled)

    def test_moasha_replayed_with_the_shipped_functions_is_the_same(self):
        from syne_tune.optimizer.schedulers.multiobjective import multiobjective_priority, non_dominated_priority
        trace, names = wide_trace(), ("fast_nondominated_sort", "fast_epsilon_net")
        for name in ("moasha-shipped", "moasha-corrected"):
            results = []
            for functions in ((SHIPPED.nondominated_sort, SHIPPED.compute_epsilon_net),
                              tuple(getattr(search_peers, n) for n in names)):
                with unittest.mock.patch.multiple(search_peers, **dict(zip(names, functions))):
                    replay = Replay(trace, 3)
                    results.append(trace_replay.metrics(replay, search_peers.ALGORITHMS[name](replay, 5)))
                self.assertIs(multiobjective_priority.nondominated_sort, functions[0])
                self.assertIs(non_dominated_priority.compute_epsilon_net, functions[1])
            self.assertEqual(*results)


if __name__ == "__main__":
    from syne_tune.optimizer.schedulers.multiobjective import non_dominated_priority
    SHIPPED = types.SimpleNamespace(**vars(non_dominated_priority))  # as it is before search_peers.py replaces functions
    for option in ("sonar", "trace"):
        if "--" + option in sys.argv:
            OPTIONS[option] = sys.argv[sys.argv.index("--" + option) + 1]
    unittest.main(argv=[sys.argv[0]] + (["-v"] if "-v" in sys.argv else []))
