"""More Than a Toy (Wei, Hu, Steinhardt, ICML 2022): generalization risk of neural representations, without a test set.

Kernel ridge regression on empirical neural tangent kernels of image classifiers; generalized cross-validation against
the held-out truth, over networks, numbers of samples and six decades of ridges.
"""

import dataclasses
import pathlib

import jax
import numpy as np

from verax._errors import check, check_integer, check_option
from verax._numpy_random import key_words
from verax.report import Report

from ._cache import Cache
from ._gcv_claims import make_claims
from ._gcv_figures import make_figures
from ._gcv_images import draw_sample, load_images, load_weights
from ._gcv_kernels import Body, kernel_of, make_body, needs_weights
from ._gcv_measure import Measurement, Plan, measure
from ._gcv_results import Results
from ._gcv_tables import make_tables
from ._gcv_theorem import converge
from ._run import Steps, make_report

_TITLE = "More Than a Toy: Random Matrix Models Predict How Real-World Neural Representations Generalize"
_CITATION = "A. Wei, W. Hu, J. Steinhardt, ICML 2022 (PMLR 162)"


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on.

    Attributes
    ----------
    planned_seconds
        The time that a run should take: two CPU cores for ``demo`` and ``laptop``, one large GPU for ``full``.
    settings
        Pairs of a network ("mlp", "cnn", "random resnet20", "random torchvision"; "trained cnn", "resnet20",
        "torchvision") and a data set ("digits", "cifar10", "fashion_mnist", "cifar100").
    sizes
        Numbers of samples to fit on, ascending; each at least twice the one before for disjoint fits to be averaged.
    num_held_out
        Unseen images that the risk is measured on.
    num_seen
        Images that a trained network has seen, on which a fit is made to show that the estimate then fails.
    num_seeds
        Independent draws of images, their split, initial weights and heads.
    lowest_ridge, highest_ridge, num_ridges
        A geometric grid, relative to the mean of the kernel's diagonal.
    max_repeats
        Most disjoint fits of one size to average over.
    curve_sizes
        Sizes whose first fit predicts the whole learning curve; the first of them is the one judged.
    law_size
        Samples on which the diagnostic is tried, even.
    reliable_size
        Fewest samples at which the closeness of GCV is judged.
    theorem_sizes, theorem_features, theorem_seeds
        Of the synthetic experiment on convergence.
    weights
        File with the arrays of the "resnet20" or "torchvision" network, relative to the data folder or absolute. Of a
        "random" one only their shapes are used.
    memory_budget
        Bytes that the computation of a kernel may use.
    block_size
        Images in a block of a kernel; None to choose it from the budget. Numbers of images that are multiples of it
        spare compilations.
    cache
        Folder for kernels and measurements, by a hash of their content, so that an interrupted run resumes; "" for
        none.
    stand_in
        Whether the data and networks are only an analogue of the paper's.
    """

    planned_seconds: float
    settings: tuple[tuple[str, str], ...]
    sizes: tuple[int, ...]
    num_held_out: int
    num_seen: int
    num_seeds: int
    curve_sizes: tuple[int, ...]
    law_size: int
    reliable_size: int
    theorem_sizes: tuple[int, ...]
    theorem_features: int
    theorem_seeds: int
    lowest_ridge: float = 1e-6
    highest_ridge: float = 1.0
    num_ridges: int = 13
    max_repeats: int = 4
    weights: str = ""
    memory_budget: int = 2 * 2**30
    block_size: int | None = None
    cache: str = ""
    stand_in: bool = False

    def __post_init__(self):
        check(bool(self.settings), "settings", "none", "at least one pair of a network and a data set")
        for name in ("num_held_out", "num_seeds", "num_ridges", "law_size", "theorem_seeds"):
            check_integer(name, getattr(self, name), minimum=2)
        rising = len(self.sizes) >= 2 and list(self.sizes) == sorted(set(self.sizes))
        check(rising and min(self.sizes) >= 10, "sizes", self.sizes, "at least two, ascending, from 10 on")
        inside = bool(self.curve_sizes) and set(self.curve_sizes) <= set(self.sizes)
        check(inside, "curve_sizes", self.curve_sizes, f"some of the sizes {self.sizes}")
        check(
            self.law_size <= max(self.sizes), "law_size", self.law_size, f"at most the largest size {max(self.sizes)}"
        )
        check(0 < self.lowest_ridge < self.highest_ridge, "lowest_ridge", self.lowest_ridge, "0 < lowest < highest")

    @classmethod
    def demo(cls) -> "Config":
        """Return a first look at scikit-learn's digits."""
        return cls(
            planned_seconds=40.0,
            settings=(("mlp", "digits"), ("cnn", "digits"), ("trained cnn", "digits")),
            sizes=(32, 64, 128, 256, 512),
            num_held_out=768,
            num_seen=256,
            num_seeds=3,
            curve_sizes=(128,),
            law_size=200,
            reliable_size=128,
            theorem_sizes=(50, 100, 200, 400),
            theorem_features=800,
            theorem_seeds=16,
            block_size=256,
            stand_in=True,
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return Fashion-MNIST and CIFAR-10 from a data folder, with ResNet-20's stored weights in it."""
        return cls(
            planned_seconds=3600.0,
            settings=(
                ("cnn", "cifar10"),
                ("random resnet20", "cifar10"),
                ("resnet20", "cifar10"),
                ("cnn", "fashion_mnist"),
                ("resnet20", "fashion_mnist"),
            ),
            sizes=(250, 500, 1000, 2000, 4000),
            num_held_out=2000,
            num_seen=1000,
            num_seeds=3,
            curve_sizes=(1000, 500, 2000),
            law_size=1000,
            reliable_size=1000,
            theorem_sizes=(100, 200, 400, 800, 1600),
            theorem_features=4000,
            theorem_seeds=20,
            weights="resnet20_cifar10.npz",
            memory_budget=3 * 2**30,
            cache="build/cache/gcv",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the abstract's setting: CIFAR-100 at 224 pixels, a ResNet-34 or -50 whose arrays the user brings."""
        return cls(
            planned_seconds=6 * 3600.0,
            settings=(("random torchvision", "cifar100"), ("torchvision", "cifar100")),
            sizes=(1250, 2500, 5000, 10000, 20000),
            num_held_out=10000,
            num_seen=0,
            num_seeds=2,
            curve_sizes=(2500, 5000, 10000),
            law_size=5000,
            reliable_size=1000,
            theorem_sizes=(100, 200, 400, 800, 1600, 3200),
            theorem_features=8000,
            theorem_seeds=20,
            weights="torchvision_resnet34.npz",
            memory_budget=64 * 2**30,
            cache="build/cache/gcv",
        )


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
        return measure(kernel, labels, num_classes, plan, salt)._asdict()

    return Measurement(**cache.get("measurement1", [kernel, labels, num_classes, plan, salt], compute))
