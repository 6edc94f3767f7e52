"""The loader: every way in which native code can be unusable ends in a reason, never in a broken process."""

import os
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from verax import _native
from verax._doctor import doctor, report_text


@pytest.fixture
def library():
    path = _native.find_library()
    if path is None:
        if os.environ.get("VERAX_REQUIRE_NATIVE") == "1":
            pytest.fail("VERAX_REQUIRE_NATIVE=1, but no native library was built")
        pytest.skip("no native library was built")
    return path


def fresh_status() -> str:
    """The status as a new process would find it."""
    return _native._status_once.__wrapped__()


def run_python(code: str, **environment: str) -> str:
    source = str(pathlib.Path(sys.modules["verax"].__path__[0]).parent)
    env = {**os.environ, "PYTHONPATH": source, "JAX_PLATFORMS": "cpu", **environment}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_native_is_in_use_where_it_is_required():
    status = _native.native_status()
    if os.environ.get("VERAX_REQUIRE_NATIVE") == "1":
        assert status == "ok"
    else:
        assert status == "ok" or status.startswith(("not built", "off"))
    assert _native.native_available() == (status == "ok")


def test_import_loads_nothing():
    code = "import sys, verax.matching, verax._native as n; print(n._status_once.cache_info().currsize)"
    assert run_python(code) == "0"


def test_first_use_may_be_inside_a_trace(library):
    code = (
        "import jax, numpy as np, verax.matching as m, verax._native as n\n"
        "f = jax.jit(jax.vmap(jax.grad(lambda w: m.solve_assignment(w).value)))\n"
        "print(f(np.eye(3, dtype=np.float32)[None]).sum(), n.native_status())"
    )
    assert run_python(code, VERAX_NATIVE="auto") == "3.0 ok"


def test_switched_off_the_pure_implementation_serves():
    code = (
        "import numpy as np, verax.matching as m, verax._native as n\n"
        "print(int(m.solve_assignment(np.eye(3, dtype=np.float32)).value), n.native_status())"
    )
    assert run_python(code, VERAX_NATIVE="0") == "3 off: VERAX_NATIVE=0"


def test_runtime_version_is_read_from_the_header():
    major, minor = _native.runtime_api_version()
    assert (major, minor) >= (0, 3)


def test_library_built_for_a_newer_runtime_is_not_registered(library, monkeypatch):
    major, minor = _native.runtime_api_version()
    monkeypatch.setattr(_native, "runtime_api_version", lambda: (major, minor - 10))

    def register(*args, **kwargs):
        raise AssertionError("registered")

    monkeypatch.setattr(jax.ffi, "register_ffi_target", register)
    assert "reinstall verax" in _native._load(library)


@pytest.mark.skipif(shutil.which("cc") is None, reason="compiles a fake library; no C compiler")
def test_fake_newer_library(tmp_path, monkeypatch):
    source = tmp_path / "fake.c"
    source.write_text("int verax_ffi_api_version(void) { return 999; }\nvoid verax_assignment(void) {}\n")
    fake = tmp_path / "libverax_cpu.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(fake), str(source)], check=True)
    monkeypatch.setattr(_native, "find_library", lambda: fake)
    monkeypatch.setenv("VERAX_NATIVE", "auto")
    with pytest.warns(UserWarning, match=r"built for FFI 0\.999"):
        assert "reinstall verax" in fresh_status()
    assert float(jnp.ones(3).sum()) == 3  # the process still works
    monkeypatch.setenv("VERAX_NATIVE", "1")
    with pytest.raises(RuntimeError, match="VERAX_NATIVE=1"):
        fresh_status()


def test_file_that_is_no_library(tmp_path):
    broken = tmp_path / "libverax_cpu.so"
    broken.write_text("not a library")
    assert "cannot be loaded" in _native._load(broken)


def test_wrong_answer_fails_the_self_test(library, monkeypatch):
    assert _native.native_status() == "ok"  # registered, whichever test runs first
    right = jax.ffi.ffi_call

    def wrong(target, results, **options):
        call = right(target, results, **options)

        def swapped(*arrays, **attributes):
            col_of_row, *rest = call(*arrays, **attributes)
            return col_of_row[..., ::-1], *rest

        return swapped

    monkeypatch.setattr(jax.ffi, "ffi_call", wrong)
    monkeypatch.setattr(jax.ffi, "register_ffi_target", lambda *args, **kwargs: None)
    assert "self-test" in _native._load(library)


def test_error_of_the_runtime_becomes_a_reason(library, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("no handler registered")

    monkeypatch.setattr(jax.ffi, "register_ffi_target", refuse)
    assert "no handler registered" in _native._load(library)


def test_absent_library(monkeypatch):
    monkeypatch.setattr(_native, "find_library", lambda: None)
    monkeypatch.setenv("VERAX_NATIVE", "auto")
    assert fresh_status().startswith("not built")  # and no warning: those are errors here
    monkeypatch.setenv("VERAX_NATIVE", "1")
    with pytest.raises(RuntimeError, match="not built"):
        fresh_status()


def test_unknown_mode(monkeypatch):
    monkeypatch.setenv("VERAX_NATIVE", "yes")
    with pytest.raises(ValueError, match="VERAX_NATIVE: got 'yes'"):
        fresh_status()


def test_library_is_found_in_any_folder_of_the_package(tmp_path, monkeypatch):
    (tmp_path / "_ext").mkdir()
    name = {"darwin": "libverax_cpu.dylib", "win32": "verax_cpu.dll"}.get(sys.platform, "libverax_cpu.so")
    (tmp_path / "_ext" / name).touch()
    monkeypatch.setattr(sys.modules["verax"], "__path__", ["/nonexistent", str(tmp_path)])
    assert _native.find_library() == tmp_path / "_ext" / name


def test_doctor_reports_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "set.npz").write_bytes(b"12345")
    monkeypatch.setenv("VERAX_DATA", str(tmp_path))
    facts = doctor()
    assert facts["versions"]["jax"] == jax.__version__
    assert facts["versions"]["numpy"] == np.__version__
    assert len(facts["devices"]) == len(jax.devices())
    assert facts["native"]["status"] == _native.native_status()
    assert facts["data"]["files"] == {"set.npz": 5}
    text = report_text()
    assert jax.__version__ in text
    assert f"native        {_native.native_status()}" in text
    assert "set.npz" in text
    monkeypatch.setenv("VERAX_DATA", str(tmp_path / "absent"))
    assert "no such folder" in report_text()


def test_doctor_reports_native_code_that_is_demanded_and_absent(monkeypatch):
    def demand():
        raise RuntimeError("VERAX_NATIVE=1, but native code cannot be used: not built")

    monkeypatch.setattr("verax._doctor.native_status", demand)
    assert "not built" in doctor()["native"]["status"]
