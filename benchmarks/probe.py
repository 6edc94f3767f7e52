"""The probe's estimates and forecasts on real representations, and against what people do now.

Run: ``python benchmarks/probe.py [forecasts | refusals | speed | memory] [--threads 1]`` with VERAX_DATA set.
Writes ``results/<device>/probe_<part>.json``. Forecasts are resumed from ``build/probe_forecasts_by_ratio.jsonl``.

forecasts: a probe fitted to n examples forecasts its error at 2 n, 4 n and 16 n, for n from a quarter to four times the
number of features; the truth is the mean error of four fits to so many other examples. Beside it: the curves pow3, pow4
and exp3, fitted to the 3-fold cross-validation errors of scikit-learn's RidgeClassifierCV at n/8, n/4, n/2 and n.
refusals: data that break an assumption on purpose.
speed: 10-fold cross-validated LogisticRegressionCV and RidgeClassifierCV on 10,000 x 512.
memory: a memory-mapped file larger than the budget.
"""

import argparse
import json
import pathlib
import resource
import tempfile
import time
import warnings

import _probe_features
import jax
import numpy as np
import sklearn.datasets
from _harness import environment, write
from scipy.optimize import curve_fit
from sklearn.linear_model import LogisticRegressionCV, RidgeClassifierCV
from sklearn.model_selection import KFold, cross_val_score
from threadpoolctl import threadpool_limits

from verax.probe import RidgeProbe
from verax.probe._blocks import MIN_SAMPLES, plan
from verax.probe._dual import Dual
from verax.probe._measure import choose_ridge
from verax.probe._primal import Primal

