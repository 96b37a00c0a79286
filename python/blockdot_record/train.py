"""The two built-in trainings: a convolutional network on Fashion-MNIST and a character language model.

Both are small, real and repeatable: a seed fixes the weights and the batches, one thread and torch's
deterministic algorithms fix the order of every sum. They know nothing of recording.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import data
from .trace import RecordError


class Cnn(nn.Module):
    """Fashion-MNIST, [B,1,28,28] -> [B,10]. Reduction lengths 9, 144, 288, 360 and 100; conv2 has stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(32, 40, 3, padding=1)
        self.fc1 = nn.Linear(360, 100)
        self.fc2 = nn.Linear(100, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(F.relu(self.conv3(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Attention(nn.Module):
    """Causal self-attention with both products written out: matmul_0 is Q.K^T, matmul_1 is P.V."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, -math.inf).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class LanguageModel(nn.Module):
    """Characters [B,T] -> logits [B,T,vocabulary]; two blocks of width 72 with three heads of 24."""

    CONTEXT = 128
    WIDTH = 72

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, self.WIDTH)
        self.position = nn.Parameter(torch.randn(self.CONTEXT, self.WIDTH) * 0.02)
        self.blocks = nn.Sequential(Block(self.WIDTH, 3), Block(self.WIDTH, 3))
        self.norm = nn.LayerNorm(self.WIDTH)
        self.head = nn.Linear(self.WIDTH, vocabulary)

    def forward(self, characters: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(characters) + self.position)))


class Training(NamedTuple):
    """A training ready to run. `loss(step)` makes the loss of that step's batch, `final()` says how good it got."""

    dataset: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[int], Tensor]
    final: Callable[[], str]


def cnn_training(seed: int, source: Optional[str]) -> Training:
    """Batches of 64, Adam at 1e-3. source: folder of the IDX files, or None for Debian's."""
    images, labels = (torch.from_numpy(array) for array in data.fashion_mnist(source, "train"))
    model = Cnn()
    batches = np.random.default_rng(seed)

    def loss(step: int) -> Tensor:
        chosen = torch.from_numpy(batches.integers(len(images), size=64))
        return F.cross_entropy(model(images[chosen].unsqueeze(1)), labels[chosen])

    def final() -> str:
        tests, truth = (torch.from_numpy(array) for array in data.fashion_mnist(source, "t10k"))
        with torch.no_grad():
            right = sum(
                int((model(x.unsqueeze(1)).argmax(1) == y).sum())
                for x, y in zip(tests.split(500), truth.split(500))
            )
        return f"accuracy on the test set {right / len(truth):.4f}"

    return Training("Fashion-MNIST", model, torch.optim.Adam(model.parameters(), 1e-3), loss, final)


def lm_training(seed: int, source: Optional[str]) -> Training:
    """Batches of 16 x 128 characters, AdamW at 3e-3; the last tenth is held out. source: a text file, or None for
    the King James text."""
    text = data.king_james_text(source)
    alphabet = sorted(set(text))
    codes = np.array(
        [alphabet.index(chr(c)) if chr(c) in alphabet else 0 for c in range(ord(alphabet[-1]) + 1)]
    )
    encoded = torch.from_numpy(codes[np.frombuffer(text.encode("utf-32-le"), np.uint32)])
    context = LanguageModel.CONTEXT
    train, held_out = encoded[: len(encoded) * 9 // 10], encoded[len(encoded) * 9 // 10 :]
    if len(held_out) <= context + 1:
        raise RecordError(
            f"the text has {len(text)} characters, must have at least {10 * (context + 2)}"
        )
    model = LanguageModel(len(alphabet))
    batches = np.random.default_rng(seed)

    def loss_on(part: Tensor, starts: np.ndarray) -> Tensor:
        windows = part[torch.from_numpy(starts[:, None] + np.arange(context + 1))]
        return F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())

    def loss(step: int) -> Tensor:
        return loss_on(train, batches.integers(len(train) - context, size=16))

    def final() -> str:
        starts = np.linspace(0, len(held_out) - context - 1, 64).astype(np.int64)
        with torch.no_grad():
            return (
                f"held-out {float(loss_on(held_out, starts)) / math.log(2):.3f} bits per character"
            )

    name = "King James text" if source is None else "text file"
    return Training(name, model, torch.optim.AdamW(model.parameters(), 3e-3), loss, final)


TRAININGS: Dict[str, Callable[[int, Optional[str]], Training]] = {
    "cnn": cnn_training,
    "lm": lm_training,
}


def prepare(name: str, seed: int, source: Optional[str]) -> Training:
    """Makes torch repeatable and sets up the training. Raises RecordError when its data is missing."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    return TRAININGS[name](seed, source)


def run(training: Training, updates: int, progress: Callable[[int, float], None]) -> None:
    """Makes `updates` optimiser steps; `progress(step, loss)` is called before each update."""
    for step in range(updates):
        loss = training.loss(step)
        training.optimizer.zero_grad()
        loss.backward()
        progress(step, float(loss.detach()))
        training.optimizer.step()
