"""``verax probe`` as a page: curve, spectrum, errors by class and warnings."""

import pathlib
from typing import Any

import numpy as np

from verax import report

from ._probe_text import amount, headline, lead, notices, second

_MOST_BARS = 30


def save_card(findings: Any, path: pathlib.Path) -> pathlib.Path:
    """Write the page and return its path."""
    probe, classifier = findings.probe, findings.probe.task == "classification"
    figures, captions = {}, {}
    if findings.curve is not None:
        figures["Learning curve"] = _curve(findings, classifier)
        captions["Learning curve"] = (
            f"Forecast with its {100 * probe.level:g} % band; the dot is leave-one-out at the present size."
        )
    figures["Spectrum"] = _spectrum(probe)
    captions["Spectrum"] = "Eigenvalues of the features' covariance, and how much of the targets lies beyond each rank."
    if classifier:
        figures["Errors by class"] = _classes(probe)
        captions["Errors by class"] = f"Leave-one-out, with {100 * probe.level:g} % intervals; the worst {_MOST_BARS}."
    return report.write_card(
        path,
        title=findings.name,
        lead=lead(findings) + ".",
        facts=_facts(findings, classifier),
        notices=notices(findings),
        figures=figures,
        tables={"Whether to believe it": _law(probe)},
        captions={**captions, "Whether to believe it": f"Verdict: {probe.law_.status.name}."},
    )


def _facts(findings: Any, classifier: bool) -> list[report.Fact]:
    name, estimate = headline(findings)
    probe = findings.probe
    found = [(name, estimate)]
    if classifier:
        found.append(second(findings))
    if findings.curve is not None:
        found.append((f"From {4 * probe.num_samples_:,} examples", probe.learning_curve(4 * probe.num_samples_)))
    facts = [
        report.Fact(
            title,
            amount(float(entry.value), classifier),
            f"{amount(float(entry.lower), classifier)} to {amount(float(entry.upper), classifier)}",
        )
        for title, entry in found
    ]
    if findings.needed is not None:
        value = f"{findings.needed.num_samples:,.0f}" if np.isfinite(findings.needed.num_samples) else "not reachable"
        note = f"with these features: {amount(findings.needed.asymptote, classifier)} at best"
        if findings.curve is None:
            value, note = "no forecast", findings.needed.reason
        facts.append(report.Fact(f"Examples for {amount(findings.needed.target, classifier)}", value, note))
    return facts


def _curve(findings: Any, classifier: bool) -> Any:
    figure, axes = report.subplots()
    curve, scale = findings.curve, 100 if classifier else 1
    with report.style():
        axes.fill_between(
            curve.num_samples, scale * curve.lower, scale * curve.upper, color="C0", alpha=0.18, linewidth=0
        )
        axes.plot(curve.num_samples, scale * curve.value, color="C0", label=findings.name)
        if findings.comparison is not None and len(findings.comparison.num_samples):
            shown = findings.comparison.num_samples <= curve.num_samples[-1]
            x, y = findings.comparison.num_samples[shown], findings.comparison.other_curve[shown]
            axes.plot(x, scale * y, color="C1", label=findings.other)
            axes.legend()
        now = findings.probe.error_ if classifier else findings.probe.risk_
        bars = [[scale * (now.value - now.lower)], [scale * (now.upper - now.value)]]
        axes.errorbar([findings.probe.num_samples_], [scale * now.value], yerr=bars, color="C3", fmt="o")
        if findings.needed is not None:
            axes.axhline(scale * findings.needed.target, color="C5", linestyle="--", linewidth=1)
        axes.set(xscale="log", xlabel="Training examples", ylabel="Error (%)" if classifier else "Mean squared error")
        axes.set_ylim(bottom=0)
    return figure


def _spectrum(probe: Any) -> Any:
    figure, axes = report.subplots()
    spectrum = probe.path_.spectrum
    rank = np.arange(1, spectrum.rank + 1)
    total = spectrum.target_energy.sum() + spectrum.null_energy
    beyond = 1 - np.cumsum(spectrum.target_energy) / total
    # A line of thousands of points is drawn at a few hundred of them.
    chosen = np.unique(np.geomspace(1, spectrum.rank, 300).astype(int)) - 1
    with report.style():
        axes.plot(rank[chosen], spectrum.eigenvalues[chosen] / spectrum.eigenvalues[0], color="C0", label="eigenvalue")
        axes.plot(rank[chosen], np.maximum(beyond[chosen], 1e-6), color="C1", label="targets beyond")
        axes.set(xscale="log", yscale="log", xlabel="Rank", ylabel="Share of the largest; of the targets")
        axes.legend()
    return figure


def _classes(probe: Any) -> Any:
    per = probe.per_class_
    order = np.argsort(-per.error, kind="stable")[:_MOST_BARS][::-1]
    figure, axes = report.subplots(height=max(2.2, 0.24 * len(order) + 0.9))
    rows = np.arange(len(order))
    error, low, high = (100 * values[order] for values in (per.error, per.lower, per.upper))
    names = [f"{str(per.classes[index])[:24]} ({per.num_examples[index]:,})" for index in order]
    with report.style():
        axes.barh(rows, error, color="C0", height=0.6)
        axes.errorbar(error, rows, xerr=[error - low, high - error], color="#000000", fmt="none", linewidth=0.8)
        axes.set_yticks(rows, names)
        axes.set(xlabel="Error (%)")
        axes.set_xlim(left=0)
    return figure


def _law(probe: Any) -> report.Table:
    law = probe.law_
    rows = [
        ("exact copies of earlier rows", law.duplicates),
        (f"share of {law.num_checked:,} checked rows with a near-copy", law.near_duplicate_share),
        ("correlation of consecutive residuals", law.row_correlation),
        ("consecutive labels alike, in standard errors", law.label_order_score),
        ("GCV against leave-one-out", law.gcv_loo_gap),
        ("dispersion of leverages", law.leverage_dispersion),
        ("largest gap of effective dimensions", law.dimension_gap),
        ("backtest: halves' forecast minus the error now", law.backtest_miss),
    ]
    plain = [(name, None if isinstance(value, float) and not np.isfinite(value) else value) for name, value in rows]
    return report.Table(["Check", "Value"], plain)
