"""What a detector returns, and the interface that all share."""

import enum
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import numpy as np
from jaxtyping import Int

from verax._errors import check, fail
from verax._types import AnyArray, ApplyFn, PyTree

from ._conformal import conformal_p_value


class Status(enum.IntEnum):
    """Whether a detector could decide."""

    OK = 0
    UNDETERMINED = 1
    """Too little data, or no hypothesis explains it: the score carries no evidence either way."""


class Detection(NamedTuple):
    """The outcome of one detector on one job.

    Attributes
    ----------
    score
        Larger is more suspicious; NaN where nothing was determined.
    p_value
        Conformal, against the reference scores; None without them, and 1 where nothing was determined.
    status
        A ``Status``.
    details
        Numbers behind the score, by name.
    """

    score: float
    p_value: float | None
    status: int
    details: dict[str, Any]


Model: TypeAlias = tuple[ApplyFn, PyTree]
"""``(apply_fn, params)``."""


class Detector(Protocol):
    """A detector: configured once, called on the tokens of a job."""

    def __call__(
        self,
        job_tokens: Int[AnyArray, "n t"],
        /,
        *,
        base: Model | None = None,
        tuned: Model | None = None,
        key: jax.Array | None = None,
    ) -> Detection:
        """Screen one job."""
        ...


def conclude(score: float, reference_scores: Any, *, details: dict[str, Any], status: Status = Status.OK) -> Detection:
    """Attach the p-value and the status."""
    if status is Status.UNDETERMINED:
        return Detection(float("nan"), None if reference_scores is None else 1.0, int(status), details)
    p_value = None if reference_scores is None else float(conformal_p_value(np.asarray([score]), reference_scores)[0])
    return Detection(float(score), p_value, int(status), details)


def check_job(job_tokens: Any) -> np.ndarray:
    """Return the tokens as an integer array [n, t]."""
    tokens = np.asarray(job_tokens)
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        fail("job_tokens", f"shape {tokens.shape} of {tokens.dtype}", "an integer array [n, t]")
    check(
        not tokens.size or int(tokens.min()) >= -1, "job_tokens", f"ids from {tokens.min(initial=0)}", "ids >= 0, or -1"
    )
    return tokens


def need_base(base: Any) -> Model:
    """Return the base model, or raise."""
    if base is None:
        fail("base", "None", "(apply_fn, params) of the model before fine-tuning")
    return base


def need_tuned(base: Any, tuned: Any, key: Any) -> tuple[Model, jax.Array]:
    """Return the fine-tuned model and the key, or raise; a base that is given must be of the model's architecture."""
    if tuned is None:
        fail("tuned", "None", "(apply_fn, params) of the fine-tuned model")
    if base is not None:
        check_same_architecture(base, tuned)
    if key is None:
        fail("key", "None", "a jax.random.key, from which examples and answers are drawn")
    return tuned, key


def check_same_architecture(base: Model, tuned: Model) -> None:
    """Raise unless the two models have parameters of the same structure and shapes."""
    shapes = [jax.tree.map(lambda leaf: tuple(leaf.shape), params) for _, params in (base, tuned)]
    check(shapes[0] == shapes[1], "tuned", "parameters of another architecture", "the structure and shapes of base")
