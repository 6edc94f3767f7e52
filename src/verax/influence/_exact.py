r"""Effect of leaving out training examples of a ridge regression, without a refit.

With the smoother ``H`` (fitted values ``H y``), the weights ``W`` of the training targets in the test predictions
``W y``, and residuals ``r = y - H y``, leaving out the set S at the same penalty changes the test predictions by

.. math:: -W_S\,(I - H_{SS})^{-1}\,r_S.

For a kernel, ``I - H = n \lambda M`` with M the training block of the inverse of
``[[K + n \lambda I, 1], [1^T, 0]]``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from verax._arrays import to_host, to_labels
from verax._errors import check, fail
from verax.spectral import KernelRidge

from ._results import Influence, Status

# The training data must reproduce the fitted model to this relative difference of predictions; single precision fits.
_SAME_MODEL = 1e-3


def exact_influence(model: Any, test: Any, groups: Any = None, *, train: Any) -> Influence:
    r"""Exact effect of leaving out each training example, or each group, of a ridge regression.

    .. math:: \text{score}_{tS} = \lVert y_t - f_{-S}(x_t) \rVert^2 - \lVert y_t - f(x_t) \rVert^2

    where :math:`f_{-S}` is the model refitted without S at the same penalty ``n ridge``.

    Parameters
    ----------
    model : KernelRidge or RidgeProbe
        A fitted `verax.spectral.KernelRidge` or `verax.probe.RidgeProbe`.
    test : array, or tuple of two
        ``(inputs, targets)`` of m test points. Inputs: the kernel ``[m, n]`` with the training points, or features
        ``[m, p]`` for a probe. Targets as for the fit (labels for a classifier). Inputs alone stand for targets equal
        to the model's own predictions; the score is then the squared change of the prediction.
    groups : [n] or bool [G, n], optional
        Label of the group of each training example (any kind of label), or one row per set, which may overlap. None:
        each example by itself.
    train : tuple of two
        ``(inputs, targets)`` that the model was fitted to: the kernel ``[n, n]`` or the features ``[n, p]``.

    Returns
    -------
    Influence
        ``.scores [m, G]``, positive where the group helps; ``.prediction_change`` ``[m, G]`` or ``[m, G, C]``: the
        prediction without the group minus that with it. Columns by example, by sorted label, or by row of ``groups``.
        Double precision on the host.

    Raises
    ------
    ValueError
        For inputs and targets that are not those of the fit, a group without examples, or a group of all examples.

    Notes
    -----
    The penalty ``n ridge`` keeps its value when examples leave: equal to a refit with ``ridge * n / (n - |S|)``.
    One factorisation, ``n^3`` operations (``p^3`` for a probe with fewer features than examples), then
    ``|S|^3 + |S| m C`` per group. Effects of a group are not the sum of the effects of its examples.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.influence import exact_influence
    >>> from verax.spectral import kernel_ridge_fit
    >>> x = np.array([0.0, 1.0, 2.0, 3.0])
    >>> y = np.array([0.0, 1.0, 2.0, 9.0])  # the last one is wrong
    >>> kernel = np.outer(x, x)
    >>> model = kernel_ridge_fit(kernel, y, 0.01)
    >>> found = exact_influence(model, (np.outer([1.5], x), np.array([1.5])), train=(kernel, y))
    >>> print(found.scores.round(2))
    [[-1.96  0.7   3.29 -2.25]]

    References
    ----------
    Cook and Weisberg, "Residuals and Influence in Regression", 1982, section 3.2 (cases in groups).
    """
    inputs, targets = _pair("train", train)
    system = _system(model, inputs, targets)
    test_inputs, test_targets = (
        _pair("test", test) if isinstance(test, tuple | list) and len(test) == 2 else (test, None)
    )
    predictions, weights = system.predict(_matrix("test", test_inputs))
    wanted = predictions if test_targets is None else system.encode("test", test_targets, len(predictions))
    sets, names = _sets(groups, len(system.residual))
    change = np.empty((len(predictions), len(sets), predictions.shape[1]))
    for column, members in enumerate(sets):
        change[:, column] = -weights[:, members] @ system.solve(members)
    before = np.sum((wanted - predictions) ** 2, axis=1)
    after = np.sum((wanted[:, None] - predictions[:, None] - change) ** 2, axis=2)
    scores = after - before[:, None]
    finite = bool(np.isfinite(scores).all())
    return Influence(
        scores,
        np.zeros(()),
        np.array(Status.OK if finite else Status.NON_FINITE),
        change[:, :, 0] if system.single else change,
        names,
        float(system.ridge),
    )


class _System(NamedTuple):
    residual: np.ndarray  # [n, C], or dual coefficients where `gram` is a block of the inverse
    gram: Callable[[np.ndarray], np.ndarray]  # block of I - H, or of the inverse
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # predictions and weights of the training targets
    encode: Callable[[str, Any, int], np.ndarray]
    single: bool
    ridge: float

    def solve(self, members: np.ndarray) -> np.ndarray:
        """``(I - H_SS)^-1 r_S``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if len(members) == 1:
                return self.residual[members] / self.gram(members)
            return np.linalg.solve(self.gram(members), self.residual[members])


def _system(model: Any, inputs: Any, targets: Any) -> _System:
    if isinstance(model, KernelRidge):
        return _kernel_system(model, _matrix("train", inputs), targets)
    fitted = all(hasattr(model, name) for name in ("coef_", "intercept_", "ridge_", "task"))
    check(fitted, "model", type(model).__name__, "a fitted KernelRidge or RidgeProbe")
    return _probe_system(model, _matrix("train", inputs), targets)


