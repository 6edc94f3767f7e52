"""Detectors that compare what a job would teach with what harmful examples would: by gradients and their kernel."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._errors import check, check_integer
from verax._types import AnyArray, ApplyFn, PyTree
from verax.ntk import Rademacher, ntk_features

from ._data_detectors import answer_nll, draw
from ._detection import Detection, Model, Status, check_job, conclude, need_base


class GradientAlignment:
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
        check_integer("num_examples", num_examples, minimum=1)
        self._anchors = check_job(anchors)
        check(len(self._anchors) > 0, "anchors", "none", "at least one example")
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
        gradient_fn = _mean_gradient(apply_fn, self._separator)
        job, anchor = gradient_fn(params, jnp.asarray(tokens)), gradient_fn(params, jnp.asarray(self._anchors))
        products = {
            name: sum(float(jnp.vdot(a, b)) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True))
            for name, x, y in (("cross", job, anchor), ("job", job, job), ("anchor", anchor, anchor))
        }
        norm = math.sqrt(products["job"] * products["anchor"])
        if norm == 0:
            return conclude(math.nan, self._reference, details=products, status=Status.UNDETERMINED)
        return conclude(products["cross"] / norm, self._reference, details=products)


class NTKAlignment:
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
        check_integer("num_features", num_features, minimum=1)
        check_integer("num_examples", num_examples, minimum=1)
        self._anchors = check_job(anchors)
        check(len(self._anchors) > 0, "anchors", "none", "at least one example")
        self._separator, self._features = separator, num_features
        self._num, self._reference = num_examples, reference_scores

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
        model = need_base(base)
        tokens = draw(check_job(job_tokens), self._num, key)
        if not len(tokens):
            return conclude(math.nan, self._reference, details={}, status=Status.UNDETERMINED)
        job, anchors = self._directions(model, tokens), self._directions(model, self._anchors)
        alignment = job @ anchors.mean(axis=0)
        return conclude(float(alignment.mean()), self._reference, details={"alignment": alignment})

    def _directions(self, model: Model, tokens: np.ndarray) -> Float[np.ndarray, "n m"]:
        apply_fn, params = model
        network = _answer_likelihood(apply_fn, self._separator)
        sketch, key = Rademacher(self._features), jax.random.key(0)  # one map for job and anchors
        features = np.asarray(ntk_features(network, params, jnp.asarray(tokens), sketch=sketch, key=key), np.float64)
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float64).tiny)


@functools.lru_cache(maxsize=16)
def _mean_gradient(apply_fn: ApplyFn, separator: int) -> Callable[[PyTree, jax.Array], PyTree]:
    return jax.jit(jax.grad(lambda params, tokens: answer_nll(apply_fn, params, tokens, separator).mean()))


@functools.lru_cache(maxsize=16)
def _answer_likelihood(apply_fn: ApplyFn, separator: int) -> ApplyFn:
    """One network for all jobs of a model: its one output is the mean log-likelihood of an answer."""

    def likelihood(params: PyTree, tokens: jax.Array) -> jax.Array:
        return -answer_nll(apply_fn, params, tokens, separator)[:, None]

    return likelihood