POINTS = 0.02
"""The target: forecasts within two points of the truth."""
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the examples to the features."""
FACTORS = (2, 4, 16)
"""Of the examples that are forecast to those of the fit."""
MOST_FIT, MOST_TRUTH, TRUTH_FITS = 2_100, 8_200, 4
FIRST_SEED = 1_000
"""Draws below were looked at while the band and the rule of acceptance were made; these were not."""
FORECASTS = pathlib.Path("build/probe_forecasts_by_ratio.jsonl")
TRUTHS = pathlib.Path("build/probe_truths")


def cross_validated(x: np.ndarray, y: np.ndarray) -> float:
    """3-fold error; folds that miss all classes but one count as wrong about the others."""
    scale = float(np.mean(np.sum((x - x.mean(0)) ** 2, axis=1)))
    model = RidgeClassifierCV(alphas=scale * np.geomspace(1e-5, 1e2, 12))
    folds = 3 if np.unique(y, return_counts=True)[1].max() >= 3 else KFold(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer examples than folds
        scores = cross_val_score(model, x, y, cv=folds, error_score=0.0)
    return 1 - float(np.mean(scores))


def curve_fits(sizes: np.ndarray, errors: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
    """Forecasts at ``targets`` by least squares: ``a n^-c + b``, ``a (n + d)^-c + b`` and ``a exp(-c n) + b``."""
    last = sizes[-1]
    models = {
        "pow3": (lambda n, a, c, b: a * n**-c + b, (errors[-1] / 2, 0.5, errors[-1] / 2), (1, 3, 1)),
        "pow4": (lambda n, a, c, b, d: a * (n + d) ** -c + b, (errors[-1] / 2, 0.5, errors[-1] / 2, 0.1), (1, 3, 1, 2)),
        "exp3": (lambda n, a, c, b: a * np.exp(-c * n) + b, (errors[0], 1.0, errors[-1] / 2), (3, 30, 1)),
    }
    found = {}
    for name, (model, start, most) in models.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                best, _ = curve_fit(model, sizes / last, errors, p0=start, bounds=(0, most), maxfev=4000)
            found[name] = np.clip(model(targets / last, *best), 0, 1)
        except RuntimeError:  # no convergence: the error now
            found[name] = np.full(len(targets), errors[-1])
    return found


def error_of_fit(x: np.ndarray, y: np.ndarray, new_x: np.ndarray, new_y: np.ndarray) -> float:
    """Error of a probe, without what else a RidgeProbe measures."""
    classes, codes = np.unique(y, return_inverse=True)
    targets = np.eye(len(classes))[codes]
    work = plan(len(x), x.shape[1], len(classes), None)._replace(num_folds=1)
    found = (Primal if work.primal else Dual)(x, targets, np.zeros(len(x), np.int8), work)
    fit = found.predictor(choose_ridge(found.spectrum, None)[1])
    return float(np.mean(classes[np.argmax(new_x @ fit.coefficients + fit.intercept, axis=1)] != new_y))


def true_errors(name: str, x: np.ndarray, y: np.ndarray, sizes: list[int]) -> dict[int, float]:
    """Mean error of TRUTH_FITS probes at each size, each on all examples that it was not fitted to."""
    path = TRUTHS / f"{name.replace(' ', '_')}.json"
    found = {int(n): error for n, error in json.loads(path.read_text()).items()} if path.exists() else {}
    for n in [n for n in sizes if n not in found]:
        errors = []
        for seed in range(TRUTH_FITS):
            order = np.random.default_rng(10_000 + seed).permutation(len(y))
            fitted, left = order[:n], order[n:]
            errors.append(error_of_fit(x[fitted], y[fitted], x[left], y[left]))
        found[n] = float(np.mean(errors))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return found


def cells(x: np.ndarray) -> dict[float, tuple[int, list[int]]]:
    """Size of the fit and sizes to forecast for each ratio n / p that the data allow."""
    num_rows, num_features = x.shape
    found = {}
    for ratio in RATIOS:
        n = round(ratio * num_features)
        ahead = [factor * n for factor in FACTORS if factor * n <= min(0.8 * num_rows, MOST_TRUTH)]
        if n >= MIN_SAMPLES and n <= MOST_FIT and ahead:
            found[ratio] = (n, ahead)
    return found


def one_draw(name: str, x: np.ndarray, y: np.ndarray, ratio: float, n: int, ahead: list[int], seed: int) -> dict:
    chosen = np.random.default_rng(seed).permutation(len(y))[:n]
    truth = true_errors(name, x, y, [n, *ahead])
    probe = RidgeProbe().fit(x[chosen], y[chosen])
    curve = probe.learning_curve(ahead)
    sizes = np.array([n // 8, n // 4, n // 2, n])
    errors = np.array([cross_validated(x[chosen[:size]], y[chosen[:size]]) for size in sizes])
    return {
        "set": name,
        "ratio": ratio,
        "num_samples": n,
        "seed": seed,
        "ahead": ahead,
        "truth": [truth[size] for size in ahead],
        "error_now": truth[n],
        "loo_error": probe.error_.value,
        "loo_lower": probe.error_.lower,
        "loo_upper": probe.error_.upper,
        "cross_validation_error_now": float(errors[-1]),
        "forecast": curve.value.tolist(),
        "lower": curve.lower.tolist(),
        "upper": curve.upper.tolist(),
        "status": probe.law_.status.name,
        **{peer: values.tolist() for peer, values in curve_fits(sizes, errors, np.array(ahead)).items()},
    }


def summary(rows: list[dict]) -> dict:
    """Coverage and mean absolute misses by cell, by row of sets and factors, and over all; and what was accepted."""
    peers = ("forecast", "pow3", "pow4", "exp3", "loo_error")
    flat = []
    for row in rows:
        for index, truth in enumerate(row["truth"]):
            values = {peer: row[peer] if peer == "loo_error" else row[peer][index] for peer in peers}
            flat.append(
                {
                    "cell": (row["set"], row["ratio"], row["ahead"][index] // row["num_samples"]),
                    "inside": row["lower"][index] <= truth <= row["upper"][index],
                    "width": row["upper"][index] - row["lower"][index],
                    "status": row["status"],
                    **{peer: abs(value - truth) for peer, value in values.items()},
                }
            )

    def of(chosen: list[dict]) -> dict:
        if not chosen:
            return {"forecasts": 0}
        return {
            "forecasts": len(chosen),
            "band_holds_truth": float(np.mean([entry["inside"] for entry in chosen])),
            "mean_band_width": float(np.mean([entry["width"] for entry in chosen])),
            "mean_absolute_miss": {peer: float(np.mean([entry[peer] for entry in chosen])) for peer in peers},
            "within_2_points": {peer: float(np.mean([entry[peer] <= POINTS for entry in chosen])) for peer in peers},
        }

    by_cell = {}
    for key in sorted({entry["cell"] for entry in flat}):
        by_cell[f"{key[0]}, n/p = {key[1]:g}, {key[2]} n"] = of([entry for entry in flat if entry["cell"] == key])
    misses = [entry["mean_absolute_miss"] for entry in by_cell.values()]
    best = np.array([min(entry[peer] for peer in ("pow3", "pow4", "exp3")) for entry in misses])
    own = np.array([entry["forecast"] for entry in misses])
    ratios = sorted({entry["cell"][1] for entry in flat})
    now = [(row["loo_error"], row["cross_validation_error_now"], row["error_now"]) for row in rows]
    return {
        "all": of(flat),
        "accepted": of([entry for entry in flat if entry["status"] == "OK"]),
        "refused": of([entry for entry in flat if entry["status"] != "OK"]),
        "by_ratio": {f"{ratio:g}": of([entry for entry in flat if entry["cell"][1] == ratio]) for ratio in ratios},
        "cells": len(by_cell),
        "cells_with_coverage_of_90_per_cent": int(sum(e["band_holds_truth"] >= 0.9 for e in by_cell.values())),
        "cells_no_worse_than_the_best_curve_fit": int(np.sum(own <= best)),
        "geometric_mean_of_miss_over_that_of_the_best_curve_fit": float(np.exp(np.mean(np.log(own / best)))),
        "loo_interval_holds_error_now": float(
            np.mean([row["loo_lower"] <= row["error_now"] <= row["loo_upper"] for row in rows])
        ),
        "mean_absolute_miss_now": {
            "leave_one_out": float(np.mean([abs(loo - truth) for loo, _, truth in now])),
            "cross_validation_3_fold": float(np.mean([abs(folds - truth) for _, folds, truth in now])),
        },
        "by_cell": by_cell,
    }


def forecasts(draws: int, minutes: float) -> dict:
    """Measure what is missing, one draw of every cell after the other, until the time is over."""
    FORECASTS.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in FORECASTS.read_text().splitlines()] if FORECASTS.exists() else []
    done = {(row["set"], row["ratio"], row["seed"]) for row in rows}
    stop = time.monotonic() + 60 * minutes
    for seed in range(FIRST_SEED, FIRST_SEED + draws):
        for name in _probe_features.SETS:
            x, y = _probe_features.load(name)
            for ratio, (n, ahead) in cells(x).items():
                if (name, ratio, seed) in done or time.monotonic() > stop:
                    continue
                rows.append(one_draw(name, x, y, ratio, n, ahead, seed))
                with FORECASTS.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return {"summary": summary(rows), "rows": rows}


def refusals() -> dict:
    """Data that break an assumption on purpose, with the truth about them."""
    found = {}
    x, y = _probe_features.load("Fashion-MNIST random network")
    x, y, far, far_y = x[:2_000], y[:2_000], x[10_000:], y[10_000:]
    rng = np.random.default_rng(0)

    def record(name: str, probe: RidgeProbe, truth: float, expected: str) -> None:
        found[name] = {
            "status": probe.law_.status.name,
            "expected": expected,
            "loo_error": probe.error_.value,
            "error_on_new_data": truth,
            "warnings": probe.warnings_,
            "law": {k: v for k, v in probe.law_._asdict().items() if k != "status"},
        }

    plain = RidgeProbe().fit(x, y)
    record("as it is", plain, 1 - plain.score(far, far_y), "OK")
    noise = 1 + 1e-3 * rng.normal(size=(1_000, x.shape[1])).astype(np.float32)
    twice, twice_y = np.concatenate([x[:1_000], x[:1_000] * noise]), np.concatenate([y[:1_000], y[:1_000]])
    order = rng.permutation(2_000)
    probe = RidgeProbe().fit(twice[order], twice_y[order])
    record("every row twice, with 0.1 % noise", probe, 1 - probe.score(far, far_y), "DUPLICATES")
    frames = np.repeat(x[:250], 8, axis=0) + 0.5 * x.std(0) * rng.normal(size=(2_000, x.shape[1])).astype(np.float32)
    probe = RidgeProbe().fit(frames, np.repeat(y[:250], 8))
    record("250 scenes of 8 noisy frames, in order", probe, 1 - probe.score(far, far_y), "DEPENDENT_ROWS")
    scaled = x * rng.exponential(size=(2_000, 1)).astype(np.float32) ** 2
    probe = RidgeProbe().fit(scaled, y)
    far_scaled = far * rng.exponential(size=(len(far), 1)).astype(np.float32) ** 2
    record("rows of very different size", probe, 1 - probe.score(far_scaled, far_y), "UNEQUAL_LEVERAGE")
    digits, digits_y = sklearn.datasets.load_digits(return_X_y=True)  # neighbours in the file resemble each other
    probe = RidgeProbe().fit(digits, digits_y)
    blocks = cross_val_score(probe, digits, digits_y, cv=KFold(10))
    record("digits in the order of the file; new: another tenth", probe, 1 - float(blocks.mean()), "DEPENDENT_ROWS")
    order = np.argsort(y, kind="stable")
    probe = RidgeProbe().fit(x[order], y[order])
    record("sorted by label", probe, 1 - probe.score(far, far_y), "OK, with a warning")
    probe = RidgeProbe().fit(x[:150], y[:150])
    record("150 examples", probe, 1 - probe.score(far, far_y), "TOO_FEW_SAMPLES")
    seen_x, seen_y = _probe_features.load_seen()
    fresh_x, fresh_y = _probe_features.load("CIFAR-10 ResNet-20 features")
    for name, (fit_x, fit_y, rest_x, rest_y) in {
        "images that the network was trained on": (seen_x, seen_y, fresh_x[:2_000], fresh_y[:2_000]),
        "images that it was not trained on": (fresh_x[:2_000], fresh_y[:2_000], fresh_x[2_000:], fresh_y[2_000:]),
    }.items():
        probe = RidgeProbe().fit(fit_x, fit_y)
        record(name, probe, 1 - probe.score(rest_x, rest_y), "independence_check decides")
        found[name]["independence"] = probe.independence_check(rest_x, rest_y)._asdict()
    return {"cases": found}


def timed(function):
    """Result, wall seconds and processor seconds (all threads)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - cpu}


