"""The signature and conventions of neural-tangents, and its revival on current JAX."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from support.ntk_goldens import assert_kernel_close, golden
from verax.ntk import compat

pytestmark = pytest.mark.double

CASES = {  # axes as given to neural-tangents, and the options that must give the golden kernel
    "mean/cross": {},
    "full/cross": {"trace_axes": ()},
    "diagonal/cross": {"trace_axes": (), "diagonal_axes": (-1,)},
    "trace12/cross": {"trace_axes": (1, 2)},
    "trace1/cross": {"trace_axes": 1},
    "trace1_diagonal2/cross": {"trace_axes": (1,), "diagonal_axes": (2,)},
    "trace2_diagonal1/cross": {"trace_axes": (-1,), "diagonal_axes": -2, "vmap_axes": 0},
}


@pytest.mark.parametrize("case", CASES)
def test_axes_as_in_neural_tangents(case):
    apply_fn, params, x1, x2, kernels = golden("per_position")
    assert_kernel_close(compat.empirical_ntk_fn(apply_fn, **CASES[case])(x1, x2, params), kernels[case])


@pytest.mark.parametrize("implementation", compat.NtkImplementation)
def test_implementations_and_default_axes(implementation):
    apply_fn, params, x1, _, kernels = golden("mlp")
    ntk_fn = compat.empirical_ntk_fn(apply_fn, implementation=implementation)
    assert_kernel_close(ntk_fn(x1, None, params), kernels["mean/same"])


def test_examples_may_be_traced_and_kept_once():
    apply_fn, params, x1, _, kernels = golden("mlp")
    full = kernels["full/same"]  # [n, n, O, O]
    diagonal = compat.empirical_ntk_fn(apply_fn, (), (0,))(x1, None, params)
    assert_kernel_close(diagonal, np.einsum("iiab->iab", full))
    traced = compat.empirical_ntk_fn(apply_fn, (-1,), (0,))(x1, None, params)
    assert_kernel_close(traced, np.einsum("iiaa->i", full) / full.shape[-1])
    both = compat.empirical_ntk_fn(apply_fn, (0,), (1,))(x1, None, params)
    assert_kernel_close(both, np.einsum("iiaa->a", full) / len(full))


def test_every_output_of_a_pytree_gets_its_kernel():
    apply_fn, params, x1, x2, kernels = golden("mlp")
    ntk_fn = compat.empirical_ntk_fn(lambda p, x: {"once": apply_fn(p, x), "twice": 2 * apply_fn(p, x)})
    got = ntk_fn(x1, x2, params)
    assert_kernel_close(got["once"], kernels["mean/cross"])
    assert_kernel_close(got["twice"], 4 * kernels["mean/cross"])


def linear(params, x):
    return x @ params


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "x2", "message"),
    [
        ({"trace_axes": (0.5,)}, None, "trace_axes: got .* need an integer"),
        ({"trace_axes": (2,)}, None, "trace_axes: got .* distinct axes of an output with 2 axes"),
        ({"trace_axes": (1, -1)}, None, "trace_axes: got .* distinct"),
        ({"trace_axes": (1,), "diagonal_axes": (1,)}, None, "diagonal_axes: got axes .* disjoint"),
        ({"vmap_axes": (0, 0)}, None, "vmap_axes: got .* need None, an integer, or"),
        ({"vmap_axes": 2}, None, "x1: got an array of shape .* axis 2 of examples"),
        ({"implementation": 7}, None, "implementation: got 7"),
        ({"diagonal_axes": (0,)}, 3, "x2: got 3 examples for 2 in x1"),
    ],
)
def test_bad_input(options, x2, message):
    with pytest.raises(ValueError, match=message):
        compat.empirical_ntk_fn(linear, **options)(
            jnp.ones((2, 2)), None if x2 is None else jnp.ones((x2, 2)), jnp.ones((2, 3))
        )


@pytest.fixture(scope="session")
def neural_tangents_folder(tmp_path_factory):
    """A folder that holds neural-tangents and frozendict, and no other dependency."""
    folder = tmp_path_factory.mktemp("neural_tangents")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--retries=1", "--timeout=20", f"--target={folder}", "neural-tangents==0.6.5", "frozendict"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"neural-tangents could not be installed: {done.stderr.strip()[-300:]}"
        if os.environ.get("VERAX_REGISTRY_REQUIRED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


def run_script(script, *folders):
    """Run a script that prints one line of JSON at its end, with more folders to import from."""
    path = os.pathsep.join([*map(str, folders), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


IMPORT = """
import importlib.util, json, sys, warnings
warnings.simplefilter("error")
import jax, jax.core, jax.interpreters.ad
import verax.ntk
from verax.ntk.compat import import_neural_tangents

BRIDGES = ("tensorflow", "tf2jax", "jax.util", "jax.experimental.jax2tf")

def jax_names():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = (jax.core, jax.interpreters.ad)
        return [{name: id(value) for name, value in vars(module).items()} for module in modules]

def visible():
    return [importlib.util.find_spec(name) is not None for name in ("tensorflow", "tf2jax")]

