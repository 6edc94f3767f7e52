"""Output directions: the cotangents that a kernel sums over, or keeps in pairs."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import to_integer, to_key
from verax._errors import fail

from ._network import Network


@dataclasses.dataclass(frozen=True)
class Probes:
    r"""Random signs over the outputs: an unbiased estimate of the trace from ``num_probes`` output directions.

    .. math:: \sum_o \langle \nabla f_o, \nabla f'_o \rangle = \mathbb{E}_s \langle \nabla s^\top f,
        \nabla s^\top f' \rangle, \qquad s_o = \pm 1

    Parameters
    ----------
    num_probes : int
        Number of independent draws, at least 2.
    key : jax.random.key, optional
        Key of the draws; ``jax.random.key(0)`` when None.

    Examples
    --------
    >>> from verax.ntk import Probes
    >>> Probes(16)
    Probes(num_probes=16)
    """

    num_probes: int
    key: Array | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        to_integer("num_probes", self.num_probes, minimum=2)
        if self.key is not None:
            to_key("key", self.key)


Output = str | int | Probes
"""Kind of the ``output`` argument."""


class Directions(NamedTuple):
    """The output directions of a kernel."""

    kind: Output
    num: int
    full: bool

    def basis(self, network: Network) -> Array:
        """All cotangents, shape [num, num_outputs]."""
        (basis,) = self.chunks(network, self.num)
        return basis

    def chunks(self, network: Network, size: int) -> Iterator[Array]:
        """Cotangents, ``size`` at a time, shape [size, num_outputs]; the last chunk is filled up with zero rows."""
        total, dtype = network.num_outputs, network.output_dtype
        if self.kind == "sum":
            yield jnp.asarray(np.ones((1, total), np.float32), dtype)
        elif isinstance(self.kind, Probes):
            key = jax.random.key(0) if self.kind.key is None else to_key("key", self.kind.key)
            for probe_key in jax.random.split(key, self.num):
                yield jax.random.rademacher(probe_key, (1, total), dtype)
        else:
            first, last = (self.kind, self.kind + 1) if isinstance(self.kind, int) else (0, total)
            for start in range(first, last, size):
                rows = np.zeros((size, total), np.float32)
                places = np.arange(start, min(start + size, last))
                rows[places - start, places] = 1
                yield jnp.asarray(rows, dtype)

    def finish(self, kernel: Array) -> Array:
        """Apply the scale that the kind asks for."""
        return kernel / jnp.asarray(self.num, kernel.dtype) if self.kind == "mean" else kernel


_KINDS = ("trace", "mean", "full", "sum")


def directions(output: Output, network: Network) -> Directions:
    """Read the ``output`` option of the public functions."""
    total = network.num_outputs
    if isinstance(output, Probes):
        return Directions(output, output.num_probes, full=False)
    if isinstance(output, bool) or not isinstance(output, str | int | np.integer):
        fail("output", repr(output), "'trace', 'mean', 'full', 'sum', the index of one output or Probes(k)")
    if isinstance(output, str):
        if output not in _KINDS:
            fail("output", repr(output), "'trace', 'mean', 'full', 'sum', the index of one output or Probes(k)")
        return Directions(output, 1 if output == "sum" else total, output == "full")
    if not -total <= output < total:
        fail("output", output, f"an index below the {total} outputs")
    return Directions(int(output) % total, 1, full=False)
