"""Valid calls of verax.data."""

import numpy as np

from support.border import call
from verax import data

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)

CALLS = {
    "verax.data.load": call(data.load, "digits"),
    "verax.data.normalise": call(
        data.normalise,
        IMAGES,
        mean=np.array([0.5, 0.25, 0.5]),
        std=np.array([0.5, 0.5, 0.25]),
        exempt={"images": dict.fromkeys(("JAX bfloat16", "float16", "bfloat16", "torch bfloat16"), "images are bytes")},
    ),
}
