#!/usr/bin/env python3
"""An outside tuner for SONAR: TVM MetaSchedule, spoken to over JSON lines (docs/tuners.md).

usage, in a configuration: search.tuner = "benchmarks/peers/.venv-tvm/bin/python examples/tuners/tvm_tuner.py"
options: --generation N   programs that one run of the evolutionary search proposes (default 32)
         --population N   of the evolutionary search (default 512, as in TVM); it is most of what a trial costs

Trial 0 of a subgraph is its plain loop nest, as TVM compiles it without a schedule. The others come from MetaSchedule's
evolutionary search with its XGBoost cost model, built and timed by TVM's own builder and runner: of what they compute
TVM checks nothing, and weights lie in the layout that each program wants. Programs are kept in the folder that SONAR
names, so that they can be measured again and so that a later process starts from them.
"""
import argparse
import functools
import json
import os
import shutil
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../benchmarks/peers"))

PROTOCOL = 1
MOST_TRIALS = 16384
SAMPLES, SAMPLE_MS = 3, 10
BUILD_S = 60   # the longest that a program may build
BUILDS = 200   # by one worker process


class Refusal(Exception):
    """What makes this tuner of no use for the run."""


class Failure(Exception):
    """A program without a latency: a cause that SONAR knows, and the message."""

    def __init__(self, cause, message):
        super().__init__(message)
        self.cause = cause


def build_one(module, target):
    """In a worker process: the path of the built program."""
    from tvm.s_tir.meta_schedule.builder import local_builder
    return local_builder.default_export(local_builder.default_build(module, target, None))


class Machine:
    """Builds on some cores, measures on others."""

    def __init__(self, hello):
        from tvm.s_tir import meta_schedule as ms
        from tvm.support.popen_pool import PopenPoolExecutor
        from tvm_subgraphs import host_target
        self.target = host_target(hello["threads"])
        self.building = len(hello["building_cores"])
        pinned = lambda cores: functools.partial(os.sched_setaffinity, 0, set(cores))
        # TVM's LocalBuilder starts its workers anew for every batch, which takes longer than a small batch. These serve
        # longer, and end in time, for they grow.
        self.builders = PopenPoolExecutor(max_workers=self.building, timeout=BUILD_S, maximum_process_uses=BUILDS,
                                          initializer=pinned(hello["building_cores"]))
        self.runner = ms.runner.LocalRunner(
            evaluator_config=ms.runner.EvaluatorConfig(number=1, repeat=SAMPLES, min_repeat_ms=SAMPLE_MS,
                                                       enable_cpu_cache_flush=False),
            initializer=pinned(hello["timing_cores"][:hello["threads"]]))

    def build(self, modules):
        """For each its path, or a Failure."""
        from tvm.support.popen_pool import StatusKind
        built = []
        for result in self.builders.map_with_error_catching(functools.partial(build_one, target=self.target), modules):
            if result.status == StatusKind.COMPLETE:
                built.append(result.value)
            elif result.status == StatusKind.TIMEOUT:
                built.append(Failure("compile timeout", f"took longer than {BUILD_S} s"))
            else:
                built.append(Failure("compile error", str(result.value)))
        return built

    def run(self, module, built):
        """TVM's result. Raises Failure."""
        from tvm.s_tir import meta_schedule as ms
        if isinstance(built, Failure):
            raise built
        arguments = ms.arg_info.ArgInfo.from_entry_func(module, remove_preproc=True)
        future, = self.runner.run([ms.runner.RunnerInput(built, "cpu", arguments)])
        result = future.result()
        shutil.rmtree(os.path.dirname(built), ignore_errors=True)
        if result.error_msg:
            raise Failure("run timeout" if "Timeout" in result.error_msg else "crash", str(result.error_msg))
        return result


