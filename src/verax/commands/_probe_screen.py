"""``verax probe`` in the terminal: one screen."""

from typing import Any

import numpy as np

from verax._extras import extra

from ._probe_text import amount, headline, lead, notices, second

_COLOURS = {"good": "green", "bad": "red", "partial": "yellow", "open": "cyan"}
_SIGNS = {"good": "✓", "bad": "✕", "partial": "!", "open": "i"}
_MOST_CLASSES = 5


def screen(findings: Any) -> Any:
    """Return all that the command prints, for a rich console."""
    with extra("cli"):
        import rich.console
        import rich.panel
        import rich.table
        import rich.text

    probe, classifier = findings.probe, findings.probe.task == "classification"
    name, estimate = headline(findings)
    numbers = rich.table.Table.grid(padding=(0, 2))
    low, high = amount(estimate.lower, classifier), amount(estimate.upper, classifier)
    value = rich.text.Text(amount(estimate.value, classifier), style="bold")
    numbers.add_row(name, value, f"{low} to {high}")
    if classifier:
        title, other = second(findings)
        numbers.add_row(title, amount(other.value, True), f"{amount(other.lower, True)} to {amount(other.upper, True)}")
    if findings.curve is not None:
        for factor in (2, 4, 16):
            point = probe.learning_curve(factor * probe.num_samples_)
            numbers.add_row(
                f"From {factor * probe.num_samples_:,} examples",
                amount(float(point.value), classifier),
                f"{amount(float(point.lower), classifier)} to {amount(float(point.upper), classifier)}",
            )
    if classifier:
        worst = np.argsort(-probe.per_class_.error, kind="stable")[:_MOST_CLASSES]
        for index in worst:
            per = probe.per_class_
            numbers.add_row(
                rich.text.Text(f"Class {per.classes[index]}"),
                amount(per.error[index], True),
                f"{amount(per.lower[index], True)} to {amount(per.upper[index], True)}, {per.num_examples[index]:,}",
            )
    lines = [rich.text.Text(lead(findings), style="dim"), numbers]
    for kind, text in notices(findings):
        lines.append(rich.text.Text.assemble((f"{_SIGNS[kind]} ", _COLOURS[kind]), text))
    return rich.panel.Panel(rich.console.Group(*lines), title=rich.text.Text(findings.name), title_align="left")
