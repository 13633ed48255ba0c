"""JSON Schemas (draft 2020-12) of the three files, made from the models that validate them.

Rules between fields are not in them: a file that an editor finds right may still be refused,
with a sentence that says why.
"""

from __future__ import annotations

import json
import tomllib
import typing
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from governance.agreement.classes import CLASS_OF, Klass
from governance.agreement.schema import Agreement
from governance.settings import CoordinatorSettings, SiteSettings
from governance.yaml_models import below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from governance.json_shapes import Json

MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "agreement": Agreement,
    "site": SiteSettings,
    "coordinator": CoordinatorSettings,
}
"""What each file is read as, by the file's name without its ending."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ASKS: Final[Mapping[Klass, str]] = {
    Klass.MATERIAL: "[m] material: every hospital consents anew to a change",
    Klass.OPERATIONAL: "[o] operational: a change is announced",
    Klass.EDITORIAL: "[e] editorial: a change asks nothing",
}


def schema(name: str) -> Json:
    """Return the JSON Schema of a file: `agreement`, `site` or `coordinator`."""
    model = MODELS[name]
    made = model.model_json_schema(by_alias=True)
    for section in sections(model):
        at = made if section is model else made["$defs"][section.__name__]
        at.pop("description", None)  # of the values once they are read
        for key, means in meanings(section).items():
            at["properties"][key] = _with(at["properties"][key], before=means)
    if model is Agreement:
        for path, klass in CLASS_OF.items():
            place, key = _place(made, model, path)
            place[key] = _with(place[key], after=_ASKS[klass])
    head = {"$schema": DIALECT, "title": f"Concilium: {name}.yaml"}
    return {**head, **_as_written({k: v for k, v in made.items() if k != "title"})}


def file_name(name: str) -> str:
    """Return what a file's schema is called."""
    return f"{name}.schema.json"


def write(folder: Path, *names: str) -> list[Path]:
    """Write the schemas of these files, or of all three, and return where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names or MODELS:
        path = folder / file_name(name)
        text = json.dumps(schema(name), indent=2, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")
        written.append(path)
    return written


def modeline(name: str) -> str:
    """Return the comment by which an editor finds the schema that lies beside a file."""
    return f"# yaml-language-server: $schema={file_name(name)}\n"


def meanings(section: type[BaseModel]) -> Mapping[str, str]:
    """Return what each key of a section means."""
    return _catalogue().get(section.__name__, {})


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and every section inside it, each once."""
    seen: set[type[BaseModel]] = set()
    waiting = [model]
    while waiting:
        section = waiting.pop()
        if section not in seen:
            seen.add(section)
            yield section
            for field in section.model_fields.values():
                waiting += _models_in(field.annotation)


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in typing.get_args(annotation) for m in _models_in(part)]


@cache
def _catalogue() -> Mapping[str, Mapping[str, str]]:
    text = resources.files("governance").joinpath("field_meanings.toml").read_text("utf-8")
    return tomllib.loads(text)


def _place(made: Json, model: type[BaseModel], path: str) -> tuple[Json, str]:
    """Return where a key stands by its path from the file's top: its neighbours, and itself."""
    at: object = model
    section = model
    for step in path.split("."):
        found = _models_in(at)
        section = found[0] if found else section
        at = below(at, step)
    place = made if section is model else made["$defs"][section.__name__]
    return place["properties"], path.rpartition(".")[2]


def _with(at: Json, *, before: str = "", after: str = "") -> Json:
    """Return a schema whose description says more; what was said stays said once."""
    told = at.get("description", "")
    parts = [before, told, "" if after in told else after]
    return {**at, "description": "\n".join(part for part in parts if part)}


def _as_written(part: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema without what is said of values after they were read."""
    if isinstance(part, list):
        return [_as_written(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {
        key: _named(inner) if key in {"properties", "$defs"} else _as_written(inner)
        for key, inner in part.items()
        if key not in {"title", "propertyNames", "default"}
    }
    if "patternProperties" in made:
        made["additionalProperties"] = False
    if _is_written_so(part):
        made["default"] = part["default"]
    return made


def _named(entries: Json) -> Json:
    return {name: _as_written(inner) for name, inner in entries.items()}


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def _is_written_so(part: Json) -> bool:
    """Tell whether a default is written in the file as it is held; seconds are not."""
    default = part.get("default")
    if default in (None, ""):
        return False
    if "anyOf" in part:
        return any(default == one.get("const") for one in part["anyOf"])
    return isinstance(default, _TYPES.get(part.get("type", ""), ()))