names, seen = jax_names(), visible()
nt = import_neural_tangents()
result = {
    "names_unchanged": names == jax_names(),
    "visibility_unchanged": seen == visible(),
    "stubs_left": [name for name in BRIDGES if name in sys.modules],
    "tensorflow": getattr(sys.modules.get("tensorflow"), "__file__", None),
    "same_again": import_neural_tangents() is nt,
    "version": nt.__version__,
}
"""

USE = """
import jax.numpy as jnp, numpy as np
from verax.ntk import empirical_ntk

refused = []
for name in ("STRUCTURED_DERIVATIVES", "AUTO"):
    try:
        nt.empirical_ntk_fn(lambda p, x: x @ p, implementation=nt.NtkImplementation[name])
    except ValueError as error:
        refused.append("verax.ntk" in str(error))
result["refused"] = refused

stax = nt.stax
init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(256, b_std=0.5), stax.Relu(), stax.Dense(1, b_std=0.5))
x = jnp.asarray(np.random.default_rng(0).normal(size=(12, 5)))
kernel = jax.jit(lambda x: kernel_fn(x, None, "ntk"))(x)
analytic = np.asarray(kernel)
result["analytic"] = analytic.tolist()
keys = jax.random.split(jax.random.PRNGKey(1), 64)
draws = jax.vmap(lambda key: init_fn(key, x.shape)[1])(keys)
empirical = np.asarray(jax.jit(jax.vmap(lambda params: empirical_ntk(apply_fn, params, x)))(draws))
params = jax.tree.map(lambda leaf: leaf[-1], draws)
result["mean"] = np.mean(empirical, 0).tolist()
result["standard_error"] = (np.std(empirical, 0, ddof=1) / len(empirical) ** 0.5).tolist()

result["theirs"] = {}
for name in ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # neural-tangents' own
        their_fn = nt.empirical_ntk_fn(apply_fn, implementation=nt.NtkImplementation[name])
        theirs = jax.jit(lambda x, params, their_fn=their_fn: their_fn(x, None, params))(x, params)
    result["theirs"][name] = np.max(np.abs(theirs - empirical[-1])) / np.max(np.abs(theirs))

from verax import spectral
targets = np.sin(np.asarray(x)[:, :1])
path = spectral.risk_path(spectral.kernel_spectrum(kernel, targets))
result["gcv"] = np.asarray(path.gcv).tolist()
plain = jnp.asarray(result["analytic"])
result["gcv_of_plain_array"] = [float(spectral.gcv(plain, jnp.asarray(targets), ridge)) for ridge in path.ridge[:3]]
"""
FINISH = (
    "\nresult = jax.tree.map(lambda v: float(v) if hasattr(v, 'dtype') else v, result)\nprint(json.dumps(result))\n"
)


def test_neural_tangents_is_revived(neural_tangents_folder):
    result = run_script(IMPORT + USE + FINISH, neural_tangents_folder)
    assert result["version"] == "0.6.5"
    assert result["same_again"]
    assert result["names_unchanged"]
    assert result["visibility_unchanged"]
    assert result["stubs_left"] == []
    assert result["refused"] == [True, True]
    assert max(result["theirs"].values()) < 1e-12

    # With one hidden layer the expectation over random networks is the analytic kernel exactly, at any width.
    analytic, mean, error = (np.array(result[name]) for name in ("analytic", "mean", "standard_error"))
    assert np.max(error / np.sqrt(np.outer(np.diag(analytic), np.diag(analytic)))) < 0.05
    assert np.max(np.abs(mean - analytic) / error) < 4.5

    # The analytic kernel is a Gram matrix like any other for the spectral room.
    assert np.all(np.isfinite(result["gcv"]))
    np.testing.assert_allclose(result["gcv"][:3], result["gcv_of_plain_array"], rtol=1e-6)


def test_an_installed_tensorflow_is_left_alone(neural_tangents_folder, tmp_path):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import types as t\nclass Module: pass\nclass P: pass\n"
        "types = t.SimpleNamespace(experimental=t.SimpleNamespace(PolymorphicFunction=P))\n"
    )
    result = run_script(IMPORT + FINISH, neural_tangents_folder, tmp_path)
    assert result["visibility_unchanged"]
    assert result["names_unchanged"]
    assert result["tensorflow"] == str(package / "__init__.py")
    assert result["stubs_left"] == ["tensorflow"]  # the installed one, imported as neural-tangents asks


MISSING = """
import json, verax.ntk
from verax.ntk.compat import import_neural_tangents
try:
    import_neural_tangents()
except ModuleNotFoundError as error:
    print(json.dumps({"message": str(error), "name": error.name}))
"""


def test_absence_says_how_to_install():
    result = run_script(MISSING)
    assert result["name"] == "neural_tangents"
    assert "pip install --no-deps neural-tangents==0.6.5 frozendict" in result["message"]


WRONG_VERSION = """
import json, sys
import verax.ntk
from verax.ntk.compat import import_neural_tangents
try:
    import_neural_tangents()
except ImportError as error:
    print(json.dumps({"message": str(error), "left": [m for m in sys.modules if m.startswith("neural_tangents")]}))
"""


def test_another_release_is_refused(tmp_path):
    for name in ("neural_tangents", "frozendict"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("__version__ = '0.1.0'\n")
    result = run_script(WRONG_VERSION, tmp_path)
    assert "neural-tangents 0.1.0 is installed" in result["message"]
    assert result["left"] == []
