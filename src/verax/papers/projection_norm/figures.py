"""Projection Norm: the figures."""

from typing import Any

import numpy as np

from verax.papers._figures import legend_under
from verax.report import style, subplots
from verax.shift import MonitorTable

from .sets import EXTRA, FAMILIES
from .summary import KERNEL, RETRAINED, Summary, at_budget, attacked_sets, line_of


def make_figures(summary: Summary, watched: MonitorTable) -> dict[str, tuple[Any, str]]:
    """Score against error, calibration, coverage, adversarial sets, and a monitored stream."""
    with style():
        figures = {}
        for network in summary.config.networks:
            figures[f"score against error, {network}"] = _scatter(summary, network)
            figures[f"calibration, {network}"] = _calibration(summary, network)
            if attacked_sets(summary, network):
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
                error[group],
                found.predicted[group],
                yerr=bars[:, group],
                fmt="o",
                markersize=2.5,
                linewidth=0.5,
                color=color,
            )
        panel.plot([0, 1], [0, 1], color="C5", linewidth=0.8)
        panel.set(title=name, xlabel="true error", xlim=(0, 1), ylim=(0, 1))
    np.ravel(axes)[0].set_ylabel("predicted, family left out")
    return figure, "First seed: each family predicted from the others, with 90 % limits; red where the limits miss."


def _attack(summary: Summary, network: str) -> tuple[Any, str]:
    figure, axes = subplots(width=5.2, height=3.4)
    m = attacked_sets(summary, network)[0]
    axes.plot(m.strength, m.error, color="black", marker="o", markersize=3, label="true error")
    for color, name in enumerate(_shown(summary, network)):
        judged = summary.judged[network][0][name]
        axes.plot(m.strength, line_of(judged, at_budget(summary, judged, m, name))[0], color=f"C{color}", label=name)
    axes.set(xlabel="radius, share of full intensity", ylabel="error", ylim=(-0.1, 1.05))
    legend_under(axes)
    return figure, "First seed: adversarial sets, by lines calibrated on corruptions alone."
