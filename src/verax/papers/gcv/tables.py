"""More Than a Toy: the tables."""

import numpy as np

from verax.papers._estimate import Estimate, over_seeds
from verax.report import Table
from verax.spectral import Status

from .local_law import QUANTILES, law_sizes
from .measure import CASES
from .results import (
    AXES,
    PREDICTORS,
    Results,
    exponents,
    ordering,
    point_ratios,
    pooled_rank_correlations,
    r_squared,
    rank_correlations,
)
from .theorem import KINDS, RELATIVE_RIDGES, rate


def make_tables(results: Results) -> dict[str, tuple[Table, str]]:
    """All tables with their captions."""
    return {
        "risk": _risks(results),
        "agreement": _agreement(results),
        "flagged points": _flagged(results),
        "rank correlation": _ranks(results),
        "local law": _law(results),
        "representations": _representations(results),
        "ordering": _ordering(results),
        "learning curves": _curves(results),
        "scaling exponents": _exponents(results),
        "fit range": _fit_range(results),
        "where it fails": _cases(results),
        "convergence": _convergence(results),
    }


def _show(estimate: Estimate, digits: int = 3) -> str:
    if np.isnan(estimate.value):
        return "-"
    error = "" if estimate.standard_error is None else f" ± {estimate.standard_error:.{digits}f}"
    return f"{estimate.value:.{digits}f}{error}"


def _risks(results: Results) -> tuple[Table, str]:
    points, rows = results.points, []
    fields = [results.at_chosen(field) for field in (points.gcv, points.loo, points.held_out, points.misclassified)]
    for i, name in enumerate(results.names):
        for n, size in enumerate(results.sizes):
            ridge = float(np.exp(np.log(results.ridges[results.chosen()[i, :, n]]).mean()))
            rows.append((name, int(size), f"{ridge:.0e}", *(_show(over_seeds(field[i, :, n])) for field in fields)))
    caption = (
        "At the ridge that GCV chooses (relative to the mean kernel diagonal): squared error summed over classes, "
        "estimated and on held-out images, and the share of held-out images that is misclassified; ± one standard "
        "error over seeds."
    )
    return Table(("setting", "n", "ridge", "GCV", "leave-one-out", "held-out", "error"), rows), caption


def _agreement(results: Results) -> tuple[Table, str]:
    values = r_squared(results)
    ratio, reliable = point_ratios(results, np.arange(results.config.num_seeds))
    large = (results.sizes >= results.config.reliable_size)[:, None]
    rows = []
    for position, ridge in enumerate(results.ridges):
        off = np.abs(ratio[..., position : position + 1] - 1)
        judged = reliable[..., position : position + 1] & large
        rows.append(
            (
                f"{ridge:.1e}",
                _show(over_seeds(values[:, position])),
                float(np.median(off)),
                float(off.max()),
                int(judged.sum()),
                float(np.mean(off[judged] <= 0.05)) if judged.any() else None,
            )
        )
    columns = ("relative ridge", "R^2", "median |ratio - 1|", "largest", "reliable points", "of them within 5 %")
    caption = (
        "GCV as a prediction of the held-out risk within each ridge, over settings and sizes. Ratios are of averages "
        f"over seeds; the last two columns count points with n >= {results.config.reliable_size:,}."
    )
    return Table(columns, rows), caption


def _flagged(results: Results) -> tuple[Table, str]:
    ratio, reliable = point_ratios(results, np.arange(results.config.num_seeds))
    loo = results.points.loo.mean(1) / results.points.held_out.mean(1)
    dispersion = results.points.dispersion.mean(1)
    rows = [
        (
            results.names[i],
            int(results.sizes[n]),
            f"{results.ridges[r]:.1e}",
            float(ratio[i, n, r]),
            float(loo[i, n, r]),
            float(dispersion[i, n, r]),
            "flagged" if not reliable[i, n, r] else "reliable, yet off by over 5 %",
        )
        for i, n, r in np.ndindex(*ratio.shape)
        if not reliable[i, n, r]
        or (abs(ratio[i, n, r] - 1) > 0.05 and results.sizes[n] >= results.config.reliable_size)
    ]
    columns = ("setting", "n", "relative ridge", "GCV / held-out", "LOO / held-out", "leverage dispersion", "")
    caption = (
        "Every point that over half of the fits flag, and every reliable one of enough samples that is off by over 5 %."
    )
    return Table(columns, rows), caption


