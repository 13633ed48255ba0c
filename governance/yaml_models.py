"""From YAML with positions to a frozen model, or every error of the file at once.

An error reads `file:line:column: path is VALUE, but must be …`.
"""

from __future__ import annotations

import difflib
import types
import typing
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from governance.json_shapes import Offered
from governance.yaml_positions import Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from governance.yaml_positions import Located, YamlPath


class Section(BaseModel):
    """A part of a file: frozen, strict, and no key that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=False, validate_by_alias=True
    )


Model = TypeVar("Model", bound=Section)

_KINDS: Final[Mapping[str, str]] = {
    "string_type": "text",
    "bool_type": "true or false",
    "dict_type": "a mapping of names to values",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "float_type": "a number",
}


def validated(
    model: type[Model],
    located: Located,
    *,
    context: Mapping[str, object],
    further: Callable[[Model], Iterable[Problem]] = lambda _: (),
) -> Model:
    """Return the model that a file describes.

    Args:
        model: What the file must be.
        located: The file as read.
        context: What the validators need to know.
        further: Rules between fields, asked when every field by itself is right.

    Raises:
        Refused: with all that is wrong, each with its place.
    """
    problems = list(located.problems)
    try:
        made = model.model_validate(located.value, context=dict(context))
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise located.refuse([*problems, *explained(model, details)]) from None
    problems += further(made)
    if problems:
        raise located.refuse(problems)
    return made


def explained(model: type[BaseModel], details: Sequence[ErrorDetails]) -> list[Problem]:
    """Turn a model's errors into sentences at paths."""
    places = [detail["loc"] for detail in details]

    def follows(detail: ErrorDetails) -> bool:
        """A list is too short only because elements of it were no good."""
        at = detail["loc"]
        inside = (place[: len(at)] == at and len(place) > len(at) for place in places)
        return detail["type"] == "too_short" and any(inside)

    return [_explained(model, detail) for detail in details if not follows(detail)]


def shown(value: object) -> str:
    """Return a value as it may stand in a sentence: short, on one line."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    said = str(value) if isinstance(value, int | float) else repr(str(value))
    return said if len(said) <= 60 else f"{said[:57]}…"


def guess(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean X?)` when a known word is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _explained(model: type[BaseModel], detail: ErrorDetails) -> Problem:
    path: YamlPath = tuple(step for step in detail["loc"] if step != "[key]")
    if detail["type"] == "missing":
        return Problem(path, f"{dotted(path)} is missing, but must be given")
    if detail["type"] == "extra_forbidden":
        return _unknown_key(model, path)
    unseen = detail["type"] == "must-unseen"
    subject = f"{dotted(path)} is {'not shown here' if unseen else shown(detail['input'])}"
    if detail["type"] == "literal_error":
        return Problem(path, f"{subject}, but must be {_choice(model, path, detail)}")
    at_key = bool(detail["loc"]) and detail["loc"][-1] == "[key]"
    return Problem(path, f"{subject}, but must be {_required(model, path, detail)}", at_key)


def _choice(model: type[BaseModel], path: YamlPath, detail: ErrorDetails) -> str:
    expected = str(detail["ctx"]["expected"])
    known = [word.strip("' ") for word in expected.replace(" or ", ", ").split(",")]
    known = list(_offered(model, path)) or known
    named = [f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]]
    return "".join([*named, guess(str(detail["input"]), known)])


def _offered(model: type[BaseModel], path: YamlPath) -> tuple[str, ...]:
    """Return the words of a choice that run today, none where all of them do."""
    section = _section(model, path[:-1])
    fields = section.model_fields.items() if section else ()
    here = [field for name, field in fields if path[-1] == (field.alias or name)]
    told = [m for field in here for m in field.metadata if isinstance(m, Offered)]
    return told[0].words if told else ()


def _required(model: type[BaseModel], path: YamlPath, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in {"must", "must-unseen"}:
        return str(context["phrase"])
    if kind in {"too_short", "too_long"}:
        limit = context.get("min_length", context.get("max_length"))
        noun = "mapping" if context.get("field_type") == "Dictionary" else "list"
        return f"a {noun} of at {'least' if kind == 'too_short' else 'most'} {limit}"
    if kind in {"model_type", "model_attributes_type"}:
        section = _section(model, path)
        return f"a mapping with {', '.join(_keys(section))}" if section else "a mapping"
    return _KINDS.get(kind, detail["msg"])


def _unknown_key(model: type[BaseModel], path: YamlPath) -> Problem:
    section = _section(model, path[:-1])
    known = _keys(section) if section else []
    hint = guess(str(path[-1]), known)
    said = f"{dotted(path)} is a key that is not known here, but must be one of"
    return Problem(path, f"{said} {', '.join(known)}{hint}", at_key=True)


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _section(model: type[BaseModel], path: YamlPath) -> type[BaseModel] | None:
    """Return the model that stands at a path."""
    at: object = model
    for step in path:
        at = below(at, step)
        if at is None:
            return None
    return _as_model(at)


def below(annotation: object, step: str | int) -> object:
    """Return what stands below a part of a file by a key or an index, None for nothing."""
    section = _as_model(annotation)
    if section is not None:
        for name, field in section.model_fields.items():
            if step == (field.alias or name):
                return field.annotation
        return None
    for part in _parts(annotation):
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is tuple and isinstance(step, int):
            return typing.cast("object", arguments[0])
        if origin is dict and isinstance(step, str):
            return typing.cast("object", arguments[1])
    return None


def _parts(annotation: object) -> list[object]:
    """Return what an annotation allows, without its metadata and None."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _parts(typing.get_args(annotation)[0])
    if origin in {types.UnionType, typing.Union}:
        inner = [_parts(part) for part in typing.get_args(annotation)]
        return [part for parts in inner for part in parts if part is not type(None)]
    return [annotation]


def _as_model(annotation: object) -> type[BaseModel] | None:
    for part in _parts(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None
