"""Which examples each client holds: the type, its report, and gathering the examples."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from verax._array_likes import read_array
from verax._arrays import to_array, to_examples, to_host
from verax._errors import check, check_integer, fail, is_traced
from verax._numpy_random import numpy_generator
from verax._results import result
from verax._types import AnyArray, PyTree

from ._labels import encode_labels


@result()
class PartitionReport(NamedTuple):
    """Distribution of the labels over the clients of a partition.

    Attributes
    ----------
    classes : [C]
        Distinct labels in ascending order: how the labels were read.
    counts : [K, C]
        Examples of each class that each client holds.
    sizes : [K]
        Examples per client.
    skew : [K]
        Total variation distance between a client's class frequencies and those of all the labels: 0 for identical ones,
        ``1 - 1/C`` for one class of C equally frequent ones.
    dropped : [C]
        Examples of each class that no client holds.
    num_moved : int
        Examples that a bounded search could not place and that were moved to reach the smallest size.
    """

    classes: np.ndarray
    counts: np.ndarray
    sizes: np.ndarray
    skew: np.ndarray
    dropped: np.ndarray
    num_moved: int


@result()
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

    def report(self, labels: Any) -> PartitionReport:
        """Counts, sizes, skew, and what was left out.

        Parameters
        ----------
        labels : [n]
            The labels of the whole data set: integers, strings or booleans.

        Raises
        ------
        ValueError
            If the labels are not classes, or fewer than the partition refers to.
        """
        y, classes = encode_labels(labels)
        check(int(self.indices.max()) < len(y), "labels", f"{len(y)} of them", f"more than {int(self.indices.max())}")
        num_classes = len(classes)
        counts = np.stack(
            [np.bincount(y[row[keep]], minlength=num_classes) for row, keep in zip(*self[:2], strict=True)]
        )
        sizes = counts.sum(1)
        total = np.bincount(y, minlength=num_classes)
        frequencies = counts / np.maximum(sizes, 1)[:, None]
        held = np.zeros(len(y), bool)
        held[self.indices[self.mask]] = True
        return PartitionReport(
            classes=classes,
            counts=counts,
            sizes=sizes,
            skew=np.abs(frequencies - total / len(y)).sum(1) / 2,
            dropped=np.bincount(y[~held], minlength=num_classes),
            num_moved=int(self.num_moved),
        )


@result()
class ClientData(NamedTuple):
    """Data of all clients, on a leading axis of clients; padded, with a mask.

    Attributes
    ----------
    x : pytree of [K, n, ...]
        Examples; behind a client's own, these repeat in turn.
    y : [K, n, ...]
        Labels or targets.
    mask : [K, n]
        Whether an entry is an example and not a repetition.
    """

    x: Any
    y: Any
    mask: Any

    @property
    def num_clients(self) -> int:
        """K."""
        return self.mask.shape[0]


def gather_clients(x: PyTree, y: AnyArray, partition: Partition) -> ClientData:
    """Gather each client's examples; shorter clients are filled up by repeating their own examples in turn.

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
    ([[1.0, 3.0], [2.0, 2.0]], [[True, True], [True, False]])
    """
    check(isinstance(partition, Partition), "partition", type(partition).__name__, "a Partition")
    indices = to_host("partition.indices", partition.indices, dtype="any")
    mask = to_host("partition.mask", partition.mask, dtype="any")
    check(
        indices.ndim == 2 and indices.shape == mask.shape and mask.dtype == bool and indices.dtype.kind in "iu",
        "partition",
        f"indices {indices.dtype}{list(indices.shape)} and mask {mask.dtype}{list(mask.shape)}",
        "integer indices and a boolean mask, both [K, n_max]",
    )
    check_clients_have_data(mask, "partition")
    for argument, value in (("x", x), ("y", y)):
        check(not is_traced(value), argument, "a traced array", "concrete values: examples are gathered on the host")
    x, num = to_examples("x", x, finite=False)
    labels = read_array("y", y, text=True)
    check(labels.dtype.kind not in "OUS", "y", f"dtype {labels.dtype}", "numbers; for others encode_labels(y).codes")
    y = to_array("y", labels, dtype="any", finite=False)
    check(y.shape[:1] == (num,), "y", f"shape {y.shape}", f"{num} entries, as x has")
    inside = indices[mask]
    if inside.min() < 0 or inside.max() >= num:
        fail("partition", f"indices from {inside.min()} to {inside.max()}", f"0 to {num - 1}")

    counts = mask.sum(1, keepdims=True)
    own = np.argsort(~mask, axis=1, kind="stable")  # examples first
    filled = np.take_along_axis(indices, np.take_along_axis(own, np.arange(mask.shape[1])[None] % counts, 1), 1)
    rows = np.where(mask, indices, filled)
    x, y = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[rows]), (x, y))
    return ClientData(x, y, jnp.asarray(mask))


def to_clients(argument: str, clients: Any) -> ClientData:
    """Return the clients with arrays from whatever holds their numbers, after a check of the leading axes."""
    check(isinstance(clients, ClientData), argument, type(clients).__name__, "ClientData, from gather_clients")
    mask = to_array(f"{argument}.mask", clients.mask, dtype="any")
    shape: tuple[int, ...] = mask.shape
    good = len(shape) == 2 and mask.dtype == bool
    check(good, argument, f"a mask of shape {shape} and dtype {mask.dtype}", "a boolean mask [K, n]")
    parts = []
    for name in ("x", "y"):
        part, num = to_examples(f"{argument}.{name}", getattr(clients, name), finite=False)
        check(num == shape[0], argument, f"another number of clients in {name}", f"{shape[0]}, as the mask has")
        for leaf in jax.tree.leaves(part):
            need = f"[{shape[0]}, {shape[1]}, ...], as the mask has"
            check(leaf.shape[1:2] == shape[1:], argument, f"{name} of shape {leaf.shape}", need)
        parts.append(part)
    if not is_traced(mask):
        check_clients_have_data(mask, argument)
    return ClientData(parts[0], parts[1], mask)


def check_clients_have_data(mask: Bool[AnyArray, "K n"], argument: str) -> None:
    """Raise if a client holds nothing."""
    empty = np.flatnonzero(~np.asarray(mask).any(1))
    check(empty.size == 0, argument, f"clients {empty[:10].tolist()} without data", "at least one example a client")


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
    """Partition in which example i belongs to client ``owners[i]``, or to no client where that is -1."""
    rows = [np.flatnonzero(owners == client) for client in range(num_clients)]
    size = max(len(row) for row in rows)
    indices = np.full((num_clients, size), -1, np.int32)
    for client, row in enumerate(rows):
        indices[client, : len(row)] = row
    return Partition(indices, indices >= 0, num_moved)
