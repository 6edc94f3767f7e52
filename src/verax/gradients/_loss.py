"""A loss, read once: arguments checked under their own names, and the program analysed for one example."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import to_examples, to_tree
from verax._errors import check, check_function, is_traced
from verax._types import PyTree
from verax.ntk._budget import default_memory_budget
from verax.ntk._finite import check_rows
from verax.ntk._network import Network, ParamFilter, read_network
from verax.ntk._routes import Routes, choose_routes

from ._layers import example_bytes

LossFn = Callable[[Any, Any], Any]
"""``loss_fn(params, batch) -> [n]``, one loss per example."""

# Examples that the analysis looks at.
_PROBED = 64
# A block beyond this many examples gains nothing.
_LARGEST_BLOCK = {"cpu": 512, "gpu": 2048, "tpu": 2048}


class Loss(NamedTuple):
    """A loss with checked arguments."""

    network: Network
    routes: Routes
    leaves: list[Array]  # to differentiate
    frozen: list[Array]
    params: PyTree
    batch: PyTree
    num: int
    num_losses: int  # per example: 1, or positions with per_token

    def tree(self, values: list[Array]) -> PyTree:
        """A tree like the parameters: values at the selected leaves, zeros at the others."""
        leaves, treedef = jax.tree.flatten(self.params)
        chosen = iter(values)
        pairs = zip(leaves, self.network.selected, strict=True)
        return jax.tree.unflatten(treedef, [next(chosen) if keep else jnp.zeros_like(leaf) for leaf, keep in pairs])

    def blocks(self, memory_budget: int | None) -> list[slice]:
        """Ranges of examples whose computation fits in the memory; none holds filler."""
        budget = default_memory_budget() if memory_budget is None else memory_budget
        each = example_bytes(self.network, self.routes, self.num_losses)
        check(each <= budget, "memory_budget", f"{budget:,} bytes", f"at least {each:,} bytes for one example")
        size = min(self.num, budget // each, _LARGEST_BLOCK.get(jax.default_backend(), 512))
        size = math.ceil(self.num / math.ceil(self.num / size))
        return [slice(start, min(start + size, self.num)) for start in range(0, self.num, size)]


def read_loss(
    loss_fn: LossFn,
    params: PyTree,
    batch: PyTree,
    *,
    param_filter: ParamFilter | None,
    per_token: bool = False,
    finite: bool = True,
) -> Loss:
    """Check the arguments that all functions share, and analyse the loss once for each set of shapes.

    ``finite`` refuses non-finite examples; otherwise the analysis looks at finite ones only.
    """
    check_function("loss_fn", loss_fn, "a function loss_fn(params, batch) -> [n]")
    params = to_tree("params", params)
    batch, num = to_examples("batch", batch, finite=finite)
    with renamed(apply_fn="loss_fn"):
        read = read_network(loss_fn, params, _probed(batch), param_filter=param_filter, argument="batch")
    network = read.network
    _check_output(network, per_token)
    routes = choose_routes(network.uses, 1, False, keep_lookups=True)
    return Loss(network, routes, read.leaves, read.frozen, params, batch, num, network.num_outputs)


@contextlib.contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Let errors of the functions inside name the caller's arguments instead of their own."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        for inner, outer in names.items():
            text = re.sub(rf"^{inner}\b", outer, text)
        raise ValueError(re.sub(r"\bapply_fn\b", names.get("apply_fn", "apply_fn"), text)) from error


def check_gradients(values: Array) -> None:
    """Refuse concrete values ``[n, ...]`` from gradients that are not finite, with the number of the example."""
    with renamed(apply_fn="loss_fn"):
        check_rows(values, "batch")


def take(tree: PyTree, rows: slice) -> PyTree:
    """A block of examples."""
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _check_output(network: Network, per_token: bool) -> None:
    axes, need = (1, "[n, T], one loss per example and token") if per_token else (0, "[n], one loss per example")
    got = f"losses of shape [n, {', '.join(map(str, network.output_shape))}]"
    check(len(network.output_shape) == axes, "loss_fn", got, need)


def _probed(batch: PyTree) -> PyTree:
    """Some examples for the analysis: finite ones."""
    if is_traced(batch):
        return batch
    head = take(batch, slice(0, _PROBED))
    good = np.ones(len(jax.tree.leaves(head)[0]), bool)
    for leaf in jax.tree.leaves(head):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            good &= np.asarray(jnp.isfinite(leaf)).reshape(len(good), -1).all(1)
    check(bool(good.any()), "batch", f"no finite example among the first {len(good)}", "at least one finite example")
    return head if good.all() else jax.tree.map(lambda leaf: leaf[np.flatnonzero(good)], head)
