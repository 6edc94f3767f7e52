"""Operations that a traced program contains."""

from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core


def has_convolution(jaxpr: core.Jaxpr) -> bool:
    """Whether a program has one of XLA's convolutions, in its loops and branches too."""

    def inner(eqn: core.JaxprEqn) -> Iterator[core.Jaxpr]:
        for value in jax.tree.leaves(tuple(eqn.params.values())):
            if isinstance(value, core.Jaxpr | core.ClosedJaxpr):
                yield value.jaxpr if isinstance(value, core.ClosedJaxpr) else value

    return any(
        eqn.primitive.name == "conv_general_dilated" or any(map(has_convolution, inner(eqn))) for eqn in jaxpr.eqns
    )


def maps_badly(fn: Any, *examples: Any) -> bool:
    """Whether mapping a function over its weights is a loss: XLA turns each convolution into a grouped one.

    Counted in compiled programs, a small convolutional network takes about three times the operations so, on GPUs and
    TPUs alike; one set of weights after the other takes none more.
    """
    return has_convolution(jax.make_jaxpr(fn)(*examples).jaxpr)
