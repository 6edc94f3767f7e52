"""One contestant of ``benchmarks/ntk.py`` in a process of its own: tunes itself, or computes kernels on request.

``tune``: prints one line of JSON for each configuration tried, with its projected seconds and its peak memory.
``serve``: computes the whole kernel whenever a line ``run`` arrives; ``reset`` forgets the peak of memory so far;
``finish PATH`` writes the kernel and prints the peak. Answers are lines that start with ``@@``.
"""

import functools
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent / "peers" / "neural_tangents")]
import _ntk_networks  # noqa: E402

BLOCKS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
PATIENCE = 60.0  # seconds of one tile beyond which larger ones are not tried


def say(**message):
    print("@@" + json.dumps(message), flush=True)


def memory(field):
    """Bytes of resident memory now (VmRSS) or at its peak (VmHWM)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def forget_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def seconds_and_peak(function):
    """Of the second call; the first compiles."""
    jax.block_until_ready(function())
    forget_peak()
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start, memory("VmHWM")


# --- neural-tangents ---


def neural_tangents(case, config):
    from load import load

    nt = load()
    implementation = nt.NtkImplementation[config["implementation"]]
    kernel_fn = nt.empirical_ntk_fn(case.apply_fn, (-1,), (), 0, implementation)
    batched = nt.batch(kernel_fn, batch_size=config["block"], device_count=0)
    return lambda: batched(case.x, None, case.params) * case.num_outputs


def tune_neural_tangents(case, budget):
    from load import load

    nt = load()
    num, start = len(case.x), memory("VmRSS")
    for name in ("STRUCTURED_DERIVATIVES", "JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS"):
        kernel_fn = jax.jit(nt.empirical_ntk_fn(case.apply_fn, (-1,), (), 0, nt.NtkImplementation[name]))
        best = np.inf
        for block in BLOCKS:
            if num % block:
                continue
            left, right = case.x[:block], case.x[-block:]
            seconds, peak = seconds_and_peak(functools.partial(kernel_fn, left, right, case.params))
            projected = seconds * (num / block) ** 2
            fits = peak - start <= budget
            say(implementation=name, block=block, projected_seconds=projected, peak_bytes=peak - start, fits=fits)
            if not fits or projected > 1.5 * best or seconds > PATIENCE:
                break
            best = min(best, projected)


# --- by hand ---


def by_hand_parts(case, per_output):
    """What a user writes: ``vmap`` of ``grad`` (a logit at a time) or ``jacrev``, and a matrix product."""

    def gradients(params, x, number):
        def logits(params, example):
            return case.apply_fn(params, example[None])[0]

        if per_output or case.num_outputs == 1:
            return jax.vmap(jax.grad(lambda params, example: logits(params, example)[number]), (None, 0))(params, x)
        return jax.vmap(jax.jacrev(logits), (None, 0))(params, x)

    def tile(left, right):
        leaves = zip(jax.tree_util.tree_leaves(left), jax.tree_util.tree_leaves(right))  # noqa: B905 - same tree
        return sum(g.reshape(len(g), -1) @ h.reshape(len(h), -1).T for g, h in leaves)

    return jax.jit(gradients), jax.jit(tile)


def by_hand(case, config):
    gradients, tile = by_hand_parts(case, config["per_output"])
    num, block = len(case.x), config["block"]
    starts = range(0, num, block)

    def compute():
        kernel = np.zeros((num, num), np.float32)
        for number in range(case.num_outputs if config["per_output"] else 1):
            held = {start: gradients(case.params, case.x[start : start + block], number) for start in starts}
            for i in starts:
                for j in range(i, num, block):
                    kernel[i : i + block, j : j + block] += np.asarray(tile(held[i], held[j]))
        return np.triu(kernel) + np.triu(kernel, 1).T

    return compute


def tune_by_hand(case, budget):
    num, start = len(case.x), memory("VmRSS")
    parameters = sum(leaf.size for leaf in jax.tree_util.tree_leaves(case.params))
    for per_output in (False, True) if case.num_outputs > 1 else (False,):
        passes = case.num_outputs if per_output else 1
        held = 4 * num * parameters * case.num_outputs // passes
        gradients, tile = by_hand_parts(case, per_output)
        best = np.inf
        for block in BLOCKS:
            if num % block or held > budget:
                continue
            x = case.x[:block]
            forming, peak = seconds_and_peak(functools.partial(gradients, case.params, x, 0))
            left = gradients(case.params, x, 0)
            multiplying, peak2 = seconds_and_peak(functools.partial(tile, left, left))
            del left
            blocks = num // block
            projected = passes * (blocks * forming + blocks * (blocks + 1) // 2 * multiplying)
            needed = max(peak, peak2) - start + held
            fits = needed <= budget
            say(block=block, per_output=per_output, projected_seconds=projected, peak_bytes=needed, fits=fits)
            if not fits or projected > 1.5 * best or forming > PATIENCE:
                break
            best = min(best, projected)


# --- verax ---


def verax(case, config):
    from verax.ntk import empirical_ntk

    return lambda: empirical_ntk(case.apply_fn, case.params, case.x, memory_budget=config["budget"])


def contraction_rate(case, budget):
    """Operations a second of the products between two blocks of examples, and of a large matrix product, in turns."""
    from verax.ntk import _computation

    computation, inputs = _computation.prepare(
        case.apply_fn,
        case.params,
        case.x,
        None,
        output="trace",
        method="structured",
        block_size=None,
        memory_budget=budget,
        param_filter=None,
    )
    leaves, frozen, method = inputs.leaves, inputs.frozen, computation.method
    ((_, basis),) = computation.terms()
    size = computation.schedule.block_size
    left, right = (
        _computation.block_factors(method, basis, leaves, frozen, x) for x in (case.x[:size], case.x[-size:])
    )
    operations = size**2 * sum(map(product_operations, *tile_layers(computation)))
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((2048, 2048)), jnp.float32)
    multiply = jax.jit(lambda m: jnp.matmul(m, m, precision="highest"))
    tile_seconds, matrix_seconds = [], []
    for repeat in range(8):
        for function, seconds in (
            (lambda: _computation.tile(method, basis, leaves, frozen, left, right, "highest"), tile_seconds),
            (lambda: multiply(matrix), matrix_seconds),
        ):
            start = time.perf_counter()
            jax.block_until_ready(function())
            if repeat:
                seconds.append(time.perf_counter() - start)
    rate = operations / np.median(tile_seconds)
    ceiling = 2 * 2048**3 / np.median(matrix_seconds)
    return {"contraction_flops": rate, "matrix_product_flops": ceiling, "share": rate / ceiling, "block_size": size}


def tile_layers(computation):
    """``(positions, (groups, a, b), num_outputs, hadamard)`` of every product of a tile, as four lists."""
    routes, outputs = computation.method.routes, computation.directions.num
    program = computation.network.uses.program
    avals = [program.avals[slot] for slot in program.inputs]
    layers = [(layer.positions, layer.shape, layer.num_gradients(outputs), layer.hadamard) for layer in routes.layers]
    layers += [(1, (1, 1, int(np.prod(avals[leaf].shape))), outputs, False) for leaf in routes.generic]
    return tuple(zip(*layers, strict=True))


def product_operations(positions, shape, num_outputs, hadamard):
    """Of the matrix products alone, for one pair of examples."""
    groups, a, b = shape
    return 2 * positions**2 * (a + num_outputs * b) if hadamard else 2 * num_outputs * groups * a * b


# --- protocol ---

CONTESTANTS = {"neural_tangents": neural_tangents, "by_hand": by_hand, "verax": verax}
TUNERS = {"neural_tangents": tune_neural_tangents, "by_hand": tune_by_hand}


def serve(case, name, config):
    start = memory("VmRSS")
    compute = CONTESTANTS[name](case, config)
    kernel = None
    say(ready=True, versions={"jax": jax.__version__, "python": sys.version.split()[0]})
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "run":
            kernel = compute()
            jax.block_until_ready(kernel)
            say(done=True)
        elif command == "reset":
            forget_peak()
            say(done=True)
        elif command == "finish":
            peak = memory("VmHWM")
            np.save(argument, np.asarray(kernel))
            rate = contraction_rate(case, config["budget"]) if name == "verax" else None
            say(peak_bytes=peak - start, resident_before_bytes=start, rate=rate)
            return


def main():
    role, name, case_name, num, options = sys.argv[1:]
    options = json.loads(options)
    case = _ntk_networks.make(case_name, int(num))
    if role == "tune":
        TUNERS[name](case, options["budget"])
    else:
        serve(case, name, options)


if __name__ == "__main__":
    main()
