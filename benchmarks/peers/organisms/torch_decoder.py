"""The decoder of ``verax.organisms`` in plain PyTorch. Prints tokens a second as JSON.

Run: ``python torch_decoder.py JSON``: ``vocabulary_size, context, width, num_layers, num_heads`` of the decoder,
``batch, length, steps`` of the training, and ``prompts, prompt_length, max_new, threads, repeats``.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.qkv, self.project = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x, past=None):
        n, t, width = x.shape
        query, key, value = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self.project(attended.transpose(1, 2).reshape(n, t, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh")), (key, value)


class Decoder(nn.Module):
    def __init__(self, sizes: dict):
        super().__init__()
        width = sizes["width"]
        self.tokens = nn.Embedding(sizes["vocabulary_size"], width)
        self.positions = nn.Embedding(sizes["context"], width)
        self.blocks = nn.ModuleList(Block(width, sizes["num_heads"]) for _ in range(sizes["num_layers"]))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-6), nn.Linear(width, sizes["vocabulary_size"], bias=False)

    def forward(self, tokens, past=None):
        start = 0 if past is None else past[0][0].shape[2]
        x = self.tokens(tokens) + self.positions(torch.arange(start, start + tokens.shape[1]))
        kept = []
        for number, block in enumerate(self.blocks):
            x, pair = block(x, None if past is None else past[number])
            kept.append(pair)
        return self.head(self.norm(x)), kept


def train(model: nn.Module, optimizer, sizes: dict) -> float:
    shape = (sizes["batch"], sizes["length"])
    start = time.perf_counter()
    for _ in range(sizes["steps"]):
        tokens = torch.randint(sizes["vocabulary_size"], shape)
        logits, _ = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return sizes["steps"] * sizes["batch"] * sizes["length"] / (time.perf_counter() - start)


@torch.no_grad()
def generate(model: nn.Module, sizes: dict, *, cached: bool) -> float:
    tokens = torch.randint(sizes["vocabulary_size"], (sizes["prompts"], sizes["prompt_length"]))
    start = time.perf_counter()
    past, fresh = None, tokens
    for _ in range(sizes["max_new"]):
        logits, kept = model(fresh if cached else tokens, past)
        token = logits[:, -1:].argmax(-1)
        tokens = torch.cat([tokens, token], dim=1)
        past, fresh = (kept, token) if cached else (None, None)
    return sizes["prompts"] * sizes["max_new"] / (time.perf_counter() - start)


def main() -> None:
    sizes = json.loads(sys.argv[1])
    torch.set_num_threads(sizes["threads"])
    torch.manual_seed(0)
    model = Decoder(sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-3)
    found = {"training": [], "generation": [], "cached generation": []}
    for _ in range(sizes["repeats"] + 1):
        found["training"].append(train(model, optimizer, sizes))
        found["generation"].append(generate(model, sizes, cached=False))
        found["cached generation"].append(generate(model, sizes, cached=True))
    print(json.dumps({name: rates[1:] for name, rates in found.items()}))


if __name__ == "__main__":
    main()
