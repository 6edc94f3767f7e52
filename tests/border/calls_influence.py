"""Valid calls of verax.influence."""

import tempfile

import numpy as np

from support.border import call
from verax import influence
from verax.spectral import kernel_ridge_fit

X = np.array([[1.0, 2.0], [-1.5, 0.25], [2.0, 1.0], [0.5, 0.5]])
Y = np.array([1.0, -1.0, 0.5, 2.0])
KERNEL = X @ X.T + np.eye(4)
MODEL = kernel_ridge_fit(KERNEL, Y, 0.5)
SCORES = np.array([[0.5, -1.0, 2.0, 0.25], [1.0, 2.0, -0.5, 0.75]])
SUBSETS = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1]], bool)
RETRAINED = SUBSETS @ SCORES.T + np.arange(10.0).reshape(5, 2) / 4
PARAMS = {"w": np.ones(2, np.float32)}
ROWS = {name: {"list of rows": "a list of arrays is a pytree of examples"} for name in ("train", "test")}
FOLDER = tempfile.TemporaryDirectory()
FOUND = influence.Influence(SCORES, np.zeros(()), np.array(0))


def loss_fn(params, batch):
    """Half the square, in single precision."""
    return 0.5 * (batch.astype(np.float32) @ params["w"]) ** 2


def saved():
    """Path of a saved result."""
    influence.save(FOUND, FOLDER.name + "/loaded.npz")
    return FOLDER.name + "/loaded.npz"


CALLS = {
    "verax.influence.exact_influence": call(influence.exact_influence, MODEL, (KERNEL[:2], Y[:2]), train=(KERNEL, Y)),
    "verax.influence.influence": call(
        influence.influence, loss_fn, PARAMS, X.astype(np.float32), X[:2].astype(np.float32), exempt=ROWS
    ),
    "verax.influence.save": call(influence.save, FOUND, FOLDER.name + "/found.npz"),
    "verax.influence.load": call(lambda: influence.load(saved()).status),
    "verax.influence.linear_datamodeling_score": call(influence.linear_datamodeling_score, SCORES, RETRAINED, SUBSETS),
    "verax.influence.top": call(influence.top, FOUND, 2),
}
