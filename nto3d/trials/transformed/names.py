"""Other names of the same files, and files that are missing or too many."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from nto3d.trials.transformed.change import IMAGE, MASK, Change, Entries, Expected, edit, in_turn, rename

ARABIC = str.maketrans("0123456789", "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669")
Naming = Callable[[int, Path], str]


def _both(name: Naming) -> Callable[[Path], None]:
    """Names for pictures and masks alike."""
    return rename({IMAGE: name, MASK: name})


def _without(pictures: Iterable[int] = (), masks: Iterable[int] = ()) -> Callable[[Path], None]:
    def make(scene: Path) -> None:
        for folder, numbers in ((IMAGE, pictures), (MASK, masks)):
            files = sorted((scene / folder).iterdir())
            for number in numbers:
                files[number].unlink()

    return make


def _cameras(new: Callable[[int], int | None]) -> Callable[[Path], None]:
    """Other numbers for the cameras; None: there is none any more."""

    def change(entries: Entries) -> Entries:
        moved = {key: new(int(key.rpartition("_")[2])) for key in entries}
        return {
            f"{key.rpartition('_')[0]}_{moved[key]}": stored
            for key, stored in entries.items()
            if moved[key] is not None
        }

    return edit(change)


def _but_two(number: int) -> int | None:
    return None if number == 2 else number


def _one_more(entries: Entries) -> Entries:
    return entries | {"world_mat_32": entries["world_mat_0"], "scale_mat_32": entries["scale_mat_0"]}


def _litter(scene: Path) -> None:
    """What systems leave behind."""
    for folder in (IMAGE, MASK):
        for name in (".DS_Store", "Thumbs.db", "._000000.png", ".hidden.png", "notes.txt"):
            (scene / folder / name).write_bytes(b"\0\1")
        (scene / folder / "old").mkdir()
        shutil.copy(min((scene / folder).glob("[0-9]*.png")), scene / folder / "old" / "000000.png")


def _folders(image: str, mask: str) -> Callable[[Path], None]:
    def make(scene: Path) -> None:
        (scene / IMAGE).rename(scene / image)
        (scene / MASK).rename(scene / mask)

    return make


NAMES = (
    Change("folders images/ and masks/", _folders("images", "masks")),
    Change("numbers without leading zeros", _both(lambda number, old: f"{number}.png")),
    Change("numbers of nine digits", _both(lambda number, old: f"{number:09d}.png")),
    Change("a word before the number", _both(lambda number, old: f"DSC_{number:04d}.png")),
    Change("two numbers in a name", _both(lambda number, old: f"day2_frame{number}.png")),
    Change("words behind the masks' numbers", rename({MASK: lambda number, old: f"{number:03d}_mask.png"})),
    Change("upper-case suffixes", _both(lambda number, old: f"{number:03d}.PNG")),
    Change("numbers from 1 on", _both(lambda number, old: f"{number + 1:03d}.png")),
    Change(
        "every second number, cameras too",
        in_turn(_both(lambda number, old: f"{2 * number:03d}.png"), _cameras(lambda number: 2 * number)),
    ),
    Change(
        "numbers from 100 on, cameras too",
        in_turn(_both(lambda number, old: f"{100 + number}.png"), _cameras(lambda number: 100 + number)),
    ),
    Change("every second number, cameras 0 to 31", _both(lambda number, old: f"{2 * number:03d}.png")),
    Change("no numbers in the names", _both(lambda number, old: f"{chr(97 + number // 9)}{chr(97 + number % 9)}.png")),
    Change("Arabic digits", _both(lambda number, old: f"{number:03d}.png".translate(ARABIC))),
    Change("a digit that is not decimal in every name", _both(lambda number, old: f"x\u00b2_{number:03d}.png")),
    Change("blanks, brackets and % in the files' names", _both(lambda number, old: f"view ({number}) 50%.png")),
    Change("a folder called my folder (2)=x%", lambda scene: None, folder="my folder (2)=x%"),
    Change("a folder with quotes, comma and letters", lambda scene: None, folder='it\'s "a", \u00e9\u8336 [1]'),
    Change("a folder called 007,8", lambda scene: None, folder="007,8"),
    Change("files that systems leave behind", _litter),
)
MISSING = (
    Change("picture 2 missing", _without(pictures=[2])),
    Change("mask 5 missing", _without(masks=[5])),
    Change("picture 2 and mask 31 missing", _without(pictures=[2], masks=[31])),
    Change("pictures and masks 2 and 17 missing, cameras there", _without([2, 17], [2, 17])),
    Change("28 of 32 pictures and masks", _without([3, 9, 20, 31], [3, 9, 20, 31])),
    Change("camera 2 missing", _cameras(_but_two)),
    Change("camera, picture and mask 2 missing", in_turn(_without([2], [2]), _cameras(_but_two))),
    Change("a camera more", edit(_one_more)),
    Change("no mask at all", lambda scene: shutil.rmtree(scene / MASK), Expected.refused),
)
