"""Front page: a forecast from 1,000 labelled examples beside refits. Run ``python docs/front_figure.py``."""

import pathlib

import numpy as np
from sklearn.datasets import make_classification

from verax.probe import RidgeProbe
from verax.report import render, style, subplots

NOW, SIZES = 1000, np.array([1000, 2000, 4000, 8000, 16_000])
OUT = pathlib.Path(__file__).parent / "_static" / "forecast.svg"

x, y = make_classification(
    40_000, 100, n_informative=30, n_redundant=0, n_classes=4, n_clusters_per_class=1, class_sep=1.6, random_state=1
)
forecast = RidgeProbe().fit(x[:NOW], y[:NOW]).learning_curve(SIZES)
truth = [1 - RidgeProbe().fit(x[:n], y[:n]).score(x[20_000:], y[20_000:]) for n in SIZES]

with style():
    figure, axes = subplots(width=6.4, height=3.0)
    axes.set_xscale("log")
    axes.fill_between(SIZES, 100 * forecast.lower, 100 * forecast.upper, alpha=0.2, linewidth=0, label="95 % band")
    axes.plot(SIZES, 100 * forecast.value, label="forecast from 1,000 labels, no test set")
    axes.plot(SIZES, 100 * np.array(truth), "oC1", label="error on 20,000 held-out examples")
    axes.set_xticks(SIZES, [f"{n:,}" for n in SIZES])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("labelled examples")
    axes.set_ylabel("classification error, percent")
    axes.legend(loc="lower left")
OUT.write_text(render(figure).svg, encoding="utf-8")
