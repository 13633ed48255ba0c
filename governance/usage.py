"""What is wrong with a command line: the option's library knows it, and we say it."""

from __future__ import annotations

import enum
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SHOWN_CHARS: Final = 60
_EXTRA: Final = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((?P<words>.*)\)")
_VERB: Final = re.compile(r"No such command '(?P<verb>.*?)'\.?(?P<hint>.*)", re.DOTALL)
_NAMES: Final = {int: "a whole number", float: "a number", bool: "yes or no"}


def sentence(problem: Exception) -> str:
    """Return what is wrong with a command line, and on a second line where to see it right."""
    say = _SAYINGS.get(type(problem).__name__, _other)
    return f"{say(problem)}\nSee how it is written, with an example: {_called(problem)} --help"


def _called(problem: Any) -> str:  # noqa: ANN401 -- the library's own error, which it hides
    """Return the program and its verb as they were called."""
    program, *words = sys.argv
    context = getattr(problem, "ctx", None)
    if context is None:
        verbs = [word for word in words[:1] if not word.startswith("-")]
    else:
        verbs = [str(context.info_name)] if context.parent is not None else []
    return " ".join([Path(program).name, *verbs])


def _bad_value(problem: Any) -> str:  # noqa: ANN401 -- as above
    given, parameter = _given(problem), problem.param
    if given is None or parameter is None:
        return str(problem.message)
    return f"{_name(parameter)} is {given}, but must be {_allowed(parameter, problem.message)}"


def _given(problem: Any) -> str | None:  # noqa: ANN401 -- as above
    details: list[dict[str, object]] = getattr(problem.__cause__, "errors", list)()
    value = details[0].get("input") if details else None
    if not isinstance(value, str):
        return None
    shown = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}…"
    return repr(shown)


def _name(parameter: Any) -> str:  # noqa: ANN401 -- as above
    """Return an option as it is written, and an argument as the help shows it."""
    name = str(parameter.opts[0])
    return name if name.startswith("-") else name.upper()


def _allowed(parameter: Any, message: str) -> str:  # noqa: ANN401 -- as above
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _one_of([str(each.value) for each in kind])
    if kind in _NAMES:
        return f"{_NAMES[kind]}{_limits(parameter)}"
    return f"something else: {message}"


def _limits(parameter: Any) -> str:  # noqa: ANN401 -- as above
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f", {least} or more"
    return "" if most is None else f", {most} or less"


def _one_of(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _missing(problem: Any) -> str:  # noqa: ANN401 -- as above
    return f"{_name(problem.param)} is missing" if problem.param else _other(problem)


def _no_value(problem: Any) -> str:  # noqa: ANN401 -- as above
    return f"{problem.option_name} is given without a value"


def _no_option(problem: Any) -> str:  # noqa: ANN401 -- as above
    like = sorted(problem.possibilities or ())
    hint = f"; did you mean {_one_of(like)}?" if like else ""
    return f"there is no option {problem.option_name}{hint}"


def _other(problem: Any) -> str:  # noqa: ANN401 -- as above
    said = str(getattr(problem, "format_message", problem.__str__)())
    if match := _EXTRA.fullmatch(said):
        return f"nothing is expected after what was given, but there is: {match['words']}"
    if match := _VERB.fullmatch(said):
        like = re.findall(r"'(.*?)'", match["hint"])
        hint = f"; did you mean {_one_of(like)}?" if like else ""
        return f"there is no verb {match['verb']}{hint}"
    return said[:1].lower() + said[1:].rstrip(".")


_SAYINGS: Final[Mapping[str, Callable[[Any], str]]] = {
    "BadParameter": _bad_value,
    "MissingParameter": _missing,
    "BadOptionUsage": _no_value,
    "NoSuchOption": _no_option,
}
"""The library carries a copy of another one, whose errors it does not name: by their names."""
