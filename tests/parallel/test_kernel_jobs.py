"""Kernel jobs: the kernel itself, interruptions, damage, company, and folders that are something else."""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax.ntk import empirical_ntk, ntk_job
from verax.parallel import _jobs, open_kernel
from verax.spectral import kernel_spectrum, risk_path


def network(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]


KEYS = jax.random.split(jax.random.key(0), 4)
PARAMS = {"w": jax.random.normal(KEYS[0], (5, 8)), "v": jax.random.normal(KEYS[1], (8, 3))}
X1, X2 = jax.random.normal(KEYS[2], (22, 5)), jax.random.normal(KEYS[3], (9, 5))


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted((pathlib.Path(folder) / "tiles").iterdir())}


@pytest.mark.parametrize("x2", [None, X2])
@pytest.mark.parametrize("options", [{}, {"output": "mean"}, {"output": "full"}, {"method": "jacobian"}])
def test_it_is_the_kernel(tmp_path, x2, options):
    kernel = ntk_job(network, PARAMS, X1, x2, path=tmp_path, block_size=8, **options)
    expected = np.asarray(empirical_ntk(network, PARAMS, X1, x2, **options))
    assert (kernel.shape, kernel.dtype) == (expected.shape, expected.dtype)
    again = open_kernel(tmp_path)
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5)
    whole = np.asarray(again)
    np.testing.assert_array_equal(again[3], whole[3])
    np.testing.assert_array_equal(again[20:1:-3, [0, 8, 4]], whole[20:1:-3][:, [0, 8, 4]])
    np.testing.assert_array_equal(again[:, 7], whole[:, 7])
    if whole.ndim == 2:
        v = np.random.default_rng(0).normal(size=(whole.shape[1], 2))
        np.testing.assert_allclose(again.product(v), whole @ v, rtol=1e-4, atol=1e-4)


def test_an_interrupted_job_goes_on(tmp_path, monkeypatch):
    ntk_job(network, PARAMS, X1, path=tmp_path / "whole", block_size=4, memory_budget=30_000)
    write, count = _jobs.write_tile, []

    def interrupted(*arguments):
        if len(count) % 4 == 3:
            count.append(0)
            raise KeyboardInterrupt
        count.append(1)
        write(*arguments)

    monkeypatch.setattr(_jobs, "write_tile", interrupted)
    for _ in range(30):
        try:
            ntk_job(
                network,
                PARAMS,
                X1,
                path=tmp_path / "parts",
                memory_budget=30_000,
                **({} if count else {"block_size": 4}),
            )
            break
        except KeyboardInterrupt:
            continue
    assert sum(count) == 21  # each tile once
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-5], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b"", lambda b: b"x" + b[1:]]
)
def test_a_damaged_tile_is_found_and_computed_again(tmp_path, damage):
    ntk_job(network, PARAMS, X1, path=tmp_path, block_size=8)
    sound = bytes_of(tmp_path)
    victim = tmp_path / "tiles" / "8-16.tile"
    victim.write_bytes(damage(victim.read_bytes()))
    with pytest.raises(ValueError, match=r"path: got a missing or damaged tile 8-16.tile"):
        np.asarray(open_kernel(tmp_path))
    ntk_job(network, PARAMS, X1, path=tmp_path)
    assert bytes_of(tmp_path) == sound


def test_several_workers_share_the_work(tmp_path, monkeypatch):
    write, written = _jobs.write_tile, []

    def counted(path, job, values):
        written.append(path.name)
        time.sleep(0.02)
        write(path, job, values)

    monkeypatch.setattr(_jobs, "write_tile", counted)
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(ntk_job, network, PARAMS, X1, path=tmp_path, block_size=4, memory_budget=30_000)
            for _ in range(3)
        ]
        kernels = [np.asarray(job.result()) for job in jobs]
    assert len(written) == len(set(written)) == 21
    for kernel in kernels:
        np.testing.assert_allclose(kernel, empirical_ntk(network, PARAMS, X1), rtol=1e-5, atol=1e-5)


