"""From a draft with names alone to an agreement with keys, in the operator's own file.

The text is edited in place: comments, order and spacing stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.agreement.load import load
from governance.yaml_positions import Located, YamlPath, dotted, read
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from governance.agreement.load import Document
    from protos.words import KeyId

Edit = tuple[int, int, str]
"""From which character to which, and what stands there instead."""

ROSTER: YamlPath = ("sites", "roster")
OPERATORS: YamlPath = ("operators", "keys")


def require_keys(document: Document) -> None:
    """Refuse a draft: nobody can consent to a roster of names alone.

    Raises:
        Refused: a hospital or an operator has no key.
    """
    agreement = document.agreement
    missing = [name for name, keys in sorted(agreement.sites.roster.items()) if not keys]
    missing += [name for name, key in sorted(agreement.operators.keys.items()) if not key]
    if missing:
        raise Refused(
            f"the agreement is a draft: there is no key for {', '.join(missing)}",
            where=document.place("sites.roster"),
            todo="Once they are enrolled, `propose --fill-roster` writes their keys in.",
            rule="draft-roster",
        )


def fill_roster(
    path: Path, keys: Mapping[str, Sequence[KeyId]], operators: Mapping[str, KeyId]
) -> str:
    """Return the file's text with a key for every name that had none; nothing is written.

    Args:
        path: An agreement, valid but for the keys that are missing.
        keys: The officer keys of the hospitals that are enrolled.
        operators: The keys of the operators that are enrolled.

    Raises:
        Refused: the file has errors; a name without a key is not enrolled; or a key in the file
            is not the one enrolled.
    """
    load(path)
    located = read(path)
    as_lists = {name: tuple(several) for name, several in keys.items()}
    edits = [*_edits(located, ROSTER, as_lists)]
    edits += _edits(located, OPERATORS, {name: (key,) for name, key in operators.items()})
    text = located.text
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _edits(
    located: Located, path: YamlPath, keys: Mapping[str, tuple[KeyId, ...]]
) -> Iterator[Edit]:
    value: Any = located.value[path[0]][path[1]]
    empty = [name for name in value if not (isinstance(value, dict) and value[name])]
    missing = [name for name in empty if not keys.get(name)]
    if missing:
        whom = f"{'site' if path == ROSTER else 'operator'} {missing[0]}"
        raise Refused(
            f"{dotted(path)}: not enrolled yet, so there is no key of: {', '.join(missing)}",
            where=located.place(path),
            todo=f"`concilium-coordinator invite {whom}` gives a token to enrol with.",
            rule="not-enrolled",
        )
    if isinstance(value, dict):
        _check_present(located, path, value, keys)
        yield from (_filled(located, (*path, name), _written(keys[name])) for name in empty)
    else:
        yield from _from_list(located, path, [f"{n}: {_written(keys[n])}" for n in value])


def _check_present(
    located: Located,
    path: YamlPath,
    value: Mapping[str, Any],
    keys: Mapping[str, tuple[KeyId, ...]],
) -> None:
    """Refuse a key in the file that another than the enrolled one would hide behind."""
    for name, written in value.items():
        present = (written,) if isinstance(written, str) else tuple(written or ())
        if present and name in keys and set(present) != set(keys[name]):
            raise Refused(
                f"{dotted((*path, name))} is not the key that {name} enrolled with",
                where=located.place((*path, name)),
                todo="Ask the hospital which is theirs, by another way than this one.",
                rule="other-key",
            )


def _written(keys: tuple[KeyId, ...]) -> str:
    return keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"


def _filled(located: Located, path: YamlPath, key: str) -> Edit:
    span = located.spans[path]
    start, end = span.start.index, span.end.index
    if start < end:
        return start, end, key
    return start, end, f" {key}" if located.text[start - 1] == ":" else f": {key}"


def _from_list(located: Located, path: YamlPath, items: Sequence[str]) -> Iterator[Edit]:
    """Turn a list of names into a mapping of names to keys."""
    whole = located.spans[path]
    # A list may stand at the column of its key, a mapping may not.
    shallow = whole.key is not None and whole.start.column <= whole.key.column
    for index, item in enumerate(items):
        span = located.spans[(*path, index)]
        start = span.start.index
        if whole.block:
            start = located.text.rindex("-", 0, start)
        yield start, span.end.index, f"  {item}" if whole.block and shallow else item
    if not whole.block:
        yield whole.start.index, whole.start.index + 1, "{"
        yield whole.end.index - 1, whole.end.index, "}"
