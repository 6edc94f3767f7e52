"""The gate for arguments: what goes in, what comes out, and what is refused by name."""

import enum
import math

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from scipy import sparse

from verax._arrays import (
    effective_eps,
    same_dtype,
    to_array,
    to_examples,
    to_host,
    to_integer,
    to_key,
    to_labels,
    to_number,
    to_tree,
)

EXACT = np.array([[1.0, 2.5], [-3.0, 0.25]])


class Tensor:
    """The part of a PyTorch tensor that is looked at; NumPy would refuse it while it requires a gradient."""

    is_sparse = False

    def __init__(self, values):
        self.values, self.attached = values, True
        self.dtype = f"torch.{values.dtype}"

    def detach(self):
        tensor = Tensor(self.values)
        tensor.attached = False
        return tensor

    def cpu(self):
        return self

    resolve_conj = resolve_neg = cpu

    def float(self):
        tensor = Tensor(self.values.astype(np.float32))
        tensor.attached = self.attached
        return tensor

    def numpy(self):
        if self.attached or self.values.dtype == ml_dtypes.bfloat16:
            raise TypeError("cannot convert")
        return self.values


class Boxed:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


class Lent:
    """An array that only lends its memory."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


ALIKE = {
    "list": EXACT.tolist(),
    "list of arrays": [EXACT[0], jnp.asarray(EXACT[1], jnp.float32)],
    "list of NumPy scalars": [[np.float32(x) for x in row] for row in EXACT],
    "tuple": tuple(map(tuple, EXACT.tolist())),
    "float64": EXACT,
    "float32": EXACT.astype(np.float32),
    "float16": EXACT.astype(np.float16),
    "bfloat16": EXACT.astype(ml_dtypes.bfloat16),
    "float8": EXACT.astype(ml_dtypes.float8_e4m3fn),
    "long double": EXACT.astype(np.longdouble),
    "big-endian": EXACT.astype(">f8"),
    "JAX": jnp.asarray(EXACT, jnp.float32),
    "JAX bfloat16": jnp.asarray(EXACT, jnp.bfloat16),
    "Fortran order": np.asfortranarray(EXACT),
    "every second": np.repeat(EXACT, 2, axis=0)[::2],
    "objects": EXACT.astype(object),
    "no masked entry": np.ma.array(EXACT),
    "tensor": Tensor(EXACT),
    "bfloat16 tensor": Tensor(EXACT.astype(ml_dtypes.bfloat16)),
    "__array__": Boxed(EXACT),
    "DLPack": Lent(EXACT.astype(np.float32)),
}


@pytest.mark.double
@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("gate", [to_array, to_host])
def test_one_value_in_every_form(gate, name):
    array = gate("x", ALIKE[name], shape=("n", "p"))
    np.testing.assert_array_equal(np.asarray(array), EXACT)
    assert array.dtype == np.float64 if gate is to_host else array.dtype in (np.float32, jnp.result_type(float))


def test_frames_keep_their_numbers_and_what_is_missing():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})
    np.testing.assert_array_equal(to_host("x", frame), [[1, 0.5, 1], [2, 1.5, 0]])
    nullable = pandas.Series([1, None, 3], dtype="Int64")
    np.testing.assert_array_equal(to_host("x", nullable, finite=False), [1, np.nan, 3])
    with pytest.raises(ValueError, match=r"^x: got 1 non-finite entries of 3 \(the first at \[1\]\)"):
        to_host("x", nullable)
    with pytest.raises(ValueError, match=r"^x: got str entries"):
        to_host("x", pandas.DataFrame({"a": ["red", "green"]}))
    codes, classes = to_labels("y", pandas.Series(["v", None, "u"], dtype="category"))
    assert codes.tolist() == [1, -1, 0]
    assert classes.tolist() == ["u", "v"]


REFUSED = {
    "None": (None, "got None"),
    "text": ("abc", "got text"),
    "list of text": (["1.0"], "got text"),
    "mixed list": ([1, "a"], "got str entries"),
    "function": (lambda x: x, "got a function"),
    "class": (np.ndarray, "got a class"),
    "dictionary": ({"a": 1}, "got dict"),
    "result": (enum.Enum("Kind", "a").a, "got Kind"),
    "ragged": ([[1, 2], [3]], "rows of shapes"),
    "complex": (1j, "complex"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), "dates"),
    "sparse": (sparse.eye(3), r"need a dense array: \.toarray\(\)"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), "1 masked entries"),
    "NaN": ([1.0, math.nan], r"1 non-finite entries of 2 \(the first at \[1\]\)"),
    "infinity": (np.float32(np.inf), "1 non-finite"),
    "empty": (np.zeros((0, 3)), "empty"),
    "beyond 64 bits": (2**70, "64 bits"),
    "not a double": (np.array([2**60 + 1]), r"2\*\*53"),
    "keys": (jax.random.key(0), "random keys"),
}


@pytest.mark.double
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("gate", [to_array, to_host])
def test_refused_by_name(gate, name):
    value, message = REFUSED[name]
    with pytest.raises(ValueError, match=r"^features.*: got .*; need ") as caught:
        gate("features", value)
    assert caught.match(message)


@pytest.mark.double
def test_double_precision_is_rounded_only_where_the_data_survive(x64):
    ordinary = np.random.default_rng(0).normal(size=(50, 3))
    harmless = np.array([1.0, 1e-40, 0.1])
    constant = np.full((5, 2), 1 / 3) + np.array([0, 1, 0, 2, 0])[:, None] * 1e-16
    for kept in (ordinary, harmless, constant, np.array([2.0**40])):
        np.testing.assert_allclose(to_array("x", kept), kept, rtol=1e-6, atol=1e-38)
    seconds = np.column_stack([np.ones(5), 1.7e9 + np.arange(5) / 10])
    lost = {"1e+300": [1e300, 1.0], "1e-40": [1e-40, 0.0], "column 1": seconds, "16777217": [16777217, 1]}
    for message, values in lost.items():
        if x64:
            np.testing.assert_array_equal(to_array("x", values), values)
        else:
            with pytest.raises(ValueError, match=r"^x: got .*jax_enable_x64") as caught:
                to_array("x", values)
            assert message.replace("+", "\\+") in caught.value.args[0].replace("+", "\\+")
        np.testing.assert_array_equal(to_host("x", values), values)


@pytest.mark.double
def test_whole_numbers_never_wrap(x64):
    assert to_array("y", [1.0, 2.0], dtype="integer").tolist() == [1, 2]
    assert to_array("y", np.array([3], np.uint8), dtype="integer").dtype == jnp.result_type(int)
    assert to_host("y", np.array([2**40]), dtype="integer").tolist() == [2**40]
    with pytest.raises(ValueError, match=r"^y: got 1\.5 at \[1\]; need whole numbers"):
        to_array("y", [1.0, 1.5], dtype="integer")
    with pytest.raises(ValueError, match="64 bits"):
        to_array("y", np.array([2**63], np.uint64), dtype="integer")
    if not x64:
        with pytest.raises(ValueError, match="32 bits"):
            to_array("y", np.array([2**31]), dtype="integer")
        with pytest.raises(ValueError, match="32 bits"):
            to_array("y", jnp.array([2**31], jnp.uint32), dtype="integer")


def test_shapes_and_intervals_are_named():
    square = np.eye(3)
    assert to_array("k", square, shape=[("n",), ("n", "n")]).shape == (3, 3)
    assert to_array("k", np.ones((4, 5, 3, 2)), shape=("...", "n", 2)).ndim == 4
    for shape, message in ((("n",), r"\[n\]"), (("n", 2), r"\[n, 2\]"), (("...", "n", "n", 4), "n, 4")):
        with pytest.raises(ValueError, match=r"^k: got shape \(3, 3\); need shape .*" + message):
            to_array("k", square, shape=shape)
    with pytest.raises(ValueError, match="need shape"):
        to_array("k", np.ones((3, 2)), shape=("n", "n"))
    assert to_array("p", [0, 1], within="[0, 1]").tolist() == [0, 1]
    for bad in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"^p: got .* at \[1\]; need entries in \(0, 1\]"):
            to_array("p", [0.5, bad], within="(0, 1]", finite=False)


def test_traced_values_pass_or_are_told_what_to_do():
    def core(x):
        wide = to_array("x", x, shape=("n",), within="[0, 1]")
        whole = to_array("x", x, dtype="integer") if x.dtype == jnp.int32 else None
        nested = to_array("x", [x[0], 1.0])
        tree, num = to_examples("x", {"a": x})
        assert num == 3
        assert tree["a"] is x
        assert whole is None or whole.dtype == jnp.result_type(int)
        for gate in (to_host, to_labels, to_number, to_integer):
            with pytest.raises(ValueError, match=r"^x: got a traced .*; need "):
                gate("x", x)
        return wide, nested

    for dtype in (jnp.float32, jnp.bfloat16, jnp.int32):
        wide, nested = jax.eval_shape(core, jax.ShapeDtypeStruct((3,), dtype))
        assert wide.dtype in (jnp.float32, jnp.result_type(float))
        assert nested.shape == (2,)
    with pytest.raises(ValueError, match="need whole numbers"):
        jax.eval_shape(lambda x: to_array("x", x, dtype="integer"), jax.ShapeDtypeStruct((3,), jnp.float32))


def test_labels_come_back_as_they_went_in():
    for labels, codes, classes in (
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        ([10, 7, 10], [1, 0, 1], [7, 10]),
        ([True, False], [1, 0], [False, True]),
        ([2.0, None, 1.0], [1, -1, 0], [1.0, 2.0]),
        (np.array([3.0, np.nan]), [0, -1], [3.0]),
        (["a", None], [0, -1], ["a"]),
        (jnp.array([2, 1], jnp.bfloat16), [1, 0], [1.0, 2.0]),
        (Tensor(np.array([5, 3])), [1, 0], [3, 5]),
    ):
        got = to_labels("y", labels)
        assert got[0].tolist() == codes
        assert got[1].tolist() == classes
        assert type(got[1].tolist()[0]) is type(classes[0])
    assert to_labels("y", [0, -1, 4], missing=(-1,))[0].tolist() == [0, -1, 1]
    for bad, message in ((["a", 1], "text beside"), ([[1], [2]], "one label per example"), ([1j], "text, booleans")):
        with pytest.raises(ValueError, match=rf"^y: got .*{message}"):
            to_labels("y", bad)
    with pytest.raises(ValueError, match="got 2 labels; need 3"):
        to_labels("y", [1, 2], num=3)


def test_trees_of_examples():
    keys = jax.random.split(jax.random.key(0), 2)
    tree, num = to_examples("x", {"rows": [[1, 2], [3, 4]], "keys": keys, "image": np.zeros((2, 3), np.uint8)})
    assert num == 2
    assert tree["rows"].shape == (2, 2)
    assert tree["keys"] is keys
    assert tree["image"].dtype == np.uint8
    assert to_tree("params", [1.0, (2.0, 3.0)])[1][0] == 2.0
    for bad, name in (({"a": "text"}, r"x\['a'\]"), ({"a": [1], "b": [1, 2]}, "x"), (None, "x"), ([], "x")):
        with pytest.raises(ValueError, match=rf"^{name}: got "):
            to_examples("x", bad)


def test_scalars():
    for ten in (10, 10.0, np.float64(10), np.int8(10), np.array(10), jnp.int32(10), jnp.bfloat16(10), Boxed(10)):
        assert to_integer("k", ten, minimum=1) == 10
        assert to_number("k", ten, "(0, 10]") == 10.0
    for bad in (10.5, True, "10", None, math.nan, math.inf, [10], 0):
        with pytest.raises(ValueError, match=r"^k: got .*; need an integer >= 1"):
            to_integer("k", bad, minimum=1)
    for bad in (True, "1", None, math.nan, math.inf, [1], 10**400, 0):
        with pytest.raises(ValueError, match=r"^k: got .*; need one number in \(0, 10\]"):
            to_number("k", bad, "(0, 10]")
    assert to_number("k", math.inf, "(0, inf]") == math.inf


def test_keys_of_both_kinds():
    key = jax.random.key(3)
    assert to_key("key", key) is key
    assert jax.random.key_data(to_key("key", jax.random.PRNGKey(3))).tolist() == jax.random.key_data(key).tolist()
    for bad in (0, None, np.ones(2), np.zeros(3, np.uint32)):
        with pytest.raises(ValueError, match=r"^key: got .*jax\.random\.key"):
            to_key("key", bad)


def test_precision_remembers_its_origin():
    single, double = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)
    values = np.random.default_rng(0).normal(size=9)
    assert effective_eps(values) == double
    assert effective_eps(values.astype(np.float32).astype(np.float64)) == single
    assert effective_eps(np.arange(4.0)) == double
    assert effective_eps(values.astype(np.float32)) == single
    a, b = same_dtype(jnp.ones(2, jnp.float32), jnp.ones(2, jnp.bfloat16))
    assert a.dtype == b.dtype == jnp.float32
