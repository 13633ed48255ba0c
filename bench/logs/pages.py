"""A section of a page that a measurement writes: between marks, in the place of the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from governance.terminal import Answer


def put(path: Path, name: str, bench: str, lines: Iterable[str]) -> None:
    """Put a section into a page, in the place of the one before, else at the end.

    Args:
        path: The page; made if there is none.
        name: The section's, in its marks.
        bench: What writes it.
        lines: Its text.
    """
    begin, end = f"<!-- {name}: written by {bench} -->", f"<!-- {name}: end -->"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, mark, rest = text.partition(begin)
    if not mark and before.strip():
        before = before.rstrip("\n") + "\n\n"
    after = rest.partition(end)[2] or "\n"
    made = "\n".join([begin, *lines, end])
    path.write_text(before + made + after, encoding="utf-8")


def markdown(said: Answer) -> Iterator[str]:
    """Yield an answer's table."""
    yield f"| {' | '.join(said.columns)} |"
    yield f"|{'---|' * len(said.columns)}"
    yield from (f"| {' | '.join(map(str, row))} |" for row in said.rows)
