"""A paper that takes no time, for tests of the command line."""

import dataclasses

import jax

from verax.report import Claim, Criterion, Report


@dataclasses.dataclass(frozen=True)
class Config:
    scale: str
    planned_seconds: float = 1.0

    @classmethod
    def demo(cls):
        return cls("demo")

    @classmethod
    def laptop(cls):
        return cls("laptop")

    @classmethod
    def full(cls):
        return cls("full")


CALLS = []


def run(config, *, key, data=None, progress=True):
    CALLS.append((config.scale, jax.random.key_data(key).tolist(), data, progress))
    rule = Criterion("at least 1", lambda measured, standard_error: measured >= 1)
    claim = Claim("It holds", "abstract", None, 0.5, None, 1, "synthetic", rule)
    return Report("A small paper", "Nobody, 2022", [claim], {}, {}, config, {}, 0.1, config.planned_seconds)
