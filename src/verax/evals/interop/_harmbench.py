"""Completions that HarmBench's classifier has labelled."""

import pathlib
from collections.abc import Mapping

from verax._errors import check
from verax._files import read_json
from verax.evals._table import Outcome, OutcomeTable

from ._records import Record, as_paths, build_table, entry_field
from ._verdicts import verdict_of

_VALUES = {1: Outcome.BAD, 0: Outcome.GOOD, -1: Outcome.MISSING}


def from_harmbench(paths: Mapping[tuple[str, str], str | pathlib.Path], *, missing: str = "error") -> OutcomeTable:
    """Read ``{behavior: [{..., "label": 0 or 1}, ...]}``; test cases and generations are not kept.

    Parameters
    ----------
    paths
        A results file for each (model, attack).
    missing
        ``"error"``, or ``"fill"`` for attacks that were run on different behaviours: those left out are NOT_RUN.

    Returns
    -------
    OutcomeTable
        Behaviours as prompts, their test cases as samples, as many as each has; label 1 is BAD, 0 is GOOD, -1 or null
        (the classifier failed) is MISSING.

    Raises
    ------
    ValueError
        For a file that is no JSON of that form, or a record without a label: naming file, behaviour and record.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from verax.evals import from_harmbench
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "results.json"
    ...     _ = path.write_text(json.dumps({"b1": [{"label": 0}], "b2": [{"label": 1}]}))
    ...     from_harmbench({("m", "direct"): path}).labels.ravel().tolist()
    [0, 1]
    """
    check(isinstance(paths, Mapping) and len(paths) > 0, "paths", type(paths).__name__, "files by (model, attack)")
    records = []
    for key, path in paths.items():
        check(isinstance(key, tuple) and len(key) == 2, "paths", repr(key), "keys (model, attack)")
        file = as_paths(path, "paths")[0]
        behaviours = read_json("paths", file)
        check(isinstance(behaviours, dict) and len(behaviours) > 0, "paths", f"{file}, which has no behaviours", "some")
        for behaviour, cases in behaviours.items():
            check(isinstance(cases, list), "paths", f"{file}, behaviour {behaviour}: no list", "a list of records")
            for number, case in enumerate(cases):
                where = f"{file}, behaviour {behaviour}, record {number}"
                check(isinstance(case, dict), "paths", f"{where}: {type(case).__name__}", "an object")
                outcome = verdict_of(entry_field(case, "label", where, "paths"), _VALUES, where, "paths")
                records.append(Record(str(key[0]), str(key[1]), str(behaviour), number, int(outcome), where))
    return build_table(records, argument="paths", provenance="HarmBench", missing=missing)
