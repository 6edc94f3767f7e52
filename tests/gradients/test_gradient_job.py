"""Features on disk: those in memory, resumed and refused."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.gradients import _job, gradient_features, gradient_job
from verax.ntk import Rademacher
from verax.parallel import _jobs

W = jnp.linspace(-1, 1, 40, dtype=jnp.float32)
X = jnp.asarray(np.random.default_rng(0).normal(size=(7, 40)), jnp.float32)
OPTIONS = {"sketch": Rademacher(3), "key": jax.random.key(2)}


def loss_fn(w, x):
    return jnp.tanh(x @ w)


def test_features_on_disk_are_those_in_memory_and_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(_job, "_ROWS", 3)  # several files
    expected = gradient_features(loss_fn, W, X, **OPTIONS)
    found = gradient_job(loss_fn, W, X, path=tmp_path, **OPTIONS)
    assert found.shape == (7, 3)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-5)
    files = sorted((tmp_path / "tiles").iterdir())
    assert len(files) == 3
    files[1].unlink()
    again = gradient_job(loss_fn, W, X, path=tmp_path, **OPTIONS)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(found))


def test_two_workers_on_one_job_share_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(_job, "_ROWS", 1)
    written, write = [], _jobs.write_tile

    def counted(path, job, values):
        written.append(path.name)
        write(path, job, values)

    monkeypatch.setattr(_jobs, "write_tile", counted)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(gradient_job, loss_fn, W, X, path=tmp_path, **OPTIONS) for _ in range(2)]
        one, two = (np.asarray(job.result()) for job in jobs)
    assert sorted(written) == sorted({path.name for path in (tmp_path / "tiles").iterdir()})
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, gradient_features(loss_fn, W, X, **OPTIONS), rtol=1e-5, atol=1e-5)


@pytest.mark.bad_input
def test_another_job_is_refused(tmp_path):
    gradient_job(loss_fn, W, X, path=tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match=r"^path: got a job whose parameters"):
        gradient_job(loss_fn, 2 * W, X, path=tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match=r"^path: got a job whose key"):
        gradient_job(loss_fn, W, X, path=tmp_path, sketch=Rademacher(3), key=jax.random.key(3))
