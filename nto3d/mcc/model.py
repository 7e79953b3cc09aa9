"""The network of MCC: what a picture and its points say, as tokens; and whether a place is on the object.

Letters: B batch, S side of the picture (224), P side of the point map (112), T tokens with the class token (197),
W width of the encoders, D width of the decoder, Q queries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nto3d.mcc.attention import NORM_EPS, Block, Memory
from nto3d.mcc.hints import COUNT as HINTS

LEVELS = 256  # classes of a colour channel
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, colours in 0..1
LONGEST = 12.0  # wave length, the network's unit: twice the box, so that its two ends differ
FAR = 10.0  # places farther away than this are pulled in
# Least and most of each size, so that nothing huge is made of a file that is none
SIZES = {
    **dict.fromkeys(("image", "patch", "points", "window"), (1, 4096)),
    **dict.fromkeys(("width", "decoder_width"), (4, 65536)),
    **dict.fromkeys(("depth", "decoder_depth"), (1, 256)),
    **dict.fromkeys(("heads", "decoder_heads"), (1, 1024)),
    "frequencies": (0, 64),
}


@dataclass(frozen=True)
class MccSizes:
    """The sizes of an MCC; the defaults are those of the published model.

    Attributes:
        image: S. patch: pixels along a side of a token's patch. points: P. window: points along a side of a token's.
        width, depth, heads: W and so on, of both encoders. decoder_width, decoder_depth, decoder_heads: D and so on.
        frequencies: of the waves by which seen points and places are told to the network beside their coordinates
            (`waves`); the published model has none. hints: whether places come with those of `hints`; the
            published model's do not.

    Raises:
        ValueError: they do not fit each other, or one is none of `SIZES`.
    """

    image: int = 224
    patch: int = 16
    points: int = 112
    window: int = 8
    width: int = 768
    depth: int = 12
    heads: int = 12
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    frequencies: int = 0
    hints: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in SIZES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name}: expected a whole number, {least} to {most}, got {str(value)[:20]}")
        if not isinstance(self.hints, bool):
            raise ValueError(f"hints: expected true or false, got {str(self.hints)[:20]}")
        if self.image % self.patch or self.points % self.window or self.grid != self.points // self.window:
            raise ValueError(
                f"expected as many patches of the picture as windows of the points, got {self.image} / {self.patch} "
                f"and {self.points} / {self.window}"
            )
        if self.width % 4 or self.decoder_width % 4:
            raise ValueError(f"expected widths that 4 divides, got {self.width} and {self.decoder_width}")
        for width, heads in ((self.width, self.heads), (self.decoder_width, self.decoder_heads)):
            if width % heads:
                raise ValueError(f"expected a width that {heads} heads share, got {width}")

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.image // self.patch


def position_table(width: int, side: int) -> Tensor:
    """Sines and cosines of a token's column, then of its row, [1, 1 + side * side, width]; zero for the class token.

    As in MAE (He et al. 2022): half of the channels for the column, and of these half sines, half cosines, with wave
    lengths from 2 pi to 10000 * 2 pi.
    """
    quarter = width // 4
    rates = 1.0 / 10000.0 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    parts = []
    for place in (column, row):
        angles = place.reshape(-1, 1).double() * rates
        parts += [angles.sin(), angles.cos()]
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), torch.cat(parts, dim=1)]).float()[None]


def waves(places: Tensor, frequencies: int) -> Tensor:
    """Places [..., 3] with sines and cosines of their coordinates, [..., 3 + 6 frequencies].

    Wave lengths are LONGEST, half of it, and so on (Tancik et al. 2020). Without them a small network takes long
    to tell places apart that are as near to each other as the two sides of a shell.
    """
    if not frequencies:
        return places
    rates = 2.0 * math.pi / LONGEST * 2.0 ** torch.arange(frequencies, dtype=places.dtype, device=places.device)
    angles = (places[..., None, :] * rates[:, None]).flatten(-2)
    return torch.cat([places, angles.sin(), angles.cos()], dim=-1)


def pulled_in(places: Tensor, far: float = FAR) -> Tensor:
    """Places [..., 3] farther than `far` from the origin, moved to distance far * (2 - far / distance)."""
    distance = torch.linalg.vector_norm(places, dim=-1, keepdim=True)
    moved = (distance > far) & torch.isfinite(distance)
    factor = far * (2.0 - far / distance.clamp(min=1e-12)) / distance.clamp(min=1e-12)
    return torch.where(moved, places * factor, places)


class _PatchEmbed(nn.Module):
    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, T - 1, W]."""
        patches: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return patches


