"""Every statistic of a table may be compiled, and knows neither the order of prompts nor the names of clusters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.evals import (
    JudgeError,
    Outcome,
    OutcomeTable,
    any_of,
    bootstrap,
    cons_at_k,
    forecast_any_of,
    goodness_at,
    paired_difference,
    pass_at_k,
    pass_hat_k,
    rate,
)

pytestmark = [pytest.mark.costly, pytest.mark.double]

KEY = jax.random.key(0)
JUDGE = JudgeError(0.9, 0.95, 200.0, 400.0)
STATISTICS = {
    "rate": rate,
    "rate, clustered t": lambda t: rate(t, method="cluster_t"),
    "rate after a judge": lambda t: rate(t, judge=JUDGE),
    "rate, bootstrap": lambda t: rate(t, method="bootstrap", num_resamples=100, key=KEY),
    "bootstrap": lambda t: bootstrap(t, lambda u: any_of(u).estimate, num_resamples=100, key=KEY),
    "paired difference": lambda t: paired_difference(t, model_a=0, model_b=1, margin=0.1),
    "any of": any_of,
    "any of, further attacks": lambda t: any_of(t, generalize_over=("prompt", "attack"), num_resamples=100, key=KEY),
    "goodness": lambda t: goodness_at(t, q=0.5, key=KEY),
    "forecast": lambda t: forecast_any_of(t, draws=8),
    "pass at k": lambda t: pass_at_k(t.labels[0, 0] == 0, k=2),
    "pass hat k": lambda t: pass_hat_k(t.labels[0, 0] == 0, k=2),
    "consensus": lambda t: cons_at_k(t.labels[0, 0], jnp.zeros(t.labels.shape[2], t.labels.dtype), k=3, key=KEY),
}
DRAWN = ("rate, bootstrap", "bootstrap", "any of, further attacks", "goodness", "consensus")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    labels = (rng.random((2, 3, 24, 4)) < rng.beta(0.5, 0.8, (2, 3, 24, 1))).astype(int)  # prompts differ
    labels[rng.random(labels.shape) < 0.1] = Outcome.UNCLEAR
    return OutcomeTable(labels, cluster=np.arange(24) // 3, weight=rng.uniform(0.5, 2, 24))


def close(one, two, rtol=2e-5):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("name", STATISTICS)
def test_jit_is_eager(name, table):
    # A likelihood near its maximum is flat: single precision ends a little apart.
    close(jax.jit(STATISTICS[name])(table), STATISTICS[name](table), rtol=2e-3 if name == "forecast" else 2e-5)


@pytest.mark.parametrize("name", [name for name in STATISTICS if name not in DRAWN])
def test_order_and_names_do_not_matter(name, table):
    order = np.random.default_rng(1).permutation(24)
    other = OutcomeTable(
        np.asarray(table.labels)[:, :, order],
        cluster=7 - np.asarray(table.cluster)[order],
        weight=np.asarray(table.weight)[order],
    )
    close(STATISTICS[name](other), STATISTICS[name](table), rtol=2e-3 if name == "forecast" else 2e-5)


@pytest.mark.parametrize("name", ["rate", "any of", "paired difference", "pass at k"])
def test_vmap_is_a_loop(name, table):
    tables = [table, OutcomeTable(np.asarray(table.labels)[::-1], cluster=table.cluster, weight=table.weight)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tables)
    found = jax.vmap(STATISTICS[name])(stacked)
    for number, one in enumerate(tables):
        close(jax.tree.map(lambda leaf, number=number: leaf[number], found), STATISTICS[name](one))
