"""From single verdicts to a table: nothing repeated, and nothing missing that is not said to be."""

import glob
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from verax._errors import check, check_option, fail
from verax._files import read_json, read_json_lines
from verax.evals._table import Outcome, OutcomeTable

MISSING_TREATMENTS = ("error", "fill")
_SPARSEST = 100  # cells per record beyond which names of models, attacks or prompts are taken for a mistake


class Record(NamedTuple):
    """One verdict and where it was read."""

    model: str
    attack: str
    prompt: str
    sample: int
    outcome: int
    where: str
    score: float | None = None
    cluster: str | None = None
    weight: float | None = None


def build_table(records: Sequence[Record], *, argument: str, provenance: str, missing: str = "error") -> OutcomeTable:
    """Fill ``[model, attack, prompt, sample]``, in the order in which names first occur.

    Cells may hold unequal numbers of samples: the rest of a row is ``NOT_RUN``. A model, attack and prompt without any
    record is an error that lists it, unless ``missing="fill"``.
    """
    check_option("missing", missing, MISSING_TREATMENTS)
    check(len(records) > 0, argument, "no record", "at least one verdict")
    cells: dict[tuple[str, str, str], dict[int, Record]] = {}
    for record in records:
        cell = cells.setdefault((record.model, record.attack, record.prompt), {})
        if record.sample in cell:
            got = f"{record.where}: a second verdict for {_cell(record)}"
            fail(argument, got, "one verdict per cell; several runs of one model read apart, or under other names")
        cell[record.sample] = record
    models, attacks, prompts = (list(dict.fromkeys(key[axis] for key in cells)) for axis in range(3))
    size, samples = len(models) * len(attacks) * len(prompts), max(map(len, cells.values()))
    if size > len(cells) and missing == "error":
        holes = itertools.islice((c for c in itertools.product(models, attacks, prompts) if c not in cells), 5)
        names = ", ".join(f"({', '.join(hole)})" for hole in holes)
        more = f" and {size - len(cells) - 5} more" if size - len(cells) > 5 else ""
        need = "every model, attack and prompt, or missing='fill'; a failed judgement is a record with MISSING"
        fail(argument, f"no record for {names}{more}", need)
    dense = size * samples <= max(_SPARSEST * len(records), 1_000_000)
    axes = f"{len(models)} models, {len(attacks)} attacks, {len(prompts)} prompts"
    got = f"{len(records)} records for {size} cells ({axes})"
    check(dense, argument, got, f"at least one record per {_SPARSEST} cells")
    labels = np.full((len(models), len(attacks), len(prompts), samples), Outcome.NOT_RUN, np.int8)
    scores = np.zeros(labels.shape, np.float64)
    place = [{value: index for index, value in enumerate(names)} for names in (models, attacks, prompts)]
    for key, cell in cells.items():
        row = tuple(index[name] for index, name in zip(place, key, strict=True))
        for number, sample in enumerate(sorted(cell)):
            labels[(*row, number)] = cell[sample].outcome
            scores[(*row, number)] = cell[sample].score or 0
    graded = [record.score is not None for record in records if record.outcome != Outcome.MISSING]
    check(all(graded) or not any(graded), argument, "scores on some records", "a score on each record, or on none")
    return OutcomeTable(
        labels,
        scores=scores if graded and all(graded) else None,
        cluster=_by_prompt(records, prompts, "cluster", argument),
        weight=_by_prompt(records, prompts, "weight", argument),
        model_names=models,
        attack_names=attacks,
        prompt_ids=prompts,
        provenance=provenance,
    )


def _cell(record: Record) -> str:
    return f"({record.model}, {record.attack}, {record.prompt}, sample {record.sample})"


def _by_prompt(records: Sequence[Record], prompts: list[str], field: str, argument: str) -> np.ndarray | None:
    found: dict[str, Any] = {}
    for record in records:
        value = getattr(record, field)
        if found.setdefault(record.prompt, value) != value:
            got = f"{record.where}: another {field} for prompt {record.prompt}"
            fail(argument, got, f"the same {field} in each record of a prompt")
    values = [found[prompt] for prompt in prompts]
    if all(value is None for value in values):
        return None
    check(None not in values, argument, f"no {field} for some prompts", f"a {field} for each prompt, or for none")
    if field == "weight":
        return np.array(values, float)
    return np.unique(np.array(values, str), return_inverse=True)[1]


def as_name(value: Any) -> str:
    """The text of an identifier: whole numbers alike, whether a tool kept them as integers or as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def as_paths(path: Any, argument: str, patterns: Sequence[str] = ()) -> list[pathlib.Path]:
    """Existing files: one or several paths, folders (searched for ``patterns``) or globs, sorted within each."""
    several = [path] if isinstance(path, str | pathlib.Path) else list(path)
    check(len(several) > 0, argument, "no file", "at least one")
    found: list[pathlib.Path] = []
    for given in several:
        one = pathlib.Path(given)
        if one.is_dir() and patterns:
            inside = sorted({file for pattern in patterns for file in one.rglob(pattern)})
            check(bool(inside), argument, f"{one}, a folder without logs", " or ".join(patterns))
            found += inside
        elif not one.exists() and glob.has_magic(str(given)):
            inside = sorted(map(pathlib.Path, glob.glob(str(given), recursive=True)))
            check(bool(inside), argument, f"{given}, which no file matches", "a log")
            found += inside
        else:
            found.append(one)
    for one in found:
        check(one.is_file(), argument, f"{one}, which is no file", "a log")
        check(one.stat().st_size > 0, argument, f"{one}, which is empty", "a complete log")
    return list(dict.fromkeys(found))


def read_entries(path: pathlib.Path, argument: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of a file of JSON lines, or of one list of objects, each with its place."""
    with path.open("rb") as file:
        is_list = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    if is_list:
        content = read_json(argument, path)
        numbered = ((f"{path}, record {number}", entry) for number, entry in enumerate(content, start=1))
    else:
        numbered = ((f"{path}, line {number}", entry) for number, entry in read_json_lines(argument, path))
    empty = True
    for where, entry in numbered:
        check(isinstance(entry, dict), argument, f"{where}: {type(entry).__name__}", "an object")
        empty = False
        yield where, entry
    check(not empty, argument, f"{path}, which has no records", "a complete log")


def entry_field(entry: Mapping[str, Any], name: str, where: str, argument: str) -> Any:
    """A field of an entry, or an error that names the record."""
    if name not in entry:
        fail(argument, f"{where}: no field {name!r} among {sorted(map(str, entry))}", f"records with {name!r}")
    return entry[name]
