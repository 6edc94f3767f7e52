"""The single output whose tangent features the second stage of TCT is made of."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from verax._errors import fail
from verax._types import ApplyFn, PyTree
from verax.ntk import with_scalar_head

from ._partition import ClientData


@dataclasses.dataclass(frozen=True)
class Joint:
    """The network as a function of one tree of parameters, head included."""

    network: Callable[[Any, Any, Any], Any]

    def __call__(self, joint: Any, x: Any) -> Any:
        return self.network(joint["params"], joint["head"], x)


@dataclasses.dataclass(frozen=True)
class HeadOnFeatures:
    """The paper's: a scalar head on the features."""

    features_fn: ApplyFn

    def __call__(self, params: Any, head: Any, x: Any) -> Any:
        phi = self.features_fn(params, x)
        if phi.ndim != 2 or phi.shape[1] != head["kernel"].shape[0]:
            fail("features_fn", f"features of shape {phi.shape}", f"[n, {head['kernel'].shape[0]}]")
        return phi @ head["kernel"].astype(phi.dtype) + head["bias"].astype(phi.dtype)


@dataclasses.dataclass(frozen=True)
class CombinedLogits:
    """Without features: a combination of the logits."""

    apply_fn: ApplyFn

    def __call__(self, params: Any, head: Any, x: Any) -> Any:
        logits = self.apply_fn(params, x)
        # Not differentiated: the combination is a choice of output, not a layer.
        return logits @ jax.lax.stop_gradient(head["kernel"]).astype(logits.dtype)


def network_of(apply_fn: ApplyFn | None, features_fn: ApplyFn | None) -> Callable[[Any, Any, Any], Any]:
    """``(params, head, x) -> [n, 1]``."""
    if features_fn is not None:
        return HeadOnFeatures(features_fn)
    if apply_fn is None:
        fail("apply_fn", "None", "apply_fn, or features_fn")
    return CombinedLogits(apply_fn)


def draw_head(
    apply_fn: ApplyFn, params: PyTree, clients: ClientData, width: int | None, key: jax.Array
) -> dict[str, jax.Array]:
    """A random head on ``width`` features, or a random unit combination of logits."""
    if width is not None:
        return with_scalar_head(lambda params, x: x, width, key=key)[1]
    example = jax.tree.map(lambda leaf: leaf[0, :1], clients.x)
    num_logits = jax.eval_shape(apply_fn, params, example).shape[-1]
    draw = jax.random.normal(key, (num_logits, 1))
    return {"kernel": draw / jnp.linalg.norm(draw)}
