"""Projection Norm: claims and tables of the classifiers of text."""

import numpy as np

from verax.papers._criteria import below
from verax.papers._estimate import over_seeds
from verax.report import Claim, Table

from .text import SIZE, TEXT_NETWORKS, judge_text

MEAN_ERROR = below(0.01)


def make_text_claims(found: dict[str, list[dict[str, np.ndarray]]]) -> list[Claim]:
    """Return the verdict for each network; untested where none was trained."""
    source = "this library"
    claims = []
    for name in TEXT_NETWORKS:
        statement = (
            f"On text ({name}), Projection Norm by retraining predicts errors on other sources as well as average "
            "confidence"
        )
        quantity = "mean absolute error less that of average confidence, under a line fitted on altered sentences"
        reason = "The interval over seeds does not exclude a difference of a point."
        if name not in found:
            untested = "not tested at this scale"
            claims.append(Claim(statement, source, None, None, None, 0, "real data", MEAN_ERROR, untested, quantity))
            continue
        judged = [judge_text(one) for one in found[name]]
        difference = [j["retrained, parameter"].natural_error - j["average confidence"].natural_error for j in judged]
        claims.append(
            Claim(
                statement,
                source,
                None,
                *over_seeds(np.array(difference)),
                "real data",
                MEAN_ERROR,
                quantity=quantity,
                reason=reason,
            )
        )
    return claims


def make_text_tables(found: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, tuple[Table, str]]:
    """Scores of each network, and the true errors."""
    tables = {}
    for name, seeds in found.items():
        judged = [judge_text(one) for one in seeds]
        rows = [
            (
                label,
                *over_seeds(np.array([j[label].r_squared for j in judged]))[:2],
                *over_seeds(np.array([j[label].natural_error for j in judged]))[:2],
            )
            for label in judged[0]
        ]
        tables[f"text, {name}"] = (
            Table(("score", "R², synthetic", "± se", "MAE, natural", "± se"), rows),
            f"SST-2, {len(seeds)} seeds, sets of {SIZE} sentences. Synthetic: words dropped or misspelt. Natural: "
            "Amazon, IMDb and Yelp, whose errors are predicted by the line of the synthetic sets. Without numbers: "
            "scores that are constant, as MaNo is with two classes and small logits, or missing.",
        )
        family, error = seeds[0]["family"], np.stack([one["error"] for one in seeds])
        truth = [(kind, float(error[:, family == kind].mean())) for kind in dict.fromkeys(family)]
        tables[f"text errors, {name}"] = Table(("sets", "true error"), truth), "Means over sets and seeds."
    return tables
