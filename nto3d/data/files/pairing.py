"""Which mask, depth map and camera belongs to which picture: by the numbers in their names.

A file's number is the last run of decimal digits in its name, or, where that is not another one in every file of the
folder, another run that is, or all of them together. Folders are paired by the numbers that have most partners. Order
is used where numbers say nothing: there are none, as many on both sides and few in common, or both sides count on from
another start.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nto3d.errors import InputError, some_of

log = logging.getLogger("nto3d")
FIT = 0.75  # share of the smaller side that has a partner, where numbers are believed although some have none
_NAMED = 6  # files named in a line

Numbers = tuple[Hashable, ...]


@dataclass(frozen=True)
class _Match:
    """Two sides by their numbers, and how many have a partner."""

    left: Numbers
    right: Numbers
    count: int


def natural(file: Path) -> tuple[tuple[int, int | str], ...]:
    """Sort key: numbers in a name by their value, so that 9 comes before 10; what is no decimal digit is text."""
    parts = re.split(r"(\d+)", file.stem)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts)


def numberings(files: Sequence[Path]) -> list[Numbers]:
    """The ways to number files of a folder in which no number comes twice, the likeliest first; by name, last."""
    runs = [tuple(int(run) for run in re.findall(r"\d+", file.stem)) for file in files]
    shortest = min((len(run) for run in runs), default=0)
    ways: list[Numbers] = [tuple(run[at] for run in runs) for at in (-1, *range(shortest))] if shortest else []
    if shortest:
        ways.append(tuple(runs))
    ways.append(tuple(file.stem.casefold() for file in files))
    return [way for way in dict.fromkeys(ways) if len(set(way)) == len(files)]


def pair_cameras(pictures: Sequence[Path], cameras: Sequence[int], file: Path) -> list[int | None]:
    """The number of each picture's camera, None where it has none.

    Args:
        pictures: in their natural order. cameras: numbers i of the keys world_mat_i, ascending. file: they come from.

    Raises:
        InputError: numbers do not say which belongs to which, and there are not as many of both.
    """
    best = _best(numberings(pictures), [tuple(cameras)])
    if best.count < len(pictures):
        if len(cameras) == len(pictures) and tuple(cameras) == tuple(range(len(cameras))):
            if not _is_range(best.left):
                log.info("%s: cameras are taken in the order of the pictures, their numbers are others", file)
            return list(cameras)
        if not _plausible(best):
            raise InputError(
                f"{file}: expected a camera for each of the {len(pictures)} pictures, got {len(cameras)} cameras"
                f"{_seen(best, 'pictures', 'cameras')}"
            )
    known = set(cameras)
    return [number if isinstance(number, int) and number in known else None for number in best.left]


def pair_files(
    pictures: Sequence[Path], others: Sequence[Path], what: str, cameras: Sequence[int | None]
) -> list[Path | None]:
    """The file that belongs to each picture, None where it has none.

    Args:
        pictures, others: files of two folders in their natural order. what: the others are, "mask" or "depth map".
        cameras: number of each picture's camera, by which files may be numbered, too.

    Raises:
        InputError: numbers do not say which belongs to which, and there are not as many of both.
    """
    best = _best([*numberings(pictures), tuple(cameras)], numberings(others))
    whole = list(cameras) == list(range(len(pictures)))
    if best.count < min(len(pictures), len(others)):
        if len(pictures) == len(others) and (not _fits(best) or (_counts_on(best) and whole)):
            return list(others)
        if not _plausible(best):
            raise InputError(
                f"{others[0].parent}: expected a {what} for each of the {len(pictures)} pictures, got {len(others)} "
                f"{what}s{_seen(best, 'pictures', what + 's')}"
            )
    by_number = dict(zip(best.right, others, strict=True))
    return [by_number.get(number) for number in best.left]


def places(pictures: Sequence[Path]) -> Sequence[int]:
    """The places 0, 1, ... of pictures whose numbers have no gap; empty where they have, or there are none."""
    return range(len(pictures)) if any(_is_range(way) for way in numberings(pictures)) else ()


def say_alone(where: Path, alone: Sequence[object], total: int, what: str, partner: str, then: str = "") -> None:
    """One line in the log on what has no partner, none where everything has one.

    Args:
        where: a file or folder. alone: names or numbers of `total`. what: they are, partner: they lack, singular. then:
            what becomes of them.
    """
    if alone:
        log.warning(
            "%s: %d of %d %ss without a %s%s: %s", where, len(alone), total, what, partner, then, some_of(alone, _NAMED)
        )


def _best(left: Sequence[Numbers], right: Sequence[Numbers]) -> _Match:
    """The two numberings with most in common; the first of them where several have."""
    matches = [_Match(one, other, len(set(one) & set(other))) for one in left for other in right]
    empty = _Match((), (), 0)  # names of which some come twice
    return max(matches, key=lambda match: match.count, default=empty)


def _fits(match: _Match) -> bool:
    return match.count > 0 and match.count >= FIT * min(len(match.left), len(match.right))


def _counts_on(match: _Match) -> bool:
    """Whether both sides are whole ranges of numbers."""
    return _is_range(match.left) and _is_range(match.right)


def _is_range(numbers: Numbers) -> bool:
    found = sorted(number for number in numbers if isinstance(number, int))
    return bool(found) and found == list(range(found[0], found[0] + len(numbers)))


def _plausible(match: _Match) -> bool:
    """Whether most have a partner by their numbers, and no more would if one side counted from one number later."""
    left = {number for number in match.left if isinstance(number, int)}
    right = {number for number in match.right if isinstance(number, int)}
    shifted = max(len({number + shift for number in left} & right) for shift in (-1, 1))
    return _fits(match) and shifted <= match.count


def _seen(match: _Match, left: str, right: str) -> str:
    """What the numbers of both sides are, where there are some."""
    sides = [[number for number in side if isinstance(number, int)] for side in (match.left, match.right)]
    if not all(sides):
        return ""
    ranges = [f"{name} {min(side)} to {max(side)}" for name, side in zip((left, right), sides, strict=True)]
    return f", whose numbers do not tell which belongs to which ({', '.join(ranges)})"
