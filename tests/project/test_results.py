"""Results as people see them, and as exceptions."""

import dataclasses
import enum
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import verax
from support.public import public_modules
from verax._results import raise_if_failed, result


class Status(enum.IntEnum):
    OK = 0
    LATE = 1
    LOST = 2


SENTENCES = {Status.LATE: "it came late: wait longer", Status.LOST: "it never came: send it again"}


@result(SENTENCES)
class Parcel(NamedTuple):
    """A result."""

    weight: Any
    status: Any
    note: Any = None
    raise_if_failed = raise_if_failed


@result()
@dataclasses.dataclass(frozen=True)
class Van:
    """A result that holds results."""

    parcels: Any
    speed: float


def test_a_good_result_passes_through():
    parcel = Parcel(1.0, np.zeros(3, int))
    assert parcel.raise_if_failed() is parcel
    assert Parcel(1.0, Status.OK).raise_if_failed().weight == 1.0


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (Status.LATE, r"^Parcel\.status: got LATE \(it came late: wait longer\); need OK$"),
        (jnp.array(2), r"got LOST \(it never came"),
        (np.array([[0, 2], [1, 0]]), r"got LOST for 2 of 4, the first at \[0, 1\] \(it never came"),
        (np.array(7), r"got 7 \(a failure\)"),
    ],
)
def test_a_failed_one_says_what_failed_and_what_to_do(status, message):
    with pytest.raises(ValueError, match=message):
        Parcel(1.0, status).raise_if_failed()


def test_under_jit_it_says_where_to_call_it():
    with pytest.raises(ValueError, match=r"^Parcel\.status: got a traced value; need .* outside jit"):
        jax.eval_shape(lambda s: Parcel(1.0, s).raise_if_failed(), jax.ShapeDtypeStruct((), jnp.int32))


def test_the_text_is_short_and_has_the_key_figures():
    assert repr(Parcel(1 / 3, Status.OK)) == "Parcel(status=OK, weight=0.333333)"
    assert repr(Parcel(jnp.arange(3.0), np.array([0, 0, 2]))) == "Parcel(status=OK 2, LOST 1, weight=[0, 1, 2])"
    large = Parcel(np.r_[np.nan, np.arange(9.0)].astype(np.float32), np.int32(0), note="a" * 80)
    assert repr(large).splitlines()[1:3] == ["    status=OK,", "    weight=float32[10] in [0, 8], 1 NaN,"]
    assert len(repr(Parcel(np.zeros((1000, 1000)), np.zeros(1000, int)))) < 100
    nested = repr(Van([large, large], 30.0))
    assert nested.startswith("Van(\n    parcels=[Parcel(\n")
    assert repr(Van(tuple(range(100)), 2.0)) == "Van(parcels=tuple of 100, speed=2)"
    seen = []
    jax.eval_shape(lambda x: seen.append(repr(Parcel(x, x))), jax.ShapeDtypeStruct((2,), jnp.int32))
    assert seen == ["Parcel(status=int32[2] traced, weight=int32[2] traced)"]


def test_notebooks_show_a_table_without_markup_from_the_data():
    table = Parcel(np.ones(2), np.array([1]), note="<b>bold</b>")._repr_html_()
    assert table.count("<tr>") == 3
    assert "<b>" not in table
    assert "LATE 1" in table


def test_a_class_with_statuses_has_the_method():
    with pytest.raises(TypeError, match="raise_if_failed = raise_if_failed"):

        @result(SENTENCES)
        class Forgotten(NamedTuple):
            status: Any


def test_it_stays_a_pytree():
    parcel = jax.jit(lambda p: jax.tree.map(lambda leaf: leaf + 1, p))(Parcel(1.0, jnp.array(0)))
    assert isinstance(parcel, Parcel)
    assert float(parcel.weight) == 2.0


# Options and descriptions: their fields are words and numbers, so the text that Python makes is exact and short.
SETTINGS = {
    "Aggregation",
    "AttackFamily",
    "Component",
    "Coordinates",
    "DecoderConfig",
    "Fact",
    "Kronecker",
    "LocalOptions",
    "Probes",
    "Rademacher",
    "Transform",
    "Vocabulary",
}


def public_classes():
    """Named tuples and dataclasses that the packages and their public modules export."""
    for package in sorted(set(verax._SUBMODULES) - {"cli", "kernels", "papers"}):
        for place in public_modules(package):
            for name, value in vars(place).items():
                fields = hasattr(value, "_fields") or dataclasses.is_dataclass(value)
                if inspect.isclass(value) and fields and not name.startswith("_"):
                    yield f"{place.__name__}.{name}", value


CLASSES = dict(public_classes())


def test_every_public_result_has_a_readable_text():
    bare = {
        name
        for name, cls in CLASSES.items()
        if not hasattr(cls, "_repr_html_") and "def __repr__" not in inspect.getsource(cls)
    }
    assert {name.rsplit(".", 1)[1] for name in bare} == SETTINGS


def test_every_public_result_with_a_status_can_raise():
    fields = {name: getattr(cls, "_fields", None) or cls.__dataclass_fields__ for name, cls in CLASSES.items()}
    silent = [name for name, cls in CLASSES.items() if "status" in fields[name] and not hasattr(cls, "raise_if_failed")]
    assert silent == []
    unspoken = {
        name: sorted(member.name for member in set(type(next(iter(cls._sentences)))) - set(cls._sentences) if member)
        for name, cls in CLASSES.items()
        if getattr(cls, "_sentences", None) and isinstance(next(iter(cls._sentences)), enum.Enum)
    }
    assert {name: members for name, members in unspoken.items() if members} == {}