def _ranks(results: Results) -> tuple[Table, str]:
    values, pooled = rank_correlations(results), pooled_rank_correlations(results)
    rows = [
        (
            predictor,
            *(_show(over_seeds(values[:, p, a]), 2) for a in range(len(AXES))),
            _show(over_seeds(pooled[:, p]), 2),
        )
        for p, predictor in enumerate(PREDICTORS)
    ]
    return Table(("prediction", *(f"along {axis}" for axis in AXES), "pooled"), rows), (
        "Spearman's rank correlation with the held-out risk along one axis, averaged over the others; and over all "
        "points of a data set at once."
    )


def _law(results: Results) -> tuple[Table, str]:
    """The local law by network, sample size and ridge."""
    points, rows = results.points, []
    for i, name in enumerate(results.names):
        for n, size in enumerate(law_sizes(tuple(results.sizes.tolist()))):
            for r, ridge in enumerate(results.ridges):
                quantiles = points.law_quantiles[i, :, n, r].mean(0)
                if 0.9e-4 < ridge < 1.1e-2 and not np.isnan(quantiles).any():
                    share = over_seeds(points.law_share[i, :, n, r])
                    rows.append((name, int(size), f"{ridge:.0e}", *np.round(quantiles, 3).tolist(), _show(share)))
    columns = ("setting", "n", "relative ridge", *(f"{q:.0%} quantile" for q in QUANTILES), "share within 10 %")
    return Table(columns, rows), (
        f"Ratio of lambda phi(x)^T (Sigma_n + lambda)^-1 phi(x) to the same form of a fit to {results.sizes[-1]:,} "
        "samples at equal effective ridge, over held-out images; means over seeds."
    )


