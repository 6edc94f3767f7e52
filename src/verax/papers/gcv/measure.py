"""More Than a Toy: what is measured on one kernel: estimates, truth, baselines, learning curves, diagnostics."""

from typing import Any, NamedTuple

import numpy as np

import verax.spectral as vs
from verax._errors import check

from .local_law import law_sizes, local_law
from .threads import few_threads

_RESCALING = 0.75
"""Standard deviation of the logarithm of the factors that rescale samples, in the case made to fail."""


CASES = ("as they are", "every image twice", "features rescaled")
"""The samples on which the diagnostic is tried: untouched, and two that break the random-matrix law."""


class Plan(NamedTuple):
    """Measurements to make on a kernel whose samples are ordered: pool to fit on, held out, seen by the network."""

    sizes: tuple[int, ...]
    relative_ridges: tuple[float, ...]
    num_held_out: int
    num_seen: int
    max_repeats: int
    curve_sizes: tuple[int, ...]
    law_size: int


class Measurement(NamedTuple):
    """Measurements on one kernel: [sizes, ridges] and averaged over disjoint fits of a size, unless noted."""

    ridge: np.ndarray
    """[ridges], 1/n-normalised: relative ridge times the kernel's mean diagonal."""
    gcv: np.ndarray
    gcv_error: np.ndarray
    loo: np.ndarray
    held_out: np.ndarray
    """Mean squared error on held-out images, summed over classes."""
    held_out_error: np.ndarray
    misclassified: np.ndarray
    """Share of held-out images whose largest prediction is not their class."""
    norm_bound: np.ndarray
    spectrum_only: np.ndarray
    df1: np.ndarray
    dispersion: np.ndarray
    reliable: np.ndarray
    """Share of the fits that call the point reliable."""
    curves: np.ndarray
    """[curve sizes, sizes, ridges]: risk predicted from the first fit of each curve size."""
    extrapolated: np.ndarray
    power_law: np.ndarray
    """[curve sizes, 8]: alpha, delta, noise, exponent, their three standard errors, saturated; NaN where no fit."""
    range_sensitivity: np.ndarray
    """[curve sizes, 4, 4]: rows (lowest df1, highest df1, alpha, delta)."""
    eigenvalues: np.ndarray
    """[largest size], of K/n over their sum, padded with NaN beyond the rank."""
    energy: np.ndarray
    """[largest size], cumulative share of the targets' energy along the eigenvectors."""
    alignment: np.ndarray
    """[]: kernel-target alignment of the centred kernel at the largest size."""
    case_gcv: np.ndarray
    """[cases, ridges]."""
    case_loo: np.ndarray
    case_held_out: np.ndarray
    case_status: np.ndarray
    """[cases], a ``verax.spectral.Status``."""
    law_quantiles: np.ndarray
    """[law sizes, ridges, quantiles] of the ratio of the two sides of the local law at held-out samples."""
    law_share: np.ndarray
    """[law sizes, ridges], share of held-out samples at which they agree."""
    seen_gcv: np.ndarray
    """[ridges]: fitted on images that the network was trained on; NaN for networks that saw none."""
    seen_held_out: np.ndarray
    """[ridges]: the risk of those fits on images that it has not seen."""
    seen_status: np.ndarray


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Float64 targets [n, C]."""
    return np.eye(num_classes)[labels]


def measure_kernel(
    kernel: np.ndarray, labels: np.ndarray, num_classes: int, plan: Plan, seed: list[int]
) -> Measurement:
    """Measure everything on one kernel [N, N] whose samples are in the plan's order."""
    largest = max(plan.sizes)
    total = largest + plan.num_held_out + plan.num_seen
    check(kernel.shape == (total, total), "kernel", f"shape {kernel.shape}", f"({total}, {total}), as planned")
    with few_threads(largest):
        return _measure(kernel, labels, num_classes, plan, seed)


