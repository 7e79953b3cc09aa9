"""A progress bar on a terminal, nothing elsewhere; imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Update = Callable[[int, int], None]  # how much is done, of how much


def tracked(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """The items, while a bar counts them."""
    with progress_bar(title) as update:
        for number, item in enumerate(items):
            update(number, total)
            yield item
        update(total, total)


@contextmanager
def progress_bar(title: str) -> Iterator[Update]:
    """A bar on stderr, to be told how far the work is; it goes away when the work is done."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
