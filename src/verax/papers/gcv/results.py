"""More Than a Toy: measurements of all settings and seeds, and the statistics that claims and tables quote."""

from typing import NamedTuple

import numpy as np

from verax.papers._estimate import Estimate, jackknife, over_seeds

from .config import Config
from .kernels import is_random
from .local_law import LAW_TOLERANCE as LAW_TOLERANCE
from .measure import Measurement
from .theorem import Convergence

PREDICTORS = ("GCV", "norm bound", "spectrum only")


AXES = ("ridge", "samples", "networks")


class Results(NamedTuple):
    """Measurements stacked as [settings, seeds, ...], in the order of ``config.settings``."""

    config: Config
    sizes: np.ndarray
    ridges: np.ndarray
    """Relative to the kernel's mean diagonal."""
    points: Measurement
    convergence: Convergence

    @classmethod
    def of(
        cls, config: Config, ridges: tuple[float, ...], measurements: list[list[Measurement]], convergence: Convergence
    ) -> "Results":
        """Stack measurements [settings][seeds]."""
        fields = [
            np.stack([np.stack([getattr(m, name) for m in row]) for row in measurements])
            for name in Measurement._fields
        ]
        return cls(config, np.array(config.sizes), np.array(ridges), Measurement(*fields), convergence)

    @property
    def names(self) -> list[str]:
        """One name for each setting."""
        return [f"{network}, {dataset}" for network, dataset in self.config.settings]

    def pairs(self) -> list[tuple[int, int]]:
        """Return the settings (trained, random) on the same data set."""
        settings = self.config.settings
        return [
            (i, j)
            for i, (trained, dataset) in enumerate(settings)
            for j, (other, same) in enumerate(settings)
            if dataset == same and not is_random(trained) and is_random(other)
        ]

    def ridge_index(self, relative: float) -> int:
        """Position of the ridge nearest to a relative one."""
        return int(np.argmin(np.abs(np.log(self.ridges / relative))))

    def chosen(self) -> np.ndarray:
        """Return [settings, seeds, sizes] the position of the ridge that GCV chooses."""
        return self.points.gcv.argmin(-1)

    def at_chosen(self, field: np.ndarray) -> np.ndarray:
        """Return [settings, seeds, sizes] a field at the ridge that GCV chooses."""
        return np.take_along_axis(field, self.chosen()[..., None], axis=-1)[..., 0]


def r_squared(results: Results) -> np.ndarray:
    """R^2 [seeds, ridges] of GCV as a prediction of the held-out risk over settings and sizes, within each ridge."""
    gcv, held = results.points.gcv, results.points.held_out
    residual = np.sum((held - gcv) ** 2, axis=(0, 2))
    return 1 - residual / np.sum((held - held.mean((0, 2), keepdims=True)) ** 2, axis=(0, 2))


def worst_r_squared(results: Results) -> Estimate:
    """R^2 at the ridge where it is least."""
    values = r_squared(results)
    return over_seeds(values[:, values.mean(0).argmin()])


