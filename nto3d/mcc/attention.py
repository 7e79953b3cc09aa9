"""Transformer blocks. Letters: B batch, T tokens, Q queries, C width, h heads, d = C / h.

Parameter names are those of the published checkpoint (and of timm's vision transformer).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6
Memory = tuple[Tensor, Tensor]  # keys and values [B, h, T, d] of the tokens in one decoder block


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class Attention(nn.Module):
    """Multi-head attention of tokens to each other, and of queries to the tokens and to themselves."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"expected a width that {heads} heads share, got {width}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def _split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values, each [B, h, T, d]."""
        batch, count, width = tokens.shape
        parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value

    def _join(self, heads: Tensor) -> Tensor:
        """[B, h, T, d] -> [B, T, C], projected."""
        joined: Tensor = self.proj(heads.transpose(1, 2).flatten(2))
        return joined

    def forward(self, tokens: Tensor) -> tuple[Tensor, Memory]:
        """What tokens [B, T, C] take from each other, and their keys and values."""
        query, key, value = self._split(tokens)
        return self._join(functional.scaled_dot_product_attention(query, key, value)), (key, value)

    def ask(self, queries: Tensor, memory: Memory) -> Tensor:
        """What queries [B, Q, C] take from the tokens of a memory and from themselves, but not from each other."""
        query, own_key, own_value = self._split(queries)
        key, value = memory
        query = query * query.shape[-1] ** -0.5
        scores = torch.cat([query @ key.transpose(2, 3), (query * own_key).sum(dim=3, keepdim=True)], dim=3)
        shares = scores.softmax(dim=3)  # [B, h, Q, T + 1]
        return self._join(shares[..., :-1] @ value + shares[..., -1:] * own_value)


class Block(nn.Module):
    """A pre-norm transformer block.

    Args:
        width: C. heads: h. ratio: hidden width of its MLP over C.
    """

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, int(width * ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, T, C] after the block."""
        return self.with_memory(tokens)[0]

    def with_memory(self, tokens: Tensor) -> tuple[Tensor, Memory]:
        """Tokens [B, T, C] after the block, and the keys and values that queries attend to in it."""
        taken, memory = self.attn(self.norm1(tokens))
        tokens = tokens + taken
        return tokens + self.mlp(self.norm2(tokens)), memory

    def ask(self, queries: Tensor, memory: Memory) -> Tensor:
        """Queries [B, Q, C] after the block; see `Attention.ask`."""
        queries = queries + self.attn.ask(self.norm1(queries), memory)
        out: Tensor = queries + self.mlp(self.norm2(queries))
        return out
