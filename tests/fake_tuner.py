#!/usr/bin/env python3
"""A tuner for tests: latencies follow from subgraph and trial alone, and faults come where they are asked for.

usage: fake_tuner.py [--programs N] [--measures] [--fault FAULT [--at N] [--once FILE]] [--log FILE]

--programs: of each subgraph, then it has no further one. --fault: comes in place of the N-th answer of the process
(from 0), where N is --at; with --once only while FILE is absent, which is then made. --log: every line that is read.
"""
import argparse
import json
import os
import sys
import time
import zlib


def latency_us(key, trial):
    spread = zlib.crc32(f"{key} {trial}".encode()) % 1000 / 1000
    return 10 + 10 * spread if trial else 30


def say(message):
    print(message if isinstance(message, str) else json.dumps(message), flush=True)


class Faults:
    def __init__(self, options):
        self.options, self.answers = options, 0

    def due(self):
        number, options = self.answers, self.options
        self.answers += 1
        if not options.fault or number != options.at or (options.once and os.path.exists(options.once)):
            return False
        if options.once:
            open(options.once, "w").close()
        return True

    def commit(self, key, trial):
        answer = {"key": key, "trial": trial, "latency_us": 12.5}
        fault = self.options.fault
        if fault == "die":
            print("fake_tuner: out of luck", file=sys.stderr, flush=True)
            os._exit(7)
        elif fault == "hang":
            time.sleep(3600)
        elif fault == "garbage":
            say("Traceback (most recent call last)")
        elif fault == "other key":
            say({**answer, "key": "conv-of-nobody"})
        elif fault == "other trial":
            say({**answer, "trial": 4711})
        elif fault == "zero":
            say({**answer, "latency_us": 0})
        elif fault == "text":
            say({**answer, "latency_us": "fast"})
        elif fault == "empty":
            say({**answer, "latency_us": []})
        elif fault == "cause":
            say({"key": key, "trial": trial, "error": "bad mood"})
        elif fault == "early end":
            say({"end": key})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=int, default=1 << 30)
    parser.add_argument("--measures", action="store_true")
    parser.add_argument("--fault", default="")
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--once", default="")
    parser.add_argument("--log", default="")
    parser.add_argument("--protocol", type=int, default=1)
    options = parser.parse_args()
    faults = Faults(options)
    for line in sys.stdin:
        if options.log:
            with open(options.log, "a") as file:
                file.write(line)
        request = json.loads(line)
        if "hello" in request:
            if options.fault == "no hello":
                sys.exit("fake_tuner: no compiler here")
            if options.fault == "refusal":
                say({"error": "batch 7 cannot be tuned; set device.batch = 1"})
                continue
            say({"note": f"threads: {request['hello']['threads']}"})
            say({"hello": {"protocol": options.protocol, "tuner": "Fake 1.0", "target": "fake-target",
                           "measures": options.measures}})
            continue
        key = request.get("tune") or request["measure"]
        for trial in request["trials"]:
            if trial >= options.programs:
                break
            if faults.due():
                faults.commit(key, trial)
            elif trial % 5 == 4:
                say({"key": key, "trial": trial, "error": "wrong answer", "message": "made up"})
            else:
                us = latency_us(key, trial)
                again = 1.01 if "measure" in request else 1
                say({"key": key, "trial": trial, "latency_us": [us * again, us * again, us * again * 1.02], "build_s": 0.01})
        say({"end": key})


if __name__ == "__main__":
    main()
