"""``verax probe``: the fit, the screen, the card and the file of numbers."""

import pathlib
import sys
from typing import Any, NamedTuple

import numpy as np

from verax._errors import check

from ._output import check_output, show, shown_name, write_json
from ._read import Columns, choose_beside, choose_examples, read_columns


class Findings(NamedTuple):
    """One probe and what was asked of it; None where it was not asked or cannot be had."""

    name: str
    probe: Any
    curve: Any
    needed: Any
    independence: Any
    comparison: Any
    other: Any
    metric: str
    """Number that the report leads with: "error", "balanced" or "auc"."""


def run_probe(
    data: pathlib.Path,
    *,
    features: str | None,
    labels: str | None,
    target: float | None,
    compare: pathlib.Path | None,
    fresh: pathlib.Path | None,
    task: str,
    groups: str | None,
    weights: str | None,
    metric: str,
    out: pathlib.Path,
) -> int:
    """Run the command; see ``verax probe --help``."""
    from ._probe_card import save_card
    from ._probe_screen import screen

    try:
        check_output("out", out)
        findings = _measure(data, features, labels, target, compare, fresh, task, groups, weights, metric)
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"verax probe: {error}", file=sys.stderr)
        return 2
    numbers = write_json(out / "probe.json", all_numbers(findings))
    page = save_card(findings, out / "index.html")
    return show(screen(findings), f"Card: {page}\nNumbers: {numbers}")


def _measure(
    data: pathlib.Path,
    features: str | None,
    labels: str | None,
    target: float | None,
    compare: pathlib.Path | None,
    fresh: pathlib.Path | None,
    task: str,
    groups: str | None,
    weights: str | None,
    metric: str,
) -> Findings:
    from verax.probe import RidgeProbe

    check(task == "classification" or metric == "error", "metric", repr(metric), "error for a regression")
    check(weights is None or compare is None, "compare", "weights beside it", "no --weights: pairs count alike")
    apart = [name for name in (groups, weights) if name is not None]

    def examples(path: pathlib.Path, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        return choose_examples(path, columns, features=features, labels=labels, task=task, apart=apart)

    def read(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
        return examples(path, read_columns(path))

    columns = read_columns(data)
    x, y = examples(data, columns)
    beside = {
        "groups": choose_beside(data, columns, "groups", groups),
        "sample_weight": choose_beside(data, columns, "weights", weights),
    }
    probe = RidgeProbe(task=task).fit(x, y, **beside)
    other = None if compare is None else RidgeProbe(task=task).fit(*read(compare), **beside)
    curve = probe.learning_curve(probe.num_samples_ * np.geomspace(1 / 8, 16, 50))
    return Findings(
        name=shown_name(data),
        probe=probe,
        curve=curve if curve.status == 0 else None,
        needed=None if target is None else probe.samples_needed(target),
        independence=None if fresh is None else probe.independence_check(*read(fresh)),
        comparison=None if other is None else probe.compare(other),
        other=None if compare is None else shown_name(compare),
        metric=metric,
    )


def all_numbers(findings: Findings) -> dict[str, Any]:
    """Return all numbers, by name."""
    probe = findings.probe
    found: dict[str, Any] = {
        "data": findings.name,
        "task": probe.task,
        "num_samples": probe.num_samples_,
        "num_features": probe.n_features_in_,
        "ridge": probe.ridge_,
        "level": probe.level,
        "metric": findings.metric,
        "risk": probe.risk_,
        "law": {**probe.law_._asdict(), "status": probe.law_.status.name, "message": probe.law_.message},
        "warnings": probe.warnings_,
        "learning_curve": findings.curve,
        "independence": findings.independence,
        "comparison": findings.comparison,
        "compared_with": findings.other,
    }
    if probe.task == "classification":
        found.update(error=probe.error_, balanced_error=probe.balanced_error_, per_class=probe.per_class_)
        found["roc_auc"] = probe.roc_auc_
    if findings.needed is not None:
        found["samples_needed"] = {
            **findings.needed._asdict(),
            "status": findings.needed.status.name,
            "message": findings.needed.message,
        }
    return found
