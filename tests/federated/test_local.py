"""Local training in pieces of batches comes to the same result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax.federated as vf
from support.federated_problems import assert_close, softmax_loss, softmax_problem
from verax.federated._local import _piece_size, local_sgd
from verax.federated._options import checked_options

pytestmark = pytest.mark.double


@pytest.mark.parametrize("batch_size", [40, 30, 21, None])
def test_a_loop_over_steps_is_the_scan(batch_size):
    """Among the sizes are two that leave most of an epoch's last batch empty, and one that divides."""
    params, clients = softmax_problem(sizes=(63, 47))
    options, _ = checked_options(
        softmax_loss, {"learning_rate": 0.1, "batch_size": batch_size, "local_epochs": 2, "momentum": 0.5}
    )
    scattered = np.asarray(clients.mask[1]) & (np.arange(63) % 3 > 0)  # not one after the other
    for mask in (clients.mask[0], clients.mask[1], jnp.asarray(scattered)):
        task = vf.Task(vf.ClientData(clients.x[1], clients.y[1], mask), jax.random.key(0), jnp.int32(0))
        scanned, unrolled = (
            local_sgd(softmax_loss, params, task, options, work=vf.Work(unrolled=flag)) for flag in (False, True)
        )
        assert int(scanned.num_steps) == int(unrolled.num_steps)
        assert_close(scanned.params, unrolled.params)
        assert_close(scanned.loss, unrolled.loss)


def test_pieces_are_small_and_fill_the_batch():
    for size in range(1, 200):
        piece = _piece_size(size)
        assert piece <= 16
        assert -size % piece < size / piece  # less than a row a piece is padding
