"""The certificate proves what it says for any matching and any prices, not only for the solver's own."""

import jax.numpy as jnp
import numpy as np
import pytest

from verax.matching import check_certificate, solve_assignment

pytestmark = pytest.mark.double


@pytest.mark.parametrize(("shape", "allow_unmatched"), [((4, 4), True), ((3, 5), False), ((5, 3), False)])
@pytest.mark.parametrize("maximize", [True, False])
def test_prices_bound_the_optimum_whatever_they_are(rng, shape, allow_unmatched, maximize):
    dtype = jnp.zeros(()).dtype
    n, m = shape
    weights = np.asarray(rng.normal(size=(50, n, m)), dtype)
    options = {"maximize": maximize, "allow_unmatched": allow_unmatched}
    solved = solve_assignment(weights, **options)
    wrong_prices = solved._replace(
        row_price=rng.normal(size=(50, n)).astype(dtype), col_price=rng.normal(size=(50, m)).astype(dtype)
    )
    certificate = check_certificate(weights, wrong_prices, **options)
    sign = 1 if maximize else -1
    tolerance = 20 * np.finfo(dtype).eps
    assert (sign * (np.asarray(certificate.dual) - np.asarray(solved.value)) > -tolerance).all()
    assert (np.asarray(certificate.gap) > 0.01).mean() > 0.9  # and wrong prices are seen to be wrong
    np.testing.assert_allclose(
        certificate.gap, sign * (np.asarray(certificate.dual) - np.asarray(certificate.primal)), atol=tolerance
    )
    np.testing.assert_allclose(check_certificate(weights, solved, **options).gap, 0, atol=tolerance)


def test_suboptimal_matching_shows_its_distance():
    weights = jnp.array([[3.0, 1.0], [2.0, 4.0]])
    solved = solve_assignment(weights)
    swapped = solved._replace(col_of_row=jnp.array([1, 0]), row_of_col=jnp.array([1, 0]))
    certificate = check_certificate(weights, swapped)
    assert (float(certificate.primal), float(certificate.dual), float(certificate.gap)) == (3, 7, 4)


@pytest.mark.parametrize(
    ("col_of_row", "row_of_col", "allow_unmatched"),
    [
        ([0, 0], [0, -1], True),  # one column twice
        ([0, 1], [1, 0], True),  # the two sides disagree
        ([0, 2], [0, -1], True),  # no such column
        ([0, -1], [0, -1], False),  # left out
        ([1, 0], [1, 0], True),  # a forbidden pair
    ],
)
def test_what_is_no_matching_attains_nothing(col_of_row, row_of_col, allow_unmatched):
    weights = jnp.array([[3.0, -jnp.inf], [2.0, 4.0]])
    claimed = solve_assignment(weights)._replace(col_of_row=jnp.array(col_of_row), row_of_col=jnp.array(row_of_col))
    certificate = check_certificate(weights, claimed, allow_unmatched=allow_unmatched)
    assert float(certificate.primal) == -jnp.inf
    assert float(certificate.gap) == jnp.inf


def test_failed_problem_has_no_certificate():
    weights = jnp.full((2, 2), -jnp.inf)
    certificate = check_certificate(weights, solve_assignment(weights, allow_unmatched=False), allow_unmatched=False)
    assert np.isnan(certificate.gap)
