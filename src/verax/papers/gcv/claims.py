"""More Than a Toy: the claims, and the criteria that decide them, fixed before any run."""

import dataclasses

import numpy as np

from verax.papers._estimate import Estimate, over_seeds
from verax.report import Claim, Criterion
from verax.spectral import Status

from .results import (
    Results,
    case_share,
    close_share,
    curve_share,
    flagged_share,
    ordering,
    pair_ratio,
    rank_correlations,
    seen_ratio,
    worst_exponent,
    worst_r_squared,
)
from .theorem import rate

R_SQUARED = Criterion(
    "R^2 of at least 0.95 within every ridge, over networks and sample sizes: the least of them",
    lambda m, _: m >= 0.95,
)


CLOSE = Criterion("within 5 % of the held-out risk at 90 % or more of the reliable points", lambda m, _: m >= 0.90)


RANKS = Criterion(
    "mean rank correlation of at least 0.9 along each of ridge, samples and networks: the least of the three",
    lambda m, _: m >= 0.9,
)


BASELINES = Criterion(
    "along some axis the mean rank correlation is at most 0.5, for each of the two: the larger of their least",
    lambda m, _: m <= 0.5,
)


LEAKAGE = Criterion("GCV over held-out risk of at most 0.9 on images the network was trained on", lambda m, _: m <= 0.9)


RATE = Criterion("relative error ~ n^-r with r at least 0.4", lambda m, _: m >= 0.4)


SILENT = Criterion("no violation reported in at least 90 % of the samples", lambda m, _: m >= 0.9)


FIRES = Criterion(
    "GCV off by more than 10 %, and a violation reported, in at least 90 % of the samples", lambda m, _: m >= 0.9
)


DUPLICATES = Criterion(
    "GCV off by more than 10 %, and duplicates reported, in at least 90 % of the kernels", lambda m, _: m >= 0.9
)


FLAGGED = Criterion("at least 80 % of the points that are off by more than 10 % are flagged", lambda m, _: m >= 0.8)


DIMENSION = Criterion(
    "ratio above 1 by two standard errors, for every pair: the smallest", lambda m, se: m - 2 * (se or 0.0) > 1
)


LOWER_RISK = Criterion(
    "ratio below 1 by two standard errors, for every pair: the largest", lambda m, se: m + 2 * (se or 0.0) < 1
)


SPECTRUM_ORDER = Criterion("the spectrum alone right in at most half of the clear comparisons", lambda m, _: m <= 0.5)


ORDERING = Criterion(
    "GCV right in at least 95 % of the comparisons that the spectrum gets wrong", lambda m, _: m >= 0.95
)


CURVE = Criterion("within 10 % of the held-out risk at 90 % or more of the reliable points", lambda m, _: m >= 0.90)


EXPONENT = Criterion(
    "predicted minus measured exponent within 0.05, or within the measured one's 95 % interval: the worst network",
    lambda m, se: abs(m) <= max(0.05, 1.96 * (se or 0.0)),
)


FIGURE_1 = Criterion("test error within 0.03 of the published one", lambda m, _: abs(m - 0.199) <= 0.03)


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
        statement: str, estimate: Estimate, criterion: Criterion, *, source: str = "abstract", verdict: str = ""
    ) -> Claim:
        if small:
            criterion = dataclasses.replace(criterion, when_met="analogue only")
        return _claim(statement, source, estimate, criterion, "real data", verdict)

    return [
        on_images("GCV predicts the held-out risk over networks and sample sizes", worst_r_squared(results), R_SQUARED),
        on_images(
            f"GCV is close to the held-out risk at the points flagged reliable with {size}",
            close_share(results),
            CLOSE,
            verdict=_NOT_HERE if small else "",
        ),
        on_images("GCV ranks risks along the ridge, the sample size and the networks", _least(ranks[:, 0]), RANKS),
        on_images(
            "Norm-based and spectrum-only predictions do not rank them along every axis",
            max((_least(ranks[:, column]) for column in (1, 2)), key=lambda estimate: estimate.value),
            BASELINES,
        ),
        on_images(
            "Features must be independent of the labels: on images that the network was trained on GCV fails",
            seen_ratio(results),
            LEAKAGE,
            source="not the paper's: a limit of the method",
        ),
        _claim(
            "GCV converges to the risk on features that obey a random-matrix law",
            "abstract (theorem)",
            Estimate(*rate(results.convergence.gcv[0], config.theorem_sizes), config.theorem_seeds),
            RATE,
            "synthetic",
        ),
        _claim(
            "The diagnostic is silent on features that obey the law",
            "not the paper's: a check of the library",
            over_seeds(silent.astype(float)),
            SILENT,
            "synthetic",
        ),
        _claim(
            "GCV fails on rows of very different size, and the diagnostic reports it",
            "not the paper's: a limit of the method",
            over_seeds(scaled.astype(float)),
            FIRES,
            "synthetic",
        ),
        on_images(
            "GCV fails where every image occurs twice, and the diagnostic reports it",
            case_share(results, 1, (int(Status.DUPLICATES),)),
            DUPLICATES,
            source="not the paper's: a limit of the method",
        ),
        on_images(
            f"Points of unseen images where GCV is wrong are flagged ({size})",
            flagged_share(results),
            FLAGGED,
            source="not the paper's: a check of the library",
        ),
        on_images(
            "Trained representations have a higher effective dimension than random ones",
            pair_ratio(results, dimension, worst="smallest"),
            DIMENSION,
        ),
        on_images(
            "... and yet a lower risk",
            pair_ratio(results, results.at_chosen(points.held_out)[:, :, -1], worst="largest"),
            LOWER_RISK,
        ),
        on_images(
            "... because the targets are better aligned with them (kernel-target alignment)",
            pair_ratio(results, points.alignment, worst="smallest"),
            DIMENSION,
        ),
        on_images(
            "The spectrum alone orders trained and random networks wrongly",
            over_seeds(ordering(results)[:, 1]),
            SPECTRUM_ORDER,
        ),
        on_images(
            "GCV orders trained and random networks rightly where the spectrum alone is wrong",
            over_seeds(ordering(results)[:, 2]),
            ORDERING,
        ),
        on_images(
            f"One fit to {config.curve_sizes[0]:,} samples predicts the learning curve at smaller and larger n",
            curve_share(results),
            CURVE,
            verdict=_NOT_HERE if small else "",
        ),
        on_images(
            "... and its scaling exponent at the best ridge, over four doublings", worst_exponent(results), EXPONENT
        ),
        _figure_1(results),
    ]


def _figure_1(results: Results) -> Claim:
    estimate, verdict = Estimate(float("nan"), None, 0), _NOT_HERE
    networks = [network for network, _ in results.config.settings]
    if "torchvision" in networks:
        errors = results.at_chosen(results.points.misclassified)[networks.index("torchvision"), :, -1]
        estimate, verdict = over_seeds(errors), ""
    return _claim(
        "Kernel regression on a pretrained ResNet-34's kernel classifies CIFAR-100",
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
    source: str,
    estimate: Estimate,
    criterion: Criterion,
    evidence: str,
    verdict: str = "",
    published: str | None = None,
) -> Claim:
    measured = None if np.isnan(estimate.value) else estimate.value
    if measured is None:
        verdict = _NOT_HERE
    return Claim(
        statement, source, published, measured, estimate.standard_error, estimate.seeds, evidence, criterion, verdict
    )
