"""More Than a Toy (Wei, Hu, Steinhardt, ICML 2022): generalization risk of neural representations, without a test set.

Kernel ridge regression on empirical neural tangent kernels of image classifiers; generalized cross-validation against
the held-out truth, over networks, numbers of samples and six decades of ridges.
"""

import pathlib

import jax
import numpy as np

from verax._errors import check, check_option
from verax._numpy_random import key_words
from verax.papers._cache import Cache
from verax.papers._run import Steps, make_report
from verax.report import Report

from .claims import make_claims
from .config import Config as Config
from .figures import make_figures
from .images import draw_sample, load_images, load_weights
from .kernels import Body, kernel_of, make_body, needs_weights
from .measure import Measurement, Plan, measure_kernel
from .results import Results
from .tables import make_tables
from .theorem import converge

_TITLE = "More Than a Toy: Random Matrix Models Predict How Real-World Neural Representations Generalize"


_CITATION = "A. Wei, W. Hu, J. Steinhardt, ICML 2022 (PMLR 162)"


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Measure the paper's claims on the empirical neural tangent kernels of some networks.

    Every seed draws images without replacement: those that fits are made on, those held out, and, where the network was
    trained on this data set, some that it has seen. The kernel of all of them is computed once, and all fits use parts
    of it. Labels of held-out images enter nothing but the held-out risk.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Folder of data sets and stored weights; the environment variable ``VERAX_DATA`` where it is None. Digits need
        none.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        If there is no data folder, the stored weights are missing, or a data set has too few images.
    FileNotFoundError
        If a data set is missing.

    Notes
    -----
    A kernel costs about ``n^2 P`` multiply-adds for ``n`` images and ``P`` parameters; a fit to ``n`` samples about
    ``9 n^3`` flops. With ``config.cache`` both are kept under a hash of the images and weights.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    stored = sorted({network.removeprefix("random ") for network, _ in config.settings if needs_weights(network)})
    check(len(stored) <= 1, "settings", f"networks {stored}", "at most one network with stored weights")
    for _, dataset in config.settings:
        check_option("data set", dataset, ("digits", "cifar10", "fashion_mnist", "cifar100"))
    arrays = load_weights(config.weights, data) if stored else None
    cache = Cache(config.cache or None)
    ridges = tuple(np.geomspace(config.lowest_ridge, config.highest_ridge, config.num_ridges).tolist())
    total = len(config.settings) * config.num_seeds
    with Steps("More Than a Toy", 2 * total + 2, show=progress) as steps:
        measurements: list[list[Measurement]] = [[] for _ in config.settings]
        bodies: dict[str, Body] = {}
        for repeat in range(config.num_seeds):
            for position, (network, dataset) in enumerate(config.settings):
                # The images depend on the seed and the data set only, so that networks are compared on the same ones.
                salt = key_words(jax.random.fold_in(key, repeat))
                rng = np.random.default_rng(salt)
                images = load_images(dataset, data, num_seen=config.num_seen, rng=rng)
                num_seen = config.num_seen if (network, dataset) in _SEEN else 0
                sample = draw_sample(
                    images, num_unseen=max(config.sizes) + config.num_held_out, num_seen=num_seen, rng=rng
                )
                plan = Plan(
                    config.sizes,
                    ridges,
                    config.num_held_out,
                    num_seen,
                    config.max_repeats,
                    config.curve_sizes,
                    config.law_size,
                )
                steps(f"kernel of {network} on {dataset}, seed {repeat + 1}")
                # Built once: a kernel is compiled for the function object that it is given.
                if network not in bodies or not needs_weights(network):
                    bodies[network] = make_body(network, images, arrays)
                body = bodies[network]
                kernel_key = jax.random.fold_in(jax.random.fold_in(key, 1000 + repeat), position)
                kernel = kernel_of(
                    body,
                    sample.images,
                    key=kernel_key,
                    memory_budget=config.memory_budget,
                    block_size=config.block_size,
                    cache=cache,
                )
                steps(f"fits to {network} on {dataset}, seed {repeat + 1}")
                measurements[position].append(_measure(kernel, sample.labels, images.num_classes, plan, salt, cache))
        steps("synthetic features that obey the law, and that do not")
        salt = key_words(jax.random.fold_in(key, 2000))
        convergence = converge(config.theorem_sizes, config.theorem_features, config.theorem_seeds, salt)
        steps("tables and figures")
        results = Results.of(config, ridges, measurements, convergence)
        claims, tables, figures = make_claims(results), make_tables(results), make_figures(results)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


_SEEN = {("trained cnn", "digits"), ("resnet20", "cifar10")}
"""Networks with images of the data set that they were trained on."""


def _measure(
    kernel: np.ndarray, labels: np.ndarray, num_classes: int, plan: Plan, salt: list[int], cache: Cache
) -> Measurement:
    def compute() -> dict[str, np.ndarray]:
        return measure_kernel(kernel, labels, num_classes, plan, salt)._asdict()

    return Measurement(**cache.get("measurement2", [kernel, labels, num_classes, plan, salt], compute))
