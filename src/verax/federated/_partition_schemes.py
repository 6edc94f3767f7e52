"""Ways to divide labelled examples among clients; all seeded, all bounded, none that drops an example unasked."""

from typing import Any

import jax
import numpy as np

from verax._array_likes import read_array
from verax._errors import check, check_integer, check_option, fail, is_traced

from ._labels import encode_labels
from ._partition import Partition, check_num_clients, from_owners, generator


def partition_iid(labels: Any, num_clients: int, *, key: jax.Array) -> Partition:
    """Deal the shuffled examples out evenly: sizes differ by at most one.

    Parameters
    ----------
    labels : [n]
        Labels or targets of any kind; only their number matters.
    num_clients
        K.
    key
        A ``jax.random.key``.

    Returns
    -------
    Partition

    Raises
    ------
    ValueError
        For more clients than examples.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.federated import partition_iid
    >>> partition_iid(np.arange(10) % 2, 3, key=jax.random.key(0)).report(np.arange(10) % 2).sizes.tolist()
    [4, 3, 3]
    """
    check(not is_traced(labels), "labels", "a traced array", "concrete labels: examples are dealt out on the host")
    shape: tuple[int, ...] = read_array("labels", labels, text=True).shape
    num = shape[0] if shape else 0
    check(num > 0, "labels", f"shape {shape}", "one label or target per example")
    check_num_clients(num_clients, num)
    owners = np.empty(num, np.int64)
    owners[generator(key).permutation(num)] = np.arange(num) % num_clients
    return from_owners(owners, num_clients)


def partition_by_label_count(
    labels: Any,
    num_clients: int,
    classes_per_client: int,
    *,
    key: jax.Array,
    scheme: str = "niid_bench",
    drop_unowned: bool = False,
) -> Partition:
    """Give every client so many classes, written #C = k in the field.

    "niid_bench": client i owns class ``i mod C`` and ``k - 1`` further classes drawn uniformly. "disjoint": client i
    owns classes ``i k, ..., i k + k - 1``. The examples of a class are shuffled and split as evenly as possible among
    the clients that own it.

    Parameters
    ----------
    labels : [n]
        Classes: integers, also with gaps, strings or booleans; numbered in ascending order.
    num_clients
        K.
    classes_per_client
        k; "disjoint" needs ``K k <= C``.
    key
        A ``jax.random.key``.
    scheme
        "niid_bench" or "disjoint".
    drop_unowned
        Leave out classes that no client owns (the report counts them); an error otherwise.

    Returns
    -------
    Partition

    Raises
    ------
    ValueError
        For bad labels or counts, a class that no client owns, or a client without an example.

    Notes
    -----
    With fewer clients than classes "niid_bench" often leaves a class without a client; other implementations then drop
    its data in silence.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.federated import partition_by_label_count
    >>> labels = np.arange(12) % 4
    >>> partition_by_label_count(labels, 4, 1, key=jax.random.key(0)).report(labels).counts.tolist()
    [[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3]]

    References
    ----------
    Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022.
    """
    y, classes = encode_labels(labels)
    check_num_clients(num_clients, len(y))
    num_classes = len(classes)
    check_integer("classes_per_client", classes_per_client, minimum=1)
    k = int(classes_per_client)
    check(k <= num_classes, "classes_per_client", k, f"at most {num_classes}, the number of classes")
    check_option("scheme", scheme, ("niid_bench", "disjoint"))
    rng = generator(key)
    owns = np.zeros((num_clients, num_classes), bool)
    if scheme == "disjoint":
        check(
            num_clients * k <= num_classes,
            "classes_per_client",
            f"{k} for {num_clients} clients and {num_classes} classes",
            "num_clients * classes_per_client <= classes for scheme='disjoint'",
        )
        for client in range(num_clients):
            owns[client, client * k : (client + 1) * k] = True
    else:
        for client in range(num_clients):
            first = client % num_classes
            others = np.delete(np.arange(num_classes), first)
            owns[client, [first, *rng.choice(others, size=k - 1, replace=False)]] = True
    unowned = np.flatnonzero(~owns.any(0))
    if unowned.size and not drop_unowned:
        fail(
            "classes_per_client",
            f"{k} for {num_clients} clients, which leaves classes {unowned[:10].tolist()} to nobody",
            "more clients or classes a client, scheme='disjoint', or drop_unowned=True to leave their examples out",
        )
    owners = np.full(len(y), -1, np.int64)
    for label in np.flatnonzero(owns.any(0)):
        members = rng.permutation(np.flatnonzero(y == label))
        for client, part in zip(
            np.flatnonzero(owns[:, label]), np.array_split(members, owns[:, label].sum()), strict=True
        ):
            owners[part] = client
    _check_all_have(owners, num_clients)
    return from_owners(owners, num_clients)


