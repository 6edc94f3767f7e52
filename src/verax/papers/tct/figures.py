"""TCT: the figures."""

from typing import Any

import numpy as np

from verax.papers._figures import legend_under
from verax.report import style, subplots

from .results import Results, label, rows_of


def make_figures(results: Results) -> dict[str, tuple[Any, str]]:
    """All figures with their captions."""
    with style():
        figures = {
            "accuracy by round": _curves(results, by="round"),
            "accuracy by bytes": _curves(results, by="bytes"),
            "recall by class": _recall(results),
            "sensitivity to skew": _skew(results),
        }
        if results.has(results.config.settings[0], "layers"):
            figures["layer-wise retraining"] = _layers(results)
    return figures


def _curves(results: Results, *, by: str) -> tuple[Any, str]:
    config = results.config
    shown = config.settings[:3]
    figure, axes = subplots(1, len(shown), width=3.4 * len(shown) + 0.6, height=3.2)
    methods = [m for m in config.methods if by == "round" or m not in ("centralized", "local only")]
    for ax, setting in zip(np.atleast_1d(axes), shown, strict=True):
        for method in [*methods, "tct"]:
            values = results.each(setting, method, "accuracy")
            x = (
                np.arange(1, values.shape[1] + 1)
                if by == "round"
                else results.each(setting, method, "bytes").mean(0) / 1e6
            )
            mean, spread = values.mean(0), values.std(0) / np.sqrt(max(len(values) - 1, 1))
            colour = "black" if method == "tct" else f"C{config.methods.index(method)}"
            ax.plot(x, mean, color=colour, linewidth=2.2 if method == "tct" else 1.3, label=label(method))
            ax.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
        one_shot = results.accuracy(setting, "one-shot TCT").mean()
        if by == "round":
            ax.plot(config.rounds1 + 1, one_shot, "*", color="black", markersize=9, label="one-shot TCT")
            ax.axvline(config.rounds1, color="C5", linewidth=0.8, linestyle=":")
        else:
            ax.plot(
                results.each(setting, "tct", "one_shot_bytes").mean() / 1e6,
                one_shot,
                "*",
                color="black",
                markersize=9,
                label="one-shot TCT",
            )
            ax.set_xscale("log")
            ax.minorticks_off()
        ax.set(xlabel="round" if by == "round" else "megabytes, all clients, both ways", title=setting, ylim=(0, 1))
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("test accuracy")
    figure.legend(*first.get_legend_handles_labels(), loc="outside right center")
    bands = "Mean over seeds, with a band of one standard error."
    dotted = " The dotted line ends stage 1." if by == "round" else ""
    return figure, bands + dotted


def _recall(results: Results) -> tuple[Any, str]:
    config, setting = results.config, results.config.settings[0]
    methods = [*config.methods, "tct", "one-shot TCT"]
    table = np.stack([results.recall(setting, method).mean(0) for method in methods])
    figure, ax = subplots(width=5.6, height=0.32 * len(methods) + 1.1)
    image = ax.imshow(table, vmin=0, vmax=1, aspect="auto", cmap="viridis")
    ax.grid(visible=False)
    ax.set_yticks(range(len(methods)), [label(method) for method in methods])
    ax.set_xticks(range(table.shape[1]))
    ax.set(xlabel="class", title=f"Recall by class, {setting}")
    figure.colorbar(image, ax=ax)
    return figure, "Mean over seeds and the last five rounds. A collapsed model knows few classes."


def _skew(results: Results) -> tuple[Any, str]:
    config = results.config
    methods = [method for method in rows_of(results) if method in (*config.methods, "tct", "one-shot TCT")]
    figure, ax = subplots(width=6.4, height=3.4)
    x = np.arange(len(config.settings))
    for index, method in enumerate(methods):
        values = np.stack([results.accuracy(setting, method) for setting in config.settings])
        spread = values.std(1) / np.sqrt(max(values.shape[1] - 1, 1))
        black = method in ("tct", "one-shot TCT")
        ax.errorbar(
            x,
            values.mean(1),
            yerr=spread,
            marker="*" if method == "one-shot TCT" else "o",
            label=label(method),
            color="black" if black else f"C{index}",
            linestyle="--" if method == "one-shot TCT" else "-",
        )
    ax.set_xticks(x, config.settings)
    ax.set(ylabel="test accuracy", title="Sensitivity to skew", ylim=(0, 1))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right center")
    return figure, "Mean over seeds of the last five rounds, with standard errors; settings from the most skewed on."


def _layers(results: Results) -> tuple[Any, str]:
    setting = results.config.settings[0]
    figure, ax = subplots(width=4.6, height=3.2)
    num_counts = results.each(setting, "layers", "random").shape[1]
    for index, name in enumerate(("fedavg", "random", "centralized")):
        values = results.each(setting, "layers", name)
        spread = values.std(0) / np.sqrt(max(len(values) - 1, 1))
        ax.errorbar(
            np.arange(num_counts),
            values.mean(0),
            yerr=spread,
            marker="o",
            color=f"C{index}",
            label=f"{label(name)} features",
        )
    ax.set_xticks(range(num_counts))
    ax.set(
        xlabel="last layers retrained centrally",
        ylabel="test accuracy",
        title=f"Which layers fail, {setting}",
        ylim=(0, 1),
    )
    legend_under(ax)
    return (
        figure,
        "Where the curve of FedAvg's features nears the centralized one, the layers below are good as they are.",
    )
