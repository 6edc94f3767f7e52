"""Tests of compiled operations."""

import os

import pytest

from verax import _native


def needs_native():
    """Skip where native code is not in use, and fail where it is required."""
    if _native.native_available():
        return
    message = f"native code is not in use: {_native.native_status()}"
    if os.environ.get("VERAX_REQUIRE_NATIVE") == "1":
        pytest.fail(message)
    pytest.skip(message)
