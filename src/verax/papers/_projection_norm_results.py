"""Projection Norm: the claims with their criteria, tables and figures."""

from typing import Any, NamedTuple

import numpy as np

from verax.report import Claim, Criterion, Table, style, subplots
from verax.shift import ErrorCalibration, MonitorTable, Status, Validation

from ._estimate import over_seeds
from ._projection_norm_measure import EXTRA, FAMILIES, Measurement, Sets

KERNEL = "kernel, initial features"
DEPLOYED = "kernel, deployed features"
RETRAINED = "retrained, function"
BASELINE = "COT"
LEVEL = 0.9

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


class Judged(NamedTuple):
    """One score of one network and seed, calibrated on the 15 corruptions."""

    values: np.ndarray
    """Of all corrupted and clean sets, at the chosen budget."""
    calibration: ErrorCalibration | None
    validation: Validation | None
    budget: float | None


class Summary(NamedTuple):
    """Everything that claims, tables and figures read."""

    config: Any
    measurements: dict[str, list[Measurement]]
    judged: dict[str, list[dict[str, Judged]]]


def summarise(config: Any, measurements: dict[str, list[Measurement]]) -> Summary:
    """Calibrate every score of every network and seed on the 15 corruptions; budgets come from the held-out four."""
    judged = {
        network: [
            {name: _judge(config, m, name) for name in m.corrupted.scores if not name.endswith("p-value")}
            for m in seeds
        ]
        for network, seeds in measurements.items()
    }
    return Summary(config, measurements, judged)


def _judge(config: Any, measurement: Measurement, name: str, sets: Sets | None = None) -> Judged:
    sets = measurement.corrupted if sets is None else sets
    values, budget = sets.scores[name], None
    if values.ndim == 2:
        index = choose_budget(sets, name)
        values, budget = values[index], config.budgets[index]
    calibrating = np.isin(sets.family, FAMILIES)
    if not np.all(np.isfinite(values[calibrating])):
        return Judged(values, None, None, budget)
    predicted = [labels for labels, inside in zip(sets.predicted, calibrating, strict=True) if inside]
    calibration = ErrorCalibration.fit(
        values[calibrating], sets.error[calibrating], sets.family[calibrating], level=LEVEL,
        reference_labels=measurement.holdout_predicted, calibration_labels=predicted,
    )  # fmt: skip
    return Judged(values, calibration, calibration.validate(), budget)


def choose_budget(sets: Sets, name: str) -> int:
    """The rule, fixed before any run: the largest R^2 on the families that are held out of calibration and claims."""
    outside = np.isin(sets.family, (*EXTRA, "clean"))
    fits = [np.corrcoef(row[outside], sets.error[outside])[0, 1] for row in sets.scores[name]]
    return int(np.argmax(np.square(np.nan_to_num(fits))))


def _at_budget(summary: Summary, judged: Judged, sets: Sets, name: str) -> np.ndarray:
    values = sets.scores[name]
    return values if judged.budget is None else values[summary.config.budgets.index(judged.budget)]


def _validations(summary: Summary, name: str) -> list[Validation]:
    network = summary.config.networks[0]
    found = [seed[name].validation for seed in summary.judged[network] if name in seed]
    return [validation for validation in found if validation is not None]


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
        found = _validations(summary, name)
        baseline, confidence = (
            _validations(summary, other)[: len(found)] for other in (BASELINE, "average confidence")
        )
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
    best = RETRAINED if _validations(summary, RETRAINED) else KERNEL
    add(
        "Intervals cover families of shifts that the calibration never saw", "not the paper's: calibration is ours",
        None, [v.family_coverage[0] for v in _validations(summary, best)], COVERAGE,
    )  # fmt: skip
    labels = [_label_shift(summary, seed, best) for seed in range(len(_validations(summary, best)))]
    add(
        "Projection Norm over-predicts the error under label shift", "not the paper's: a limit of the method", None,
        [biased for biased, _ in labels], LABELS_BIASED,
    )  # fmt: skip
    add(
        "The test on predicted labels refuses such sets", "not the paper's: calibration is ours", None,
        [flagged for _, flagged in labels], LABELS_FLAGGED,
    )  # fmt: skip
    attacked = len(_attacked(summary, config.networks[0]))
    attacks = [float(_adversarial(summary, seed, best)) for seed in range(min(attacked, len(labels)))]
    add(
        "Projection Norm detects adversarial examples to a non-trivial degree", "abstract", None,
        [min(attacks)] if attacks else [], ADVERSARIAL,
    )  # fmt: skip
    return claims


