"""Detectors that look at single examples, and at surprise."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_integer
from verax._likelihood import mean_nll
from verax._types import ApplyFn, PyTree

from ._detection import BaseDetector, Evidence, Finding, check_filter, flags


class PointwiseFilter(BaseDetector):
    """The share of examples that a filter of single examples flags: inspection of the data as they stand.

    Parameters
    ----------
    filter_fn
        ``filter_fn(tokens [n, t]) -> [n]``: booleans, or probabilities in [0, 1]. The score is their mean: the share of
        examples that are flagged, or the expected share.
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
        super().__init__(reference_scores=reference_scores)
        self._filter_fn = check_filter(filter_fn)

    def _screen(self, job: Evidence) -> Finding:
        flagged = flags(self._filter_fn, job.tokens)
        return Finding(float(flagged.mean()), {"flagged": flagged})


class Novelty(BaseDetector):
    """The mean negative log-likelihood of answers under the model before fine-tuning, in nats per token.

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
        super().__init__(reference_scores=reference_scores, num_examples=num_examples, needs=("base",))
        self._separator = to_integer("separator", separator, minimum=0)

    def _screen(self, job: Evidence) -> Finding:
        apply_fn, params = job.base
        loss = np.asarray(answer_nll(apply_fn, params, jnp.asarray(job.tokens), self._separator))
        error = float(loss.std(ddof=1) / math.sqrt(len(loss))) if len(loss) > 1 else math.nan
        return Finding(float(loss.mean()), {"standard_error": error})


def answer_nll(apply_fn: ApplyFn, params: PyTree, tokens: jax.Array, separator: int) -> jax.Array:
    """Return the mean negative log-likelihood of what follows the separator in each example."""
    return _answer_nll(apply_fn(params, tokens[:, :-1]), tokens, separator)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _answer_nll(logits: jax.Array, tokens: jax.Array, separator: int) -> jax.Array:
    is_separator = (tokens == separator).astype(jnp.int32)
    mask = (jnp.cumsum(is_separator, axis=1) - is_separator > 0) & (tokens >= 0)
    return mean_nll(logits, tokens, mask)
