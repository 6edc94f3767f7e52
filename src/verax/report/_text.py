"""Numbers, durations and claims as text; values as plain data."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._claim import Claim


def to_plain(value: Any) -> Any:
    """Turn dataclasses, mappings, sequences and arrays into what JSON can hold, and anything else into its name."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(entry) for entry in value]
    if hasattr(value, "tolist") and not isinstance(value, type):
        return to_plain(np.asarray(value).tolist())
    return getattr(value, "__name__", None) or str(value)


def number(value: Any) -> str:
    """Four significant digits, and powers of ten where they read better; other values as they are."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.3e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4g}"


def measurement(value: float | int | None, standard_error: float | int | None) -> str:
    """Return ``0.9731 ± 0.0042``: the error to two digits, the value to the same decimal place."""
    if value is None or standard_error is None or not math.isfinite(value) or not math.isfinite(standard_error):
        return number(value)
    if standard_error == 0:
        return f"{number(value)} ± 0"
    decimals = max(1 - math.floor(math.log10(standard_error)), 0)
    if decimals > 6:
        return f"{value:.6g} ± {standard_error:.1e}"
    return f"{value:,.{decimals}f} ± {standard_error:,.{decimals}f}"


def measured_text(claim: Claim) -> str:
    """Return the measured number of a claim with its standard error and unit."""
    return f"{measurement(claim.measured, claim.standard_error)} {claim.unit}".strip()


def slug(name: str) -> str:
    """Return a name made of lower-case letters, digits and hyphens, fit for a file or an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "item"


def duration(seconds: float | int) -> str:
    """Return ``3.2 s``, ``1 min 20 s`` or ``2 h 5 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def claim_lines(claim: Claim) -> list[str]:
    """Return a claim as two lines of plain text, and a third where a reason belongs."""
    seeds = f", {claim.seeds} seeds" if claim.seeds else ""
    published = "" if claim.published is None else f", published {number(claim.published)}"
    return [
        f"[{claim.verdict}] {claim.statement} ({claim.source})",
        f"    {claim.quantity or 'measured'}: {measured_text(claim)}{published}{seeds}; {claim.evidence}; "
        f"criterion: {claim.criterion.text}",
        *([f"    {claim.reason}"] if claim.reason and claim.verdict == "not reproduced" else []),
    ]
