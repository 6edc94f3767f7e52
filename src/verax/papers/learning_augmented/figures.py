"""Learning-augmented algorithms: the figures."""

from typing import Any

import numpy as np

from verax.online import ski_rental
from verax.papers._figures import legend_under
from verax.report import style, subplots

from .demand import CACHES
from .errors import SCHEDULES
from .results import Results


def make_figures(results: Results) -> dict[str, tuple[Any, str]]:
    """All figures with their captions."""
    with style():
        return {
            "ski rental": _ski_rental(),
            "scheduling": _scheduling(results),
            "errors": _errors(results),
            "data": _data(results),
        }


def _ski_rental() -> tuple[Any, str]:
    figure, axes = subplots(1, 2, width=8.4, height=3.6)
    for number, price in enumerate((2, 5, 10, 100)):
        robustness, consistency = ski_rental.frontier_vertices(price)
        inside = np.asarray(robustness) <= 8
        axes[0].plot(
            np.asarray(robustness)[inside],
            np.asarray(consistency)[inside],
            "o-",
            markersize=2,
            color=f"C{number}",
            label=f"price {price}",
        )
    day = np.arange(1, 11)
    axes[0].plot(1 + 9 / day, 1 + (day - 1) / 10, "x", color="C2", label="price 10, deterministic")
    gammas = np.linspace(ski_rental.minimum_robustness() * 1.0001, 8, 200)
    limit = np.asarray(ski_rental.consistency_lower_bound(gammas))
    axes[0].plot(gammas, limit, "--", color="C5", label="limit")
    axes[0].fill_between(gammas, 0.98, limit, color="C5", alpha=0.12, linewidth=0)
    axes[0].set(
        xlabel="robustness", ylabel="consistency", title="Frontier at finite prices", xlim=(1, 8), ylim=(0.98, 2.0)
    )
    legend_under(axes[0])
    for number, gamma in enumerate((1.6, 2.0, 4.0)):
        cdf = np.cumsum(np.asarray(ski_rental.optimal_distribution(gamma, 50)))
        axes[1].step(np.arange(1, 51), cdf, where="post", color=f"C{number}", label=f"robustness {gamma:g}")
    axes[1].set(xlabel="day", ylabel="probability of having bought", title="Optimal policies, price 50")
    legend_under(axes[1])
    return (
        figure,
        "Left: no policy lies below its curve; the shaded region is impossible only in the limit of large prices.",
    )


def _scheduling(results: Results) -> tuple[Any, str]:
    s = results.schedules
    columns = len(s.num_jobs)
    figure, axes = subplots(1, columns, width=2.6 * columns, height=3.0)
    for panel, n, *sides in zip(
        np.atleast_1d(axes), s.num_jobs, s.robustness, s.bound, s.search, s.two_stage, s.preferential, strict=True
    ):
        robustness, *curves = sides
        looks = (("lower bound", "k--"), ("best found", "C0o-"), ("two-stage", "C1-"), ("preferential", "C2-"))
        for (label, look), curve in zip(looks, curves, strict=True):
            color = {"color": "C5"} if look.startswith("k") else {}
            panel.plot(robustness, curve, look.replace("k", ""), label=label, **color)
        bound, best = curves[:2]
        if np.nanmax(best - bound) > 1e-3:
            panel.fill_between(robustness, bound, best, color="C3", alpha=0.15, linewidth=0, label="open gap")
        equal = 2 * n / (n + 1)
        panel.plot([equal], [equal], "C3s", label="round robin")
        panel.plot([n], [1], "C4^", label="shortest predicted first")
        panel.set(xlabel="robustness", title=f"{n} jobs")
    np.atleast_1d(axes)[0].set_ylabel("consistency")
    handles = np.atleast_1d(axes)[-1].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4)
    return figure, (
        "Schedules for equal predictions. Lower left is better; nothing lies below the dashed bound. Whether a "
        "schedule exists in the shaded band is open."
    )


def _errors(results: Results) -> tuple[Any, str]:
    figure, axes = subplots(1, 2, width=8.4, height=3.6)
    rental, jobs = results.rental, results.noisy_jobs
    for number, lam in enumerate((0.25, 0.5, 0.75, 1.0)):
        axes[0].plot(rental.noise, rental.mean[number].mean(-1), "o-", color=f"C{number}", label=f"trade-off {lam:g}")
        axes[0].plot(rental.noise, rental.worst[number].max(-1), ":", color=f"C{number}")
        axes[0].axhline(rental.caps[number], color=f"C{number}", linewidth=0.5)
    axes[0].set(
        xlabel="error of the prediction / price", ylabel="ratio to the optimum", title="Ski rental", yscale="log"
    )
    legend_under(axes[0])
    for number, name in enumerate(SCHEDULES):
        axes[1].plot(jobs.noise, jobs.mean[number].mean(-1), "o-", color=f"C{number}", label=name)
        axes[1].plot(jobs.noise, jobs.worst[number].max(-1), ":", color=f"C{number}")
    axes[1].set(xlabel="standard deviation of the log of the prediction", title="50 jobs of Pareto sizes")
    legend_under(axes[1])
    return (
        figure,
        "Left: mean (points), worst (dotted) and the exact robustness (thin). Right: mean and worst. Synthetic.",
    )


def _data(results: Results) -> tuple[Any, str]:
    figure, axes = subplots(1, 2, width=8.4, height=3.4)
    ratios = results.seasons.ratios
    for number, name in enumerate(("no prediction", "repeat the last", "learned")):
        axes[0].plot(np.arange(len(ratios)), ratios[:, number], "o", color=f"C{number}", label=name)
    axes[0].set_xticks(np.arange(len(ratios)), [name[:22] for name in results.seasons.names], rotation=60, ha="right")
    axes[0].set(ylabel="cost / optimum", title="Rent or buy")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    axes[1].boxplot(results.misses.T, showfliers=True)
    axes[1].set_xticks(np.arange(1, 5), CACHES, rotation=20)
    axes[1].set(ylabel="misses / optimum", title="Caching")
    what = "Real demand series." if results.real else "A stand-in: the ink of scikit-learn's digits in file order."
    return figure, what
