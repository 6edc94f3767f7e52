"""More Than a Toy: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

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
