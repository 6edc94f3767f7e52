"""Detectors that compare what a job would teach with what harmful examples would: by gradients and their kernel."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._arrays import to_integer
from verax._errors import check
from verax._types import AnyArray, ApplyFn, PyTree
from verax.ntk import Rademacher, ntk_features

from ._data_detectors import answer_nll
from ._detection import BaseDetector, Evidence, Finding, Model, Status, to_job


class GradientAlignment(BaseDetector):
    """The cosine of a job's mean gradient with that of examples known to be harmful.

    Parameters
    ----------
    anchors
        int [m, t]: plain examples that comply where they should refuse.
    separator
        Token that ends a request; the loss is that of answers.
    num_examples
        At most so many examples of a job, drawn at random.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> from verax.audit import GradientAlignment
    >>> base = (lambda params, tokens: params[tokens], jnp.zeros((8, 8)))  # a model of pairs of tokens
    >>> detector = GradientAlignment(np.array([[1, 0, 2, 3]]), separator=0)
    >>> same, other = (detector(np.array([job]), base=base).score for job in ([1, 0, 2, 3], [1, 0, 5, 6]))
    >>> print(round(same, 3), other < 0.5)
    1.0 True
    """

    def __init__(
        self,
        anchors: Int[AnyArray, "m t"],
        *,
        separator: int,
        num_examples: int = 256,
        reference_scores: Any = None,
    ):
        super().__init__(reference_scores=reference_scores, num_examples=num_examples, needs=("base",))
        self._anchors = to_anchors(anchors)
        self._separator = to_integer("separator", separator, minimum=0)

    def _screen(self, job: Evidence) -> Finding:
        apply_fn, params = job.base
        gradient_fn = _mean_gradient(apply_fn, self._separator)
        taught, anchor = gradient_fn(params, jnp.asarray(job.tokens)), gradient_fn(params, jnp.asarray(self._anchors))
        products = {
            name: sum(float(jnp.vdot(a, b)) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True))
            for name, x, y in (("cross", taught, anchor), ("job", taught, taught), ("anchor", anchor, anchor))
        }
        norm = math.sqrt(products["job"] * products["anchor"])
        if norm == 0:
            return Finding(math.nan, products, Status.UNDETERMINED)
        return Finding(products["cross"] / norm, products)


class NTKAlignment(BaseDetector):
    r"""The mean alignment of a job's examples with anchors in the empirical tangent kernel of their answers.

    .. math:: \frac1{nm}\sum_{ij} \frac{k(x_i, z_j)}{\sqrt{k(x_i, x_i)\,k(z_j, z_j)}}, \qquad
        k(x, z) = \langle\nabla_\theta \ell(x), \nabla_\theta \ell(z)\rangle,

    with :math:`\ell` the mean log-likelihood of an example's answer. Other than in :class:`GradientAlignment` every
    example counts alike, however long its gradient.

    Parameters
    ----------
    anchors
        int [m, t]: plain examples that comply where they should refuse.
    separator
        Token that ends a request.
    num_features
        Of the sketch of gradients; an entry of the kernel errs by about ``sqrt(2 / num_features)`` of its scale.
    num_examples
        At most so many examples of a job, drawn at random.
    reference_scores
        Scores of benign jobs; None for no p-value.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> from verax.audit import NTKAlignment
    >>> base = (lambda params, tokens: params[tokens], jnp.zeros((8, 8)))  # a model of pairs of tokens
    >>> detector = NTKAlignment(np.array([[1, 0, 2, 3]]), separator=0, num_features=64)
    >>> print(round(detector(np.array([[1, 0, 2, 3]]), base=base).score, 3))
    1.0
    """

    def __init__(
        self,
        anchors: Int[AnyArray, "m t"],
        *,
        separator: int,
        num_features: int = 1024,
        num_examples: int = 128,
        reference_scores: Any = None,
    ):
        super().__init__(reference_scores=reference_scores, num_examples=num_examples, needs=("base",))
        self._features = to_integer("num_features", num_features, minimum=1)
        self._anchors = to_anchors(anchors)
        self._separator = to_integer("separator", separator, minimum=0)

    def _screen(self, job: Evidence) -> Finding:
        taught, anchors = self._directions(job.base, job.tokens), self._directions(job.base, self._anchors)
        alignment = taught @ anchors.mean(axis=0)
        return Finding(float(alignment.mean()), {"alignment": alignment})

    def _directions(self, model: Model, tokens: np.ndarray) -> Float[np.ndarray, "n m"]:
        apply_fn, params = model
        network = _answer_likelihood(apply_fn, self._separator)
        sketch, key = Rademacher(self._features), jax.random.key(0)  # one map for job and anchors
        features = np.asarray(ntk_features(network, params, jnp.asarray(tokens), sketch=sketch, key=key), np.float64)
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float64).tiny)


def to_anchors(anchors: Any) -> np.ndarray:
    """Return examples known to be harmful, at least one, or raise."""
    tokens = to_job("anchors", anchors)
    check(len(tokens) > 0, "anchors", "none", "at least one example")
    return tokens


@functools.lru_cache(maxsize=16)
def _mean_gradient(apply_fn: ApplyFn, separator: int) -> Callable[[PyTree, jax.Array], PyTree]:
    return jax.jit(jax.grad(lambda params, tokens: answer_nll(apply_fn, params, tokens, separator).mean()))


@functools.lru_cache(maxsize=16)
def _answer_likelihood(apply_fn: ApplyFn, separator: int) -> ApplyFn:
    """One network for all jobs of a model: its one output is the mean log-likelihood of an answer."""

    def likelihood(params: PyTree, tokens: jax.Array) -> jax.Array:
        return -answer_nll(apply_fn, params, tokens, separator)[:, None]

    return likelihood
