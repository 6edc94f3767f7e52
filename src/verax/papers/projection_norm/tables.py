"""Projection Norm: the tables."""

import numpy as np

from verax.papers._estimate import over_seeds
from verax.report import Table
from verax.shift import Status

from .sets import FAMILIES
from .summary import DEPLOYED, KERNEL, LEVEL, Judged, Summary, at_budget, attacked_sets, judge, line_of


def make_tables(summary: Summary) -> dict[str, tuple[Table, str]]:
    """Scores over corruptions for each network; the failures; adversarial sets."""
    tables = {}
    for network in summary.config.networks:
        seeds = summary.judged[network]
        rows = []
        for name in seeds[0]:
            found = [seed[name].validation for seed in seeds if name in seed]
            good = [v for v in found if v is not None]
            if not good:
                rows.append((name, None, None, None, None, None, None, None))
                continue
            families = sum(round(v.family_coverage[0] * len(FAMILIES)) for v in good)
            rows.append(
                (
                    name,
                    *over_seeds(np.array([v.r_squared for v in good]))[:2],
                    float(np.mean([v.spearman for v in good])),
                    *over_seeds(np.array([v.mean_absolute_error for v in good]))[:2],
                    float(np.mean([v.set_coverage[0] for v in good])),
                    f"{families} of {len(FAMILIES) * len(good)}",
                )
            )
        columns = ("score", "R²", "± se", "Spearman", "MAE", "± se of MAE", "sets covered", "families covered")
        caption = (
            f"15 corruptions, sets of {summary.config.size:,}. MAE and coverage under a calibration frozen on the "
            f"other 14 families, intervals at {LEVEL:.0%}, which take the largest residual of the 14 (expect 14 of 15)."
        )
        tables[f"scores, {network}"] = Table(columns, rows), caption
        limits = _coverage_limits(seeds)
        tables[f"coverage, {network}"] = (
            Table(("score", "lower, families", "upper, families", "lower, sets", "upper, sets"), limits),
            "Clopper-Pearson limits (95 %) of the coverage, first seed; those of sets take sets as independent, which "
            "they are not.",
        )
        tables[f"failures, {network}"] = _failures(summary, network)
        if attacked_sets(summary, network):
            tables[f"adversarial, {network}"] = _adversarial_table(summary, network)
    recipes = _recipes(summary)
    if recipes:
        tables["retraining"] = (
            Table(("network", "seed", "recipe"), recipes),
            "The recipe of retraining whose parameter norm has the largest R² on the corruptions that are held out of "
            "calibration and claims, and on clean sets.",
        )
    if summary.config.other_sizes:
        tables["sizes"] = _sizes(summary)
    return tables


def _recipes(summary: Summary) -> list[tuple[str, int, str]]:
    return [
        (network, seed + 1, str(summary.config.retrainings[measurement.corrupted.recipe]))
        for network, seeds in summary.measurements.items()
        for seed, measurement in enumerate(seeds)
        if measurement.corrupted.recipe is not None
    ]


def _sizes(summary: Summary) -> tuple[Table, str]:
    """R^2 of the closed form and of average confidence by the size of the target sets."""
    rows = []
    for network, seeds in summary.measurements.items():
        for size in summary.config.other_sizes:
            for name in (KERNEL, DEPLOYED, "average confidence"):
                found = [m for m in seeds if size in m.sized and name in m.sized[size].scores]
                judged = [judge(summary.config, m, name, sets=m.sized[size]) for m in found]
                good = [j.validation for j in judged if j.validation is not None]
                fits, misses = ([getattr(v, what) for v in good] for what in ("r_squared", "mean_absolute_error"))
                if good:
                    both = (*over_seeds(np.array(fits))[:2], *over_seeds(np.array(misses))[:2])
                    rows.append((network, size, name, *both))
    columns = ("network", "m", "score", "R²", "± se", "MAE", "± se of MAE")
    return Table(columns, rows), "Corrupted sets of other sizes than the main one."


def _coverage_limits(seeds: list[dict[str, Judged]]) -> list[tuple]:
    return [
        (name, *judged.validation.family_coverage[1:], *judged.validation.set_coverage[1:])
        for name, judged in seeds[0].items()
        if judged.validation is not None
    ]


def _failures(summary: Summary, network: str) -> tuple[Table, str]:
    rows = []
    measurements, judged = summary.measurements[network], summary.judged[network]
    for kind in dict.fromkeys(measurements[0].label_shifted.family):
        inside = measurements[0].label_shifted.family == kind
        true = float(np.mean([m.label_shifted.error[inside].mean() for m in measurements]))
        for name in judged[0]:
            predictions, refused = [], []
            for m, seed in zip(measurements, judged, strict=True):
                one = seed.get(name)
                if one is None or one.calibration is None:
                    continue
                values = at_budget(summary, one, m.label_shifted, name)[inside]
                skewed = [labels for labels, wanted in zip(m.label_shifted.predicted(), inside, strict=True) if wanted]
                predictions.append(line_of(one, values)[0].mean())
                found = [
                    int(one.calibration.estimate(v, predicted_labels=p).status)
                    for v, p in zip(values, skewed, strict=True)
                ]
                refused.append(np.mean([status != Status.OK for status in found]))
            if predictions and np.all(np.isfinite(predictions)):
                rows.append((str(kind), name, true, float(np.mean(predictions)), float(np.mean(refused))))
    caption = (
        f"Clean sets of {summary.config.small_size}: the line's value, and the share of sets for which the calibration "
        "gives a status instead of a number."
    )
    return Table(("set", "score", "true error", "line's value", "refused"), rows), caption


def _adversarial_table(summary: Summary, network: str) -> tuple[Table, str]:
    attacked, judged = attacked_sets(summary, network), summary.judged[network]
    rows: list[tuple] = [("true error", *np.mean([sets.error for sets in attacked], axis=0).tolist())]
    for name in judged[0]:
        lines = [
            line_of(seed[name], at_budget(summary, seed[name], sets, name))[0]
            for sets, seed in zip(attacked, judged[: len(attacked)], strict=True)
            # Sets made against one network tell nothing of its agreement with another.
            if name in sets.scores and seed[name].calibration is not None
        ]
        if lines and np.all(np.isfinite(lines)):
            rows.append((name, *np.mean(lines, axis=0).tolist()))
    caption = "The line's value, calibrated on corruptions alone, by radius (share of full intensity), mean over seeds."
    return Table(("score", *(f"{radius:.3f}" for radius in attacked[0].strength)), rows), caption
