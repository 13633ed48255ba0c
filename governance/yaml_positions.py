"""Read YAML so that every value remembers where it stands, and nothing is read two ways.

YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema): `NO`, `on` and `yes` are
text. Duplicate keys, anchors, aliases, tags and second documents are errors. Sequences become
tuples, mappings dicts whose keys are text, numbers ints or floats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

YamlPath = tuple[str | int, ...]
"""The way to a value: keys and indices from the root."""

SIZE_LIMIT_BYTES: Final = 1 << 20
DEPTH_LIMIT: Final = 32

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}")
_OCTAL: Final = re.compile(r"0o[0-7]{1,40}")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]{1,40}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file: line and column from 1, index from 0 in characters."""

    line: int
    column: int
    index: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value stands; `key` is where its key begins, if it has one."""

    start: Mark
    end: Mark
    key: Mark | None = None
    block: bool = False
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a path; `at_key` points at the key instead of the value.

    `against` is the other path that the sentence names; its line is said beside its name.
    """

    path: YamlPath
    sentence: str
    at_key: bool = False
    mark: Mark | None = None
    against: YamlPath = ()


@dataclass(slots=True)
class Located:
    """A file's value, where each part of it stands, and what is wrong with its form."""

    file: str
    text: str
    value: Any = None
    spans: dict[YamlPath, Span] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: YamlPath, *, at_key: bool = False) -> Mark:
        """Return where a path stands, or its nearest ancestor that does."""
        for length in range(len(path), -1, -1):
            span = self.spans.get(path[:length])
            if span is None:
                continue
            exact = length == len(path)
            return span.key if span.key and (at_key or not exact) else span.start
        return Mark(1, 1, 0)

    def place(self, path: YamlPath, *, at_key: bool = False) -> str:
        """Return `file:line:column` of a path."""
        mark = self.mark(path, at_key=at_key)
        return f"{self.file}:{mark.line}:{mark.column}"

    def refuse(self, problems: Iterable[Problem]) -> Refused:
        """Return the refusal that lists every problem, in the order of the file."""
        found = sorted(
            ((p.mark or self.mark(p.path, at_key=p.at_key), self._said(p)) for p in problems),
            key=lambda pair: (pair[0].index, pair[1]),
        )
        lines = [f"{self.file}:{mark.line}:{mark.column}: {said}" for mark, said in found]
        return Refused("\n".join(lines), rule="malformed-file")

    def _said(self, problem: Problem) -> str:
        if problem.against not in self.spans or not problem.against:
            return problem.sentence
        name = dotted(problem.against)
        line = f"{name} (line {self.mark(problem.against, at_key=True).line})"
        return problem.sentence.replace(name, line, 1)


def dotted(path: YamlPath) -> str:
    """Return a path as people write it: `data.features[2].range`."""
    said = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return said.removeprefix(".") or "the file"


def read(path: Path) -> Located:
    """Read a YAML file; problems of form that leave the rest readable are in `problems`.

    Raises:
        Refused: the file is missing, too large, not UTF-8 or not YAML at all.
    """
    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            raise Refused(
                f"the file is larger than {SIZE_LIMIT_BYTES} bytes",
                where=str(path),
                rule="malformed-file",
            )
        content = path.read_bytes()
    except OSError as problem:
        raise Refused(
            f"the file cannot be read: {problem.strerror}", where=str(path), rule="no-file"
        ) from None
    return parse(_decoded(content, str(path)), file=str(path))


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        column = problem.start - (content.rfind(b"\n", 0, problem.start) + 1) + 1
        raise Refused(
            "the file is not UTF-8 text",
            where=f"{file}:{line}:{column}",
            todo="Save it as UTF-8.",
            rule="malformed-file",
        ) from None


