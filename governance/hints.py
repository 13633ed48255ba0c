"""Next commands that can be copied: a hint names the folder, file or ledger that was given.

Sentences are written where something is found wrong, and there nobody knows how the program was
called. So whatever is told passes here, and a command in it gets the places of this one.
"""

from __future__ import annotations

import re
import shlex
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import typer

_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "concilium-coordinator": ("--folder", "--identity"),
    "concilium-site": ("--site", "--federation"),
    "concilium-ledger": ("--url", "--export"),
}
"""The options by which each program is told where it works."""
_END: Final = re.compile(r"[`\n]|$")


@dataclass(frozen=True, slots=True)
class _Called:
    """A program as it was called: which places it was given."""

    app: typer.Typer
    program: str
    given: Mapping[str, str]

    def complete(self, sentence: str) -> str:
        hint = re.compile(rf"(?<![\w/-]){self.program} (?P<verb>[a-z][a-z-]*)")
        return hint.sub(self._with_places, sentence)

    def _with_places(self, hint: re.Match[str]) -> str:
        end = _END.search(hint.string, hint.end())
        rest = hint.string[hint.end() : end.start() if end else None]
        if any(option in rest for option in _PLACES[self.program]):
            return hint[0]  # it says itself where
        known = _options(self.app).get(hint["verb"], frozenset())
        more = [f"{name} {shlex.quote(v)}" for name, v in self.given.items() if name in known]
        return " ".join([hint[0], *more])


_called: ContextVar[_Called | None] = ContextVar("called", default=None)


def note(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Note how this program was called, its own name first."""
    program, *words = Path(arguments[0]).name, *arguments[1:]
    given = {}
    for place in _PLACES.get(program, ()):
        for word, value in pairwise([*words, ""]):
            if word == place:
                given[place] = value
            elif word.startswith(f"{place}="):
                given[place] = word.removeprefix(f"{place}=")
    _called.set(_Called(app, program, given) if given else None)


def complete(sentence: str) -> str:
    """Return a sentence whose commands of this program name the places that it was given."""
    called = _called.get()
    return sentence if called is None else called.complete(sentence)


def _options(app: typer.Typer) -> Mapping[str, frozenset[str]]:
    """Return each verb's options."""
    from typer.core import TyperGroup
    from typer.main import get_command

    group = get_command(app)
    verbs = group.commands.items() if isinstance(group, TyperGroup) else ()
    return {
        name: frozenset(option for parameter in verb.params for option in parameter.opts)
        for name, verb in verbs
    }
