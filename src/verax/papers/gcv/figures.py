"""More Than a Toy: the figures."""

from typing import Any

import numpy as np

from verax.papers._figures import legend_under
from verax.report import style, subplots

from .local_law import law_sizes
from .results import Results, point_ratios
from .theorem import KINDS


def make_figures(results: Results) -> dict[str, tuple[Any, str]]:
    """All figures with their captions."""
    with style():
        return {
            "predicted against true": _scatter(results),
            "risk against ridge": _ridges(results),
            **_local_law(results),
            "learning curves": _curves(results),
            "spectra": _spectra(results),
            "baselines": _baselines(results),
            "convergence": _convergence(results),
        }


def _grid(num_panels: int, *, height: float = 2.6) -> tuple[Any, list[Any]]:
    columns = min(3, num_panels)
    rows = -(-num_panels // columns)
    figure, axes = subplots(rows, columns, width=3.1 * columns, height=height * rows)
    axes = list(np.atleast_1d(axes).ravel())
    for unused in axes[num_panels:]:
        unused.set_visible(False)
    return figure, axes[:num_panels]


def _tick_sizes(axes: Any, sizes: np.ndarray) -> None:
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)


def _scatter(results: Results) -> tuple[Any, str]:
    figure, axes = subplots(1, 2, width=8.4, height=3.8)
    _, reliable = point_ratios(results, np.arange(results.config.num_seeds))
    gcv, held = results.points.gcv.mean(1), results.points.held_out.mean(1)
    error = results.points.held_out.std(1, ddof=1) / np.sqrt(results.config.num_seeds)
    shown = held < 5 * held[:, :, -1:].max()
    for i, name in enumerate(results.names):
        good, bad = shown[i] & reliable[i], shown[i] & ~reliable[i]
        axes[0].errorbar(
            held[i][good], gcv[i][good], xerr=error[i][good], fmt="o", markersize=3, color=f"C{i}", label=name
        )
        axes[0].plot(held[i][bad], gcv[i][bad], "x", markersize=4, color=f"C{i}")
        axes[1].plot(held[i][good], (gcv / held)[i][good], "o", markersize=3, color=f"C{i}")
        axes[1].plot(held[i][bad], (gcv / held)[i][bad], "x", markersize=4, color=f"C{i}")
    ends = [held[shown].min(), held[shown].max()]
    axes[0].plot(ends, ends, color="C5", linewidth=0.8)
    axes[0].set(xscale="log", yscale="log", xlabel="held-out risk", ylabel="GCV", title="Predicted against true")
    legend_under(axes[0])
    axes[1].axhspan(0.95, 1.05, color="C5", alpha=0.2, linewidth=0)
    axes[1].set(
        xscale="log", xlabel="held-out risk", ylabel="GCV / held-out risk", title="Their ratio, with a band of 5 %"
    )
    caption = (
        "Every network, size and ridge, averaged over seeds; bars are one standard error, crosses are flagged as "
        "unreliable."
    )
    return figure, caption


def _local_law(results: Results) -> dict[str, tuple[Any, str]]:
    """The ratio of the two sides of the local law against the ridge, one panel per setting."""
    sizes = law_sizes(tuple(results.sizes.tolist()))
    if not sizes:
        return {}
    figure, axes = _grid(len(results.names))
    for i, (panel, name) in enumerate(zip(axes, results.names, strict=True)):
        for n, size in enumerate(sizes):
            low, _, middle, _, high = np.moveaxis(results.points.law_quantiles[i, :, n].mean(0), -1, 0)
            panel.plot(results.ridges, middle, color=f"C{n}", label=f"n = {size:,}")
            panel.fill_between(results.ridges, low, high, color=f"C{n}", alpha=0.2, linewidth=0)
        panel.axhline(1, color="C5", linewidth=0.8)
        panel.set(xscale="log", ylim=(0.5, 1.5), xlabel="relative ridge", title=name)
    axes[0].set_ylabel("ratio of the two sides")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(sizes))
    caption = (
        "The hypothesis of the theorem, tried at unseen images: the quadratic form of n samples over that of a fit to "
        f"{results.sizes[-1]:,} at equal effective ridge. Lines are medians, bands hold 90 % of the images."
    )
    return {"local law at unseen images": (figure, caption)}


def _ridges(results: Results) -> tuple[Any, str]:
    figure, panels = _grid(len(results.names))
    for i, (axes, name) in enumerate(zip(panels, results.names, strict=True)):
        for color, n in enumerate(range(0, len(results.sizes), 2)):
            held, gcv = results.points.held_out[i, :, n], results.points.gcv[i, :, n].mean(0)
            error = held.std(0, ddof=1) / np.sqrt(len(held))
            axes.plot(results.ridges, gcv, color=f"C{color}", label=f"n = {results.sizes[n]:,}")
            loo = results.points.loo[i, :, n].mean(0)
            axes.plot(results.ridges, loo, "--", linewidth=0.8, color=f"C{color}")
            axes.errorbar(results.ridges, held.mean(0), yerr=error, fmt="o", markersize=3, color=f"C{color}")
        axes.set(xscale="log", yscale="log", xlabel="relative ridge", title=name)
    panels[0].set_ylabel("risk")
    legend_under(panels[0])
    return (
        figure,
        "Lines are GCV, from the training samples alone; points are the held-out risk with one standard error.",
    )


