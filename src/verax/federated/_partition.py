"""Which examples each client holds: the type, its report, and gathering the examples."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from verax._errors import check, check_integer, fail
from verax._numpy_random import numpy_generator
from verax._tree import leading_size
from verax._types import AnyArray, PyTree


class PartitionReport(NamedTuple):
    """What a partition did to the labels.

    Attributes
    ----------
    counts : [K, C]
        Examples of each class that each client holds.
    sizes : [K]
        Examples a client.
    skew : [K]
        Total variation distance between a client's class frequencies and those of all the labels: 0 for identical ones,
        ``1 - 1/C`` for one class of C equally frequent ones.
    dropped : [C]
        Examples of each class that no client holds.
    num_moved : int
        Examples that a bounded search could not place and that were moved to reach the smallest size.
    """

    counts: np.ndarray
    sizes: np.ndarray
    skew: np.ndarray
    dropped: np.ndarray
    num_moved: int


class Partition(NamedTuple):
    """Examples of each client.

    Attributes
    ----------
    indices : [K, n_max]
        Positions in the data set, ascending, padded with -1.
    mask : [K, n_max]
        Whether an entry is an example and not padding.
    num_moved : int
        See `PartitionReport`.
    """

    indices: np.ndarray
    mask: np.ndarray
    num_moved: int = 0

    def report(self, labels: Int[AnyArray, "n"]) -> PartitionReport:
        """Counts, sizes, skew, and what was left out.

        Parameters
        ----------
        labels : [n]
            The labels of the whole data set, integers from 0 to C - 1.

        Raises
        ------
        ValueError
            If the labels are not such integers, or fewer than the partition refers to.
        """
        y = check_labels(labels)
        check(int(self.indices.max()) < len(y), "labels", f"{len(y)} of them", f"more than {int(self.indices.max())}")
        num_classes = int(y.max()) + 1
        counts = np.stack(
            [np.bincount(y[row[keep]], minlength=num_classes) for row, keep in zip(*self[:2], strict=True)]
        )
        sizes = counts.sum(1)
        total = np.bincount(y, minlength=num_classes)
        frequencies = counts / np.maximum(sizes, 1)[:, None]
        held = np.zeros(len(y), bool)
        held[self.indices[self.mask]] = True
        return PartitionReport(
            counts=counts,
            sizes=sizes,
            skew=np.abs(frequencies - total / len(y)).sum(1) / 2,
            dropped=np.bincount(y[~held], minlength=num_classes),
            num_moved=int(self.num_moved),
        )


class ClientData(NamedTuple):
    """Data of all clients, on a leading axis of clients; padded, with a mask.

    Attributes
    ----------
    x : pytree of [K, n, ...]
        Examples; zeros where there is none.
    y : [K, n, ...]
        Labels or targets.
    mask : [K, n]
        Whether an entry is an example and not padding.
    """

    x: Any
    y: Any
    mask: Any

    @property
    def num_clients(self) -> int:
        """K."""
        return self.mask.shape[0]


def gather_clients(x: PyTree, y: AnyArray, partition: Partition) -> ClientData:
    """Gather each client's examples, padded with zeros to the size of the largest.

    Parameters
    ----------
    x : array or pytree of arrays [n, ...]
        Examples.
    y : [n, ...]
        Labels or targets.
    partition
        From one of the ``partition_`` functions, or made by hand.

    Returns
    -------
    ClientData
        JAX arrays with leading axes ``[K, n_max]``.

    Raises
    ------
    ValueError
        If a client has no example, an index is outside the data, or x and y differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import Partition, gather_clients
    >>> indices = np.array([[0, 2], [1, -1]])
    >>> clients = gather_clients(np.arange(3.0) + 1, np.array([0, 1, 0]), Partition(indices, indices >= 0))
    >>> clients.x.tolist(), clients.mask.tolist()
    ([[1.0, 3.0], [2.0, 0.0]], [[True, True], [True, False]])
    """
    check(isinstance(partition, Partition), "partition", type(partition).__name__, "a Partition")
    indices, mask = np.asarray(partition.indices), np.asarray(partition.mask)
    check(
        indices.ndim == 2 and indices.shape == mask.shape and mask.dtype == bool and indices.dtype.kind in "iu",
        "partition",
        f"indices {indices.dtype}{list(indices.shape)} and mask {mask.dtype}{list(mask.shape)}",
        "integer indices and a boolean mask, both [K, n_max]",
    )
    check_clients_have_data(mask, "partition")
    num = leading_size(x, "x")
    check(np.shape(y)[:1] == (num,), "y", f"shape {np.shape(y)}", f"{num} entries, as x has")
    inside = indices[mask]
    if inside.min() < 0 or inside.max() >= num:
        fail("partition", f"indices from {inside.min()} to {inside.max()}", f"0 to {num - 1}")

    def gather(leaf: Any) -> jax.Array:
        rows = np.asarray(leaf)[np.where(mask, indices, 0)]
        return jnp.asarray(np.where(mask.reshape(mask.shape + (1,) * (rows.ndim - 2)), rows, np.zeros((), rows.dtype)))

    return ClientData(jax.tree.map(gather, x), gather(y), jnp.asarray(mask))


def check_clients_have_data(mask: Bool[AnyArray, "K n"], argument: str) -> None:
    """Raise if a client holds nothing."""
    empty = np.flatnonzero(~np.asarray(mask).any(1))
    check(empty.size == 0, argument, f"clients {empty[:10].tolist()} without data", "at least one example a client")


def check_labels(labels: Any) -> np.ndarray:
    """Return labels as an int64 array, after checking that they are integers 0..C-1 with every class present."""
    y = np.asarray(labels)
    check(y.ndim == 1 and y.dtype.kind in "iu", "labels", f"{y.dtype}{list(y.shape)}", "a 1-D array of integers")
    check(y.size > 0, "labels", "none", "at least one")
    check(int(y.min()) >= 0, "labels", f"a smallest value of {y.min()}", "integers from 0 to C - 1")
    y = y.astype(np.int64)
    # Before counting: one huge label would ask for a table of that length.
    check(int(y.max()) < y.size, "labels", f"a largest value of {y.max()} among {y.size}", "integers from 0 to C - 1")
    missing = np.flatnonzero(np.bincount(y) == 0)
    check(missing.size == 0, "labels", f"no example of classes {missing[:10].tolist()}", "each of 0 to C - 1 present")
    return y


def check_num_clients(num_clients: Any, num_examples: int) -> None:
    """Raise unless every client can have an example."""
    check_integer("num_clients", num_clients, minimum=1)
    check(
        num_clients <= num_examples,
        "num_clients",
        f"{num_clients} for {num_examples} examples",
        "no more clients than examples",
    )


def generator(key: jax.Array) -> np.random.Generator:
    """NumPy generator seeded by a JAX key, for algorithms with loops that are no use to an accelerator."""
    check(
        isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0,
        "key",
        type(key).__name__ if not isinstance(key, jax.Array) else f"{key.dtype}{list(key.shape)}",
        "a jax.random.key",
    )
    return numpy_generator(key)


def from_owners(owners: np.ndarray, num_clients: int, num_moved: int = 0) -> Partition:
    """Partition in which example i belongs to client ``owners[i]``, or to nobody where that is -1."""
    rows = [np.flatnonzero(owners == client) for client in range(num_clients)]
    size = max(len(row) for row in rows)
    indices = np.full((num_clients, size), -1, np.int32)
    for client, row in enumerate(rows):
        indices[client, : len(row)] = row
    return Partition(indices, indices >= 0, num_moved)
