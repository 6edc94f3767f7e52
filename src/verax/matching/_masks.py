"""Problems of different sizes in one batch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from verax._errors import check


class Masks(NamedTuple):
    """Who is there; None for everybody."""

    row: jax.Array | None  # [*b, n]
    column: jax.Array | None  # [*b, m]


def read_masks(weights: jax.Array, row_mask: Any, column_mask: Any) -> Masks:
    """Check masks against weights ``[*b, n, m]``."""
    *batch, n, m = weights.shape
    read = []
    for name, mask, size in (("row_mask", row_mask, n), ("column_mask", column_mask, m)):
        if mask is not None:
            mask = jnp.asarray(mask)
            check(mask.dtype == jnp.bool_, name, f"dtype {mask.dtype}", "bool")
            check(mask.shape == (*batch, size), name, f"shape {mask.shape}", f"shape {(*batch, size)}")
        read.append(mask)
    return Masks(*read)


def present(masks: Masks, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both masks as arrays."""
    *batch, n, m = weights.shape
    row = jnp.ones((*batch, n), bool) if masks.row is None else masks.row
    column = jnp.ones((*batch, m), bool) if masks.column is None else masks.column
    return row, column


def forbid(weights: jax.Array, masks: Masks, *, maximize: bool) -> jax.Array:
    """Weights in which nobody can be matched to those who are not there."""
    worst = -jnp.inf if maximize else jnp.inf
    if masks.row is not None:
        weights = jnp.where(masks.row[..., :, None], weights, worst)
    if masks.column is not None:
        weights = jnp.where(masks.column[..., None, :], weights, worst)
    return weights


class Extract:
    """The way from the square problem of :func:`embed` back to the one that it stands for."""

    def __init__(self, row: jax.Array, column: jax.Array):
        self.row, self.column = row, column
        self.size = max(row.shape[-1], column.shape[-1])

    def pad(self, start: Any) -> Any:
        """A start for the square problem: those who were added are free, at price 0."""
        fill = (-1, -1, 0, 0)
        return type(start)(*(self.widen(x, value) for x, value in zip(start, fill, strict=True)))

    def widen(self, x: jax.Array, fill: Any) -> jax.Array:
        """Pad the last axis to the size of the square."""
        widths = [(0, 0)] * (x.ndim - 1) + [(0, self.size - x.shape[-1])]
        return jnp.pad(x, widths, constant_values=fill)

    def __call__(
        self,
        col_of_row: jax.Array,
        row_of_col: jax.Array,
        row_price: jax.Array,
        col_price: jax.Array,
        status: jax.Array,
    ) -> tuple[jax.Array, ...]:
        """Leave out what was added; those on the larger side who stay unmatched, and all added ones, have price 0."""
        n, m = self.row.shape[-1], self.column.shape[-1]
        least = jnp.where(more_rows(self.row, self.column), -row_price.min(-1), col_price.min(-1))[..., None]
        row_price, col_price = row_price + least, col_price - least
        row, column = self.widen(self.row, False), self.widen(self.column, False)
        col_of_row = _partner(col_of_row, row, column)[..., :n]
        row_of_col = _partner(row_of_col, column, row)[..., :m]
        failed = (status != 0)[..., None]
        row_price = jnp.where(self.row | failed, row_price[..., :n], 0)
        col_price = jnp.where(self.column | failed, col_price[..., :m], 0)
        return col_of_row, row_of_col, row_price, col_price


def _partner(other: jax.Array, here: jax.Array, there: jax.Array) -> jax.Array:
    real = jnp.take_along_axis(there, jnp.maximum(other, 0), axis=-1)
    return jnp.where(here & real & (other >= 0), other, -1)


def more_rows(row: jax.Array, column: jax.Array) -> jax.Array:
    """Whether more rows than columns are there."""
    return row.sum(-1) > column.sum(-1)


def embed(weights: jax.Array, masks: Masks) -> tuple[jax.Array, Extract]:
    """Square problem in which everybody is matched, and all of the side that has fewer to somebody who is there.

    Those who are not there, or were added to make it square, are matched to one another, or to those of the side that
    has more, at weight 0.
    """
    row, column = present(masks, weights)
    extract = Extract(row, column)
    *batch, n, m = weights.shape
    widths = [(0, 0)] * len(batch) + [(0, extract.size - n), (0, extract.size - m)]
    square = jnp.pad(weights, widths)
    row, column = extract.widen(row, False)[..., :, None], extract.widen(column, False)[..., None, :]
    more = more_rows(extract.row, extract.column)[..., None, None]
    allowed = jnp.where(row, more, jnp.where(column, ~more, True))  # of the pairs that are not both there
    return jnp.where(row & column, square, jnp.where(allowed, 0, -jnp.inf)), extract