def _measure(kernel: np.ndarray, labels: np.ndarray, num_classes: int, plan: Plan, seed: list[int]) -> Measurement:
    largest = max(plan.sizes)
    targets = one_hot(labels, num_classes)
    held = np.arange(largest, largest + plan.num_held_out)
    ridges = np.array(plan.relative_ridges) * float(np.mean(np.diagonal(kernel)[:largest]))
    rows: list[dict[str, np.ndarray]] = []
    curves, extrapolated, power_laws, sensitivities = [], [], [], []
    spectrum = None
    for size in plan.sizes:
        fits = []
        for repeat in range(min(plan.max_repeats, largest // size)):
            chosen = np.arange(repeat * size, (repeat + 1) * size)
            spectrum, path, results = _fit(kernel, targets, chosen, held, ridges)
            fits.append(results)
            if size in plan.curve_sizes and repeat == 0:
                curve = vs.learning_curve(path, *np.meshgrid(np.array(plan.sizes, float), ridges, indexing="ij"))
                curves.append(curve.risk)
                extrapolated.append(curve.extrapolated)
                law, sensitivity = _power_law(path)
                power_laws.append(law)
                sensitivities.append(sensitivity)
        rows.append({name: np.mean([fit[name] for fit in fits], axis=0) for name in fits[0]})
    assert spectrum is not None  # the sizes are not empty
    seen = _seen(kernel, targets, held, ridges, plan)
    law_quantiles, law_share = local_law(kernel, law_sizes(plan.sizes), largest, held, ridges)
    return Measurement(
        ridge=ridges,
        **{name: np.stack([row[name] for row in rows]) for name in rows[0]},
        curves=np.stack(curves),
        extrapolated=np.stack(extrapolated),
        power_law=np.stack(power_laws),
        range_sensitivity=np.stack(sensitivities),
        **_representation(spectrum),
        **_cases(kernel, targets, held, ridges, plan, seed),
        law_quantiles=law_quantiles,
        law_share=law_share,
        **seen,
    )


def held_out_losses(
    spectrum: vs.Spectrum,
    kernel: np.ndarray,
    cross: np.ndarray,
    targets: np.ndarray,
    truth: np.ndarray,
    ridges: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors [ridges, m] on held-out samples, summed over targets, and whether the class is wrong [ridges, m].

    The same predictions as ``verax.spectral.kernel_ridge_fit``, for all ridges from one decomposition.
    """
    vectors, coefficients = spectrum.eigenvectors, spectrum.coefficients
    assert vectors is not None and coefficients is not None  # noqa: PT018 - eigenvectors were kept
    # The eigenvectors are orthogonal to the constant, so only the kernel's column means have to be taken off.
    projected = (cross - kernel.mean(0)) @ vectors
    losses, wrong = [], []
    for ridge in ridges:
        weights = coefficients / (spectrum.num_samples * (spectrum.eigenvalues + ridge))[:, None]
        prediction = projected @ weights + targets.mean(0)
        losses.append(np.sum((truth - prediction) ** 2, axis=1))
        wrong.append(prediction.argmax(1) != truth.argmax(1))
    return np.stack(losses), np.stack(wrong)


def _fit(
    kernel: np.ndarray, targets: np.ndarray, chosen: np.ndarray, held: np.ndarray, ridges: np.ndarray, scale: Any = None
) -> tuple[vs.Spectrum, vs.RiskPath, dict[str, np.ndarray]]:
    check(not np.isin(chosen, held).any(), "chosen", "samples that are also held out", "disjoint samples")
    square, cross = kernel[np.ix_(chosen, chosen)].astype(np.float64), kernel[np.ix_(held, chosen)].astype(np.float64)
    if scale is not None:
        square, cross = square * scale[chosen] * scale[chosen, None], cross * scale[chosen] * scale[held, None]
    spectrum = vs.kernel_spectrum(square.astype(kernel.dtype), targets[chosen])
    path = vs.risk_path(spectrum, ridges)
    assert path.loo is not None and path.leverage_dispersion is not None  # noqa: PT018 - eigenvectors were kept
    losses, wrong = held_out_losses(spectrum, square, cross, targets[chosen], targets[held], ridges)
    results = {
        "gcv": path.gcv,
        "gcv_error": path.standard_error,
        "loo": path.loo,
        "held_out": losses.mean(1),
        "held_out_error": losses.std(1, ddof=1) / np.sqrt(len(held)),
        "misclassified": wrong.mean(1),
        "norm_bound": vs.norm_bound(spectrum, ridges),
        "spectrum_only": vs.spectrum_only_risk(spectrum, ridges),
        "df1": path.df1,
        "dispersion": path.leverage_dispersion,
        "reliable": path.reliable.astype(float),
    }
    return spectrum, path, results


def _power_law(path: vs.RiskPath) -> tuple[np.ndarray, np.ndarray]:
    try:
        law = vs.fit_power_law(path)
    except ValueError:  # the spectrum does not reach the range; shown as missing
        return np.full(8, np.nan), np.full((4, 4), np.nan)
    numbers = [law.alpha, law.delta, law.noise_variance, law.exponent, *law.standard_error, float(law.saturated)]
    return np.array(numbers), law.range_sensitivity


def _representation(spectrum: vs.Spectrum) -> dict[str, np.ndarray]:
    values, coefficients = spectrum.eigenvalues, spectrum.coefficients
    assert coefficients is not None  # eigenvectors were kept
    padding = np.full(spectrum.num_samples - len(values), np.nan)
    total = float(spectrum.target_energy.sum()) + spectrum.null_energy
    outer = coefficients.T @ coefficients
    if spectrum.null_residual is not None:
        outer = outer + spectrum.null_residual.T @ spectrum.null_residual
    alignment = float(values @ spectrum.target_energy) / np.sqrt(float(np.sum(values**2) * np.sum(outer**2)))
    return {
        "eigenvalues": np.concatenate([values / values.sum(), padding]),
        "energy": np.concatenate([np.cumsum(spectrum.target_energy) / total, padding]),
        "alignment": np.array(alignment),
    }


def _cases(
    kernel: np.ndarray, targets: np.ndarray, held: np.ndarray, ridges: np.ndarray, plan: Plan, seed: list[int]
) -> dict[str, np.ndarray]:
    size = plan.law_size
    scale = np.exp(_RESCALING * np.random.default_rng(seed).normal(size=len(kernel)))
    results = []
    for case, chosen in zip(CASES, (np.arange(size), np.repeat(np.arange(size // 2), 2), np.arange(size)), strict=True):
        factors = scale if case == CASES[2] else None
        _, path, fit = _fit(kernel, targets, chosen, held, ridges, factors)
        square = kernel[np.ix_(chosen, chosen)]
        if factors is not None:
            square = (square * factors[chosen] * factors[chosen, None]).astype(kernel.dtype)
        results.append((path.gcv, path.loo, fit["held_out"], vs.law_check(square, targets[chosen]).status))
    names = ("case_gcv", "case_loo", "case_held_out", "case_status")
    return {name: np.stack(values) for name, values in zip(names, zip(*results, strict=True), strict=True)}


def _seen(
    kernel: np.ndarray, targets: np.ndarray, held: np.ndarray, ridges: np.ndarray, plan: Plan
) -> dict[str, np.ndarray]:
    if plan.num_seen == 0:
        missing = np.full(len(ridges), np.nan)
        return {"seen_gcv": missing, "seen_held_out": missing, "seen_status": np.array(-1)}
    chosen = np.arange(len(kernel) - plan.num_seen, len(kernel))
    _, _, fit = _fit(kernel, targets, chosen, held, ridges)
    status = vs.law_check(kernel[np.ix_(chosen, chosen)], targets[chosen]).status
    return {"seen_gcv": fit["gcv"], "seen_held_out": fit["held_out"], "seen_status": status}
