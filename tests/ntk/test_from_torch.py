"""PyTorch modules against ``torch.func`` in double precision; `make test-torch` runs them in their own environment."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ABSENT = [name for name in ("torch", "torchax", "transformers") if importlib.util.find_spec(name) is None]
if ABSENT and os.environ.get("VERAX_TORCH_REQUIRED") != "1":
    pytest.skip(f"{ABSENT[0]} is not installed here", allow_module_level=True)

import torch  # noqa: E402
import transformers  # noqa: E402

from verax.gradients import clipped_gradient  # noqa: E402
from verax.ntk import empirical_ntk, from_torch, ntk_plan  # noqa: E402

pytestmark = pytest.mark.torch


def _cnn():
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, stride=2, groups=2),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    module(torch.randn(16, 3, 8, 8))  # running statistics that differ from their start
    return module, torch.randn(3, 3, 8, 8).double(), None


def _vit():
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, image_size=8, patch_size=4
    )
    return (
        transformers.ViTForImageClassification(config),
        {"pixel_values": torch.randn(3, 3, 8, 8).double()},
        "logits",
    )


def _bert():
    config = transformers.BertConfig(
        vocab_size=13,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=8,
    )
    tokens = torch.randint(0, 13, (3, 5))
    mask = torch.ones_like(tokens)
    mask[1, 3:] = 0
    return (
        transformers.BertForSequenceClassification(config),
        {"input_ids": tokens, "attention_mask": mask},
        "logits",
    )


def _gpt2():
    config = transformers.GPT2Config(
        vocab_size=7, n_embd=8, n_layer=1, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config), {"input_ids": torch.randint(0, 7, (2, 4))}, "logits"


def torch_jacobian(module, x, output):
    params = {name: value.detach() for name, value in module.named_parameters()}

    def run(params):
        arguments, options = ((), x) if isinstance(x, dict) else ((x,), {})
        result = torch.func.functional_call(module, params, arguments, options)
        return result if output is None else getattr(result, output)

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return torch.func.jacrev(run)(params), run(params).detach().numpy()


@pytest.mark.parametrize("make", [_cnn, _vit, _bert, _gpt2], ids=lambda make: make.__name__[1:])
def test_outputs_and_jacobians_are_those_of_torch(make):
    torch.manual_seed(0)
    module, x, output = make()
    module = module.double().eval()
    expected, outputs = torch_jacobian(module, x, output)
    apply_fn, params = from_torch(module, example=x, output=output)
    assert set(params) == set(expected)
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf.numpy()), x)
    np.testing.assert_allclose(apply_fn(params, x), outputs, rtol=0, atol=1e-10 * np.abs(outputs).max())
    found = jax.jit(jax.jacrev(apply_fn))(params, given)
    scale = max(float(leaf.abs().max()) for leaf in expected.values())
    for name, leaf in expected.items():
        np.testing.assert_allclose(found[name], leaf.detach().numpy(), rtol=0, atol=1e-10 * scale)
    plan = ntk_plan(apply_fn, params, given, method="structured")
    assert [leaf.path for leaf in plan.leaves if leaf.route == "fallback"] == []
    rows = np.concatenate([np.asarray(leaf).reshape(*outputs.shape, -1) for leaf in found.values()], axis=-1)
    rows = rows.reshape(len(outputs), -1)
    kernel = empirical_ntk(apply_fn, params, given, method="structured")
    np.testing.assert_allclose(kernel, rows @ rows.T, rtol=1e-9, atol=1e-9 * np.abs(rows @ rows.T).max())


def test_single_precision_is_rounding():
    """Outputs and gradients in single precision stay within rounding of those in double precision."""
    torch.manual_seed(1)
    module, x, output = _bert()
    module = module.eval()
    expected, _ = torch_jacobian(module.double(), x, output)
    apply_fn, params = from_torch(module.float(), output=output)
    given = jax.tree.map(lambda leaf: jnp.asarray(leaf.numpy(), jnp.int32), x)
    found = jax.jit(jax.jacrev(apply_fn))(params, given)
    assert {leaf.dtype for leaf in params.values()} == {jnp.dtype(jnp.float32)}
    scale = max(float(leaf.abs().max()) for leaf in expected.values())
    for name, leaf in expected.items():
        np.testing.assert_allclose(found[name], leaf.detach().numpy(), rtol=0, atol=3e-6 * scale)


def test_a_loss_of_a_torch_model():
    """Per-example gradients of a language model, with tied embeddings as one leaf."""
    torch.manual_seed(2)
    module, x, output = _gpt2()
    module = module.double().eval()
    apply_fn, params = from_torch(module, output=output)
    tokens = jnp.asarray(x["input_ids"].numpy())

    def loss_fn(params, tokens):
        logits = apply_fn(params, {"input_ids": tokens})[:, :-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], axis=2).sum((1, 2))

    _, norms = clipped_gradient(loss_fn, params, tokens, max_norm=1.0)
    for example, norm in zip(x["input_ids"], norms, strict=True):
        module.zero_grad()
        logits = module(input_ids=example[None]).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, example[1:], reduction="sum").backward()
        expected = sum(float((value.grad**2).sum()) for value in module.parameters()) ** 0.5
        assert abs(float(norm) - expected) < 1e-9 * expected


def test_frozen_parameters_buffers_and_tuples():
    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(2, 3), torch.nn.Linear(3, 2)
            self.first.requires_grad_(False)
            self.register_buffer("shift", torch.tensor([-torch.inf, 1.0]))

        def forward(self, left, right):
            hidden = self.second(torch.tanh(self.first(left + right)))
            return hidden, torch.maximum(hidden, self.shift)

    module = Pair().eval()
    left, right = torch.randn(4, 2), torch.randn(4, 2)
    apply_fn, params = from_torch(module, example=(left, right), output=1)
    assert set(params) == {"second.weight", "second.bias"}
    np.testing.assert_allclose(
        apply_fn(params, (left, right)), module(left, right)[1].detach().numpy(), rtol=1e-5, atol=1e-6
    )
    module.train()
    with pytest.raises(ValueError, match=r"^module: got a Pair in training mode"):
        apply_fn(params, (left, right))


class _Draws(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) + torch.randn_like(x)


class _Branches(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x


class _Unknown(torch.nn.Linear):
    def forward(self, x):
        return super().forward(torch.special.airy_ai(x))


class _Loose(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) * self.loose

    loose = torch.tensor([1.0, 2.0])


CASES = {
    "no module": ("module", lambda: from_torch(np.zeros(3))),
    "training mode": ("module", lambda: from_torch(torch.nn.Dropout())),
    "a part in training mode": (
        "module",
        lambda: from_torch(torch.nn.Sequential(torch.nn.Linear(2, 2).eval(), torch.nn.Dropout().train())),
    ),
    "no parameters": ("module", lambda: from_torch(torch.nn.ReLU().eval())),
    "all frozen": ("module", lambda: from_torch(torch.nn.Linear(2, 2).requires_grad_(False).eval())),
    "no values": ("module.weight", lambda: from_torch(torch.nn.Linear(2, 2, device="meta").eval())),
    "lazy": ("module.weight", lambda: from_torch(torch.nn.LazyLinear(2).eval())),
    "a wrong field": (
        "output",
        lambda: from_torch(torch.nn.Linear(2, 2).eval(), example=torch.ones(1, 2), output="logits"),
    ),
    "several fields": ("output", lambda: from_torch(_bert()[0].eval(), example=_bert()[1])),
    "a wrong option": ("output", lambda: from_torch(torch.nn.Linear(2, 2).eval(), output=1.5)),
    "random numbers": ("module", lambda: from_torch(_Draws(2, 2).eval(), example=torch.ones(1, 2))),
    "branches": ("module", lambda: from_torch(_Branches(2, 2).eval(), example=torch.ones(1, 2))),
    "an unknown operator": (
        "module: got the operator .*airy",
        lambda: from_torch(_Unknown(2, 2).eval(), example=torch.ones(1, 2)),
    ),
    "a loose tensor": ("module", lambda: from_torch(_Loose(2, 2).eval(), example=torch.ones(1, 2))),
    "wrong inputs": ("module", lambda: from_torch(torch.nn.Linear(2, 2).eval(), example=torch.ones(1, 3))),
    "other parameters": (
        "params",
        lambda: from_torch(torch.nn.Linear(2, 2).eval())[0]({"weight": jnp.ones((2, 2))}, torch.ones(1, 2)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals(case):
    argument, make = CASES[case]
    with pytest.raises(ValueError, match=rf"^{argument}.*; need "):
        make()


def test_importing_leaves_torch_and_jax_as_they_were():
    code = """
import os, jax, torch
from verax.ntk import from_torch
before = (type(torch.ops.aten.add).__getattr__, torch.backends.mha.get_fastpath_enabled(), dict(os.environ))
from_torch(torch.nn.Linear(2, 2).eval())
after = (type(torch.ops.aten.add).__getattr__, torch.backends.mha.get_fastpath_enabled(), dict(os.environ))
assert before == after
try:
    torch.ops.aten.all.dimname
    raise SystemExit("the shim is still there")
except AttributeError:
    pass
jax.config.update("jax_enable_x64", False)
try:
    from_torch(torch.nn.Linear(2, 2).double().eval())
except ValueError as error:
    assert "jax_enable_x64" in str(error), error
else:
    raise SystemExit("double precision was narrowed")
"""
    source = str(pathlib.Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "JAX_ENABLE_X64": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
