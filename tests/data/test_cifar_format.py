"""The full scale's setting on a synthetic data set in CIFAR-100's format."""

import dataclasses

import jax
import numpy as np
import pytest

from verax.data import Dataset
from verax.papers import tct


@pytest.mark.slow
def test_resnet18_on_images_of_cifars_shape(monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 10
    images = rng.integers(0, 100, (120, 32, 32, 3), dtype=np.uint8)
    images[:, :16] += (15 * labels[:, None, None, None]).astype(np.uint8)
    data = Dataset(images[:100], labels[:100], images[100:], labels[100:], 10, "cifar100")
    monkeypatch.setattr(tct, "load", lambda name, folder: data)
    config = dataclasses.replace(
        tct.Config.full(),
        network="narrow resnet18",
        methods=("centralized", "fedavg"),
        num_clients=2,
        num_validation=20,
        num_test=20,
        rounds1=1,
        rounds2=1,
        local_epochs=1,
        batch_size=20,
        learning_rates=(0.05,),
        num_features=64,
        long_rounds=2,
        num_seeds=1,
        ablations=(),
        cache="",
    )
    report = tct.run(config, key=jax.random.key(0), progress=False)
    rows = {row[0]: row[1] for row in report.tables["accuracy"].rows}
    assert all(0 <= value <= 100 for value in rows.values())
    assert {"centralized", "FedAvg", "TCT", "one-shot TCT"} <= set(rows)
