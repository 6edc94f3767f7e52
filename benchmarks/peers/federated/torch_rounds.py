"""FedAvg in plain PyTorch, clients and batches in a Python loop. Prints the seconds of each round as JSON.

Run: ``python torch_rounds.py arrays.npz --network cnn|mlp --rounds 3 --threads 2`` (x [K, n, h, w, 1], y [K, n]).
"""

import argparse
import copy
import json
import time

import numpy as np
import torch
from torch import nn


class SmallCNN(nn.Module):
    """The same layers as verax.models.small_cnn."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 2, 1),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def make(network: str) -> nn.Module:
    torch.manual_seed(0)
    if network == "cnn":
        return SmallCNN()
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def local(model: nn.Module, x: torch.Tensor, y: torch.Tensor, batch_size: int, rate: float) -> dict:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loss_fn = nn.CrossEntropyLoss()
    order = torch.randperm(len(x))
    for start in range(0, len(x), batch_size):
        rows = order[start : start + batch_size]
        optimizer.zero_grad()
        loss_fn(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.state_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays")
    parser.add_argument("--network", default="cnn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arrays = np.load(arguments.arrays)
    x = torch.from_numpy(np.ascontiguousarray(arrays["x"].transpose(0, 1, 4, 2, 3)))
    y = torch.from_numpy(arrays["y"].astype(np.int64))
    model = make(arguments.network)
    seconds = []
    for _ in range(arguments.rounds + 1):
        start = time.perf_counter()
        states = [
            local(copy.deepcopy(model), x[client], y[client], arguments.batch_size, 0.05) for client in range(len(x))
        ]
        with torch.no_grad():
            model.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds[1:], "torch": torch.__version__}))


if __name__ == "__main__":
    main()