class Session:
    """The search over one subgraph's programs."""

    def __init__(self, key, machine, folder, options, seed):
        from tvm.s_tir import meta_schedule as ms
        from tvm_subgraphs import subgraph_function
        function, _ = subgraph_function(key)
        self.context = ms.TuneContext(mod=function, target=machine.target, space_generator="post-order-apply",
                                      search_strategy=ms.search_strategy.EvolutionarySearch(population_size=options.population),
                                      task_name=key, rand_state=1 + seed % (2**31 - 2),
                                      num_threads=machine.building)
        self.machine, self.folder, self.generation = machine, folder, options.generation
        os.makedirs(folder, exist_ok=True)
        self.database = ms.database.JSONDatabase(work_dir=folder, module_equality="structural")
        self.model = ms.cost_model.CostModel.create("xgb", num_tuning_cores=machine.building, tree_method="auto")
        self.begun = False
        self.candidates, self.results = [], []  # of this generation: proposed; measured, as far as they are

    def path(self, trial):
        return os.path.join(self.folder, f"{trial}.json")

    def keep(self, trial, module):
        import tvm
        with open(self.path(trial), "w") as file:
            file.write(tvm.ir.save_json(module))

    def measure_again(self, trial):
        import tvm
        with open(self.path(trial)) as file:
            module = tvm.ir.load_json(file.read())
        return self.machine.run(module, self.machine.build([module])[0])

    def default(self):
        module = self.context.mod
        self.keep(0, module)
        return self.machine.run(module, self.machine.build([module])[0])

    def more(self):
        """The next generation; False when the search has ended."""
        if not self.begun:
            self.context.pre_tuning(MOST_TRIALS, self.generation, database=self.database, cost_model=self.model)
            self.begun = True
        self.candidates = list(self.context.generate_measure_candidates() or [])
        self.results = []
        return bool(self.candidates)

    def learn(self):
        self.context.search_strategy.notify_runner_results(self.candidates, self.results)
        self.model.update(self.context, self.candidates, self.results)

    def trials(self, numbers):
        """(number, result or Failure) of each, as it is known; ends early when the search does."""
        from tvm.s_tir import meta_schedule as ms
        numbers = list(numbers)
        while numbers:
            if len(self.results) == len(self.candidates) and not self.more():
                return
            first = len(self.results)
            batch = self.candidates[first:first + len(numbers)]
            modules = [candidate.sch.mod for candidate in batch]
            for candidate, module, built in zip(batch, modules, self.machine.build(modules)):
                number = numbers.pop(0)
                try:
                    self.keep(number, module)
                    outcome = self.machine.run(module, built)
                    self.results.append(outcome)
                    self.database.commit_tuning_record(ms.database.TuningRecord(
                        candidate.sch.trace, self.database.commit_workload(self.context.mod), outcome.run_secs,
                        self.machine.target, candidate.args_info))
                except Failure as failure:
                    outcome = failure
                    self.results.append(ms.runner.RunnerResult(run_secs=None, error_msg=str(failure)))
                yield number, outcome
            if len(self.results) == len(self.candidates):
                self.learn()


def reason(error):
    """TVM's messages end with the reason, after a trace of many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:500] if lines else type(error).__name__


def answer(key, trial, outcome):
    message = {"key": key, "trial": trial}
    if isinstance(outcome, Exception):
        message |= {"error": getattr(outcome, "cause", "compile error"), "message": reason(outcome)}
    else:
        message["latency_us"] = [1e6 * float(seconds) for seconds in outcome.run_secs]
    return message


class Tuner:
    def __init__(self, hello, options):
        if hello["protocol"] != PROTOCOL:
            raise Refusal(f"this tuner speaks version {PROTOCOL} of the protocol, not {hello['protocol']}")
        if hello["batch"] != 1:
            raise Refusal("this tuner tunes for one image at a time; set device.batch = 1")
        os.environ["TVM_NUM_THREADS"] = str(hello["threads"])
        try:
            import tvm
            self.machine = Machine(hello)
        except ImportError as error:
            raise Refusal(f"{error}; benchmarks/peers/install-inference installs TVM in .venv-tvm") from None
        target = self.machine.target
        self.target = f"llvm -mcpu={target.attrs['mcpu']} -num-cores={hello['threads']}"
        self.name = f"TVM MetaSchedule {tvm.__version__}"
        self.hello, self.options, self.sessions = hello, options, {}

    def session(self, key):
        if key not in self.sessions:
            self.sessions[key] = Session(key, self.machine, os.path.join(self.hello["folder"], key), self.options,
                                         self.hello["seed"])
        return self.sessions[key]

    def outcomes(self, request):
        """(trial, result or exception) for each trial of the request, as it is known."""
        key, trials = request.get("tune") or request["measure"], request["trials"]
        try:
            session = self.session(key)
        except ValueError as error:  # a subgraph that is not written down for TVM
            yield from ((trial, error) for trial in trials)
            return
        if "tune" in request:
            if 0 in trials:
                yield 0, attempt(session.default)
            yield from session.trials(trial for trial in trials if trial > 0)
        else:
            yield from ((trial, attempt(session.measure_again, trial)) for trial in trials)


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (Failure, OSError) as failure:
        return failure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generation", type=int, default=32)
    parser.add_argument("--population", type=int, default=512)
    options = parser.parse_args()
    # TVM prints; the lines to SONAR get a descriptor of their own, and what is printed goes with the errors.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(message):
        print(json.dumps(message), file=out, flush=True)

    tuner = None
    for line in sys.stdin:
        request = json.loads(line)
        if "hello" in request:
            try:
                tuner = Tuner(request["hello"], options)
            except Refusal as refusal:
                say({"error": str(refusal)})
                return
            say({"hello": {"protocol": PROTOCOL, "tuner": tuner.name, "target": tuner.target,
                           "measures": True}})
            continue
        key = request.get("tune") or request["measure"]
        for trial, outcome in tuner.outcomes(request):
            say(answer(key, trial, outcome))
        say({"end": key})


if __name__ == "__main__":
    main()
