"""Means that lm-evaluation-harness reported, turned back into counts."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from verax._errors import check, fail
from verax._files import read_json
from verax.evals._indicators import proportion
from verax.evals._interval import Interval, Status
from verax.evals._numeric import take_level

from ._records import as_paths
from ._verdicts import as_number

_ROUNDING = 1e-6


def from_lm_eval_results(path: str | pathlib.Path, *, metric: str = "acc", level: float = 0.95) -> dict[str, Interval]:
    r"""Read ``results_*.json``: for each task the share of documents on which a 0-1 metric is 1.

    Parameters
    ----------
    path
        A file of results.
    metric
        A metric of zeros and ones, such as "acc" or "exact_match".
    level
        Coverage of the limits, in (0, 1).

    Returns
    -------
    dict
        By task and filter ("task" for the filter "none", else "task,filter"), with Clopper-Pearson limits; and by group
        of tasks. A group's reported mean tells how lm-eval weighted it: by documents (Clopper-Pearson over all of them)
        or by task (limits of the tasks combined as independent errors). The file holds means only: to pair models by
        document read the samples (:func:`from_lm_eval`).

    Raises
    ------
    ValueError
        For a file that is no such JSON, a metric that no task has, and a mean that is no share of the documents, as of
        a graded metric, or that is not the mean of its group.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from verax.evals import from_lm_eval_results
    >>> content = {"results": {"sums": {"acc,none": 0.25}}, "n-samples": {"sums": {"original": 12, "effective": 12}}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "results.json"
    ...     _ = file.write_text(json.dumps(content))
    ...     found = from_lm_eval_results(file)
    >>> print(f"{found['sums'].estimate:.2f} {found['sums'].lower:.3f} {found['sums'].upper:.3f}")
    0.25 0.055 0.572
    """
    level = take_level(level)
    file = as_paths(path, "path")[0]
    content = read_json("path", file)
    tasks, sizes = (_part(content, name, file) for name in ("results", "n-samples"))
    groups = content.get("group_subtasks") or {}
    groups = groups if isinstance(groups, Mapping) else {}
    found: dict[str, Interval] = {}
    reported: dict[str, float] = {}
    for task, values in tasks.items():
        check(isinstance(values, Mapping), "path", f"{file}: results of {task} of another kind", "means by metric")
        for name, given in values.items():
            which, _, filtered = name.partition(",")
            mean = as_number(given)
            if which != metric or mean is None:
                continue
            own = task if filtered in ("", "none") else f"{task},{filtered}"
            if task in sizes:
                found[own] = _of_task(mean, _size(sizes[task], task, file), f"{file}: {name}", task, level)
            elif groups.get(task):
                reported[own] = mean
    check(bool(found), "metric", f"{metric!r}, which no task of {file} has", "a metric that was reported")
    for own, mean in reported.items():
        group, _, filtered = own.partition(",")
        parts = _leaves(group, groups, sizes, set())
        named = [found.get(f"{part},{filtered}" if filtered else part) for part in parts]
        if named and all(part is not None for part in named):
            found[own] = _of_group(mean, [part for part in named if part is not None], f"{file}: group {own}", level)
    return found


def _part(content: Any, name: str, file: pathlib.Path) -> Mapping[str, Any]:
    part = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(part, Mapping):
        fail("path", f"{file}, which has no {name!r}", "JSON with results and n-samples, as lm-eval writes it")
    return part


def _size(given: Any, task: str, file: pathlib.Path) -> int:
    size = given.get("effective") if isinstance(given, Mapping) else None
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= 2**53:
        fail("path", f"{file}: n-samples of {task} {given!r}", "an effective number of documents")
    return size


def _of_task(mean: float, total: int, where: str, task: str, level: float) -> Interval:
    sound = 0 <= mean <= 1 and abs(round(mean * total) - mean * total) <= _ROUNDING * total
    check(sound, "path", f"{where} {mean} of {total} documents in {task}", "a mean of zeros and ones")
    return proportion(round(mean * total), total, level=level)


def _leaves(name: str, groups: Mapping[str, Any], sizes: Mapping[str, Any], seen: set[str]) -> list[str]:
    """Tasks of a group, those of its own groups included."""
    if name in sizes or name in seen:
        return [name] if name in sizes else []
    inside = groups.get(name)
    parts = inside if isinstance(inside, list) else []
    return [leaf for part in parts for leaf in _leaves(str(part), groups, sizes, seen | {name})]


def _of_group(mean: float, parts: list[Interval], where: str, level: float) -> Interval:
    estimates, lower, upper, errors, sizes = (np.array([float(part[i]) for part in parts]) for i in range(5))
    by_document, by_task = float(estimates @ sizes / sizes.sum()), float(estimates.mean())
    total = int(sizes.sum())
    if abs(mean - by_document) <= _ROUNDING:
        return proportion(round(by_document * total), total, level=level)
    got = f"{where} has mean {mean}; its tasks have {by_document:.6g} by document and {by_task:.6g} by task"
    check(abs(mean - by_task) <= _ROUNDING, "path", got, "one of the two")
    num = len(parts)
    down, up = (np.sqrt(((estimates - side) ** 2).sum()) / num for side in (lower, upper))
    error = np.sqrt((errors**2).sum()) / num
    return Interval(
        np.asarray(by_task),
        np.asarray(by_task - down),
        np.asarray(by_task + up),
        error,
        np.asarray(total),
        np.asarray(Status.OK, np.int32),
    )
