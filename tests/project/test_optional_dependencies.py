"""The package and its rooms without the packages that only the command line and the reports need."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# One small call for each package.
CALLS = {
    "audit": "assert verax.audit.conformal_p_value(np.ones(1), np.zeros(9))[0] == 0.1",
    "commands": "assert verax.commands.run_probe",
    "data": "assert verax.data.load('digits').name == 'digits'",
    "evals": "assert verax.evals.Outcome.BAD == 1",
    "federated": "assert verax.federated.partition_iid(np.arange(4) % 2, 2, key=key).mask.shape == (2, 2)",
    "gradients": "assert verax.gradients.gradient_norms(lambda w, x: x @ w, x[0], x).shape == (3,)",
    "influence": "assert verax.influence.linear_datamodeling_score(x.T, x.repeat(2, 0)[:4], np.eye(4, 3) > 0)",
    "kernels": "pass",
    "matching": "assert verax.matching.solve_assignment(np.eye(3)).value == 3",
    "models": "apply_fn, params = verax.models.mlp([2, 3, 1], key=key); assert apply_fn(params, x).shape == (3, 1)",
    "ntk": "assert verax.ntk.ntk_diagonal(lambda p, x: x @ p, x[0][:, None], x).shape == (3,)",
    "online": "assert verax.online.ski_rental.minimum_robustness(1) == 1",
    "organisms": "assert verax.organisms.PolicyWorld(key=key).is_restricted(np.array([0, 9, 4]))",
    "papers": "assert verax.papers.names()",
    "parallel": "assert verax.parallel.KernelFile",
    "probe": "assert verax.probe.RidgeProbe().fit(x[[0, 1, 2, 0]], [0, 1, 1, 0]).num_samples_ == 4",
    "report": "assert verax.report.Table(['n'], [[1]]).column('n') == (1,)",
    "shift": "assert len(verax.shift.corruptions.NAMES) == 19",
    "spectral": "assert float(verax.spectral.gcv(x @ x.T, x[:, 0], 0.1)) >= 0",
}

PREAMBLE = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed here", name=name)

sys.meta_path.insert(0, Absent())
"""


def python(code, absent=()):
    code = PREAMBLE.format(absent=tuple(absent)) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_package_is_called():
    packages = {path.parent.name for path in (ROOT / "src" / "verax").glob("*/__init__.py")}
    assert packages - {"kernels"} == set(CALLS) - {"kernels"}


def test_importing_verax_imports_nothing_else():
    python("""
        import verax
        assert [name for name in sys.modules if name.startswith("verax.")] == []
        assert "jax" not in sys.modules and "numpy" not in sys.modules
        assert verax.__version__
        assert set(verax._SUBMODULES) <= set(dir(verax))
    """)


def test_importing_every_room_starts_no_backend_and_no_drawing():
    rooms = ", ".join(f"verax.{name}" for name in CALLS)
    python(f"""
        import {rooms}
        import jax
        jax.config.update("jax_num_cpu_devices", 3)  # refused once a backend has started
        assert len(jax.devices()) == 3
        for name in ("matplotlib", "rich", "tyro", "beartype"):
            assert name not in sys.modules, name
    """)


def test_the_backend_check_above_can_fail():
    with pytest.raises(AssertionError, match="RuntimeError"):
        python("""
            import jax
            jax.devices()
            jax.config.update("jax_num_cpu_devices", 3)
        """)


EXTRAS = (
    "sklearn",
    "threadpoolctl",
    "flax",
    "matplotlib",
    "PIL",
    "tyro",
    "rich",
    "pandas",
    "pyarrow",
    "torch",
    "beartype",
)


def test_the_core_is_enough_to_import_and_an_extra_is_named_where_it_is_missing():
    """One process for all, since each costs the import of JAX."""
    needs = {
        "import verax.probe": "probe",
        "import verax.cli": "cli",
        "verax.data.load('digits')": "probe",
        "verax.models.resnet18(2, key=key)": None,
        "verax.ntk.from_nnx(None)": "flax",
        "verax.report.subplots()": "plots",
        "verax.shift.corruptions.corrupt(images, 'jpeg_compression', 1, key=key)": "plots",
        "verax.shift.corruptions.corrupt(images, 'brightness', 1, key=key)": None,
    }
    rooms = ", ".join(f"verax.{name}" for name in CALLS if name not in ("probe", "commands"))
    python(
        f"""
        import {rooms}
        import jax, numpy as np
        key, images = jax.random.key(0), np.zeros((1, 32, 32, 3), np.uint8)
        for code, extra in {needs!r}.items():
            try:
                exec(code)
            except ModuleNotFoundError as error:
                assert extra and str(error).endswith(f'pip install "verax[{{extra}}]"'), (code, error)
            else:
                assert extra is None, code
        """,
        absent=EXTRAS,
    )


def test_every_room_works_without_the_optional_packages():
    calls = "\n".join(f"import verax.{name}\n{call}" for name, call in CALLS.items())
    setup = "import jax, numpy as np\nkey = jax.random.key(0)\nx = np.arange(6, dtype=np.float32).reshape(3, 2)\n"
    python(setup + calls, absent=("tyro", "rich", "beartype", "matplotlib"))


def test_the_block_on_optional_packages_can_fail():
    with pytest.raises(AssertionError, match=r'matplotlib, which is not installed: pip install "verax\[plots\]"'):
        python("import verax.report\nverax.report.subplots()", absent=("matplotlib",))


def test_only_models_import_flax():
    rooms = ", ".join(f"verax.{name}" for name in CALLS if name not in ("models", "papers"))
    python(f"import {rooms}\nassert 'flax' not in sys.modules")