def test_spectral_reads_it(tmp_path):
    kernel = ntk_job(network, PARAMS, X1, path=tmp_path, block_size=8, output=0)
    targets = np.asarray(X1[:, 0])
    from_file = kernel_spectrum(kernel, targets)
    np.testing.assert_allclose(
        from_file.eigenvalues, kernel_spectrum(np.asarray(kernel), targets).eigenvalues, rtol=1e-5
    )
    options = {"method": "lanczos", "num_steps": 10, "num_probes": 4, "key": jax.random.key(0)}
    from_tiles, from_array = (kernel_spectrum(k, targets, **options) for k in (kernel, np.asarray(kernel)))
    ridges = np.array([0.1, 1.0])
    np.testing.assert_allclose(risk_path(from_tiles, ridges).gcv, risk_path(from_array, ridges).gcv, rtol=1e-3)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x1": X1 + 1}, "a job whose examples is"),
        ({"params": {**PARAMS, "v": PARAMS["v"] * 2}}, "a job whose parameters is"),
        ({"apply_fn": lambda p, x: jnp.sin(x @ p["w"]) @ p["v"]}, "a job whose network is"),
        ({"output": 1}, "a job whose output is trace; need 1"),
        ({"x2": X2}, "a job whose examples is"),
        ({"block_size": 4}, "a job whose block_size is 8; need 4"),
        ({"precision": "high"}, "a job whose precision is highest; need high"),
    ],
)
def test_another_job_in_the_folder_is_refused(tmp_path, change, message):
    call = {"apply_fn": network, "params": PARAMS, "x1": X1}
    ntk_job(**call, path=tmp_path, block_size=8)
    with pytest.raises(ValueError, match=rf"path: got {message}"):
        ntk_job(**{**call, **change}, path=tmp_path)


@pytest.mark.bad_input
def test_folders_that_are_no_job(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "manifest.json").write_text(json.dumps({"format": 99}))
    for name, message in (
        ("other", r"a folder with other files \(notes.txt\)"),
        ("file", "a file; need a folder"),
        ("broken", r"manifest\.json, which is no JSON"),
        ("newer", "format 99; need format 2"),
    ):
        with pytest.raises(ValueError, match=f"path: got .*{message}"):
            ntk_job(network, PARAMS, X1, path=tmp_path / name)
    with pytest.raises(ValueError, match=r"which has no manifest\.json"):
        open_kernel(tmp_path)
    kernel = ntk_job(network, PARAMS, X1, path=tmp_path / "good", block_size=8)
    (tmp_path / "good" / "tiles" / "0-8.tile").unlink()
    with pytest.raises(ValueError, match="a kernel of which 1 tiles are missing"):
        open_kernel(tmp_path / "good")
    with pytest.raises(ValueError, match=r"v: got shape \(3,\)"):
        kernel.product(np.ones(3))
    with pytest.raises(ValueError, match="3 indices"):
        kernel[0, 0, 0]


def copy_over(source, target):
    return lambda folder: (folder / target).write_bytes((folder / source).read_bytes())


def rewrite(**changes):
    def change(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.bad_input
def test_a_kernel_that_was_tampered_with_is_never_returned(tmp_path):
    sound = np.asarray(ntk_job(network, PARAMS, X1, path=tmp_path / "sound", block_size=8))
    ntk_job(network, PARAMS, X1 + 1, path=tmp_path / "other", block_size=8)
    changes = {
        "a tile over another": copy_over("tiles/0-16.tile", "tiles/8-16.tile"),
        "a tile of another job": copy_over("../other/tiles/0-8.tile", "tiles/0-8.tile"),
        "dtype": rewrite(dtype="int32"),
        "wider": rewrite(dtype="float64", shape=[11, 11]),
        "order": rewrite(dtype=">f4"),
        "text": rewrite(dtype="U1"),
        "negative block": rewrite(block_size=-5),
        "fraction of a block": rewrite(block_size=8.5),
        "huge": rewrite(shape=[10**9, 10**9]),
        "no shape": rewrite(shape=None),
        "flat": rewrite(shape=[22]),
        "not square": rewrite(shape=[22, 16]),
        "a word": rewrite(symmetric="no"),
        "another network": rewrite(network="0" * 64),
    }
    for name, change in changes.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "sound", folder)
        change(folder)
        with pytest.raises(ValueError, match=r"^path: got "):
            np.asarray(open_kernel(folder))
        if "tile" in name:  # a resumed job computes it again
            np.testing.assert_array_equal(np.asarray(ntk_job(network, PARAMS, X1, path=folder)), sound)


PROGRAM = """
import sys, jax, jax.numpy as jnp
from verax.ntk import ntk_job
keys = jax.random.split(jax.random.key(0), 3)
params = {"w": jax.random.normal(keys[0], (30, 64)), "v": jax.random.normal(keys[1], (64, 3))}
print("ready", flush=True)
ntk_job(lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], params, jax.random.normal(keys[2], (1200, 30)), path=sys.argv[1],
        block_size=40)
"""


@pytest.mark.slow
def test_fifty_kills(tmp_path):
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "whole")], check=True)
    draw, kills = random.Random(0), 0
    while kills < 50:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "killed")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(draw.uniform(0.2, 1.2))
            process.send_signal(signal.SIGKILL)
        if process.returncode == 0:  # it was done before the kill
            for path in draw.sample(sorted((tmp_path / "killed" / "tiles").iterdir()), 200):
                path.unlink()
        kills += 1
    subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "killed")], check=True)
    for name, content in bytes_of(tmp_path / "whole").items():
        assert (tmp_path / "killed" / "tiles" / name).read_bytes() == content
