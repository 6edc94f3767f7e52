import jax
import numpy as np
import pytest

import verax.federated as vf

pytestmark = pytest.mark.bad_input

Y = np.arange(40) % 4
KEY = jax.random.key(0)
PARTITION = vf.partition_iid(Y, 4, key=KEY)
X = np.ones((40, 3))
EMPTY = vf.Partition(np.array([[0, 1], [-1, -1]]), np.array([[True, True], [False, False]]))
OUTSIDE = vf.Partition(np.array([[0, 40]]), np.ones((1, 2), bool))

PARTITIONERS = {
    "iid": lambda y, k: vf.partition_iid(y, k, key=KEY),
    "label count": lambda y, k: vf.partition_by_label_count(y, k, 2, key=KEY),
    "dirichlet": lambda y, k: vf.partition_dirichlet(y, k, 0.5, key=KEY),
    "extended dirichlet": lambda y, k: vf.partition_extended_dirichlet(y, k, 2, 0.5, key=KEY),
}
LABELS = {
    "empty": (Y[:0], 4, "labels: got"),
    "no clients": (Y, 0, "num_clients: got 0"),
    "half a client": (Y, 1.5, "num_clients: got 1.5"),
    "more clients than examples": (Y, 41, "num_clients: got 41 for 40 examples; need no more clients than examples"),
}


@pytest.mark.parametrize("function", PARTITIONERS.values(), ids=PARTITIONERS)
@pytest.mark.parametrize(("labels", "num_clients", "message"), LABELS.values(), ids=LABELS)
def test_labels_and_clients(function, labels, num_clients, message):
    with pytest.raises(ValueError, match=message):
        function(labels, num_clients)


NO_CLASSES = {
    "real numbers": (Y + 0.5, "labels: got real numbers; need classes; for regression cut the targets"),
    "missing": (np.where(Y == 2, np.nan, Y), "labels: got 10 missing entries"),
    "two-dimensional": (np.stack([Y, Y], 1), r"labels: got shape \(40, 2\)"),
}


@pytest.mark.parametrize("name", [name for name in PARTITIONERS if name != "iid"])
@pytest.mark.parametrize(("labels", "message"), NO_CLASSES.values(), ids=NO_CLASSES)
def test_labels_that_are_no_classes(name, labels, message):
    with pytest.raises(ValueError, match=message):
        PARTITIONERS[name](labels, 4)


CALLS = {
    "alpha 0": (lambda: vf.partition_dirichlet(Y, 4, 0.0, key=KEY), "alpha: got 0.0; need a finite number > 0"),
    "alpha negative": (lambda: vf.partition_dirichlet(Y, 4, -1, key=KEY), "alpha: got -1"),
    "alpha nan": (lambda: vf.partition_dirichlet(Y, 4, float("nan"), key=KEY), "alpha: got nan"),
    "alpha infinite": (lambda: vf.partition_extended_dirichlet(Y, 4, 2, float("inf"), key=KEY), "alpha: got inf"),
    "alpha word": (lambda: vf.partition_dirichlet(Y, 4, "small", key=KEY), "alpha: got 'small'"),
    "by": (lambda: vf.partition_dirichlet(Y, 4, 1.0, key=KEY, by="label"), "by: got 'label'; need one of 'class'"),
    "min_size": (lambda: vf.partition_dirichlet(Y, 4, 1.0, key=KEY, min_size=11), "min_size: got 11 for 4 clients"),
    "max_tries": (lambda: vf.partition_dirichlet(Y, 4, 1.0, key=KEY, max_tries=0), "max_tries: got 0"),
    "seed": (lambda: vf.partition_iid(Y, 4, key=0), "key: got int; need a jax.random.key"),
    "keys": (lambda: vf.partition_iid(Y, 4, key=jax.random.split(KEY)), "key: got key"),
    "scheme": (lambda: vf.partition_by_label_count(Y, 4, 2, key=KEY, scheme="pairs"), "scheme: got 'pairs'"),
    "too many classes": (
        lambda: vf.partition_by_label_count(Y, 4, 5, key=KEY),
        "classes_per_client: got 5; need at most 4",
    ),
    "no class": (lambda: vf.partition_by_label_count(Y, 4, 0, key=KEY), "classes_per_client: got 0"),
    "a class nobody owns": (
        lambda: vf.partition_by_label_count(Y, 2, 1, key=KEY),
        r"classes_per_client: got 1 for 2 clients, which leaves classes \[2, 3\] to nobody",
    ),
    "a class nobody owns, extended": (
        lambda: vf.partition_extended_dirichlet(Y, 2, 1, 1.0, key=KEY),
        "an owner for each",
    ),
    "not disjoint": (
        lambda: vf.partition_by_label_count(Y, 3, 2, key=KEY, scheme="disjoint"),
        "classes_per_client: got 2 for 3 clients and 4 classes",
    ),
    "a client without data": (
        lambda: vf.partition_by_label_count(np.arange(5) % 4, 5, 4, key=KEY),
        "without data; need as many examples",
    ),
    "unreachable size": (
        lambda: vf.partition_extended_dirichlet(np.r_[[0] * 3, [1] * 97], 2, 1, 1.0, key=KEY),
        "min_size: got 10, which client",
    ),
    "report of other labels": (lambda: PARTITION.report(Y[:20]), "labels: got 20 of them"),
    "gather a number": (lambda: vf.gather_clients(X, Y, X), "partition: got ndarray"),
    "gather an empty client": (lambda: vf.gather_clients(X, Y, EMPTY), r"partition: got clients \[1\] without data"),
    "gather outside": (lambda: vf.gather_clients(X, Y, OUTSIDE), "partition: got indices from 0 to 40; need 0 to 39"),
    "gather other lengths": (lambda: vf.gather_clients(X, Y[:9], PARTITION), r"y: got shape \(9,\)"),
    "gather a float mask": (
        lambda: vf.gather_clients(X, Y, PARTITION._replace(mask=PARTITION.mask * 1.0)),
        "a boolean mask",
    ),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call()
