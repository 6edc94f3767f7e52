"""Matching markets: the figures."""

from typing import Any

import numpy as np

from verax.papers._estimate import over_seeds
from verax.papers._figures import legend_under
from verax.report import style, subplots

from . import measure
from .config import Config


def make_figures(
    config: Config,
    hard: dict[str, list[np.ndarray]],
    curves: dict[str, measure.Curves],
    friction: measure.Curves,
    scaling: dict[str, tuple[tuple[int, ...], np.ndarray]],
) -> dict[str, tuple]:
    """All figures with their captions."""
    times = np.unique(np.geomspace(1, config.horizon, 200).astype(int))
    with style():
        regret, axes = subplots(1, 2, width=9.3, height=3.8)
        for color, (name, values) in enumerate(hard.items()):
            middle = [value.mean() for value in values]
            error = [2 * value.std(ddof=1) / len(value) ** 0.5 for value in values]
            axes[0].errorbar(config.horizons, middle, yerr=error, fmt="o-", color=f"C{color}", label=name)
        axes[0].set(xscale="log", yscale="log", xlabel="rounds", ylabel="regret", title="Hard markets")
        legend_under(axes[0])
        for color, (name, curve) in enumerate(curves.items()):
            axes[1].plot(times, curve.regret().mean(0)[times - 1], color=f"C{color}", label=name)
        axes[1].set(xscale="log", yscale="log", xlabel="round", ylabel="regret so far", title="Random markets")
        legend_under(axes[1])
        late, panels = subplots(1, 2, width=9.3, height=3.4)
        window = max(1, config.horizon // 50)
        for color, name in enumerate(("MatchUCB, midpoint", "without transfers")):
            for part, line in (("instability", "-"), ("utility_gap", ":")):
                values = getattr(curves[name], part).mean(0)
                smooth = np.convolve(values, np.ones(window) / window, "valid")
                panels[0].plot(smooth, line, color=f"C{color}", label=f"{name}: {part.replace('_', ' ')}")
        panels[0].set(xlabel="round", title="Instability and welfare gap")
        legend_under(panels[0])
        profit = friction.revenue.cumsum(1)
        panels[1].plot(profit.mean(0), color="C0")
        panels[1].fill_between(np.arange(config.horizon), profit.min(0), profit.max(0), color="C0", alpha=0.2)
        panels[1].axhline(0, color="black", linewidth=0.8)
        panels[1].set(xlabel="round", title=f"Profit so far, fee {config.fee}")
        figures = {
            "regret": (regret, "Means over runs, with two standard errors on the left."),
            "transfers and frictions": (late, "Moving means on the left; mean and range over runs on the right."),
        }
        if scaling:
            figures["scaling"] = (_scaling_figure(scaling), "Regret at the end: means over runs, two standard errors.")
    return figures


def _scaling_figure(scaling: dict[str, tuple[tuple[int, ...], np.ndarray]]) -> Any:
    figure, axis = subplots(1, 1, width=5.2, height=3.8)
    for color, (name, (sizes, regret)) in enumerate(scaling.items()):
        estimates = [over_seeds(values) for values in regret]
        middle = [estimate.value for estimate in estimates]
        error = [2 * (estimate.standard_error or 0) for estimate in estimates]
        axis.errorbar(sizes, middle, yerr=error, fmt="o-", color=f"C{color}", label=name)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set(yscale="log", xlabel="number", ylabel="regret")
    legend_under(axis)
    return figure