def partition_dirichlet(
    labels: Any,
    num_clients: int,
    alpha: float | int,
    *,
    key: jax.Array,
    min_size: int = 10,
    by: str = "class",
    max_tries: int = 100,
) -> Partition:
    """Draw proportions from a Dirichlet distribution: the smaller alpha, the more skewed.

    By "class", each class is divided among the clients by proportions ``Dir(alpha 1_K)``, clients that already hold
    ``n / K`` examples left out (NIID-Bench); sizes vary. By "client", each client draws class frequencies
    ``Dir(alpha C p)`` around the overall frequencies ``p`` (``p`` uniform gives ``Dir(alpha 1_C)``) and the clients
    take turns to draw an example of their next class without replacement, from what is left; sizes differ by at most
    one.

    Parameters
    ----------
    labels : [n]
        Classes: integers, also with gaps, strings or booleans; numbered in ascending order.
    num_clients
        K.
    alpha
        Concentration, > 0.
    key
        A ``jax.random.key``.
    min_size
        Fewest examples per client.
    by
        "class" or "client".
    max_tries
        Draws by class before the last of them is mended: the smallest clients take examples of the largest until all
        have ``min_size``. ``num_moved`` counts these.

    Returns
    -------
    Partition
        Every example belongs to exactly one client.

    Raises
    ------
    ValueError
        For bad labels, ``alpha <= 0``, or fewer than ``num_clients * min_size`` examples.

    Notes
    -----
    Other implementations draw until every client is large enough, which may never happen.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.federated import partition_dirichlet
    >>> labels = np.arange(1000) % 10
    >>> for alpha in (100.0, 0.1):
    ...     report = partition_dirichlet(labels, 5, alpha, key=jax.random.key(0)).report(labels)
    ...     print(int(report.sizes.sum()), bool(report.skew.mean() < 0.1))
    1000 True
    1000 False

    References
    ----------
    Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos", ICDE 2022 (by class); Hsu, Qi, Brown, "Measuring the
    Effects of Non-Identical Data Distribution for Federated Visual Classification", 2019 (by client).
    """
    y, classes = encode_labels(labels)
    check_num_clients(num_clients, len(y))
    check_alpha(alpha)
    _check_min_size(min_size, num_clients, len(y))
    check_option("by", by, ("class", "client"))
    check_integer("max_tries", max_tries, minimum=1)
    rng = generator(key)
    num_classes = len(classes)
    if by == "client":
        owners = _by_client(y, num_clients, num_classes, float(alpha), rng)
        return from_owners(owners, num_clients)
    everyone = np.ones((num_clients, num_classes), bool)
    return _divide_classes(y, everyone, float(alpha), int(min_size), int(max_tries), rng, cap=True)


def partition_extended_dirichlet(
    labels: Any,
    num_clients: int,
    classes_per_client: int,
    alpha: float | int,
    *,
    key: jax.Array,
    min_size: int = 10,
    max_tries: int = 100,
) -> Partition:
    """Give every client k classes, then divide each class among its owners by Dirichlet proportions.

    Classes are dealt out as evenly as possible, at random, so that each has an owner wherever ``K k >= C``.

    Parameters
    ----------
    labels : [n]
        Classes: integers, also with gaps, strings or booleans; numbered in ascending order.
    num_clients
        K.
    classes_per_client
        k.
    alpha
        Concentration, > 0.
    key
        A ``jax.random.key``.
    min_size
        Fewest examples per client; reached as in `partition_dirichlet`, within the classes that a client owns.
    max_tries
        As in `partition_dirichlet`.

    Returns
    -------
    Partition
        Every example belongs to exactly one client.

    Raises
    ------
    ValueError
        As for `partition_dirichlet`; for a class that no client owns (``K k < C``); where the owned classes have too
        few examples for ``min_size``.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.federated import partition_extended_dirichlet
    >>> labels = np.arange(1000) % 10
    >>> report = partition_extended_dirichlet(labels, 10, 3, 0.5, key=jax.random.key(0)).report(labels)
    >>> bool(((report.counts > 0).sum(1) <= 3).all()), int(report.dropped.sum())
    (True, 0)

    References
    ----------
    Li and Lyu, "Convergence Analysis of Sequential Federated Learning on Heterogeneous Data", NeurIPS 2023.
    """
    y, classes = encode_labels(labels)
    check_num_clients(num_clients, len(y))
    num_classes = len(classes)
    check_integer("classes_per_client", classes_per_client, minimum=1)
    k = int(classes_per_client)
    check(k <= num_classes, "classes_per_client", k, f"at most {num_classes}, the number of classes")
    check(
        num_clients * k >= num_classes,
        "classes_per_client",
        f"{k} for {num_clients} clients",
        f"an owner for each of {num_classes} classes: num_clients * classes_per_client >= {num_classes}",
    )
    check_alpha(alpha)
    _check_min_size(min_size, num_clients, len(y))
    check_integer("max_tries", max_tries, minimum=1)
    rng = generator(key)
    owns = np.zeros((num_clients, num_classes), bool)
    for client in rng.permutation(num_clients):
        order = np.lexsort((rng.random(num_classes), owns.sum(0)))  # the least owned first, ties at random
        owns[client, order[:k]] = True
    return _divide_classes(y, owns, float(alpha), int(min_size), int(max_tries), rng, cap=False)


