"""TCT: the claims, and the criteria that decide them, fixed before any run. Differences of accuracy are in points."""

import dataclasses

import numpy as np

from verax.papers._criteria import above
from verax.papers._estimate import Estimate, over_seeds
from verax.report import Claim, Criterion

from .results import JUDGED, Results

WITHIN = Criterion("at most 3 points", lambda m, _: m <= 3)
GAIN = Criterion("at least 30 points", lambda m, _: m >= 30)
FAILS = Criterion("at least 30 points", lambda m, _: m >= 30)
OPTIMUM = Criterion("at most 0.01", lambda m, _: m <= 0.01)
CONTROL = above(0.0)
RECOVERS = Criterion("at least 0.5", lambda m, _: m >= 0.5)
EARLY = above(0.0)
BOOTSTRAP = above(0.0)
EQUAL_BYTES = above(0.0)
HELD_OUT = Criterion("within 0.1 of 1", lambda m, _: abs(m - 1) <= 0.1)
OPTIMISTIC = Criterion("at most 0.9", lambda m, _: m <= 0.9)

_NOT_HERE = "not tested at this scale"
_OWN = "not the paper's: a limit of the method"
_NOTHING = Estimate(float("nan"), None, 0)


def make_claims(results: Results) -> list[Claim]:
    """Judge every claim on the measurements."""
    config = results.config
    published = {"fashion_mnist": "up to +36 points", "cifar10": "up to +37 points"}.get(config.dataset)
    skewed = config.settings[0]
    stage2 = f"{config.long_rounds} rounds of stage 2 with {config.judged_steps} local steps each"
    claims = []

    def add(
        statement: str,
        quantity: str,
        source: str,
        estimate: Estimate,
        criterion: Criterion,
        *,
        unit: str = "",
        published: str | None = None,
        reason: str = "",
    ) -> None:
        if config.stand_in:
            criterion = dataclasses.replace(criterion, when_met="analogue only")
        missing = estimate.seeds == 0
        claims.append(
            Claim(
                statement,
                source,
                published,
                None if missing else estimate.value,
                estimate.standard_error,
                estimate.seeds,
                "real data",
                criterion,
                _NOT_HERE if missing else "",
                quantity,
                unit,
                reason,
            )
        )

    for setting in config.settings:
        for method, name, source in (
            (JUDGED, f"TCT, after {stage2},", "abstract"),
            ("one-shot TCT", "One-shot TCT, stage 2 in a single message,", "not the paper's: an extension"),
        ):
            add(
                f"{name} comes within 3 points of centralized training at {setting}",
                "accuracy of centralized training less that of TCT",
                source,
                results.gain(setting, "centralized", method),
                WITHIN,
                unit="points",
                reason=_distance(results, setting),
            )
    for method, name in ((JUDGED, f"TCT, after {stage2},"), ("one-shot TCT", "One-shot TCT")):
        add(
            f"{name} is 30 points or more above FedAvg at {skewed}",
            "accuracy of TCT less that of FedAvg, mean of its last five rounds",
            "abstract",
            results.gain(skewed, method, "fedavg"),
            GAIN,
            unit="points",
            published=published,
            reason=_ceiling(results, skewed),
        )
    add(
        f"SCAFFOLD fails on the network at {skewed}",
        "accuracy of centralized training less that of SCAFFOLD",
        "abstract",
        results.gain(skewed, "centralized", "scaffold") if "scaffold" in config.methods else _NOTHING,
        FAILS,
        unit="points",
        reason="At this size of network and data SCAFFOLD still learns part of the classes.",
    )
    gap, control = results.each(skewed, "tct", "gap_scaffold"), results.each(skewed, "tct", "gap_fedavg")
    steps = f"{config.long_rounds} rounds with {config.local_steps} local steps each"
    add(
        f"SCAFFOLD reaches the pooled optimum on the network's eNTK at {skewed} after {steps}",
        "share of the initial distance of the objective from the optimum that is left",
        "abstract",
        over_seeds(gap),
        OPTIMUM,
        reason="The rounds are too few for the smallest eigenvalues of the clients' Hessians.",
    )
    add(
        f"FedAvg on the same eNTK problem at {skewed} stays farther from the pooled optimum than SCAFFOLD",
        "share of the initial distance left by FedAvg less that left by SCAFFOLD",
        "abstract",
        over_seeds(control - gap),
        CONTROL,
    )
    recovered, early = _layers(results, skewed)
    add(
        f"FedAvg's early layers are useful at {skewed}: retraining the last layer centrally recovers most of the gap",
        "share of the way from FedAvg to centralized training",
        "abstract",
        recovered,
        RECOVERS,
        reason="In this small network the last layer alone cannot make up for features learned under skew.",
    )
    add(
        f"At {skewed}, a last layer retrained on FedAvg's features beats one retrained on random features",
        "difference of accuracies",
        "abstract",
        early,
        EARLY,
        unit="points",
        reason="Random features of this network are nearly as good as FedAvg's on these small images.",
    )
    for setting in config.settings:
        tested = "initialisation" in config.ablations
        add(
            f"Features after stage 1 beat features of the random initialisation at {setting}",
            "accuracy of one-shot TCT on the former less that on the latter",
            "title",
            results.gain(setting, "one-shot TCT", "one-shot, random features") if tested else _NOTHING,
            BOOTSTRAP,
            unit="points",
            reason="The kernel at initialisation is already as good on these images; stage 1 adds less than the noise.",
        )
    for setting in config.settings:
        add(
            f"One-shot TCT beats FedAvg with the same bytes at {setting}",
            "difference of accuracies",
            "not the paper's: an extension",
            over_seeds(100 * (results.accuracy(setting, "one-shot TCT") - results.at_equal_bytes(setting, "fedavg"))),
            EQUAL_BYTES,
            unit="points",
            reason="The sums that clients send for the one-shot fit cost as much as many rounds of FedAvg.",
        )
    add(
        "Federated GCV estimates the squared error from data held out of stage 1",
        "estimated over true squared error",
        _OWN,
        over_seeds(results.each(skewed, "tct", "held_out_risk")),
        HELD_OUT,
        reason="The held-out images are few at this scale.",
    )
    add(
        "Federated GCV is optimistic on the data that stage 1 was trained on",
        "estimated over true squared error",
        _OWN,
        over_seeds(results.each(skewed, "tct", "seen_risk")),
        OPTIMISTIC,
        reason="Stage 1 was too short to fit the labels of its own data.",
    )
    return claims