def _kernel_system(model: KernelRidge, kernel: np.ndarray, targets: Any) -> _System:
    n = model.kernel_mean.shape[0]
    check(kernel.shape == (n, n), "train", f"a kernel of shape {kernel.shape}", f"the kernel [{n}, {n}] of the fit")
    dual = np.asarray(model.dual_coefficients, np.float64)
    single = dual.ndim == 1
    ridge = float(model.ridge)

    def encode(name: str, values: Any, num: int) -> np.ndarray:
        return _numbers(name, values, num, 1 if single else dual.shape[1])

    y = encode("train", targets, n)
    # A fit with an intercept subtracts the means; both are exactly zero without one.
    intercept = bool(np.any(model.kernel_mean != 0) or np.any(model.target_mean != 0) or not np.any(kernel.mean(0)))
    bordered = np.zeros((n + 1, n + 1)) if intercept else np.zeros((n, n))
    bordered[:n, :n] = (kernel + kernel.T) / 2 + n * ridge * np.eye(n)
    if intercept:
        bordered[:n, n] = bordered[n, :n] = 1
    inverse = np.linalg.inv(bordered)
    solution = inverse[:, :n] @ y
    _check_same(kernel @ dual.reshape(n, -1), kernel @ solution[:n], "train")

    def predict(cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check(cross.shape[1] == n, "test", f"a kernel of shape {cross.shape}", f"[m, {n}]")
        row = np.concatenate([cross, np.ones((len(cross), 1))], axis=1) if intercept else cross
        return row @ solution, row @ inverse[:, :n]

    return _System(solution[:n], lambda s: inverse[np.ix_(s, s)], predict, encode, single, ridge)


def _probe_system(model: Any, x: np.ndarray, targets: Any) -> _System:
    n, p = x.shape
    coefficients = np.asarray(model.coef_, np.float64).reshape(-1, p)
    classes = model.classes_ if model.task == "classification" else None

    def encode(name: str, values: Any, num: int) -> np.ndarray:
        if classes is None:
            return _numbers(name, values, num, len(coefficients))
        codes, found = to_labels(name, values, num=num)
        check(bool((codes >= 0).all()), name, "missing labels", "a label for every example")
        unknown = np.setdiff1d(found, classes)
        check(len(unknown) == 0, name, f"unknown labels {unknown[:5].tolist()}", "labels that the fit has seen")
        return np.eye(len(classes))[np.searchsorted(classes, found)[codes]]

    y = encode("train", targets, n)
    mean, target_mean = x.mean(0), y.mean(0)
    centred = x - mean
    penalty = n * float(model.ridge_)
    if p < n:
        factor = scipy.linalg.cho_factor(centred.T @ centred + penalty * np.eye(p))
        solved = scipy.linalg.cho_solve(factor, centred.T)  # [p, n]
    else:
        factor = scipy.linalg.cho_factor(centred @ centred.T + penalty * np.eye(n))
        solved = scipy.linalg.cho_solve(factor, centred).T
    fitted = solved @ (y - target_mean)
    _check_same(coefficients.T, fitted, "train")
    residual = y - target_mean - centred @ fitted

    def gram(members: np.ndarray) -> np.ndarray:
        return np.eye(len(members)) - centred[members] @ solved[:, members] - 1 / n

    def predict(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check(points.shape[1] == p, "test", f"features of shape {points.shape}", f"[m, {p}]")
        moved = points - mean
        return moved @ fitted + target_mean, moved @ solved + 1 / n

    single = classes is None and np.ndim(targets) == 1
    return _System(residual, gram, predict, encode, single, float(model.ridge_))


def _check_same(given: np.ndarray, found: np.ndarray, argument: str) -> None:
    gap, scale = float(np.abs(given - found).max()), float(np.abs(found).max())
    if not gap <= _SAME_MODEL * scale + 1e-12:
        fail(
            argument,
            f"data whose fit differs from the model by {gap:.2g} of {scale:.2g}",
            "the inputs and targets that the model was fitted to, in the same order",
        )


def _sets(groups: Any, n: int) -> tuple[Sequence[np.ndarray], np.ndarray | None]:
    """Members of each set, and the names of the sets."""
    if groups is None:
        check(n > 1, "train", "one example", "at least two, so that one can be left out")
        return [np.array([i]) for i in range(n)], None
    if np.ndim(groups) == 2:
        inside = to_host("groups", groups, shape=("G", n), dtype="bool")
        sets, names = [np.flatnonzero(row) for row in inside], np.arange(len(inside))
    else:
        codes, names = to_labels("groups", groups, num=n)
        check(bool((codes >= 0).all()), "groups", "missing labels", "a group for every example")
        sets = [np.flatnonzero(codes == code) for code in range(len(names))]
    for name, members in zip(names, sets, strict=True):
        check(0 < len(members) < n, "groups", f"group {name!s} of {len(members)} examples", f"1 to {n - 1} of {n}")
    return sets, names


def _pair(argument: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        fail(argument, type(value).__name__, "a tuple (inputs, targets)")
    return value[0], value[1]


def _matrix(argument: str, value: Any) -> np.ndarray:
    return to_host(argument, value, shape=("m", "n"))


def _numbers(argument: str, value: Any, num: int, columns: int) -> np.ndarray:
    shapes: list[tuple[int | str, ...]] = [(num,), (num, 1)] if columns == 1 else [(num, columns)]
    return to_host(argument, value, shape=shapes).reshape(num, columns)
