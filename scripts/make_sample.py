"""Make a procedural scene: python scripts/make_sample.py --recipe sample --seed 0 --out datasets/sample."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.cli import guarded  # noqa: E402
from nto3d.data.synthetic import RECIPES, make_scene  # noqa: E402
from nto3d.errors import InputError  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the scene; 0 when it is written, 2 with one line on stderr when the input is bad."""
    recipes = "\n".join(f"  {name}: {recipe.about}" for name, recipe in RECIPES.items())
    parser = argparse.ArgumentParser(
        description="Make a procedural scene in the DTU/NeuS layout.",
        epilog=f"recipes:\n{recipes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recipe", default="sample", help="which scene (default: sample)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds give other arrangements (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("datasets/sample"), help="folder to write (default: datasets/sample)"
    )
    parser.add_argument("--views", type=int, help="number of pictures (default: the recipe's)")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="picture size (default: the recipe's)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a scene that is already there")
    parser.add_argument(
        "--objects",
        action="store_true",
        help="write masks and meshes of the neighbours, too; all in the unit sphere",
    )
    given = parser.parse_args(arguments)
    size = (given.size[0], given.size[1]) if given.size else None
    try:
        make_scene(
            given.recipe,
            given.seed,
            given.out,
            views=given.views,
            size=size,
            overwrite=given.overwrite,
            objects=given.objects,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