class _PointEmbed(nn.Module):
    """A window of points becomes one token."""

    def __init__(self, window: int, width: int, heads: int, frequencies: int) -> None:
        super().__init__()
        self.window, self.frequencies = window, frequencies
        self.two_d_pos_embed = nn.Parameter(position_table(width, window), requires_grad=False)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Linear(3 + 6 * frequencies, width)
        self.blocks = nn.ModuleList([Block(width, heads, 2.0)])
        self.invalid_xyz_token = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, points: Tensor, valid: Tensor) -> Tensor:
        """[B, P, P, 3], [B, P, P] bool -> [B, T - 1, W]."""
        batch, height, width, _ = points.shape
        side = self.window
        seen = torch.where(valid[..., None], self.pos_embed(waves(points, self.frequencies)), self.invalid_xyz_token)
        seen = seen.reshape(batch, height // side, side, width // side, side, -1)
        seen = seen.transpose(2, 3).reshape(-1, side * side, seen.shape[-1])
        tokens = torch.cat([self.cls_token.expand(len(seen), -1, -1), seen], dim=1) + self.two_d_pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return tokens[:, 0].reshape(batch, (height // side) * (width // side), -1)


class _QueryEmbed(nn.Module):
    def __init__(self, width: int, frequencies: int, hints: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.pos_embed = nn.Linear(3 + 6 * frequencies + hints, width)

    def forward(self, places: Tensor, hints: Tensor | None = None) -> Tensor:
        """[B, Q, 3] and hints [B, Q, COUNT] or None -> [B, Q, D]."""
        told = waves(places, self.frequencies)
        embedded: Tensor = self.pos_embed(told if hints is None else torch.cat([told, hints], dim=-1))
        return embedded


class Mcc(nn.Module):
    """Occupancy and colour of places, given one view with depth (Wu et al. 2023).

    Tensors have the names and shapes of the published checkpoint. A query attends to the tokens of the view and to
    itself, never to another query: `encode` and `remember` are done once, `answer` is linear in the queries.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: MccSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or MccSizes()
        width, inner = sizes.width, sizes.decoder_width
        self.patch_embed = _PatchEmbed(sizes.patch, width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.cls_token_xyz = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(position_table(width, sizes.grid), requires_grad=False)
        self.xyz_pos_embed = _PointEmbed(sizes.window, width, sizes.heads, sizes.frequencies)
        self.blocks = nn.ModuleList(Block(width, sizes.heads, 4.0) for _ in range(sizes.depth))
        self.blocks_xyz = nn.ModuleList(Block(width, sizes.heads, 4.0) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_xyz = nn.LayerNorm(width, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(2 * width, inner)
        self.decoder_xyz_pos_embed = _QueryEmbed(inner, sizes.frequencies, HINTS if sizes.hints else 0)
        self.decoder_pos_embed = nn.Parameter(position_table(inner, sizes.grid), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(Block(inner, sizes.decoder_heads, 4.0) for _ in range(sizes.decoder_depth))
        self.decoder_norm = nn.LayerNorm(inner, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(inner, 1 + 3 * LEVELS)
        self.apply(_start)
        for places in (self.decoder_xyz_pos_embed.pos_embed, self.xyz_pos_embed.pos_embed):
            # Without a bias the norm that follows would not tell a place from one twice as far from the origin
            nn.init.normal_(places.weight, std=0.5 if sizes.frequencies else 1.0)
            nn.init.normal_(places.bias)

    def encode(self, images: Tensor, points: Tensor, valid: Tensor) -> Tensor:
        """What a view says, [B, T, 2 W].

        Args:
            images: [B, 3, S, S], colours in 0..1. points: [B, P, P, 3], normalized (see `inputs`). valid: [B, P, P]
                bool, where there is a point; what `points` holds elsewhere does not matter.
        """
        mean, deviation = (images.new_tensor(value)[:, None, None] for value in (MEAN, DEVIATION))
        colors = self.patch_embed((images - mean) / deviation) + self.pos_embed[:, 1:]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = torch.cat([first, colors], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        safe = torch.where(valid[..., None], points, torch.zeros_like(points))
        places = self.xyz_pos_embed(pulled_in(safe), valid)
        shapes = torch.cat([self.cls_token_xyz.expand(len(images), -1, -1), places], dim=1)
        for block in self.blocks_xyz:
            shapes = block(shapes)
        return torch.cat([self.norm(tokens), self.norm_xyz(shapes)], dim=2)

    def remember(self, latent: Tensor) -> list[Memory]:
        """Keys and values of the view's tokens in every decoder block, from `encode`'s [B, T, 2 W]."""
        tokens = self.decoder_embed(latent) + self.decoder_pos_embed
        memory = []
        for block in self.decoder_blocks:
            assert isinstance(block, Block)
            tokens, kept = block.with_memory(tokens)
            memory.append(kept)
        return memory

    def shift_occupancy(self, logits: float) -> None:
        """Add to every answer's logit of occupancy."""
        with torch.no_grad():
            self.decoder_pred.bias[0] += logits

    def answer(self, memory: list[Memory], places: Tensor, hints: Tensor | None = None) -> Tensor:
        """Logits [B, Q, 1 + 3 * 256] at places [B, Q, 3]: occupancy, then the classes of red, green and blue.

        Args:
            memory: of the views. hints: [B, Q, COUNT], for a network that takes them (`sizes.hints`), else None.

        Raises:
            ValueError: hints are missing, or are given to a network that takes none.
        """
        if (hints is not None) != self.sizes.hints:
            raise ValueError(f"expected {'hints' if self.sizes.hints else 'no hints'} about the places")
        queries = self.decoder_xyz_pos_embed(pulled_in(places), hints)
        for block, kept in zip(self.decoder_blocks, memory, strict=True):
            assert isinstance(block, Block)
            queries = block.ask(queries, kept)
        logits: Tensor = self.decoder_pred(self.decoder_norm(queries))
        return logits

    def forward(
        self, images: Tensor, points: Tensor, valid: Tensor, places: Tensor, hints: Tensor | None = None
    ) -> Tensor:
        """Logits [B, Q, 769]; arguments as of `encode` and `answer`."""
        return self.answer(self.remember(self.encode(images, points, valid)), places, hints)


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        assert module.bias is not None
        nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
        nn.init.zeros_(module.bias)
