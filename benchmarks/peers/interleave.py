"""Systems measured in turns on one core: the peers' worker processes and the runners of tuned SONAR programs."""
import fcntl
import json
import os
import resource
import statistics
import subprocess
import sys
import time

FOLDER = os.path.dirname(os.path.abspath(__file__))
PEERS = ["onnxruntime", "openvino", "torchscript", "executorch"]
SONAR = "sonar"
BURSTS = 30
# In a turn undisturbed by other processes a system loses its core a few times at most; another turn is then taken.
DISTURBED_SWITCHES = 8
MOST_TRIES = 6


class Peer:
    """One worker process; see worker.py."""

    def __init__(self, system, core):
        python = os.path.join(FOLDER, ".venv", "bin", "python")
        environment = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # large pages, which SONAR asks for too
        self.process = subprocess.Popen([python, os.path.join(FOLDER, "worker.py"), system, str(core)], text=True,
                                        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def ask(self, request):
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"error": f"the worker died (exit code {self.process.wait()})"}

    def measure(self, burst_us):
        return self.ask({"measure": {"burst_us": burst_us, "bursts": BURSTS}})

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Runner:
    """A measuring runner that network_runner wrote, started anew for each turn; it checks the answer each time."""

    def __init__(self, case, core):
        self.command = ["taskset", "-c", str(core), case["runner"], case["batch"], "0"]

    def measure(self, burst_us):  # the burst stands in the batch file
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nivcsw
        said = subprocess.run(self.command, capture_output=True, text=True).stdout
        switches = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nivcsw - before
        for line in said.splitlines():
            words = line.split()
            if words[0] == "ok":
                return {"samples_us": [float(w) for w in words[4:]], "switches": switches}
            if words[0] == "error":
                return {"error": line}
        return {"error": "the runner said nothing"}


class Lock:
    """Turns on a core that several timings share, by locking a file; with an empty path nothing waits."""

    LONGEST_S = 100  # held at a stretch

    def __init__(self, path):
        self.file = open(path, "a") if path else None
        self.since = None

    def take(self):
        """To be called before each round: gives the others a turn when it has been held long enough."""
        if self.file and self.since and time.time() - self.since > self.LONGEST_S:
            self.give_back()
            time.sleep(1)
        if self.file and not self.since:
            fcntl.flock(self.file, fcntl.LOCK_EX)
            self.since = time.time()

    def give_back(self):
        if self.file:
            fcntl.flock(self.file, fcntl.LOCK_UN)
            self.since = None


def load_peers(peers, spec, tolerance=2e-3):
    """{system: note} of those that loaded; the others, and those whose output differs from the first's, are in errors."""
    notes, errors, expected = {}, {}, None
    for system, peer in peers.items():
        reply = peer.ask({"load": spec})
        if "error" in reply:
            errors[system] = reply["error"]
            continue
        output = reply["output"]
        expected = expected or output
        scale = max(1e-6, max(abs(v) for v in expected))
        if any(abs(a - b) > tolerance * scale for a, b in zip(output, expected)):
            errors[system] = "its output differs from the other systems'"
            continue
        notes[system] = reply["note"]
    return notes, errors


def one_round(systems, burst_us, first):
    """{system: median of its samples, us}, measured one after the other starting with number `first`; errors as text."""
    names = list(systems)
    result = {}
    for i in range(len(names)):
        name = names[(first + i) % len(names)]
        for _ in range(MOST_TRIES):
            reply = systems[name].measure(burst_us)
            if reply.get("switches", 0) <= DISTURBED_SWITCHES:
                break
        result[name] = statistics.median(reply["samples_us"]) if "error" not in reply else reply["error"]
    return result


def summarize(rounds):
    """Medians over the rounds, and SONAR's speed-up over each peer: the median and the range of the rounds' ratios."""
    times = {name: [r[name] for r in rounds if isinstance(r.get(name), float)] for name in rounds[0]}
    result = {"us": {name: statistics.median(values) for name, values in times.items() if values}, "speedup": {}}
    for name in result["us"]:
        if name != SONAR:
            ratios = [r[name] / r[SONAR] for r in rounds
                      if isinstance(r.get(name), float) and isinstance(r.get(SONAR), float)]
            if ratios:
                result["speedup"][name] = [statistics.median(ratios), min(ratios), max(ratios)]
    rivals = {name: us for name, us in result["us"].items() if name in result["speedup"]}
    result["fastest_peer"] = min(rivals, key=rivals.get) if rivals else None
    return result


def geometric_mean(values):
    return statistics.geometric_mean(values) if values else float("nan")


def read_json(path, default=None):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        if default is None:
            sys.exit(f"{path} is missing")
        return default


def write_json(path, value):
    with open(path + ".part", "w") as file:
        json.dump(value, file, indent=1)
    os.replace(path + ".part", path)
