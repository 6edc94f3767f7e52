"""More Than a Toy: the claims, and the criteria that decide them, fixed before any run."""

import dataclasses

import numpy as np

from verax.papers._criteria import above, below
from verax.papers._estimate import Estimate, over_seeds
from verax.papers._untested import gather_untested
from verax.report import Claim, Criterion
from verax.spectral import Status

from .results import (
    LAW_TOLERANCE,
    Results,
    case_share,
    close_share,
    curve_share,
    flagged_share,
    law_share,
    ordering,
    pair_ratio,
    rank_correlations,
    seen_ratio,
    worst_exponent,
    worst_r_squared,
)
from .theorem import rate

R_SQUARED = Criterion(
    "at least 0.95",
    lambda m, _: m >= 0.95,
)


CLOSE = Criterion("at least 0.90", lambda m, _: m >= 0.90)


RANKS = Criterion(
    "at least 0.9",
    lambda m, _: m >= 0.9,
)


BASELINES = Criterion(
    "at most 0.5",
    lambda m, _: m <= 0.5,
)


LEAKAGE = Criterion("at most 0.9", lambda m, _: m <= 0.9)


RATE = Criterion("at least 0.4", lambda m, _: m >= 0.4)


SILENT = Criterion("at least 0.9", lambda m, _: m >= 0.9)


FIRES = Criterion("at least 0.9", lambda m, _: m >= 0.9)


DUPLICATES = Criterion("at least 0.9", lambda m, _: m >= 0.9)


FLAGGED = Criterion("at least 0.8", lambda m, _: m >= 0.8)


DIMENSION = above(1.0)


LOWER_RISK = below(1.0)


SPECTRUM_ORDER = Criterion("at most 0.5", lambda m, _: m <= 0.5)


ORDERING = Criterion("at least 0.95", lambda m, _: m >= 0.95)


LAW = Criterion("at least 0.9", lambda m, _: m >= 0.9)
CURVE = Criterion("at least 0.90", lambda m, _: m >= 0.90)


EXPONENT = Criterion("within 0.05 of 0", lambda m, _: abs(m) <= 0.05)


FIGURE_1 = Criterion("within 0.03 of the published error", lambda m, _: abs(m - 0.199) <= 0.03)


_NOT_HERE = "not tested at this scale"


