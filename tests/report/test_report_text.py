import math

import jax.numpy as jnp
import numpy as np
import pytest

from verax.report._text import duration, measurement, number, to_plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (True, "yes"),
        (12345, "12,345"),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (0.001, "0.001"),
        (1e-6, "1e-6"),
        (-2.5e-7, "-2.5e-7"),
        (1234567.0, "1.235e6"),
        (math.nan, "nan"),
        ("words", "words"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.97312, 0.00421, "0.9731 ± 0.0042"),
        (123.4, 12.3, "123 ± 12"),
        (5.0, None, "5"),
        (5.0, 0.0, "5 ± 0"),
        (1.0, 1e-9, "1 ± 1.0e-09"),
        (math.nan, 0.1, "nan"),
        (None, None, "\N{EN DASH}"),
    ],
)
def test_measurement(value, error, text):
    assert measurement(value, error) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (45.0, "45.0 s"), (59.97, "1 min 0 s"), (80, "1 min 20 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_to_plain():
    values = {"a": np.float32(0.5), "b": (np.arange(2), jnp.ones(1)), 3: {4}, "f": math.sqrt, "t": np.float64}
    assert to_plain(values) == {"a": 0.5, "b": [[0, 1], [1.0]], "3": [4], "f": "sqrt", "t": "float64"}
