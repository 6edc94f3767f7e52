"""Products as an accelerator computes them, on a CPU: a pytest plugin.

``pytest -p support.rounding`` with ``VERAX_ROUNDING=tf32`` (the default) or ``bf16``. A GPU keeps 10 mantissa bits
of both factors of a float32 product that does not name its precision, and a TPU keeps 7. Here the factors are rounded
likewise before a full-precision product; products of a named precision, and of other dtypes, stay as they are. Only the
program that XLA receives changes: what a function traces to is what a user's device would be given.

Tests that are marked ``accelerator`` hold under this rounding; ``make test-tf32`` runs them.
"""

import os

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax._src.interpreters import mlir  # a lowering rule can be replaced nowhere else
from jax.extend.core import primitives

KEPT_BITS = {"tf32": 10, "bf16": 7}[os.environ.get("VERAX_ROUNDING", "tf32")]


def _names_a_precision(precision) -> bool:
    if precision is None:
        return False
    parts = precision if isinstance(precision, tuple) else (precision,)
    return not all(part in (None, lax.Precision.DEFAULT) for part in parts)


def _round_factors(primitive) -> None:
    """Put a rule that rounds in front of the primitive's own rule for the CPU."""
    own = mlir._platform_specific_lowerings["cpu"].get(primitive) or mlir._lowerings[primitive]
    own = getattr(own, "rule", own)

    def rule(context, left, right, **params):
        single = all(operand.dtype == jnp.float32 for operand in context.avals_in)
        if not single or _names_a_precision(params["precision"]):
            return own(context, left, right, **params)

        def product(a, b):
            a, b = (lax.reduce_precision(factor, exponent_bits=8, mantissa_bits=KEPT_BITS) for factor in (a, b))
            return primitive.bind(a, b, **{**params, "precision": (lax.Precision.HIGHEST, lax.Precision.HIGHEST)})

        return mlir.lower_fun(product, multiple_results=False)(context, left, right)

    mlir.register_lowering(primitive, rule, platform="cpu")


def pytest_configure(config):
    """Install the rules once options are known, before any test compiles a program."""
    del config
    _round_factors(primitives.dot_general_p)
    _round_factors(primitives.conv_general_dilated_p)
    # Programs cached on disk by ordinary runs hold ordinary products.
    jax.config.update("jax_enable_compilation_cache", False)


def pytest_collection_finish(session):
    """Undo what tests/conftest.py asks for and a user does not; check that the rounding is in effect."""
    del session
    jax.config.update("jax_default_matmul_precision", None)
    fine = jnp.float32(1 + 2.0**-14)
    rounded = jax.jit(lambda a: a @ a)(jnp.full((2, 2), fine))
    exact = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))(jnp.full((2, 2), fine))
    if not (float(rounded[0, 0]) == 2.0 and float(exact[0, 0]) > 2.0):
        pytest.exit("support.rounding does not round the products of this JAX", returncode=3)
