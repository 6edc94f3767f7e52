"""Reports as JSON documents: claims, numbers that JSON has no words for, and the names of figures' files."""

import math
import pathlib
from typing import Any

from ._claim import Claim, Criterion
from ._text import slug

FORMAT = 1
_CLAIM_FIELDS = ("statement", "source", "published", "measured", "standard_error", "seeds", "evidence", "verdict")
_LATER_FIELDS = ("quantity", "unit", "reason")
"""Fields that older documents lack."""


def figure_paths(folder: pathlib.Path, names: list[str]) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Return the paths of each figure as PNG and as SVG."""
    # The position in the list keeps names apart that differ in punctuation only.
    stems = [f"{index:02d}-{slug(name)}" for index, name in enumerate(names, start=1)]
    return [(folder / "figures" / f"{stem}.png", folder / "figures" / f"{stem}.svg") for stem in stems]


def claim_to_json(claim: Claim) -> dict[str, Any]:
    """Return the fields of a claim; of its criterion the words, not the code."""
    criterion = {"text": claim.criterion.text, "when_met": claim.criterion.when_met}
    fields = {name: getattr(claim, name) for name in (*_CLAIM_FIELDS, *_LATER_FIELDS)}
    return {**fields, "criterion": criterion}


def claim_from_json(document: dict[str, Any]) -> Claim:
    """Return the claim of these fields, with a criterion that keeps its words only."""
    criterion = document["criterion"]
    return Claim(
        **{name: document[name] for name in _CLAIM_FIELDS},
        **{name: document.get(name, "") for name in _LATER_FIELDS},
        criterion=Criterion(criterion["text"], None, criterion["when_met"]),
    )


def encode(value: Any) -> Any:
    """Write NaN and infinities, which JSON lacks, as ``{"float": "nan"}``."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, dict):
        return {name: encode(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [encode(entry) for entry in value]
    return value


def decode(value: Any) -> Any:
    """Undo :func:`encode`."""
    if isinstance(value, dict):
        if list(value) == ["float"] and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {name: decode(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [decode(entry) for entry in value]
    return value