def make_claims(results: Results) -> list[Claim]:
    """Judge every claim on the measurements."""
    config, points = results.config, results.points
    small = config.stand_in
    ranks = rank_correlations(results)
    silent, scaled = (1 - results.convergence.fires[0], results.convergence.fires[1])
    scaled = scaled & (np.abs(results.convergence.gcv[1, :, -1]).max(-1) > 0.10)
    dimension = points.df1[:, :, -1, results.ridge_index(1e-3)]
    size = f"n >= {config.reliable_size:,}"

    def on_images(
        statement: str,
        quantity: str,
        estimate: Estimate,
        criterion: Criterion,
        *,
        source: str = "abstract",
        verdict: str = "",
        reason: str = "",
    ) -> Claim:
        if small:
            criterion = dataclasses.replace(criterion, when_met="analogue only")
        return _claim(statement, quantity, source, estimate, criterion, "real data", verdict, reason=reason)

    own, limit = "not the paper's: a check of the library", "not the paper's: a limit of the method"
    few = "The measurement has too few images: the estimate of the risk is noisy at this size." if small else ""
    large = [
        on_images(
            f"GCV is within 5 % of the held-out risk at points that the library calls reliable ({size})",
            "share of reliable points",
            close_share(results),
            CLOSE,
            verdict=_NOT_HERE if small else "",
        ),
        on_images(
            f"GCV is within 5 % of the held-out risk at all points, whether called reliable or not ({size})",
            "share of all points",
            close_share(results, only_reliable=False),
            CLOSE,
            verdict=_NOT_HERE if small else "",
        ),
        on_images(
            f"One fit to {config.curve_sizes[0]:,} samples predicts the risk at smaller and larger sizes to 10 %",
            "share of reliable points",
            curve_share(results),
            CURVE,
            verdict=_NOT_HERE if small else "",
        ),
        _figure_1(results),
    ]
    return [
        on_images(
            "GCV ranks risks along the ridge, the sample size and the networks",
            "rank correlation, the least of the three axes",
            _least(ranks[:, 0]),
            RANKS,
            reason=few,
        ),
        on_images(
            "GCV predicts the held-out risk of kernel regression over networks and sample sizes",
            "R² within a ridge, the least over ridges",
            worst_r_squared(results),
            R_SQUARED,
            reason=few,
        ),
        on_images(
            "The local random matrix law holds for the kernels at unseen images",
            f"share of images within {LAW_TOLERANCE:.0%} of the law, least over networks",
            law_share(results),
            LAW,
            source="abstract (the theorem's hypothesis)",
            reason="The tolerance is of the size of the law's own fluctuations at so few samples." if small else "",
        ),
        on_images(
            "Predictions from the norm and from the spectrum alone fail to rank risks along some axis",
            "rank correlation along the worst axis, larger of the two predictions",
            max((_least(ranks[:, column]) for column in (1, 2)), key=lambda estimate: estimate.value),
            BASELINES,
        ),
        on_images(
            "GCV underestimates the risk on images that the network was trained on",
            "GCV over held-out risk",
            seen_ratio(results),
            LEAKAGE,
            source=limit,
        ),
        _claim(
            "GCV converges to the risk on features that obey a random matrix law",
            "exponent r of relative error ~ n^-r",
            "abstract (theorem)",
            Estimate(*rate(results.convergence.gcv[0], config.theorem_sizes), config.theorem_seeds),
            RATE,
            "synthetic",
        ),
        _claim(
            "The diagnostic reports no violation on features that obey the law",
            "share of samples",
            own,
            over_seeds(silent.astype(float)),
            SILENT,
            "synthetic",
        ),
        _claim(
            "On rows of very different size GCV is off by more than 10 %, and the diagnostic reports a violation",
            "share of samples",
            limit,
            over_seeds(scaled.astype(float)),
            FIRES,
            "synthetic",
        ),
        on_images(
            "Where every image occurs twice GCV is off by more than 10 %, and the diagnostic reports duplicates",
            "share of kernels",
            case_share(results, 1, (int(Status.DUPLICATES),)),
            DUPLICATES,
            source=limit,
        ),
        on_images(
            f"Points of unseen images where GCV is off by more than 10 % are flagged ({size})",
            "share of such points",
            flagged_share(results),
            FLAGGED,
            source=own,
        ),
        on_images(
            "Trained representations have a higher effective dimension than random ones",
            "ratio of dimensions, smallest over pairs",
            pair_ratio(results, dimension, worst="smallest"),
            DIMENSION,
            reason="Features trained on few digits concentrate on fewer directions than random ones." if small else "",
        ),
        on_images(
            "Trained representations have a lower risk than random ones",
            "ratio of held-out risks, largest over pairs",
            pair_ratio(results, results.at_chosen(points.held_out)[:, :, -1], worst="largest"),
            LOWER_RISK,
        ),
        on_images(
            "Targets are better aligned with trained representations than with random ones",
            "ratio of kernel-target alignments, smallest over pairs",
            pair_ratio(results, points.alignment, worst="smallest"),
            DIMENSION,
        ),
        on_images(
            "The spectrum alone orders trained and random networks wrongly",
            "share of clear comparisons that it orders rightly",
            over_seeds(ordering(results)[:, 1]),
            SPECTRUM_ORDER,
        ),
        on_images(
            "GCV orders trained and random networks rightly where the spectrum alone is wrong",
            "share of comparisons",
            over_seeds(ordering(results)[:, 2]),
            ORDERING,
        ),
        on_images(
            f"One fit to {config.curve_sizes[0]:,} samples predicts the scaling exponent at the best ridge",
            "predicted less measured exponent, worst network",
            worst_exponent(results),
            EXPONENT,
            reason=few,
        ),
        *gather_untested(large, "closeness to 5 %, learning curves and CIFAR-100, which need more samples"),
    ]


def _figure_1(results: Results) -> Claim:
    estimate, verdict = Estimate(float("nan"), None, 0), _NOT_HERE
    networks = [network for network, _ in results.config.settings]
    if "torchvision" in networks:
        errors = results.at_chosen(results.points.misclassified)[networks.index("torchvision"), :, -1]
        estimate, verdict = over_seeds(errors), ""
    return _claim(
        "Kernel regression on the kernel of a pretrained ResNet-34 classifies CIFAR-100",
        "test error",
        "Figure 1, caption",
        estimate,
        dataclasses.replace(FIGURE_1, when_met="analogue only"),
        "real data",
        verdict,
        published="19.9 % test error",
    )


def _least(ranks: np.ndarray) -> Estimate:
    """Along the axis where the mean over seeds is least; ranks [seeds, axes]."""
    means = ranks.mean(0)
    if np.isnan(means).all():
        return Estimate(float("nan"), None, 0)
    return over_seeds(ranks[:, int(np.nanargmin(means))])


def _claim(
    statement: str,
    quantity: str,
    source: str,
    estimate: Estimate,
    criterion: Criterion,
    evidence: str,
    verdict: str = "",
    published: str | None = None,
    reason: str = "",
) -> Claim:
    measured = None if np.isnan(estimate.value) else estimate.value
    if measured is None:
        verdict = _NOT_HERE
    return Claim(
        statement,
        source,
        published,
        measured,
        estimate.standard_error,
        estimate.seeds,
        evidence,
        criterion,
        verdict,
        quantity,
        reason=reason,
    )