def point_ratios(results: Results, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """GCV over held-out risk of points averaged over seeds, [settings, sizes, ridges], and which are reliable."""
    points = results.points
    ratio = points.gcv[:, seeds].mean(1) / points.held_out[:, seeds].mean(1)
    return ratio, points.reliable[:, seeds].mean(1) >= 0.5


def close_share(results: Results, tolerance: float = 0.05, *, only_reliable: bool = True) -> Estimate:
    """Share of the (reliable) points of enough samples at which GCV is within the tolerance of the held-out risk."""

    def share(seeds: np.ndarray) -> float:
        ratio, reliable = point_ratios(results, seeds)
        reliable = (reliable | (not only_reliable)) & (results.sizes >= results.config.reliable_size)[:, None]
        return float(np.mean(np.abs(ratio[reliable] - 1) <= tolerance)) if reliable.any() else float("nan")

    return jackknife(share, results.config.num_seeds)


def law_share(results: Results) -> Estimate:
    """Share of unseen images at which the local law holds to ``LAW_TOLERANCE``, for the network where it is least.

    Over the sample sizes and the relative ridges from 1e-4 to 1e-2 that the law is tried at.
    """
    shares = results.points.law_share
    inside = (results.ridges > 0.9e-4) & (results.ridges < 1.1e-2)
    means = np.nanmean(shares[..., inside], axis=(2, 3)) if shares.shape[2] else np.full(shares.shape[:2], np.nan)
    return over_seeds(means[int(means.mean(1).argmin())])


def flagged_share(results: Results, tolerance: float = 0.10) -> Estimate:
    """Share of the points with GCV off by more than the tolerance that are flagged as not reliable."""

    def share(seeds: np.ndarray) -> float:
        ratio, reliable = point_ratios(results, seeds)
        wrong = (np.abs(ratio - 1) > tolerance) & (results.sizes >= results.config.reliable_size)[:, None]
        return float(np.mean(~reliable[wrong])) if wrong.any() else float("nan")

    return jackknife(share, results.config.num_seeds)


def rank_correlations(results: Results) -> np.ndarray:
    """Compute Spearman's correlation with the held-out risk along one axis, averaged over the others.

    Returns [seeds, predictors, axes].
    """
    points = results.points
    output = np.empty((results.config.num_seeds, len(PREDICTORS), len(AXES)))
    datasets = np.array([dataset for _, dataset in results.config.settings])
    for column, predicted in enumerate((points.gcv, points.norm_bound, points.spectrum_only)):
        for seed in range(results.config.num_seeds):
            truth, guess = points.held_out[:, seed], predicted[:, seed]
            output[seed, column, 0] = _spearman(truth, guess, 2).mean()
            output[seed, column, 1] = _spearman(truth, guess, 1).mean()
            groups = [np.flatnonzero(datasets == dataset) for dataset in dict.fromkeys(datasets)]
            along = [_spearman(truth[group], guess[group], 0) for group in groups if len(group) > 1]
            output[seed, column, 2] = np.mean(along) if along else np.nan
    return output


def pooled_rank_correlations(results: Results) -> np.ndarray:
    """Compute Spearman's correlation with the held-out risk over all points of a data set at once, [seeds, predictors].

    Averaged over data sets, whose risks have different scales.
    """
    points = results.points
    datasets = np.array([dataset for _, dataset in results.config.settings])
    groups = [np.flatnonzero(datasets == dataset) for dataset in dict.fromkeys(datasets)]
    output = np.empty((results.config.num_seeds, len(PREDICTORS)))
    for column, predicted in enumerate((points.gcv, points.norm_bound, points.spectrum_only)):
        for seed in range(results.config.num_seeds):
            output[seed, column] = np.mean(
                [_spearman(points.held_out[group, seed].ravel(), predicted[group, seed].ravel(), 0) for group in groups]
            )
    return output


def _spearman(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    ranks = [values.argsort(axis).argsort(axis).astype(float) for values in (a, b)]
    centred = [rank - rank.mean(axis, keepdims=True) for rank in ranks]
    norms = np.sqrt(np.prod([np.sum(rank**2, axis) for rank in centred], axis=0))
    return np.asarray(np.sum(centred[0] * centred[1], axis) / norms)


def ordering(results: Results) -> np.ndarray:
    """Compare trained with random networks: by the spectrum alone, and by GCV where the spectrum is wrong.

    Returns [seeds, 3]: number of comparisons (a size and a ridge) whose held-out risks differ by over two standard
    errors; share of them that the spectrum alone orders rightly; share of the others that GCV orders rightly, NaN where
    there are none.
    """
    points = results.points
    rows = []
    for seed in range(results.config.num_seeds):
        by_spectrum, by_gcv = [], []
        for i, j in results.pairs():
            truth = points.held_out[i, seed] - points.held_out[j, seed]
            clear = np.abs(truth) > 2 * np.hypot(points.held_out_error[i, seed], points.held_out_error[j, seed])
            for guesses, values in ((by_spectrum, points.spectrum_only), (by_gcv, points.gcv)):
                guesses.append(((values[i, seed] - values[j, seed]) * truth > 0)[clear])
        spectrum, gcv = (np.concatenate(part) if part else np.zeros(0, bool) for part in (by_spectrum, by_gcv))
        right = float(spectrum.mean()) if len(spectrum) else np.nan
        rows.append((len(spectrum), right, float(gcv[~spectrum].mean()) if (~spectrum).any() else np.nan))
    return np.array(rows)


def pair_ratio(results: Results, field: np.ndarray, *, worst: str) -> Estimate:
    """Trained over random of a [settings, seeds] field, for the pair of the "smallest" or "largest" mean ratio."""
    pairs = results.pairs()
    if not pairs:
        return Estimate(float("nan"), None, 0)
    ratios = np.array([field[i] / field[j] for i, j in pairs])
    means = ratios.mean(1)
    return over_seeds(ratios[means.argmin() if worst == "smallest" else means.argmax()])


def curve_share(results: Results, tolerance: float = 0.10) -> Estimate:
    """Share of the points of other sizes whose risk one fit of the judged size predicts within the tolerance."""
    points = results.points
    ratio = points.curves[:, :, 0] / points.held_out
    other = (results.sizes != results.config.curve_sizes[0])[:, None] & (points.reliable >= 0.5)
    close = np.abs(ratio - 1) <= tolerance
    return over_seeds(np.array([close[:, s][other[:, s]].mean() for s in range(results.config.num_seeds)]))


def exponents(results: Results, fit: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit ``risk ~ n^-e`` at the best ridge of each size: measured and predicted e, each [settings, seeds]."""
    points = results.points
    measured = points.held_out.min(-1)
    predicted = points.curves[:, :, fit].min(-1)
    return _slope(results.sizes, measured), _slope(results.sizes, predicted)


def _slope(sizes: np.ndarray, risks: np.ndarray) -> np.ndarray:
    log = np.log(sizes) - np.log(sizes).mean()
    return -np.log(risks) @ log / np.sum(log**2)


def worst_exponent(results: Results) -> Estimate:
    """Predicted minus measured exponent where it is largest in size, with the standard error of the measured one."""
    measured, predicted = exponents(results)
    worst = int(np.abs((predicted - measured).mean(1)).argmax())
    return Estimate(
        float((predicted - measured)[worst].mean()), over_seeds(measured[worst]).standard_error, measured.shape[1]
    )


def seen_ratio(results: Results) -> Estimate:
    """GCV over held-out risk of fits to images seen in training, at relative ridges from 1e-4 to 1e-2."""
    inside = (results.ridges > 0.9e-4) & (results.ridges < 1.1e-2)
    ratios = (results.points.seen_gcv / results.points.seen_held_out)[..., inside].mean(-1)
    ratios = ratios[~np.isnan(ratios).any(1)]
    return over_seeds(ratios.mean(0)) if len(ratios) else Estimate(float("nan"), None, 0)


def case_share(results: Results, case: int, statuses: tuple[int, ...], tolerance: float = 0.10) -> Estimate:
    """Share of kernels on which a case makes GCV wrong by more than the tolerance and the diagnostic says so."""
    ratio = results.points.case_gcv[:, :, case] / results.points.case_held_out[:, :, case]
    wrong = np.abs(ratio - 1).max(-1) > tolerance
    return over_seeds((wrong & np.isin(results.points.case_status[:, :, case], statuses)).mean(0))
