"""Problems of different sizes in one batch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ._read import read_mask


class Masks(NamedTuple):
    """Agents that are present; None for all."""

    row: jax.Array | None  # [*b, n]
    column: jax.Array | None  # [*b, m]


def read_masks(weights: Any, row_mask: Any, column_mask: Any) -> Masks:
    """Check masks against weights ``[*b, n, m]``."""
    *batch, n, m = weights.shape
    return Masks(
        read_mask("row_mask", row_mask, (*batch, n)),
        read_mask("column_mask", column_mask, (*batch, m)),
    )


def present(masks: Masks, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both masks as arrays."""
    *batch, n, m = weights.shape
    row = jnp.ones((*batch, n), bool) if masks.row is None else masks.row
    column = jnp.ones((*batch, m), bool) if masks.column is None else masks.column
    return row, column


def forbid(weights: jax.Array, masks: Masks, *, maximize: bool) -> jax.Array:
    """Weights in which pairs with an absent agent are forbidden."""
    worst = -jnp.inf if maximize else jnp.inf
    if masks.row is not None:
        weights = jnp.where(masks.row[..., :, None], weights, worst)
    if masks.column is not None:
        weights = jnp.where(masks.column[..., None, :], weights, worst)
    return weights


class Extract:
    """The way from the square problem of :func:`embed` back to the one that it stands for."""

    def __init__(self, row: jax.Array, column: jax.Array):
        self.row, self.column = row, column  # agents that must be matched
        self.size = max(row.shape[-1], column.shape[-1])

    def pad(self, start: Any) -> Any:
        """A start for the square problem: added agents are free, at price 0."""
        fill = (-1, -1, 0, 0)
        padded = [self.widen(x, value) for x, value in zip(start, fill, strict=True)]
        # One amount may be moved between the two sides of a square problem; starts have non-negative column prices.
        least = jnp.minimum(padded[3].min(-1, keepdims=True), 0)
        return type(start)(padded[0], padded[1], padded[2] + least, padded[3] - least)

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
        """Leave out what was added; agents that may stay unmatched have prices of at least 0, 0 where they do."""
        n, m = self.row.shape[-1], self.column.shape[-1]
        row, column = self.widen(self.row, False), self.widen(self.column, False)
        # Free agents of the two sides may be matched to one another at weight 0, so that one shift serves both.
        least_row = jnp.where(row, jnp.inf, row_price).min(-1, keepdims=True)
        least_col = jnp.where(column, jnp.inf, col_price).min(-1, keepdims=True)
        shift = jnp.where(least_col < jnp.inf, least_col, jnp.where(least_row < jnp.inf, -least_row, 0))
        row_price, col_price = row_price + shift, col_price - shift
        # A pair counts if exactly one of the two agents must be matched.
        col_of_row = _partner(col_of_row, row, column)[..., :n]
        row_of_col = _partner(row_of_col, column, row)[..., :m]
        failed = (status != 0)[..., None]
        row_price = jnp.where(self.row | (col_of_row >= 0) | failed, row_price[..., :n], 0)
        col_price = jnp.where(self.column | (row_of_col >= 0) | failed, col_price[..., :m], 0)
        return col_of_row, row_of_col, row_price, col_price


def _partner(other: jax.Array, here: jax.Array, there: jax.Array) -> jax.Array:
    required = jnp.take_along_axis(there, jnp.maximum(other, 0), axis=-1)
    return jnp.where((here != required) & (other >= 0), other, -1)


def embed(weights: jax.Array, row: jax.Array, column: jax.Array) -> tuple[jax.Array, Extract]:
    """Square problem in which all are matched, and the marked rows ``[*b, n]`` and columns ``[*b, m]`` to partners.

    Of the given pairs those of one marked and one unmarked agent remain. Unmarked agents, and those added to make the
    problem square, may be matched to one another at weight 0, which stands for staying unmatched.
    """
    extract = Extract(row, column)
    *batch, n, m = weights.shape
    widths = [(0, 0)] * len(batch) + [(0, extract.size - n), (0, extract.size - m)]
    square = jnp.pad(weights, widths, constant_values=-jnp.inf)
    row, column = extract.widen(row, False)[..., :, None], extract.widen(column, False)[..., None, :]
    return jnp.where(row != column, square, jnp.where(row & column, -jnp.inf, 0)), extract
