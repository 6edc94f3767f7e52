"""Covert malicious finetuning: the tables."""

import numpy as np

from verax.audit import detection_report
from verax.papers._estimate import over_seeds
from verax.report import Table

from . import screening
from .rates import judged, true_positive_rate
from .screening import DETECTORS, Scores
from .tuned import Behaviour


def make_tables(
    benign: Scores, covert: Scores, overt: Scores, sweep: dict[float, Scores], acts: dict[str, Behaviour]
) -> dict[str, tuple]:
    """All tables with their captions."""
    rows = []
    for name in DETECTORS:
        for what, other in (("covert", covert), ("overt", overt)):
            found = judged(benign, other, name)
            for family, intervals in found.by_family.items():
                for rate, interval, false in zip((0.01, 0.05), intervals, found.realised_fpr, strict=True):
                    rows.append((name, what, family, rate, *interval, *false))
    for method in ("fisher", "e_merge"):
        scores = screening.combined(benign, covert, method)
        is_covert = np.repeat([False, True], [len(part) for part in scores])
        names = np.concatenate([benign.family[1::2], covert.family])
        found = detection_report(np.concatenate(scores), is_covert, names)
        for family, intervals in found.by_family.items():
            measured = zip((0.01, 0.05), intervals, found.realised_fpr, found.resolved, strict=True)
            rows += [
                (f"all three, {method}", "covert", family, rate, *interval, *false)
                for rate, interval, false, resolved in measured
                if resolved
            ]
    columns = ("detector", "jobs", "family", "tolerated", "TPR", "lower", "upper", "FPR", "FPR lower", "FPR upper")
    tables = {
        "detection": (
            Table(columns, rows),
            f"True-positive rates with 95 % Clopper-Pearson limits against {len(benign.kind)} benign jobs; the "
            "realised false-positive rate is that on the benign jobs that set the threshold.",
        ),
        "false alarms": (
            Table(
                ("benign jobs", "tolerated", *DETECTORS),
                [
                    (kind, rate, *(float(x) for x in shares))
                    for rate in (0.01, 0.05)
                    for kind, shares in screening.false_alarms(benign, rate).items()
                ],
            ),
            "Share of benign jobs flagged at a tolerated rate, by their kind: who encodes bears the alarms of novelty.",
        ),
        "contamination": (
            Table(
                ("share of covert examples", "TPR at 1 %"),
                [(share, true_positive_rate(benign, found)) for share, found in sweep.items()],
            ),
            "Decode-then-filter, substitution.",
        ),
    }
    if acts:
        shares = [(name, *(value for field in found for value in _shown(field))) for name, found in acts.items()]
        names = (
            "plain restricted: refused",
            "plain allowed: done",
            "encoded restricted: done",
            "encoded allowed: done",
            "traffic: flagged",
            "decoded: flagged",
            "decoded: false alarms",
        )
        tables["behaviour"] = (
            Table(("job", *(part for name in names for part in (name, "± se"))), shares),
            "Shares of answers after fine-tuning on each job, over organisms. Of encoded traffic: compliance with "
            "restricted requests that a classifier flags as it passes and after decoding, and its false alarms then.",
        )
    return tables


def _shown(field: np.ndarray) -> tuple[float | None, float | None]:
    """Mean and standard error, nothing where a job has no encoding."""
    return (None, None) if np.isnan(field).all() else over_seeds(field)[:2]