def speed(repeats: int) -> dict:
    """Time and error of the estimate on 10,000 x 512 real features, against 10-fold cross-validation.

    LogisticRegressionCV gets 4 values of C, not its default 10, and at most 100 iterations: less than its users spend.
    """
    x, y = _probe_features.load("Fashion-MNIST random network")
    train, train_y, test, test_y = x[:10_000], y[:10_000], x[10_000:], y[10_000:]
    mean, spread = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / spread, (test - mean) / spread
    RidgeProbe().fit(train[:200], train_y[:200])
    runs = [timed(lambda: RidgeProbe().fit(train, train_y)) for _ in range(repeats)]
    probe = runs[-1][0]
    alphas = 10_000 * np.geomspace(1e-4, 1e2, 10)
    ridge = RidgeClassifierCV(alphas=alphas)
    scores, ridge_time = timed(lambda: cross_val_score(ridge, train, train_y, cv=10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged within 100 iterations
        model = LogisticRegressionCV(
            Cs=4, cv=10, max_iter=100, l1_ratios=(0.0,), use_legacy_attributes=False, scoring="accuracy"
        )
        logistic, logistic_time = timed(lambda: model.fit(train, train_y))
    found = {
        "verax": {
            "seconds": float(np.median([run["seconds"] for _, run in runs])),
            "processor_seconds": float(np.median([run["processor_seconds"] for _, run in runs])),
            "estimate": probe.error_.value,
            "error_on_test": 1 - probe.score(test, test_y),
        },
        "ridge_classifier_cv_10_fold": {
            **ridge_time,
            "estimate": float(1 - scores.mean()),
            "error_on_test": 1 - ridge.fit(train, train_y).score(test, test_y),
        },
        "logistic_regression_cv_10_fold": {
            **logistic_time,
            "estimate": float(1 - np.asarray(logistic.scores_).reshape(10, -1).mean(0).max()),
            "error_on_test": 1 - logistic.score(test, test_y),
        },
    }
    peers = [name for name in found if name != "verax"]
    return {
        "num_samples": 10_000,
        "num_features": 512,
        "runs": found,
        "ratio": {name: found[name]["seconds"] / found["verax"]["seconds"] for name in peers},
        "processor_ratio": {
            name: found[name]["processor_seconds"] / found["verax"]["processor_seconds"] for name in peers
        },
        "estimate_minus_error": {name: run["estimate"] - run["error_on_test"] for name, run in found.items()},
        "target_ratio": {"logistic_regression_cv_10_fold": 20.0},
    }


def memory(num_samples: int, num_features: int, budget: int) -> dict:
    """A memory-mapped float32 file under a budget: seconds, and what the process held at most beside the file."""
    rng = np.random.default_rng(0)
    scale = (np.arange(1, num_features + 1) ** -0.5).astype(np.float32)
    direction = rng.normal(size=num_features).astype(np.float32)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        path = pathlib.Path(folder) / "features.npy"
        x = np.lib.format.open_memmap(path, "w+", np.float32, (num_samples, num_features))
        y = np.empty(num_samples, np.int64)
        for first in range(0, num_samples, 20_000):
            part = slice(first, first + 20_000)
            block = rng.standard_normal((len(y[part]), num_features), np.float32) * scale
            x[part], y[part] = block, block @ direction + rng.normal(size=len(block)) > 0
        x.flush()
        del x
        mapped = np.load(path, mmap_mode="r")
        before = _anonymous_peak()
        start = time.perf_counter()
        probe = RidgeProbe(memory_budget=budget).fit(mapped, y)
        seconds = time.perf_counter() - start
        return {
            "num_samples": num_samples,
            "num_features": num_features,
            "file_bytes": path.stat().st_size,
            "memory_budget": budget,
            "seconds": seconds,
            "resident_anonymous_bytes_before": before,
            "resident_anonymous_bytes_after": _anonymous_peak(),
            "peak_resident_bytes_with_file_pages": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "error": probe.error_._asdict(),
            "status": probe.law_.status.name,
        }


def _anonymous_peak() -> int:
    """Resident memory that belongs to no file: the pages of a memory-mapped file can be dropped at any time."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["forecasts", "refusals", "speed"])
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--draws", type=int, default=20, help="per cell of the forecasts")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which the forecasts stop")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the memory-mapped file")
    parser.add_argument("--columns", type=int, default=1_024)
    parser.add_argument("--budget", type=int, default=2**29, help="bytes")
    arguments = parser.parse_args()
    work = {
        "forecasts": lambda: forecasts(arguments.draws, arguments.minutes),
        "refusals": refusals,
        "speed": lambda: speed(arguments.repeats),
        "memory": lambda: memory(arguments.rows, arguments.columns, arguments.budget),
    }
    jax.config.update("jax_platforms", "cpu")
    for part in arguments.parts:
        with threadpool_limits(arguments.threads):
            found = work[part]()
        record = {"environment": environment("scikit-learn"), "threads": arguments.threads, **found}
        print(write(f"probe_{part}", record))
        print(json.dumps(found.get("summary", {k: v for k, v in found.items() if k != "rows"}), indent=1, default=str))


if __name__ == "__main__":
    main()
