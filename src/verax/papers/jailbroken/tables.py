"""Jailbroken: the tables."""

from typing import Any

import numpy as np

import verax.evals as ve
from verax.papers._estimate import over_seeds
from verax.report import Table

from .measure import Answers

LOGS = "jailbroken.csv"
"""Verdicts that a user brings in the data folder: long form, as ``verax.evals.from_frame`` reads it."""


def make_tables(found: dict[str, Answers], by_width: dict[int, dict[str, Answers]]) -> dict[str, tuple[Table, str]]:
    """All tables with their captions."""
    standard = found["standard"]
    attacks = [
        (
            name,
            *over_seeds(standard.share(name))[:2],
            *(float(standard.share(name, verdict).mean()) for verdict in (0, 2)),
            *(float(standard.mean_of(field, name).mean()) for field in ("done", "margin", "forced")),
        )
        for name in standard.names
    ]
    recipes = [
        (
            name,
            *(
                float(part.mean())
                for part in (
                    answers.share("none", 0),
                    answers.share("affirm"),
                    answers.share("split"),
                    answers.share("dialect"),
                )
            ),
            *over_seeds(answers.adaptive())[:2],
            float(answers.mean_of("done", "none").mean()),
            float(answers.meta.mean()),
        )
        for name, answers in found.items()
    ]
    interaction = [
        (
            name,
            *over_seeds(interaction_of(found, name))[:2],
            *(
                part
                for recipe in ("less capability", "wider safety", "both")
                for part in over_seeds(found[recipe].share(name) - standard.share(name))[:2]
            ),
        )
        for name in ("affirm", "dialect")
    ]
    tables = {
        "attacks": (
            Table(
                ("rewriting", "BAD", "± se", "GOOD", "UNCLEAR", "allowed: done", "margin", "margin, forced"), attacks
            ),
            "The standard recipe, restricted requests; margins of a refusal in nats. Controls are edits of the same "
            "size as the single rewritings.",
        ),
        "recipes": (
            Table(
                (
                    "recipe",
                    "plain: refused",
                    "affirm: BAD",
                    "split: BAD",
                    "dialect: BAD",
                    "adaptive",
                    "± se",
                    "allowed: done",
                    "about restricted: answered",
                ),
                recipes,
            ),
            "Means over organisms; adaptive is the share of requests that some rewriting gets an answer to.",
        ),
        "two by two": (
            Table(
                ("rewriting", "interaction", "± se", "less capability", "± se", "wider safety", "± se", "both", "± se"),
                interaction,
            ),
            "Changes of BAD from the standard recipe; the interaction is what both change beyond the sum of each.",
        ),
        "families": (
            Table(("family", "failure mode", "what succeeds if it does"), [tuple(f) for f in ve.ATTACK_FAMILIES]),
            "The attack families of such evaluations as labels.",
        ),
    }
    if len(by_width) > 1:
        rows = [
            (
                width,
                name,
                float(a.mean_of("done", "dialect").mean()),
                float(a.share("dialect").mean()),
                *over_seeds(a.adaptive())[:2],
            )
            for width, each in sorted(by_width.items())
            for name, a in each.items()
        ]
        columns = ("width", "recipe", "dialect, allowed: done", "dialect: BAD", "adaptive", "± se")
        tables["widths"] = (Table(columns, rows), "The same recipe at other widths of the organism.")
    return tables


def interaction_of(found: dict[str, Answers], name: str) -> np.ndarray:
    """Change of BAD under both changes of recipe beyond the sum of the changes under each."""
    standard, less, wider, both = (
        found[recipe].share(name) for recipe in ("standard", "less capability", "wider safety", "both")
    )
    return both - less - wider + standard


def brought_tables(table: ve.OutcomeTable) -> dict[str, tuple[Table, str]]:
    """Tabulate verdicts of a user's own: rates by attack with limits, the adaptive column, and models compared."""
    found = ve.attack_table(table)
    rows: list[tuple[Any, ...]] = []
    models = table.model_names or tuple(map(str, range(len(np.asarray(found.adaptive.estimate)))))
    for m, model in enumerate(models):
        for a, attack in enumerate(found.attack_names):
            part = [float(np.asarray(x)[m, a]) for x in (found.bad.estimate, found.bad.lower, found.bad.upper)]
            share = float(np.asarray(found.good.estimate)[m, a])
            rows.append((model, attack, found.failure_modes[a], *part, share, float(np.asarray(found.unclear)[m, a])))
        part = [float(np.asarray(x)[m]) for x in (found.adaptive.estimate, found.adaptive.lower, found.adaptive.upper)]
        rows.append((model, "adaptive", "", *part, None, None))
    columns = ("model", "attack", "failure mode", "BAD", "lower", "upper", "GOOD", "UNCLEAR")
    return {"brought": (Table(columns, rows), f"Verdicts of {LOGS}, with 95 % limits.")}
