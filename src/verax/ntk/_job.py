"""The empirical NTK as a job in a folder."""

import functools
import importlib.metadata
import os
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import Array

from verax._arrays import to_tree
from verax._digest import digest, program_digest
from verax._errors import fail, is_traced
from verax._types import ApplyFn, PyTree
from verax.parallel import KernelFile
from verax.parallel._jobs import begun, run_job

from ._computation import Inputs, KernelComputation, block_factors, diagonal_tile, prepare, tile
from ._directions import Probes
from ._finite import check_kernel
from ._methods import Method
from ._network import ParamFilter
from ._tiles import block_of, num_examples


def ntk_job(
    apply_fn: ApplyFn,
    params: PyTree,
    x1: PyTree,
    x2: PyTree | None = None,
    *,
    path: str | os.PathLike[str],
    output: str | int = "trace",
    method: str = "auto",
    precision: str = "highest",
    block_size: int | None = None,
    memory_budget: int | None = None,
    param_filter: ParamFilter | None = None,
    progress: bool = False,
) -> KernelFile:
    r"""Empirical neural tangent kernel into a folder: resumed where it was interrupted.

    .. math:: K_{ij} = \sum_o \langle \nabla_\theta f_o(x_i), \nabla_\theta f_o(x_j) \rangle

    Parameters
    ----------
    apply_fn, params, x1, x2, output, method, precision, memory_budget, param_filter, progress
        As for :func:`empirical_ntk`.
    path
        Folder of the job: new, empty, or that of the same job begun before. Several processes may be given the same
        one at once; each takes tiles that no other is computing.
    block_size
        Rows and columns of a tile. None: that of the job that was begun, or chosen from ``memory_budget``.

    Returns
    -------
    KernelFile
        The finished kernel.

    Raises
    ------
    ValueError
        As :func:`empirical_ntk`; for a folder that holds anything else, cannot be written, or has too little space; and
        if the job that was begun there had other examples, parameters, network, options or versions, with the first
        that differs.
    OSError
        If the disk fills up meanwhile; finished tiles are kept.

    Notes
    -----
    Each tile is a file of its own, written atomically with its digest; whatever happens, at most the tile in flight is
    lost. A tile that is not as it was written is computed again. The result does not depend on interruptions or on how
    many processes worked on it, to the last byte on one kind of device. Symmetric kernels take half the space. Locks
    are those of POSIX, on a local disk or a network disk that supports them.

    Examples
    --------
    >>> import tempfile, jax.numpy as jnp, numpy as np
    >>> from verax.ntk import ntk_job
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(np.asarray(ntk_job(lambda p, x: x @ p, jnp.ones((2, 1)), x, path=folder, block_size=2)))
    [[ 5. 11.  2.]
     [11. 25.  4.]
     [ 2.  4.  1.]]

    References
    ----------
    As :func:`empirical_ntk`.
    """
    for argument, value in (("params", params), ("x1", x1), ("x2", x2)):
        if is_traced(value):
            fail(argument, "a traced array", "concrete values: a job writes to disk, outside jit, vmap and grad")
    if isinstance(output, Probes):
        fail("output", repr(output), "'trace', 'mean', 'full', 'sum' or the index of one output")
    before = begun(path)
    if block_size is None and before is not None:
        block_size = int(before["block_size"])
    computation, inputs = prepare(
        apply_fn,
        params,
        x1,
        x2,
        output=output,
        method=method,
        precision=precision,
        block_size=block_size,
        memory_budget=memory_budget,
        param_filter=param_filter,
    )
    manifest = _manifest(computation, inputs, apply_fn, params, output)
    size, resident = computation.schedule.block_size, computation.schedule.resident
    starts = [range(0, length, size) for length in manifest["shape"][:2]]
    groups = [
        [
            (row, column)
            for row in starts[0][first : first + resident]
            for column in starts[1]
            if x2 is not None or row <= column
        ]
        for first in range(0, len(starts[0]), resident)
    ]
    compute = functools.partial(_compute, computation, inputs)
    return run_job(path, manifest, groups, compute, progress)


def _compute(
    computation: KernelComputation, inputs: Inputs, wanted: list[tuple[int, int]]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Tiles in an order in which each block of columns is formed once for each term of the kernel."""
    leaves, frozen, x1, x2 = inputs
    size, precision = computation.schedule.block_size, computation.precision
    columns = x1 if x2 is None else x2
    num_rows, num_columns = (num_examples(x) for x in (x1, columns))
    terms = list(computation.terms())

    def factors(term: int, x: PyTree, start: int) -> Any:
        return block_factors(*terms[term], leaves, frozen, block_of(x, start, size))

    # With one term the factors of the rows are held; those of several would be too many.
    keep = len(terms) == 1
    held = {row: factors(0, x1, row) for row in sorted({row for row, _ in wanted})} if keep else {}
    for column in sorted({column for _, column in wanted}):
        streamed = held.get(column) if x2 is None else None
        for row in sorted(row for row, other in wanted if other == column):
            on_diagonal = x2 is None and row == column
            total = None
            for number, term in enumerate(terms):
                left = held[row] if keep else factors(number, x1, row)
                if on_diagonal:
                    values = diagonal_tile(*term, leaves, frozen, left, precision)
                else:
                    if streamed is None or not keep:
                        streamed = factors(number, columns, column)
                    values = tile(*term, leaves, frozen, left, streamed, precision)
                total = values if total is None else total + values
            assert total is not None
            finished = computation.directions.finish(total)[: num_rows - row, : num_columns - column]
            check_kernel(finished, "x1", "x1" if x2 is None else "x2", first=(row, column))
            yield row, column, np.asarray(finished)


def _manifest(
    computation: KernelComputation, inputs: Inputs, apply_fn: ApplyFn, params: PyTree, output: str | int
) -> dict[str, Any]:
    leaves, frozen, x1, x2 = inputs
    num_rows, num_columns = (num_examples(x) for x in (x1, x1 if x2 is None else x2))
    size = computation.schedule.block_size

    def first(method: Method[Any], basis: Array) -> Array:
        factors = block_factors(method, basis, leaves, frozen, block_of(x1, 0, size))
        return tile(method, basis, leaves, frozen, factors, factors, computation.precision)

    one = jax.eval_shape(lambda: computation.total(first))
    return {
        "shape": [num_rows, num_columns, *one.shape[2:]],
        "dtype": str(one.dtype),
        "block_size": size,
        "symmetric": x2 is None,
        "examples": digest(x1, x2),
        "parameters": digest(params),
        "network": program_digest(apply_fn, to_tree("params", params), jax.tree.map(lambda leaf: leaf[:1], x1)),
        "leaves": [leaf.path for leaf in computation.plan.leaves],
        "output": output,
        "method": computation.method.name,
        "output_directions": computation.method.num,
        "precision": computation.precision,
        "device": jax.devices()[0].device_kind,
        "versions": {name: importlib.metadata.version(name) for name in ("verax", "jax", "jaxlib")},
    }
