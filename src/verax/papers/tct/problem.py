"""TCT: images, their division among clients, and the network."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import verax.federated as vf
from verax._errors import check, check_option
from verax._numpy_random import numpy_generator
from verax._types import PyTree
from verax.data import Dataset
from verax.models import Network, mlp, resnet18, small_cnn

from .config import Division


class Problem(NamedTuple):
    """Data of one experiment, and the network to train on it."""

    network: Network
    params: PyTree
    clients: vf.ClientData
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    num_classes: int


@functools.cache
def network_of(name: str, shape: tuple[int, ...], num_classes: int) -> tuple[Network, Callable[[jax.Array], PyTree]]:
    """A network and its initialiser."""
    check_option("network", name, ("mlp", "small cnn", "group-norm small cnn", "narrow resnet18", "resnet18"))

    def make(key: jax.Array) -> tuple[Network, PyTree]:
        if name == "mlp":
            return mlp([int(np.prod(shape)), 128, 64, num_classes], key=key)
        if name.endswith("small cnn"):
            groups = 8 if name.startswith("group-norm") else None
            return small_cnn(num_classes, in_channels=shape[2], num_groups=groups, key=key)
        return resnet18(num_classes, in_channels=shape[2], width=64 if name == "resnet18" else 8, key=key)

    return make(jax.random.key(0))[0], lambda key: make(key)[1]


def divide(labels: np.ndarray, setting: str, num_clients: int, key: jax.Array) -> vf.Partition:
    """Partition by a rule's name: ``#C=k``, ``#C=k disjoint``, ``Dir(alpha)`` or ``IID``."""
    if setting.startswith("#C="):
        count, _, rest = setting[3:].partition(" ")
        scheme = "disjoint" if rest == "disjoint" else "niid_bench"
        return vf.partition_by_label_count(labels, num_clients, int(count), key=key, scheme=scheme)
    if setting.startswith("Dir("):
        return vf.partition_dirichlet(labels, num_clients, float(setting[4:-1]), key=key)
    check(setting == "IID", "settings", repr(setting), "'#C=k', '#C=k disjoint', 'Dir(alpha)' or 'IID'")
    return vf.partition_iid(labels, num_clients, key=key)


def make_problem(
    data: Dataset,
    plan: Division,
    setting: str,
    *,
    key: jax.Array,
) -> Problem:
    """Draw images, divide them by a rule, and initialise the network."""
    num_clients, num_validation, pool = plan.num_clients, plan.num_validation, plan.pool
    image_key, division_key, network_key = (jax.random.fold_in(key, number) for number in range(3))
    rng = numpy_generator(image_key)
    num_train = num_clients * plan.examples_per_client or len(data.x_train) - num_validation
    needed = num_train + num_validation
    check(needed <= len(data.x_train), "examples_per_client", f"{needed} images", f"at most {len(data.x_train)}")
    order = rng.permutation(len(data.x_train))[:needed]
    chosen = rng.permutation(len(data.x_test))[: plan.num_test]

    def images(raw: np.ndarray) -> np.ndarray:
        x = data.normalise(raw)
        n, height, width, channels = x.shape
        return x.reshape(n, height // pool, pool, width // pool, pool, channels).mean((2, 4)) if pool > 1 else x

    x, y = images(data.x_train[order]), data.y_train[order]
    partition = divide(y[:num_train], setting, num_clients, division_key)
    net, init = network_of(plan.network, x.shape[1:], data.num_classes)
    return Problem(
        net,
        init(network_key),
        _padded(vf.gather_clients(x[:num_train], y[:num_train], partition), num_train // num_clients),
        (x[num_train:], y[num_train:]),
        (images(data.x_test[chosen]), data.y_test[chosen]),
        data.num_classes,
    )


def _padded(clients: vf.ClientData, unit: int) -> vf.ClientData:
    """Fill up to a multiple of twice the mean size, so that seeds and settings share compilations.

    Steps without examples are skipped, so that filling up costs memory only.
    """
    extra = -clients.mask.shape[1] % (2 * unit)
    return jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, 0), (0, extra)] + [(0, 0)] * (leaf.ndim - 2)), clients)
