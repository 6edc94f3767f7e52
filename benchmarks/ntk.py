"""Whole kernels: neural-tangents through ``nt.batch``, what a user writes by hand, and Verax; equal memory, in turns.

``python benchmarks/ntk.py`` runs every case, or those of ``--cases``, and writes or renews their rows in
``results/<device>/ntk.json``. Each contestant lives in a process of its own, so that its peak memory can be read; the
processes take turns, so that a busy moment of the machine hits them alike. Before that neural-tangents and the
hand-written version are tuned: the fastest implementation and block size within the memory budget.
``VERAX_NT_PYTHON`` names the interpreter of ``peers/neural_tangents``; without it its rows are left out, and the record
says so. ``--small`` is a check that everything runs: its figures mean nothing.
"""

import argparse
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time

import _harness
import _ntk_networks
import numpy as np

SCRIPT = pathlib.Path(__file__).with_name("_ntk_contestant.py")
TARGETS = {  # ratio of times by row, and in the geometric mean
    "neural_tangents": {"row": 4.0, "geometric_mean": 10.0},
    "by_hand": {"row": 2.0, "row_resnet20": 1.5, "geometric_mean": 4.0},
}


class Process:
    """A contestant that answers lines of JSON."""

    def __init__(self, interpreter, *arguments):
        self.process = subprocess.Popen(
            [interpreter, str(SCRIPT), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.answers = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("@@"):
                self.answers.put(json.loads(line[2:]))
        self.answers.put(None)

    def answer(self, timeout=None):
        """Next answer; None when the process has ended."""
        return self.answers.get(timeout=timeout)

    def ask(self, command):
        """Send a command and wait for its answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.answer()
        if answer is None:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")
        return answer

    def stop(self):
        """End the process."""
        self.process.kill()
        self.process.wait()


def tuned(interpreter, name, case, num, budget, seconds):
    """Every configuration tried within the time allowed, and the fastest that fits the budget."""
    process = Process(interpreter, "tune", name, case, num, json.dumps({"budget": budget}))
    tried, deadline = [], time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            answer = process.answer(timeout=left)
            if answer is None:
                break
            tried.append(answer)
    except queue.Empty:
        pass
    finally:
        process.stop()
    fitting = [config for config in tried if config["fits"]]
    if not fitting:
        raise RuntimeError(f"{name}, {case}: no configuration fits the budget: {tried}")
    return min(fitting, key=lambda config: config["projected_seconds"]), tried


def run_case(case, num, *, budget, repeats, interpreters, tuning_seconds):
    """One row: medians of interleaved repeats, peak memory, agreement of the kernels."""
    row = {"num_examples": num, "contestants": {}}
    configs = {"verax": {}}
    for name in interpreters:
        if name != "verax":
            print(f"{case}: tuning {name}", flush=True)
            configs[name], row["contestants"].setdefault(name, {})["tried"] = tuned(
                interpreters[name], name, case, num, budget, tuning_seconds
            )
    processes = {
        name: Process(interpreter, "serve", name, case, num, json.dumps({**configs[name], "budget": budget}))
        for name, interpreter in interpreters.items()
    }
    try:
        for name, process in processes.items():
            ready = process.answer()
            if ready is None:
                raise RuntimeError(f"{name} did not start")
            row["contestants"].setdefault(name, {}).update(config=configs[name], versions=ready["versions"])
        for process in processes.values():  # compiles, outside of the measured memory
            process.ask("run")
            process.ask("reset")
        seconds = _harness.interleaved(
            {name: lambda process=process: process.ask("run")["done"] for name, process in processes.items()}, repeats
        )
        kernels = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, process in processes.items():
                finished = process.ask(f"finish {folder}/{name}.npy")
                kernels[name] = np.load(f"{folder}/{name}.npy")
                record = row["contestants"][name]
                record.update(seconds=seconds[name], median_seconds=float(np.median(seconds[name])))
                record.update(peak_bytes=finished["peak_bytes"], within_budget=finished["peak_bytes"] <= budget)
                if finished["rate"] is not None:
                    record["rate"] = finished["rate"]
    finally:
        for process in processes.values():
            process.stop()
    scale = np.abs(kernels["verax"]).max()
    row["disagreement"] = {
        name: float(np.abs(kernel - kernels["verax"]).max() / scale)
        for name, kernel in kernels.items()
        if name != "verax"
    }
    row["times_faster"] = _harness.ratios(seconds, ours="verax")
    return row


def summary(rows):
    """Geometric means over rows, and which targets are met."""
    result = {}
    for name, target in TARGETS.items():
        ratios = {case: row["times_faster"][name] for case, row in rows.items() if name in row["times_faster"]}
        if ratios:
            mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
            missed = [case for case, ratio in ratios.items() if ratio < target.get(f"row_{case}", target["row"])]
            result[name] = {
                "geometric_mean": mean,
                "geometric_mean_met": mean >= target["geometric_mean"],
                "rows_missed": missed,
                "target": target,
            }
    return result


def show(case, row):
    """Print one row."""
    for name, record in row["contestants"].items():
        ratio = row["times_faster"].get(name)
        print(
            f"{case:12} {name:16} {record['median_seconds']:9.2f} s  peak {record['peak_bytes'] / 2**20:7.0f} MiB"
            + ("" if ratio is None else f"  {ratio:6.1f} x ours  disagreement {row['disagreement'][name]:.1e}")
            + ("" if "rate" not in record else f"  contraction {record['rate']['share']:.0%} of matrix-product rate"),
            flush=True,
        )


def main():
    """Run the cases and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", choices=list(_ntk_networks.NETWORKS), default=list(_ntk_networks.NETWORKS)
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tuning-seconds", type=float, default=420, help="for each peer and case")
    parser.add_argument("--budget-gib", type=float, default=2.0)
    parser.add_argument("--small", action="store_true", help="a sixteenth of the examples, one repeat, nothing written")
    options = parser.parse_args()
    budget = int(options.budget_gib * 2**30)
    interpreters = {"by_hand": sys.executable, "verax": sys.executable}
    peer = os.environ.get("VERAX_NT_PYTHON")
    if peer:
        interpreters = {"neural_tangents": peer, **interpreters}
    else:
        print("neural-tangents is left out: VERAX_NT_PYTHON does not name the interpreter of peers/neural_tangents")
    record = {"rows": {} if options.small else _harness.read("ntk").get("rows", {})}
    for case in options.cases:
        num = _ntk_networks.NUM_EXAMPLES[case] // (16 if options.small else 1)
        repeats = 1 if options.small else options.repeats
        started = _harness.environment()  # each row's own, since rows may be measured one by one
        row = run_case(
            case,
            num,
            budget=budget,
            repeats=repeats,
            interpreters=interpreters,
            tuning_seconds=options.tuning_seconds,
        )
        how = {"budget_bytes": budget, "repeats": repeats, "tuning_seconds": options.tuning_seconds}
        how["neural_tangents"] = "measured" if peer else "left out: VERAX_NT_PYTHON not set"
        record["rows"][case] = {"environment": started, **how, **row}
        record["summary"] = summary(record["rows"])
        show(case, record["rows"][case])
        if not options.small:
            path = _harness.write("ntk", record)
    print(json.dumps(record["summary"], indent=2))
    if not options.small:
        print(path)


if __name__ == "__main__":
    main()
