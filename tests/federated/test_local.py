"""Local training in pieces of batches comes to the same result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from support.federated_problems import assert_close, softmax_loss, softmax_problem
from verax.federated._local import _piece_size, local_options, local_sgd

pytestmark = pytest.mark.double


@pytest.mark.parametrize("batch_size", [40, 30, 21, None])
def test_a_loop_over_steps_is_the_scan(batch_size):
    """Among the sizes are two that leave most of an epoch's last batch empty, and one that divides."""
    params, clients = softmax_problem(sizes=(63, 47))
    options = local_options(softmax_loss, 0.1, batch_size, 2, None, 0.5)
    scattered = np.asarray(clients.mask[1]) & (np.arange(63) % 3 > 0)  # not one after the other
    for mask in (clients.mask[0], clients.mask[1], jnp.asarray(scattered)):
        data = (clients.x[1], clients.y[1], mask)
        scanned, unrolled = (
            local_sgd(softmax_loss, params, data, jax.random.key(0), options, unrolled=flag) for flag in (False, True)
        )
        assert int(scanned.num_steps) == int(unrolled.num_steps)
        assert_close(scanned.params, unrolled.params)
        assert_close(scanned.loss, unrolled.loss)


def test_pieces_are_small_and_fill_the_batch():
    for size in range(1, 200):
        piece = _piece_size(size)
        assert piece <= 16
        assert -size % piece < size / piece  # less than a row a piece is padding
