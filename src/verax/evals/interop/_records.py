"""From single verdicts to a table: nothing repeated, nothing missing that is not said to be."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from verax._errors import check, fail
from verax.evals._table import Outcome, OutcomeTable


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


def build_table(records: Sequence[Record], *, argument: str, provenance: str) -> OutcomeTable:
    """Fill ``[model, attack, prompt, sample]``, in the order in which names first occur."""
    check(len(records) > 0, argument, "no record", "at least one verdict")
    models, attacks, prompts = (
        list(dict.fromkeys(getattr(record, name) for record in records)) for name in ("model", "attack", "prompt")
    )
    samples = sorted({record.sample for record in records})
    place = {
        name: {value: index for index, value in enumerate(values)}
        for name, values in (("model", models), ("attack", attacks), ("prompt", prompts), ("sample", samples))
    }
    shape = tuple(map(len, (models, attacks, prompts, samples)))
    labels = np.full(shape, -1, np.int8)
    scores = np.zeros(shape, np.float32)
    for record in records:
        cell = tuple(place[name][getattr(record, name)] for name in ("model", "attack", "prompt", "sample"))
        if labels[cell] >= 0:
            fail(argument, f"{record.where}: a second verdict for {_cell(record)}", "one verdict a cell")
        labels[cell] = record.outcome
        scores[cell] = 0 if record.score is None else record.score
    holes = np.argwhere(labels < 0)
    if len(holes):
        names = [f"({models[m]}, {attacks[a]}, {prompts[p]}, sample {samples[s]})" for m, a, p, s in holes[:5]]
        more = f" and {len(holes) - 5} more" if len(holes) > 5 else ""
        got = f"no record for {', '.join(names)}{more}"
        fail(argument, got, "every model, attack, prompt and sample; a failed judgement is a record with MISSING")
    graded = [record.score is not None for record in records]
    check(all(graded) or not any(graded), argument, "scores on some records", "a score on each record, or on none")
    return OutcomeTable(
        labels,
        scores=scores if all(graded) else None,
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
            fail(argument, f"{record.where}: another {field} for prompt {record.prompt}", f"one {field} a prompt")
    values = [found[prompt] for prompt in prompts]
    if all(value is None for value in values):
        return None
    check(None not in values, argument, f"no {field} for some prompts", f"a {field} for each prompt, or for none")
    if field == "weight":
        return np.array(values, float)
    return np.unique(np.array(values, str), return_inverse=True)[1]


def outcome_of(value: Any, mapping: Mapping[Any, Any], where: str, argument: str) -> int:
    """The outcome that a value of a log stands for."""
    if isinstance(value, float) and value.is_integer() and value not in mapping:
        value = int(value)
    if isinstance(value, list | dict) or value not in mapping:
        fail(argument, f"{where}: value {value!r}", f"one of {list(mapping)}, or a mapping= that holds it")
    return int(Outcome(mapping[value]))


def as_paths(path: Any, argument: str) -> list[pathlib.Path]:
    """One file or several, each of which exists."""
    several = [path] if isinstance(path, str | pathlib.Path) else list(path)
    check(len(several) > 0, argument, "no file", "at least one")
    paths = [pathlib.Path(one) for one in several]
    for one in paths:
        check(one.is_file(), argument, f"{one}, which is no file", "a log")
        check(one.stat().st_size > 0, argument, f"{one}, which is empty", "a complete log")
    return paths


def read_json(path: pathlib.Path, argument: str) -> Any:
    """A JSON file, or an error that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        fail(argument, f"{path}, which is no JSON ({error})", "a complete JSON file")


def read_json_lines(path: pathlib.Path, argument: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of a file of JSON lines, each with its place."""
    number = 0
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}, line {number}"
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                fail(argument, f"{where}, which is no JSON ({error})", "a complete file of JSON lines")
            check(isinstance(entry, dict), argument, f"{where}: {type(entry).__name__}", "an object")
            yield where, entry
    check(number > 0, argument, f"{path}, which has no lines", "a complete log")


def entry_field(entry: Mapping[str, Any], name: str, where: str, argument: str) -> Any:
    """A field of an entry, or an error that names the record."""
    if name not in entry:
        fail(argument, f"{where}: no field {name!r} among {sorted(map(str, entry))}", f"records with {name!r}")
    return entry[name]
