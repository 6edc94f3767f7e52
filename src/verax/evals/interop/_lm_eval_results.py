"""Means that lm-evaluation-harness reported, turned back into counts."""

import json
import pathlib

from verax._errors import check, fail
from verax.evals._indicators import proportion
from verax.evals._interval import Interval

from ._records import as_paths


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
        By task and filter ("task" for the filter "none", else "task,filter"), with Clopper-Pearson limits; groups of
        tasks are left out, since their means have no count of their own. The file holds means only: to pair models by
        document read the samples (:func:`from_lm_eval`).

    Raises
    ------
    ValueError
        For a file that is no such JSON, a metric that no task has, and a mean that is no share of the documents, as of
        a graded metric.

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
    file = as_paths(path, "path")[0]
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        tasks, sizes = content["results"], content["n-samples"]
    except (ValueError, KeyError, TypeError) as error:
        fail("path", f"{file}: {type(error).__name__} {error}", "JSON with results and n-samples")
    found: dict[str, Interval] = {}
    for task, values in tasks.items():
        for name, mean in values.items():
            which, _, filtered = name.partition(",")
            if which != metric or task not in sizes:
                continue
            total = sizes[task]["effective"]
            hits = round(mean * total)
            check(
                0 <= hits <= total and abs(hits - mean * total) <= 1e-6 * total,
                "path",
                f"{file}: {name} {mean} of {total} documents in {task}",
                "a mean of zeros and ones",
            )
            found[task if filtered in ("", "none") else f"{task},{filtered}"] = proportion(hits, total, level=level)
    check(bool(found), "metric", f"{metric!r}, which no task of {file} has", "a metric that was reported")
    return found