def _representations(results: Results) -> tuple[Table, str]:
    points, rows = results.points, []
    ridge = results.ridge_index(1e-3)
    for i, name in enumerate(results.names):
        law = points.power_law[i, :, 0]
        rows.append(
            (
                name,
                _show(over_seeds(1 + law[:, 0]), 2),
                _show(over_seeds(points.df1[i, :, -1, ridge]), 0),
                _show(over_seeds(points.alignment[i])),
                _show(over_seeds(points.energy[i][:, max(0, int(results.sizes[-1]) // 40 - 1)])),
                _show(over_seeds(results.at_chosen(points.held_out)[i, :, -1])),
                _show(over_seeds(results.at_chosen(points.norm_bound)[i, :, -1]), 2),
                _show(over_seeds(results.at_chosen(points.spectrum_only)[i, :, -1]), 2),
            )
        )
    columns = (
        "setting",
        "eigenvalue decay",
        "effective dimension",
        "alignment",
        "energy in top n/40",
        "held-out risk",
        "norm bound",
        "spectrum only",
    )
    caption = (
        f"At n = {results.sizes[-1]:,}: exponent of the eigenvalues' power law (from a fit to "
        f"{results.config.curve_sizes[0]:,} samples), effective dimension at relative ridge 1e-3, kernel-target "
        "alignment, share of the targets' energy along the leading eigenvectors, and, at the ridge that GCV chooses, "
        "the risk and the two baselines."
    )
    return Table(columns, rows), caption


def _ordering(results: Results) -> tuple[Table, str]:
    rows = [
        (seed + 1, int(count), None if np.isnan(spectrum) else spectrum, None if np.isnan(gcv) else gcv)
        for seed, (count, spectrum, gcv) in enumerate(ordering(results))
    ]
    columns = ("seed", "clear comparisons", "spectrum alone right", "GCV right where the spectrum is wrong")
    return Table(columns, rows), (
        "Trained against random network at one size and ridge, where held-out risks differ by over two standard errors."
    )


def _curves(results: Results) -> tuple[Table, str]:
    points, rows = results.points, []
    for i, name in enumerate(results.names):
        for n, size in enumerate(results.sizes):
            best = int(points.held_out[i, :, n].mean(0).argmin())
            rows.append(
                (
                    name,
                    int(size),
                    f"{results.ridges[best]:.0e}",
                    _show(over_seeds(points.curves[i, :, 0, n, best])),
                    bool(points.extrapolated[i, :, 0, n, best].any()),
                    _show(over_seeds(points.held_out[i, :, n, best])),
                )
            )
    caption = (
        "At the best ridge of each size: risk predicted from one fit to "
        f"{results.config.curve_sizes[0]:,} samples, and refits."
    )
    return Table(("setting", "n", "ridge", "predicted", "extrapolated", "held-out"), rows), caption


def _exponents(results: Results) -> tuple[Table, str]:
    rows = []
    for fit, size in enumerate(results.config.curve_sizes):
        measured, predicted = exponents(results, fit)
        for i, name in enumerate(results.names):
            law = results.points.power_law[i, :, fit]
            alpha, delta = law[:, 0], law[:, 1]
            rows.append(
                (
                    name,
                    int(size),
                    _show(over_seeds(measured[i])),
                    _show(over_seeds(predicted[i])),
                    float((predicted - measured)[i].mean()),
                    _show(over_seeds(law[:, 3]), 2),
                    _show(over_seeds((alpha + delta) / (1 + alpha + delta)), 2),
                )
            )
    columns = (
        "setting",
        "fit to n",
        "measured",
        "predicted by the curve",
        "difference",
        "power law, no noise",
        "power law, noise and best ridge",
    )
    caption = (
        f"Exponent e of risk ~ n^-e between n = {results.sizes[0]:,} and {results.sizes[-1]:,} at the best ridge of "
        "each size. The last two columns are asymptotic exponents of the fitted power laws, for the part of the risk "
        "that vanishes."
    )
    return Table(columns, rows), caption


def _fit_range(results: Results) -> tuple[Table, str]:
    rows = []
    for i, name in enumerate(results.names):
        for fit, size in enumerate(results.config.curve_sizes):
            law = results.points.power_law[i, :, fit]
            rows.append((name, int(size), "all", _show(over_seeds(law[:, 0]), 2), _show(over_seeds(law[:, 1]), 2)))
            for low, high, alpha, delta in np.moveaxis(results.points.range_sensitivity[i, :, fit], 0, -1):
                if not np.isnan(low).any():
                    span = f"{low.mean():.0f} to {high.mean():.0f}"
                    rows.append((name, int(size), span, _show(over_seeds(alpha), 2), _show(over_seeds(delta), 2)))
    caption = (
        "How the fitted exponents move with the range of effective dimensions that they are fitted on, and with n."
    )
    return Table(("setting", "fit to n", "effective dimensions", "alpha", "delta"), rows), caption


def _cases(results: Results) -> tuple[Table, str]:
    points, rows = results.points, []
    pick = [results.ridge_index(relative) for relative in (1e-5, 1e-4, 1e-3, 1e-2)]

    def row(
        name: str, case: str, gcv: np.ndarray, loo: np.ndarray | None, held: np.ndarray, status: np.ndarray
    ) -> None:
        found = ", ".join(sorted({Status(int(code)).name.lower().replace("_", " ") for code in status}))
        ratios = [_show(over_seeds(gcv[:, r] / held[:, r]), 2) for r in pick]
        leave = [] if loo is None else [_show(over_seeds(loo[:, r] / held[:, r]), 2) for r in pick[1:3]]
        rows.append((name, case, *ratios, *(leave or ["-", "-"]), found))

    for i, name in enumerate(results.names):
        for c, case in enumerate(CASES):
            fields = (points.case_gcv, points.case_loo, points.case_held_out, points.case_status)
            row(name, case, *(field[i, :, c] for field in fields))
        if not np.isnan(points.seen_gcv[i]).all():
            row(name, "seen in training", points.seen_gcv[i], None, points.seen_held_out[i], points.seen_status[i])
    columns = ("setting", "images", *(f"GCV at {results.ridges[r]:.0e}" for r in pick))
    columns = (*columns, *(f"LOO at {results.ridges[r]:.0e}" for r in pick[1:3]), "diagnostic")
    caption = (
        f"Ratio of estimates to the held-out risk, fits to {results.config.law_size:,} images "
        f"({results.config.num_seen:,} of those seen in training, judged on unseen ones), and what `law_check` "
        "reports. It cannot see that a network knows its training labels; only fresh images show that."
    )
    return Table(columns, rows), caption


def _convergence(results: Results) -> tuple[Table, str]:
    rows, convergence = [], results.convergence
    for kind, name in enumerate(KINDS):
        for estimate, errors in (("GCV", convergence.gcv[kind]), ("leave-one-out", convergence.loo[kind])):
            sizes = results.config.theorem_sizes
            found = Estimate(*rate(errors, sizes), len(errors))
            spread = [float(np.sqrt(np.mean(errors[:, n] ** 2))) for n in range(len(sizes))]
            rows.append((name, estimate, *spread, float(errors[:, -1].mean()), _show(found, 2)))
    columns = ("features", "estimate", *(f"n = {size:,}" for size in results.config.theorem_sizes), "bias", "rate")
    caption = (
        f"Root mean square of estimate / risk - 1 over {results.config.theorem_seeds} samples and relative ridges "
        f"{', '.join(f'{r:.0e}' for r in RELATIVE_RIDGES)}; mean at the largest n; fitted exponent of n."
    )
    return Table(columns, rows), caption
