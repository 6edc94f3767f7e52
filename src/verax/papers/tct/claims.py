"""TCT: the claims, and the criteria that decide them, fixed before any run."""

import dataclasses

import numpy as np

from verax.papers._estimate import Estimate, over_seeds
from verax.report import Claim, Criterion

from .results import Results

WITHIN = Criterion("at most 3 points below centralized training with as many passes", lambda m, _: m <= 0.03)


GAIN = Criterion("at least 30 points above FedAvg's mean over its last five rounds", lambda m, _: m >= 0.30)


FAILS = Criterion("at least 30 points below centralized training", lambda m, _: m >= 0.30)


OPTIMUM = Criterion("at most 1 % of the initial distance from the pooled optimum is left", lambda m, _: m <= 0.01)


CONTROL = Criterion(
    "FedAvg on the same problem is left with more, by two standard errors", lambda m, se: m - 2 * (se or 0.0) > 0
)


RECOVERS = Criterion("at least half of the way from FedAvg to centralized training", lambda m, _: m >= 0.5)


EARLY = Criterion("better than on random features, by two standard errors", lambda m, se: m - 2 * (se or 0.0) > 0)


BOOTSTRAP = Criterion(
    "better than at random initialisation, by two standard errors", lambda m, se: m - 2 * (se or 0.0) > 0
)


EQUAL_BYTES = Criterion(
    "better than FedAvg with the same bytes, by two standard errors", lambda m, se: m - 2 * (se or 0.0) > 0
)


HELD_OUT = Criterion("estimate within 10 % of the truth on data held out of stage 1", lambda m, _: abs(m - 1) <= 0.1)


OPTIMISTIC = Criterion("estimate at most 0.9 of the truth on the data of stage 1", lambda m, _: m <= 0.9)


_NOT_HERE = "not tested at this scale"


_OWN = "not the paper's: a limit of the method"


def make_claims(results: Results) -> list[Claim]:
    """Judge every claim on the measurements."""
    config = results.config
    published = {"fashion_mnist": "up to +36 points", "cifar10": "up to +37 points"}.get(config.dataset)
    claims = []
    nothing = Estimate(float("nan"), None, 0)

    def add(statement: str, source: str, estimate: Estimate, criterion: Criterion, figure: str | None = None) -> None:
        if config.stand_in:
            criterion = dataclasses.replace(criterion, when_met="analogue only")
        missing = estimate.seeds == 0
        claims.append(
            Claim(
                statement, source, figure, None if missing else estimate.value, estimate.standard_error, estimate.seeds,
                "real data", criterion, _NOT_HERE if missing else "",
            )
        )  # fmt: skip

    for setting in config.settings:
        for method, name in (("tct", "TCT"), ("one-shot TCT", "One-shot TCT")):
            add(
                f"{name} comes within 3 points of centralized training at {setting}",
                "abstract" if method == "tct" else "not the paper's: its stage 2 in one message",
                results.gain(setting, "centralized", method),
                WITHIN,
            )
    skewed = config.settings[0]
    for method, name in (("tct", "TCT"), ("one-shot TCT", "One-shot TCT")):
        add(
            f"{name} gains 30 points or more over FedAvg at {skewed}",
            "abstract",
            results.gain(skewed, method, "fedavg"),
            GAIN,
            published,
        )
    has_scaffold = "scaffold" in config.methods
    add(
        f"SCAFFOLD fails on the network at {skewed}",
        "abstract",
        results.gain(skewed, "centralized", "scaffold") if has_scaffold else nothing,
        FAILS,
    )
    gap, control = results.each(skewed, "tct", "gap_scaffold"), results.each(skewed, "tct", "gap_fedavg")
    add(f"... and reaches the pooled optimum on the network's eNTK at {skewed}", "abstract", over_seeds(gap), OPTIMUM)
    add(f"... which FedAvg does not at {skewed}", "abstract", over_seeds(control - gap), CONTROL)
    if results.has(skewed, "layers"):
        layers = {name: results.each(skewed, "layers", name) for name in ("fedavg", "random", "centralized")}
        span = layers["centralized"][:, 0] - layers["fedavg"][:, 0]
        recovered = over_seeds(
            (layers["fedavg"][:, 1] - layers["fedavg"][:, 0]) / np.where(np.abs(span) > 1e-9, span, np.nan)
        )
        early = over_seeds(layers["fedavg"][:, 1] - layers["random"][:, 1])
    else:
        recovered = early = nothing
    add(
        f"FedAvg's early layers are useful: retraining the last layer centrally recovers most at {skewed}",
        "abstract",
        recovered,
        RECOVERS,
    )
    add(f"... and more than on random features at {skewed}", "abstract", early, EARLY)
    for setting in config.settings:
        boot = (
            results.gain(setting, "one-shot TCT", "one-shot, random features")
            if "initialisation" in config.ablations
            else nothing
        )
        add(
            f"Bootstrapping helps: features after stage 1 beat those at initialisation at {setting}",
            "title",
            boot,
            BOOTSTRAP,
        )
    for setting in config.settings:
        equal = over_seeds(results.accuracy(setting, "one-shot TCT") - results.at_equal_bytes(setting, "fedavg"))
        add(
            f"One-shot TCT beats FedAvg with the same bytes at {setting}",
            "not the paper's: an extension",
            equal,
            EQUAL_BYTES,
        )
    add(
        "Federated GCV tells the squared error from data held out of stage 1",
        _OWN,
        over_seeds(results.each(skewed, "tct", "held_out_risk")),
        HELD_OUT,
    )
    add(
        "... and is optimistic on the data that stage 1 has seen",
        _OWN,
        over_seeds(results.each(skewed, "tct", "seen_risk")),
        OPTIMISTIC,
    )
    return claims
