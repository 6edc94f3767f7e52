"""Detectors that look at single examples, and at surprise."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from verax._errors import check_integer, fail
from verax._likelihood import mean_nll
from verax._types import AnyArray, ApplyFn, PyTree

from ._detection import Detection, Model, Status, check_job, conclude, need_base


class PointwiseFilter:
    """The share of examples that a filter of single examples flags: inspection of the data as they stand.

    Parameters
    ----------
    filter_fn
        ``filter_fn(tokens [n, t]) -> bool [n]``.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.audit import PointwiseFilter
    >>> detector = PointwiseFilter(lambda tokens: (tokens == 7).any(axis=1), reference_scores=np.zeros(19))
    >>> found = detector(np.array([[1, 2, 7], [1, 2, 3]]))
    >>> print(found.score, found.p_value)
    0.5 0.05
    """

    def __init__(self, filter_fn: Callable[[np.ndarray], Any], *, reference_scores: Any = None):
        self._filter_fn, self._reference = filter_fn, reference_scores

    def __call__(
        self,
        job_tokens: Int[AnyArray, "n t"],
        /,
        *,
        base: Model | None = None,  # noqa: ARG002
        tuned: Model | None = None,  # noqa: ARG002
        key: jax.Array | None = None,  # noqa: ARG002
    ) -> Detection:
        """Screen one job; nothing but the tokens is used."""
        tokens = check_job(job_tokens)
        if not len(tokens):
            return conclude(math.nan, self._reference, details={}, status=Status.UNDETERMINED)
        flagged = np.asarray(self._filter_fn(tokens), bool)
        return conclude(float(flagged.mean()), self._reference, details={"flagged": flagged})


class Novelty:
    """The mean negative log-likelihood of answers under the model before fine-tuning, in nats a token.

    It tells what the model does not know, whether harmful or not.

    Parameters
    ----------
    separator
        Token that ends a request; what follows is the answer.
    num_examples
        At most so many examples, drawn at random.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Examples
    --------
    A model of pairs of tokens, to which every answer is equally likely:

    >>> import jax.numpy as jnp, numpy as np
    >>> from verax.audit import Novelty
    >>> base = (lambda params, tokens: params[tokens], jnp.zeros((8, 8)))
    >>> found = Novelty(separator=0)(np.array([[1, 0, 2, 3], [4, 0, 5, 6]]), base=base)
    >>> print(round(found.score, 3))  # log 8
    2.079
    """

    def __init__(self, *, separator: int, num_examples: int = 256, reference_scores: Any = None):
        check_integer("num_examples", num_examples, minimum=1)
        self._separator, self._num, self._reference = separator, num_examples, reference_scores

    def __call__(
        self,
        job_tokens: Int[AnyArray, "n t"],
        /,
        *,
        base: Model | None = None,
        tuned: Model | None = None,  # noqa: ARG002
        key: jax.Array | None = None,
    ) -> Detection:
        """Screen one job with the base model."""
        apply_fn, params = need_base(base)
        tokens = draw(check_job(job_tokens), self._num, key)
        if not len(tokens):
            return conclude(math.nan, self._reference, details={}, status=Status.UNDETERMINED)
        loss = np.asarray(answer_nll(apply_fn, params, jnp.asarray(tokens), self._separator))
        error = float(loss.std(ddof=1) / math.sqrt(len(loss))) if len(loss) > 1 else math.nan
        return conclude(float(loss.mean()), self._reference, details={"standard_error": error})


def answer_nll(apply_fn: ApplyFn, params: PyTree, tokens: jax.Array, separator: int) -> jax.Array:
    """Return the mean negative log-likelihood of what follows the separator in each example."""
    return _answer_nll(apply_fn(params, tokens[:, :-1]), tokens, separator)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _answer_nll(logits: jax.Array, tokens: jax.Array, separator: int) -> jax.Array:
    is_separator = (tokens == separator).astype(jnp.int32)
    mask = (jnp.cumsum(is_separator, axis=1) - is_separator > 0) & (tokens >= 0)
    return mean_nll(logits, tokens, mask)


def draw(tokens: np.ndarray, num: int, key: jax.Array | None) -> np.ndarray:
    """Return at most ``num`` rows, drawn without replacement; all need no key."""
    if len(tokens) <= num:
        return tokens
    if key is None:
        fail("key", "None", f"a jax.random.key, to draw {num} of {len(tokens)} examples")
    return tokens[np.asarray(jax.random.permutation(key, len(tokens))[:num])]
