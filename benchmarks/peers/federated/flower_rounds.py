"""FedAvg under Flower's simulation (Ray), the clients of ``torch_rounds.py``. Prints the seconds of each round as JSON.

Run: ``python flower_rounds.py arrays.npz --network cnn|mlp --rounds 3``.
"""

import argparse
import json
import os
import time

os.environ.setdefault("RAY_DISABLE_DOCKER_CPU_WARNING", "1")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation
from torch_rounds import local, make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays")
    parser.add_argument("--network", default="cnn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=50)
    arguments = parser.parse_args()
    path = os.path.abspath(arguments.arrays)
    num_clients = len(np.load(path)["y"])

    class Client(NumPyClient):
        def __init__(self, index):
            self.index = index

        def fit(self, parameters, config):  # noqa: ARG002
            torch.set_num_threads(1)
            arrays = np.load(path, mmap_mode="r")
            x = torch.from_numpy(np.ascontiguousarray(arrays["x"][self.index].transpose(0, 3, 1, 2)))
            y = torch.from_numpy(arrays["y"][self.index].astype(np.int64))
            model = make(arguments.network)
            names = list(model.state_dict())
            model.load_state_dict(
                {name: torch.from_numpy(value) for name, value in zip(names, parameters, strict=True)}
            )
            local(model, x, y, arguments.batch_size, 0.05)
            return [value.numpy() for value in model.state_dict().values()], len(x), {}

    start, ends = [], []

    class Timed(FedAvg):
        def configure_fit(self, *args, **kwargs):
            start.append(time.perf_counter())
            return super().configure_fit(*args, **kwargs)

        def aggregate_fit(self, *args, **kwargs):
            result = super().aggregate_fit(*args, **kwargs)
            ends.append(time.perf_counter())
            return result

    initial = ndarrays_to_parameters([value.numpy() for value in make(arguments.network).state_dict().values()])

    def server_fn(context):  # noqa: ARG001
        strategy = Timed(
            fraction_fit=1.0, fraction_evaluate=0.0, min_fit_clients=num_clients, min_available_clients=num_clients,
            initial_parameters=initial,
        )  # fmt: skip
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=arguments.rounds + 1))

    run_simulation(
        server_app=ServerApp(server_fn=server_fn),
        client_app=ClientApp(client_fn=lambda context: Client(int(context.node_config["partition-id"])).to_client()),
        num_supernodes=num_clients,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    seconds = [end - begin for begin, end in zip(start, ends, strict=False)]
    print(json.dumps({"seconds": seconds[1:]}))


if __name__ == "__main__":
    main()