def _distance(results: Results, setting: str) -> str:
    """Tell whether the features or the optimisation keep TCT from centralized training."""
    optimum = results.gain(setting, "centralized", "one-shot TCT").value
    if optimum > 3:
        return f"The pooled optimum on these features is itself {optimum:.1f} points below centralized training."
    return f"The pooled optimum on these features is {optimum:.1f} points away; stage 2 has not reached it."


def _ceiling(results: Results, setting: str) -> str:
    """Tell how far centralized training is above FedAvg, which bounds every gain."""
    most = results.gain(setting, "centralized", "fedavg").value
    return f"Centralized training itself is {most:.1f} points above FedAvg in this setting."


def _layers(results: Results, setting: str) -> tuple[Estimate, Estimate]:
    if not results.has(setting, "layers"):
        return _NOTHING, _NOTHING
    layers = {name: results.each(setting, "layers", name) for name in ("fedavg", "random", "centralized")}
    span = layers["centralized"][:, 0] - layers["fedavg"][:, 0]
    recovered = (layers["fedavg"][:, 1] - layers["fedavg"][:, 0]) / np.where(np.abs(span) > 1e-9, span, np.nan)
    return over_seeds(recovered), over_seeds(100 * (layers["fedavg"][:, 1] - layers["random"][:, 1]))
