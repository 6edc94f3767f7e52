"""Projection Norm: the claims, and the criteria that decide them, fixed before any run."""

from typing import Any

import numpy as np

from verax.papers._estimate import over_seeds
from verax.report import Claim, Criterion

from .summary import (
    BASELINE,
    DEPLOYED,
    KERNEL,
    RETRAINED,
    Summary,
    attacked_sets,
    detects_attacks,
    label_shift,
    validations,
)

R_SQUARED = Criterion("R^2 of at least 0.93 between score and error over corruptions", lambda m, _: m >= 0.93)


BEATS_COT = Criterion(
    "mean absolute error of at most COT's, under a calibration that never saw the family: the mean over seeds of their "
    "ratio at most 1",
    lambda m, _: m <= 1.0,
)


BEATS_CONFIDENCE = Criterion(
    "R^2 above that of average confidence by two standard errors: the difference", lambda m, se: m - 2 * (se or 0.0) > 0
)


COVERAGE = Criterion(
    "share of left-out families that are covered as a whole at least 0.9, or below it by at most two standard errors "
    "of a binomial share",
    lambda m, _: m >= 0.9 - 2 * (0.9 * 0.1 / 15) ** 0.5,
)


LABELS_FLAGGED = Criterion("at least 80 % of the sets of one or of four classes are refused", lambda m, _: m >= 0.8)


LABELS_BIASED = Criterion(
    "error of clean sets of one class over-predicted by more than 0.1: the mean excess", lambda m, _: m > 0.1
)


ADVERSARIAL = Criterion(
    "predicted error rises with the radius (rank correlation of at least 0.9) and reaches at least 25 % of the true "
    "error at the largest, where the interval excludes the prediction for clean images: 1 if so in every seed",
    lambda m, _: m == 1.0,
)


def make_claims(summary: Summary) -> list[Claim]:
    """Judge the first network; the tables show all."""
    config = summary.config
    met = "analogue only" if config.stand_in else "reproduced"
    claims = []

    def add(statement: str, source: str, published: Any, values: list[float], criterion: Criterion) -> None:
        criterion = Criterion(criterion.text, criterion.test, met)
        if not values:
            verdict = "not tested at this scale"
            claims.append(Claim(statement, source, published, None, None, 0, "real data", criterion, verdict))
            return
        claims.append(Claim(statement, source, published, *over_seeds(np.array(values)), "real data", criterion))

    rerun = "0.947 (MaNo's re-run, CIFAR-10-C, mean of three networks)"
    forms = {
        RETRAINED: "by retraining",
        KERNEL: "in closed form, on features of the initialisation,",
        DEPLOYED: "in closed form, on features of the deployed network,",
    }
    for name, kind in forms.items():
        found = validations(summary, name)
        baseline, confidence = (validations(summary, other)[: len(found)] for other in (BASELINE, "average confidence"))
        add(
            f"Projection Norm {kind} tracks the error under corruption", "abstract",
            rerun if name == RETRAINED else None, [v.r_squared for v in found], R_SQUARED,
        )  # fmt: skip
        add(
            f"Projection Norm {kind} predicts errors of unseen corruptions as well as optimal transport (COT)",
            "not the paper's: COT is later", None,
            [v.mean_absolute_error / w.mean_absolute_error for v, w in zip(found, baseline, strict=True)], BEATS_COT,
        )  # fmt: skip
        add(
            f"Projection Norm {kind} tracks the error better than the model's own confidence", "abstract", None,
            [v.r_squared - w.r_squared for v, w in zip(found, confidence, strict=True)], BEATS_CONFIDENCE,
        )  # fmt: skip
    best = RETRAINED if validations(summary, RETRAINED) else KERNEL
    add(
        "Intervals cover families of shifts that the calibration never saw", "not the paper's: calibration is ours",
        None, [v.family_coverage[0] for v in validations(summary, best)], COVERAGE,
    )  # fmt: skip
    labels = [label_shift(summary, seed, best) for seed in range(len(validations(summary, best)))]
    add(
        "Projection Norm over-predicts the error under label shift", "not the paper's: a limit of the method", None,
        [biased for biased, _ in labels], LABELS_BIASED,
    )  # fmt: skip
    add(
        "The test on predicted labels refuses such sets", "not the paper's: calibration is ours", None,
        [flagged for _, flagged in labels], LABELS_FLAGGED,
    )  # fmt: skip
    attacked = len(attacked_sets(summary, config.networks[0]))
    attacks = [float(detects_attacks(summary, seed, best)) for seed in range(min(attacked, len(labels)))]
    add(
        "Projection Norm detects adversarial examples to a non-trivial degree", "abstract", None,
        [min(attacks)] if attacks else [], ADVERSARIAL,
    )  # fmt: skip
    return claims
