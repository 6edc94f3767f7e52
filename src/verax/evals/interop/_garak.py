"""Reports of garak: counts for each probe and detector."""

import pathlib

from verax._errors import check, fail
from verax.evals._indicators import proportion
from verax.evals._interval import Interval

from ._records import as_paths, entry_field, read_json_lines


def from_garak(path: str | pathlib.Path, *, level: float = 0.95) -> dict[tuple[str, str], Interval]:
    """Failure rates from the rows ``"entry_type": "eval"`` of a ``report.jsonl``.

    Parameters
    ----------
    path
        A report.
    level
        Coverage of the limits, in (0, 1).

    Returns
    -------
    dict
        For each (probe, detector) the share of outputs that failed, with Clopper-Pearson limits; outputs without a
        verdict count as passed for the lower limit and as failed for the upper. The report holds totals only, so
        that prompts cannot be paired, clustered or combined over probes.

    Raises
    ------
    ValueError
        For a file that is no JSON lines, has no such row, or counts that contradict each other: naming the line.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from verax.evals import from_garak
    >>> row = {"entry_type": "eval", "probe": "p", "detector": "d", "passed": 9, "total_evaluated": 10, "nones": 0}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "r.jsonl"
    ...     _ = file.write_text(json.dumps(row))
    ...     found = from_garak(file)
    >>> print(f"{found['p', 'd'].estimate:.2f} {found['p', 'd'].upper:.3f}")
    0.10 0.445
    """
    file = as_paths(path, "path")[0]
    found: dict[tuple[str, str], Interval] = {}
    for where, entry in read_json_lines(file, "path"):
        if entry.get("entry_type") != "eval":
            continue
        probe, detector = (str(entry_field(entry, name, where, "path")) for name in ("probe", "detector"))
        if (probe, detector) in found:
            fail("path", f"{where}: a second row for {probe}, {detector}", "one report a file")
        total_name = "total_evaluated" if "total_evaluated" in entry else "total"
        passed, total = (entry_field(entry, name, where, "path") for name in ("passed", total_name))
        nones = entry.get("nones", 0)
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (passed, total, nones))
        consistent = whole and passed <= total
        check(consistent, "path", f"{where}: {passed} passed of {total}, {nones} without a verdict", "counts")
        middle = proportion(total - passed, total, level=level)
        lower = proportion(total - passed, total + nones, level=level).lower
        upper = proportion(total - passed + nones, total + nones, level=level).upper
        found[probe, detector] = middle._replace(lower=lower, upper=upper)
    check(bool(found), "path", f"{file}, which has no row with entry_type 'eval'", "a complete report")
    return found
