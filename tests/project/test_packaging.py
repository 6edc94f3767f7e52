"""What the distributions contain, and what happens where there is no compiler. Builds for real, so slow."""

import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

import pytest

pytest.importorskip("scikit_build_core", reason="building needs scikit-build-core")
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
LIBRARY = "verax/_ext/libverax_cpu.so"


def build(kind, source, out, **environment):
    """Call the build backend as a frontend without isolation would; returns the completed process."""
    out.mkdir(exist_ok=True)
    # Unset, whatever this test run was started with: each test states what it needs.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VERAX_")}
    code = f"import scikit_build_core.build as b; print(b.build_{kind}({str(out)!r}))"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=source, env={**clean, **environment}, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    out = tmp_path_factory.mktemp("sdist")
    result = build("sdist", ROOT, out)
    assert result.returncode == 0, result.stderr
    (archive,) = out.glob("*.tar.gz")
    return archive


@pytest.fixture
def source(sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    return folder


def wheel_names(folder):
    (wheel,) = folder.glob("*.whl")
    return wheel.name, set(zipfile.ZipFile(wheel).namelist())


def test_sdist_holds_the_sources_and_nothing_built(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("pyproject.toml", "LICENSE", "README.md", "jaxlib_ext/CMakeLists.txt", "kernels/__init__.py"):
        assert needed in names
    assert {"src/verax/__init__.py", "src/verax/py.typed", "tests/conftest.py"} <= names
    unwanted = ("build/", "dist/", ".venv", ".ci", ".git/", "src/verax/kernels", "src/verax/_ext", ".ruff_cache")
    assert [name for name in names if name.startswith(unwanted) or name.endswith((".so", ".pyc"))] == []


def test_wheel_from_sdist(source, tmp_path):
    result = build("wheel", source, tmp_path / "out", VERAX_REQUIRE_NATIVE="1")
    assert result.returncode == 0, result.stderr
    wheel, names = wheel_names(tmp_path / "out")
    assert "-py3-none-" in wheel  # one for every Python version
    assert "-any" not in wheel
    assert {LIBRARY, "verax/py.typed", "verax/matching/__init__.py", "verax/kernels/__init__.py"} <= names
    sources = {f"verax/kernels/{path.relative_to(ROOT / 'kernels')}" for path in (ROOT / "kernels").rglob("*.py")}
    assert sources <= names
    assert {name.split("/")[0].removesuffix(".dist-info") for name in names} == {
        "verax",
        "-".join(wheel.split("-")[:2]),
    }


@pytest.mark.parametrize("environment", [{"CXX": "/nonexistent"}, {"VERAX_PURE": "1"}])
def test_pure_wheel_without_compiler_or_by_choice(source, tmp_path, environment):
    result = build("wheel", source, tmp_path / "out", **environment)
    assert result.returncode == 0, result.stderr
    wheel, names = wheel_names(tmp_path / "out")
    assert wheel.endswith("-py3-none-any.whl")
    assert LIBRARY not in names
    assert "verax/matching/__init__.py" in names


def test_source_that_does_not_compile_becomes_a_pure_wheel(source, tmp_path):
    with (source / "jaxlib_ext" / "version.cc").open("a") as file:
        file.write("#error broken\n")
    assert build("wheel", source, tmp_path / "out").returncode == 0
    wheel, _ = wheel_names(tmp_path / "out")
    assert wheel.endswith("-py3-none-any.whl")
    assert build("wheel", source, tmp_path / "required", VERAX_REQUIRE_NATIVE="1").returncode != 0


def test_native_code_that_is_required_and_fails_stops_the_build(source, tmp_path):
    result = build("wheel", source, tmp_path / "out", VERAX_REQUIRE_NATIVE="1", CXX="/nonexistent")
    assert result.returncode != 0
    assert list((tmp_path / "out").iterdir()) == []
