"""Results of detectors, and the interface that all detectors share."""

import abc
import enum
import math
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import jax
import numpy as np
from jaxtyping import Int

from verax._arrays import to_host, to_integer, to_key
from verax._errors import check, fail
from verax._results import raise_if_failed, result
from verax._types import AnyArray, ApplyFn, PyTree

from ._conformal import conformal_p_value, to_scores


class Status(enum.IntEnum):
    """Whether a detector could decide."""

    OK = 0
    UNDETERMINED = 1
    """Too little data, or no hypothesis explains it: the score carries no evidence either way."""
    NON_FINITE = 2
    """The model gave scores that are not finite."""


SENTENCES = {
    Status.UNDETERMINED: "too little data, or data that no hypothesis explains: no evidence either way",
    Status.NON_FINITE: "the model gave scores that are not finite",
}


@result(SENTENCES)
class Detection(NamedTuple):
    """The outcome of one detector on one job.

    Attributes
    ----------
    score
        Larger is more suspicious; NaN where nothing was determined.
    p_value
        Conformal, against the reference scores; None without them, and 1 where nothing was determined: a job that is
        undetermined is never flagged.
    status
        A ``Status``.
    details
        Numbers behind the score, by name.
    """

    score: float
    p_value: float | None
    status: int
    details: dict[str, Any]

    raise_if_failed = raise_if_failed


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


class Evidence(NamedTuple):
    """The input of a detector: examples [n, t], at least one, and what the detector said that it needs."""

    tokens: np.ndarray
    base: Model
    tuned: Model
    key: jax.Array


@result(SENTENCES)
class Finding(NamedTuple):
    """The outcome of a detector before it is compared with benign jobs."""

    score: float
    details: dict[str, Any]
    status: Status = Status.OK

    raise_if_failed = raise_if_failed


class BaseDetector(abc.ABC):
    """The course of every screening: the job is checked and sampled, scored, and compared with benign jobs."""

    def __init__(self, *, reference_scores: Any, num_examples: int | None = None, needs: tuple[str, ...] = ()):
        self.reference_scores = None if reference_scores is None else to_scores("reference_scores", reference_scores)
        self._num = None if num_examples is None else to_integer("num_examples", num_examples, minimum=1)
        self._needs = needs

    def __call__(
        self,
        job_tokens: Int[AnyArray, "n t"],
        /,
        *,
        base: Model | None = None,
        tuned: Model | None = None,
        key: jax.Array | None = None,
    ) -> Detection:
        """Screen one job.

        Parameters
        ----------
        job_tokens
            int [n, t]: examples, -1 padded.
        base, tuned
            ``(apply_fn, params)`` of the model before and after fine-tuning, where the detector uses them.
        key
            A ``jax.random.key``, where anything is drawn.

        Returns
        -------
        Detection

        Raises
        ------
        ValueError
            For tokens that are no integers [n, t], a model or key that is needed and missing, and models of different
            architectures.
        """
        tokens = to_job("job_tokens", job_tokens)
        given = {"base": base, "tuned": tuned, "key": key}
        need = {
            "base": "(apply_fn, params) of the model before fine-tuning",
            "tuned": "(apply_fn, params) of the fine-tuned model",
            "key": "a jax.random.key, from which examples and answers are drawn",
        }
        for name in self._needs:
            check(given[name] is not None, name, "None", need[name])
        for name in ("base", "tuned"):
            check_model(name, given[name])
        if base is not None and tuned is not None:
            check_same_architecture(base, tuned)
        key = None if key is None else to_key("key", key)
        if self._num is not None:
            tokens = draw(tokens, self._num, key)
        job = Evidence(tokens, cast(Model, base), cast(Model, tuned), cast(jax.Array, key))
        found = self._screen(job) if len(tokens) else Finding(math.nan, {}, Status.UNDETERMINED)
        if found.status is Status.OK and not math.isfinite(found.score):
            found = found._replace(status=Status.NON_FINITE)
        if found.status is not Status.OK:
            return Detection(math.nan, None if self.reference_scores is None else 1.0, int(found.status), found.details)
        p_value = None
        if self.reference_scores is not None:
            p_value = float(conformal_p_value(np.asarray([found.score]), self.reference_scores)[0])
        return Detection(float(found.score), p_value, int(Status.OK), found.details)

    @abc.abstractmethod
    def _screen(self, job: Evidence) -> Finding:
        """Score the examples that were drawn."""


def to_job(argument: str, tokens: Any) -> np.ndarray:
    """Return token ids [n, t], or raise; an empty job is allowed."""
    return to_host(argument, tokens, shape=("n", "t"), dtype="integer", within=f"[-1, {2**31 - 1}]", empty=True)


def check_model(argument: str, model: Any) -> None:
    """Raise unless a model that is given is ``(apply_fn, params)``."""
    pair = model is None or (isinstance(model, tuple) and len(model) == 2)
    check(pair, argument, type(model).__name__, "a pair (apply_fn, params)")


def check_same_architecture(base: Model, tuned: Model) -> None:
    """Raise unless the two models have parameters of the same structure and shapes."""
    shapes = [jax.tree.map(np.shape, params) for _, params in (base, tuned)]
    check(shapes[0] == shapes[1], "tuned", "parameters of another architecture", "the structure and shapes of base")


def draw(tokens: np.ndarray, num: int, key: jax.Array | None) -> np.ndarray:
    """Return at most ``num`` rows, drawn without replacement; all need no key."""
    if len(tokens) <= num:
        return tokens
    if key is None:
        fail("key", "None", f"a jax.random.key, to draw {num} of {len(tokens)} examples")
    return tokens[np.asarray(jax.random.permutation(key, len(tokens))[:num])]


def check_filter(filter_fn: Any) -> Any:
    """Return a filter of examples, or raise for something that cannot be called."""
    need = "a function filter_fn(tokens [n, t]) -> booleans or probabilities [n]"
    check(callable(filter_fn), "filter_fn", type(filter_fn).__name__, need)
    return filter_fn


def flags(filter_fn: Any, tokens: np.ndarray) -> np.ndarray:
    """Return the filter's verdicts on examples as probabilities [n], or raise for anything else."""
    return to_host("filter_fn", filter_fn(tokens), shape=(len(tokens),), within="[0, 1]", empty=True)