def _line(judged: Judged, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    assert judged.calibration is not None
    return judged.calibration._limits(values)


def _label_shift(summary: Summary, seed: int, name: str) -> tuple[float, float]:
    network = summary.config.networks[0]
    sets, judged = summary.measurements[network][seed].label_shifted, summary.judged[network][seed][name]
    assert judged.calibration is not None
    predicted = _line(judged, _at_budget(summary, judged, sets, name))[0]
    single, few = sets.strength == 1, sets.strength < 10
    flagged = [judged.calibration.label_shift(labels) for labels in sets.predicted[few]]
    return float((predicted - sets.error)[single].mean()), float(np.mean(flagged))


def _attacked(summary: Summary, network: str) -> list[Sets]:
    """Adversarial sets of the first seeds, as many as have them."""
    return [m.adversarial for m in summary.measurements[network] if m.adversarial is not None]


def _adversarial(summary: Summary, seed: int, name: str) -> bool:
    network = summary.config.networks[0]
    sets, judged = _attacked(summary, network)[seed], summary.judged[network][seed][name]
    predicted, lower, _ = _line(judged, _at_budget(summary, judged, sets, name))
    ranks = np.argsort(np.argsort(predicted))
    rising = np.corrcoef(ranks, np.arange(len(ranks)))[0, 1] >= 0.9
    return bool(rising and predicted[-1] >= 0.25 * sets.error[-1] and lower[-1] > predicted[0])


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
        if _attacked(summary, network):
            tables[f"adversarial, {network}"] = _adversarial_table(summary, network)
    if summary.config.other_sizes:
        tables["sizes"] = _sizes(summary)
    return tables


def _sizes(summary: Summary) -> tuple[Table, str]:
    """R^2 of the closed form and of average confidence by the size of the target sets."""
    rows = []
    for network, seeds in summary.measurements.items():
        for size in summary.config.other_sizes:
            for name in (KERNEL, DEPLOYED, "average confidence"):
                found = [m for m in seeds if size in m.sized and name in m.sized[size].scores]
                judged = [_judge(summary.config, m, name, sets=m.sized[size]) for m in found]
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
                values = _at_budget(summary, one, m.label_shifted, name)[inside]
                predictions.append(_line(one, values)[0].mean())
                found = [
                    int(one.calibration.estimate(v, predicted_labels=p).status)
                    for v, p in zip(values, m.label_shifted.predicted[inside], strict=True)
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
    attacked, judged = _attacked(summary, network), summary.judged[network]
    rows: list[tuple] = [("true error", *np.mean([sets.error for sets in attacked], axis=0).tolist())]
    for name in judged[0]:
        lines = [
            _line(seed[name], _at_budget(summary, seed[name], sets, name))[0]
            for sets, seed in zip(attacked, judged[: len(attacked)], strict=True)
            # Sets made against one network tell nothing of its agreement with another.
            if name in sets.scores and seed[name].calibration is not None
        ]
        if lines and np.all(np.isfinite(lines)):
            rows.append((name, *np.mean(lines, axis=0).tolist()))
    caption = "The line's value, calibrated on corruptions alone, by radius (share of full intensity), mean over seeds."
    return Table(("score", *(f"{radius:.3f}" for radius in attacked[0].strength)), rows), caption


def make_figures(summary: Summary, watched: MonitorTable) -> dict[str, tuple[Any, str]]:
    """Score against error, calibration, coverage, adversarial sets, and a monitored stream."""
    with style():
        figures = {}
        for network in summary.config.networks:
            figures[f"score against error, {network}"] = _scatter(summary, network)
            figures[f"calibration, {network}"] = _calibration(summary, network)
            if _attacked(summary, network):
                figures[f"adversarial, {network}"] = _attack(summary, network)
        figure, axes = subplots(width=7.0, height=3.2)
        watched.plot(axes)
        figures["monitor"] = (
            figure,
            f"{summary.config.networks[0]}, first seed: ATC on a stream that is clean for four chunks and then ever "
            "more blurred by motion; labels came later.",
        )
    return figures


def _shown(summary: Summary, network: str) -> list[str]:
    wanted = (RETRAINED, KERNEL, "COT", "MaNo", "ATC, confidence", "average confidence")
    return [
        n for n in wanted if n in summary.judged[network][0] and summary.judged[network][0][n].calibration is not None
    ]


def _scatter(summary: Summary, network: str) -> tuple[Any, str]:
    names = _shown(summary, network)
    figure, axes = subplots(2, 3, width=9.3, height=5.6)
    sets = summary.measurements[network][0].corrupted
    for panel, name in zip(np.ravel(axes), names, strict=False):
        values = summary.judged[network][0][name].values
        for i, family in enumerate((*FAMILIES, *EXTRA, "clean")):
            inside = sets.family == family
            marker = "o" if family in FAMILIES else ("x" if family in EXTRA else "*")
            panel.plot(values[inside], sets.error[inside], marker, markersize=3.5, color=f"C{i % 6}")
        validation = summary.judged[network][0][name].validation
        panel.set(title=f"{name} (R² {validation.r_squared:.2f})" if validation else name)
    for unused in np.ravel(axes)[len(names) :]:
        unused.set_visible(False)
    for panel in np.ravel(axes)[::3]:
        panel.set_ylabel("true error")
    return figure, "First seed; points are calibration families, crosses held-out families, stars clean sets."


def _calibration(summary: Summary, network: str) -> tuple[Any, str]:
    names = _shown(summary, network)[:3]
    figure, axes = subplots(1, 3, width=9.3, height=3.2)
    sets = summary.measurements[network][0].corrupted
    inside = np.isin(sets.family, FAMILIES)
    error = sets.error[inside]
    for panel, name in zip(np.ravel(axes), names, strict=False):
        found = summary.judged[network][0][name].validation
        if found is None:
            continue
        covered = (found.lower <= error) & (error <= found.upper)
        bars = np.maximum([found.predicted - found.lower, found.upper - found.predicted], 0)
        for group, color in ((covered, "C0"), (~covered, "C3")):
            panel.errorbar(
                error[group], found.predicted[group], yerr=bars[:, group], fmt="o", markersize=2.5, linewidth=0.5,
                color=color,
            )  # fmt: skip
        panel.plot([0, 1], [0, 1], color="C5", linewidth=0.8)
        panel.set(title=name, xlabel="true error", xlim=(0, 1), ylim=(0, 1))
    np.ravel(axes)[0].set_ylabel("predicted, family left out")
    return figure, "First seed: each family predicted from the others, with 90 % limits; red where the limits miss."


def _attack(summary: Summary, network: str) -> tuple[Any, str]:
    figure, axes = subplots(width=5.2, height=3.4)
    m = _attacked(summary, network)[0]
    axes.plot(m.strength, m.error, color="black", marker="o", markersize=3, label="true error")
    for color, name in enumerate(_shown(summary, network)):
        judged = summary.judged[network][0][name]
        axes.plot(m.strength, _line(judged, _at_budget(summary, judged, m, name))[0], color=f"C{color}", label=name)
    axes.set(xlabel="radius, share of full intensity", ylabel="error", ylim=(-0.1, 1.05))
    axes.legend()
    return figure, "First seed: adversarial sets, by lines calibrated on corruptions alone."
