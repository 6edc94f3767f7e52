"""Text of the terminal output and the card of ``verax probe``."""

from typing import Any

import numpy as np


def share(value: float) -> str:
    """Return an error as a percentage."""
    return f"{100 * value:.1f} %"


def amount(value: float, classifier: bool) -> str:
    """Return an error as a percentage, a risk with four digits."""
    return share(value) if classifier else f"{value:.4g}"


def headline(findings: Any) -> tuple[str, Any]:
    """Return the name and the estimate that stand first."""
    probe = findings.probe
    if findings.metric == "auc":
        return "Area under the ROC curve on new data", probe.roc_auc_
    if findings.metric == "balanced":
        return "Balanced error on new data", probe.balanced_error_
    if probe.task == "classification":
        return "Error on new data", probe.error_
    return "Mean squared error on new data", probe.risk_


def second(findings: Any) -> tuple[str, Any]:
    """Return the name and the estimate that follow, for a classifier."""
    if findings.metric == "error":
        return "Balanced over classes", findings.probe.balanced_error_
    return "Error", findings.probe.error_


def lead(findings: Any) -> str:
    """Return what was fitted, in a sentence."""
    probe = findings.probe
    kinds = f", {len(probe.classes_)} classes" if probe.task == "classification" else ""
    return f"Ridge probe on {probe.num_samples_:,} examples of {probe.n_features_in_:,} features{kinds}"


def notices(findings: Any) -> list[tuple[str, str]]:
    """Return the verdict, the warnings and the answers, each with its kind."""
    probe = findings.probe
    found = []
    if probe.law_.status == 0:
        found.append(("good", f"Forecasts may be believed: {probe.law_.message}."))
    else:
        found.append(("bad", _sentence(probe.law_.message)))
    found += [("partial", _sentence(text)) for text in probe.warnings_]
    if findings.needed is not None:
        kind = "good" if findings.needed.status == 0 else "bad"
        found.append((kind, _sentence(findings.needed.message)))
    if findings.independence is not None:
        check = findings.independence
        text = f"fresh risk {check.fresh_risk:.4g} against {check.loo_risk:.4g} left out (p = {check.p_value:.2g})"
        if check.p_value < 0.01:
            found.append(("bad", f"Fresh examples are harder, {text}: the features have seen these labels, or differ."))
        else:
            found.append(("good", f"No sign that the features have seen these labels: {text}."))
    if findings.comparison is not None:
        found.append(("open", _comparison(findings)))
    return found


def _comparison(findings: Any) -> str:
    result, classifier = findings.comparison, findings.probe.task == "classification"
    scale, unit = (100, " points") if classifier else (1, "")
    text = (
        f"{findings.name} minus {findings.other}: {scale * result.difference:+.3g}{unit} "
        f"({scale * result.lower:.3g} to {scale * result.upper:.3g}), p = {result.p_value:.2g}"
    )
    if np.isfinite(result.crossing):
        return text + f"; the forecasts cross near {result.crossing:,.0f} examples."
    return text + "; the forecasts do not cross."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