def check_alpha(alpha: object) -> None:
    """Raise unless the concentration is a finite positive number."""
    good = isinstance(alpha, int | float | np.integer | np.floating) and not isinstance(alpha, bool)
    check(good and 0 < float(alpha) < float("inf"), "alpha", repr(alpha), "a finite number > 0")  # pyright: ignore[reportArgumentType]


def _check_min_size(min_size: object, num_clients: int, num_examples: int) -> None:
    check_integer("min_size", min_size, minimum=1)
    needed = num_clients * int(min_size)  # pyright: ignore[reportArgumentType]
    check(
        needed <= num_examples,
        "min_size",
        f"{min_size} for {num_clients} clients and {num_examples} examples",
        f"at least {needed} examples",
    )


def _check_all_have(owners: np.ndarray, num_clients: int) -> None:
    empty = np.setdiff1d(np.arange(num_clients), owners)
    check(
        empty.size == 0,
        "num_clients",
        f"{num_clients}, which leaves clients {empty[:10].tolist()} without data",
        "as many examples of a class as clients that own it",
    )


def _divide_classes(
    y: np.ndarray, owns: np.ndarray, alpha: float, min_size: int, max_tries: int, rng: np.random.Generator, *, cap: bool
) -> Partition:
    num_clients, num_classes = owns.shape
    owners = np.empty(len(y), np.int64)
    sizes = np.zeros(num_clients, np.int64)
    for _ in range(max_tries):
        sizes[:] = 0
        for label in range(num_classes):
            members = rng.permutation(np.flatnonzero(y == label))
            candidates = np.flatnonzero(owns[:, label])
            proportions = rng.dirichlet(np.full(len(candidates), alpha))
            if cap:
                proportions = np.where(sizes[candidates] < len(y) / num_clients, proportions, 0.0)
            total = proportions.sum()
            if not total > 0:  # a tiny alpha puts all on one client, who may be full
                proportions, total = (sizes[candidates] == sizes[candidates].min()).astype(float), 1.0
            shares = proportions / proportions.sum()
            cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            for client, part in zip(candidates, np.split(members, cuts), strict=True):
                owners[part] = client
                sizes[client] += len(part)
        if sizes.min() >= min_size:
            return from_owners(owners, num_clients)
    return from_owners(owners, num_clients, _top_up(owners, y, owns, sizes, min_size))


def _top_up(owners: np.ndarray, y: np.ndarray, owns: np.ndarray, sizes: np.ndarray, min_size: int) -> int:
    """Move examples to clients below the smallest size, from the largest that can spare one; count the moves."""
    moved = 0
    for client in range(len(sizes)):
        while sizes[client] < min_size:
            able = owns[client][y] & (sizes[owners] > min_size)
            if not able.any():
                fail(
                    "min_size",
                    f"{min_size}, which client {client} cannot reach",
                    "a smaller one, or more classes a client",
                )
            candidates = np.flatnonzero(able)
            example = candidates[np.argmax(sizes[owners[candidates]])]
            sizes[owners[example]] -= 1
            owners[example] = client
            sizes[client] += 1
            moved += 1
    return moved


def _by_client(y: np.ndarray, num_clients: int, num_classes: int, alpha: float, rng: np.random.Generator) -> np.ndarray:
    counts = np.bincount(y, minlength=num_classes)
    frequencies = rng.dirichlet(alpha * num_classes * counts / len(y), size=num_clients)
    pools = [rng.permutation(np.flatnonzero(y == label)).tolist() for label in range(num_classes)]
    left = counts.astype(float)
    uniform = rng.random(len(y))
    owners = np.empty(len(y), np.int64)
    for turn in range(len(y)):
        client = turn % num_clients
        weights = np.where(left > 0, frequencies[client], 0.0)
        if not weights.sum() > 0:  # none of the client's classes is left
            weights = left
        steps = np.cumsum(weights)
        label = int(np.searchsorted(steps, uniform[turn] * steps[-1], side="right"))
        owners[pools[label].pop()] = client
        left[label] -= 1
    return owners