def _curves(results: Results) -> tuple[Any, str]:
    figure, panels = _grid(len(results.names))
    wanted = [results.ridge_index(relative) for relative in (1e-4, 1e-2)]
    for i, (axes, name) in enumerate(zip(panels, results.names, strict=True)):
        for color, r in enumerate(wanted):
            held = results.points.held_out[i, :, :, r]
            curve = results.points.curves[i, :, 0, :, r]
            spread = curve.std(0, ddof=1)
            label = f"relative ridge {results.ridges[r]:.0e}"
            axes.plot(results.sizes, curve.mean(0), color=f"C{color}", label=label)
            low, high = curve.mean(0) - spread, curve.mean(0) + spread
            axes.fill_between(results.sizes, low, high, color=f"C{color}", alpha=0.2, linewidth=0)
            error = held.std(0, ddof=1) / np.sqrt(len(held))
            axes.errorbar(results.sizes, held.mean(0), yerr=error, fmt="o", markersize=3, color=f"C{color}")
        axes.axvline(results.config.curve_sizes[0], color="C5", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log", xlabel="samples", title=name)
        _tick_sizes(axes, results.sizes)
    panels[0].set_ylabel("risk")
    legend_under(panels[0])
    caption = (
        f"Lines are predicted from one fit to {results.config.curve_sizes[0]:,} samples (dotted), with the spread over "
        "seeds; points are refits, judged on held-out images."
    )
    return figure, caption


def _spectra(results: Results) -> tuple[Any, str]:
    figure, axes = subplots(1, 3, width=9.3, height=3.0)
    for i, name in enumerate(results.names):
        values, energy = results.points.eigenvalues[i].mean(0), results.points.energy[i].mean(0)
        index = np.arange(1, len(values) + 1)
        axes[0].plot(index, values, color=f"C{i}", label=name)
        axes[1].plot(index, 1 - energy, color=f"C{i}")
        axes[2].plot(results.ridges, results.points.df1[i, :, -1].mean(0), color=f"C{i}")
    axes[0].set(xscale="log", yscale="log", xlabel="index", title="Eigenvalues, share of the trace")
    axes[1].set(xscale="log", yscale="log", xlabel="index", title="Targets' energy beyond it")
    axes[2].set(xscale="log", yscale="log", xlabel="relative ridge", title="Effective dimension")
    axes[1].set_ylim(bottom=1e-3)
    legend_under(axes[0])
    return figure, f"The centred kernel of {results.sizes[-1]:,} samples, mean over seeds."


def _baselines(results: Results) -> tuple[Any, str]:
    figure, axes = subplots(1, 3, width=9.3, height=3.0)
    held = results.points.held_out.mean(1)
    predictions = (results.points.gcv, results.points.norm_bound, results.points.spectrum_only)
    for panel, values, title in zip(axes, predictions, ("GCV", "Norm bound", "Spectrum only"), strict=True):
        for i, name in enumerate(results.names):
            panel.plot(held[i].ravel(), values[i].mean(0).ravel(), "o", markersize=2.5, color=f"C{i}", label=name)
        panel.set(xscale="log", yscale="log", xlabel="held-out risk", title=title)
    legend_under(axes[0])
    return figure, "Three predictions against the held-out risk: every network, size and ridge."


def _convergence(results: Results) -> tuple[Any, str]:
    figure, axes = subplots(width=4.6, height=3.2)
    sizes = np.array(results.config.theorem_sizes)
    for kind, name in enumerate(KINDS):
        for errors, line, label in (
            (results.convergence.gcv, "-", "GCV"),
            (results.convergence.loo, "--", "leave-one-out"),
        ):
            spread = np.sqrt(np.mean(errors[kind] ** 2, axis=(0, 2)))
            axes.plot(sizes, spread, line, marker="o", color=f"C{kind}", label=f"{name}, {label}")
    reference = np.sqrt(np.mean(results.convergence.gcv[0, :, 0] ** 2)) * np.sqrt(sizes[0] / sizes)
    axes.plot(sizes, reference, ":", color="C5", label="n^-1/2")
    axes.set(xscale="log", yscale="log", xlabel="samples", ylabel="rms relative error", title="Error of the estimates")
    _tick_sizes(axes, sizes)
    legend_under(axes)
    return figure, "Synthetic features, for which the true risk is a formula."