def parse(text: str, *, file: str) -> Located:
    """Read YAML text; `file` is what errors call it.

    Raises:
        Refused: the text is not YAML.
    """
    located = Located(file=file, text=text)
    try:
        _Reader(located).run()
    except yaml.MarkedYAMLError as problem:
        place = problem.problem_mark or problem.context_mark
        where = f"{file}:{place.line + 1}:{place.column + 1}" if place else file
        said = " ".join(part for part in (problem.context, problem.problem) if part)
        raise Refused(
            f"this is not YAML: {said}", where=where, todo=_likely(said), rule="malformed-file"
        ) from None
    except yaml.YAMLError as problem:
        raise Refused(
            f"this is not YAML: {' '.join(str(problem).split())}",
            where=file,
            rule="malformed-file",
        ) from None
    return located


def _likely(said: str) -> str:
    """Return what such a complaint of the parser mostly comes from."""
    if "'\\t'" in said:
        return "Indent with spaces, never with a tab."
    if "<block end>" in said or "mapping values" in said:
        return (
            "Look at the spaces before this line and the one above: fields that belong "
            "together begin in one column, and `:` stands once in a line."
        )
    return ""


def resolve(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means in YAML 1.2's core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Reader:
    """One pass over the parser's events."""

    def __init__(self, located: Located) -> None:
        self._out = located
        self._events: Iterator[yaml.Event] = yaml.parse(located.text, Loader=yaml.SafeLoader)

    def run(self) -> None:
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._problem((), "a second document begins; a file holds one", event)
                    return
                self._out.value = self._value((), next(self._events), None)

    def _problem(self, path: YamlPath, sentence: str, event: yaml.Event) -> None:
        self._out.problems.append(Problem(path, sentence, mark=_mark(event.start_mark)))

    def _value(self, path: YamlPath, event: yaml.Event, key: Mark | None) -> object:
        if len(path) > DEPTH_LIMIT:
            raise _malformed(f"more than {DEPTH_LIMIT} levels deep", event)
        self._refuse_marks(path, event)
        start, end = _mark(event.start_mark), _mark(event.end_mark)
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None
            self._out.spans[path] = Span(start, end, key, plain=plain)
            return resolve(event.value) if plain else event.value
        if isinstance(event, yaml.AliasEvent):
            self._out.spans[path] = Span(start, end, key)
            return None
        # None where a list stands at the column of its key.
        block = isinstance(event, yaml.CollectionStartEvent) and not event.flow_style
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._out.spans[path] = Span(start, end, key, block)
        return self._mapping(path) if mapping else self._sequence(path)

    def _refuse_marks(self, path: YamlPath, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._problem(path, f"*{event.anchor} is an alias, which is not allowed", event)
            return
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._problem(path, f"&{event.anchor} is an anchor, which is not allowed", event)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._problem(path, f"{tag} is a tag, which is not allowed", event)

    def _sequence(self, path: YamlPath) -> tuple[Any, ...]:
        items: list[Any] = []
        while True:
            event = next(self._events)
            if isinstance(event, yaml.SequenceEndEvent):
                self._ends(path, event)
                return tuple(items)
            items.append(self._value((*path, len(items)), event, None))

    def _mapping(self, path: YamlPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while True:
            event = next(self._events)
            if isinstance(event, yaml.MappingEndEvent):
                self._ends(path, event)
                return items
            key = self._key(path, event)
            below = (*path, key)
            if key in items:
                first = self._out.mark(below, at_key=True)
                said = f"{dotted(below)} stands here again; it is already in line {first.line}"
                self._problem(below, said, event)
                kept = {**self._out.spans}
                self._value(below, next(self._events), _mark(event.start_mark))
                self._out.spans.update(kept)
                continue
            items[key] = self._value(below, next(self._events), _mark(event.start_mark))

    def _key(self, path: YamlPath, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise _malformed("a key must be one word or number", event)
        self._refuse_marks(path, event)
        return event.value

    def _ends(self, path: YamlPath, event: yaml.Event) -> None:
        span = self._out.spans[path]
        self._out.spans[path] = Span(span.start, _mark(event.end_mark), span.key, span.block)


def _malformed(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]  # the stubs' own Mark


def _mark(mark: object) -> Mark:
    assert isinstance(mark, yaml.Mark)
    return Mark(mark.line + 1, mark.column + 1, mark.index)
