"""The kinds of value that the three files are written in, and how each is written canonically.

Every kind says of itself what it must be, so that an error can name the valid range. Decimals
are floats here and shortest plain strings in canonical JSON; durations are seconds; dates are
instants; sizes are bytes; lists that are sets are sorted.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from governance.identity.names import is_name
from governance.json_shapes import (
    Checked,
    Written,
    alone_or_listed,
    exactly,
    pattern,
    without_repetition,
)
from governance.privacy.releases import decimal_text

CANONICAL: Final = "canonical"
"""Context key: the value comes from canonical JSON, where decimals are strings."""
FOLDER: Final = "folder"
"""Context key: the folder that relative paths start from."""

LARGEST_WHOLE: Final = 2**53 - 1
"""Other readers of JSON would round a larger one."""

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[smhd])+")
_SIZE: Final = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB|TiB)")
_SIZE_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_BITRATE: Final = re.compile(r"([0-9]{1,9})(kbit|Mbit|Gbit)/s")
_BIT_UNITS: Final = {"kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_UNSHOWN: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DECIMAL: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def must(phrase: str) -> PydanticCustomError:
    """Return the error of a value that is not what `phrase` says it must be."""
    return PydanticCustomError("must", "{phrase}", {"phrase": phrase})


def must_unseen(phrase: str) -> PydanticCustomError:
    """Return such an error for a value that may be secret and is not to be repeated."""
    return PydanticCustomError("must-unseen", "{phrase}", {"phrase": phrase})


def duration_text(seconds: int) -> str:
    """Return a duration in its largest whole units: `1d12h`, `20m`, `0s`."""
    said, left = "", seconds
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS_S[unit])
        said += f"{count}{unit}" if count else ""
    return said or "0s"


def is_canonical(info: ValidationInfo) -> bool:
    """Return whether the value at hand comes from canonical JSON."""
    context: dict[str, object] = info.context or {}
    return CANONICAL in context


def number(
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> Written:
    """Return the validator of a finite number in a range; it phrases the range itself."""
    phrase = _range_phrase(
        "a number", above=above, at_least=at_least, below=below, at_most=at_most
    )

    def check(value: object, info: ValidationInfo) -> float:
        if isinstance(value, str) and is_canonical(info) and _DECIMAL.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise must(phrase)
        try:
            found = float(value)
        except OverflowError:
            raise must(phrase) from None
        if not math.isfinite(found) or not (above < found < below):
            raise must(phrase)
        if not at_least <= found <= at_most:
            raise must(phrase)
        return found + 0.0

    limits = {
        "exclusiveMinimum": above,
        "minimum": at_least,
        "exclusiveMaximum": below,
        "maximum": at_most,
    }
    known = {name: limit for name, limit in limits.items() if math.isfinite(limit)}
    return Written(check, shape=exactly(type="number", description=phrase, **known))


def whole(at_least: int, at_most: int) -> Written:
    """Return the validator of a whole number in a range."""
    phrase = f"a whole number from {at_least} to {at_most}"

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise must(phrase)
        if not at_least <= value <= at_most:
            raise must(phrase)
        return value

    shape = exactly(type="integer", minimum=at_least, maximum=at_most, description=phrase)
    return Written(check, shape=shape)


def text(expression: str, phrase: str, *, longest: int = 200) -> Written:
    """Return the validator of text that matches a pattern as a whole."""
    compiled = re.compile(expression)

    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise must(phrase)
        if not compiled.fullmatch(value):
            raise must(phrase)
        return value

    return Written(check, shape=pattern(expression, phrase, longest=longest))


def _range_phrase(
    noun: str, *, above: float, at_least: float, below: float, at_most: float
) -> str:
    low = f"above {decimal_text(above)}" if math.isfinite(above) else ""
    low = low or (f"at least {decimal_text(at_least)}" if math.isfinite(at_least) else "")
    high = f"below {decimal_text(below)}" if math.isfinite(below) else ""
    high = high or (f"at most {decimal_text(at_most)}" if math.isfinite(at_most) else "")
    return " ".join([noun, " and ".join(part for part in (low, high) if part)]).strip()


def _measured(expression: re.Pattern[str], units: dict[str, int], phrase: str) -> Written:
    def check(value: object, info: ValidationInfo) -> int:
        if is_canonical(info) and isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                raise must(phrase)
            return value
        found = expression.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise must(phrase)
        measured = int(found[1]) * units[found[2]]
        if measured > LARGEST_WHOLE:
            raise must(phrase)
        return measured

    return Written(check, shape=pattern(expression.pattern, phrase))


def read_duration(value: object, info: ValidationInfo) -> int:
    """Read a duration as seconds; canonically it is a number of them."""
    phrase = DURATION_PHRASE
    if is_canonical(info) and isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise must(phrase)
        return value
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise must(phrase)
    parts = re.findall(r"([0-9]+)([smhd])", value)
    total = sum(int(count) * _UNITS_S[unit] for count, unit in parts)
    if total > 100 * 366 * 86400:
        raise must("a duration of at most a hundred years")
    return total


def _a_message(value: int) -> int:
    """Leave room for a mebibyte of an update and what stands around it."""
    if not 2 << 20 <= value <= 64 << 20:
        raise must("a size from 2MiB to 64MiB, such as 4MiB")
    return value


def _some_time(value: int) -> int:
    if value < 1:
        raise must("a duration of at least 1s")
    return value


def read_instant(value: object, *, end_of_day: bool) -> datetime:
    """Read a date or an RFC 3339 time; a bare date is its first or last microsecond in UTC."""
    phrase = INSTANT_PHRASE
    if not isinstance(value, str):
        raise must(phrase)
    try:
        if _DATE.fullmatch(value):
            day = date.fromisoformat(value)
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return start + timedelta(days=1, microseconds=-1) if end_of_day else start
        if _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise must(phrase) from None
    raise must(phrase)


def _named(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise must(NAME_PHRASE)
    return value


def misleads(text: str) -> bool:
    """Tell whether a text would not be shown as it is: control characters, turned directions.

    An officer signs what they see (CVE-2021-42574).
    """
    return any(
        (unicodedata.category(sign) in _UNSHOWN and sign not in "\n\t") or sign in _TURNING
        for sign in text
    )


def _line(value: object) -> str:
    phrase = LINE_PHRASE
    if not isinstance(value, str) or not 1 <= len(value) <= 200:
        raise must(phrase)
    if misleads(value) or "\n" in value or "\t" in value:
        raise must(phrase)
    return value


def _flag(value: object, info: ValidationInfo) -> bool:
    if is_canonical(info) and value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise must("true or false")
    return value


def _sorted_set(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise must(f"a list without repetition; {', '.join(twice)} stands in it twice")
    return tuple(sorted(values))


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _resolved(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or value[0] == "~" or misleads(value):
        raise must(PATH_PHRASE)
    folder: Path = (info.context or {}).get(FOLDER, Path())
    return folder / value


def _endpoint(value: object) -> str:
    phrase = ENDPOINT_PHRASE
    if not isinstance(value, str) or len(value) > 260:
        raise must(phrase)
    host, _, port = value.rpartition(":")
    named = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]", host)
    if not named or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise must(phrase)
    return value


NAME_PHRASE: Final = (
    "a name of 1 to 63 lower-case letters, digits and hyphens that begins and ends with a "
    "letter or digit"
)
DURATION_PHRASE: Final = "a duration such as 90s, 20m, 2h, 14d or 1h30m"
INSTANT_PHRASE: Final = "a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z"
LINE_PHRASE: Final = "one line of plain text, 1 to 200 characters"
ENDPOINT_PHRASE: Final = "a host and a port, such as fed.example.org:8443"
PATH_PHRASE: Final = "the path of a file or folder, written out"
_A_LINE: Final = exactly(type="string", minLength=1, maxLength=200, description=LINE_PHRASE)
DURATION_SHAPE: Final = pattern(_DURATION.pattern, DURATION_PHRASE)
_AN_INSTANT: Final = pattern(f"{_DATE.pattern}|{_INSTANT.pattern}", INSTANT_PHRASE)

Name = Annotated[
    str,
    Written(_named, shape=pattern(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", NAME_PHRASE)),
]
Flag = Annotated[bool, Written(_flag, shape=exactly(type="boolean"))]
Word = Annotated[
    str,
    text(
        r"[A-Za-z][A-Za-z0-9_]{0,62}",
        "a word of at most 63 letters, digits and underscores that begins with a letter",
    ),
]
Line = Annotated[str, Written(_line, shape=_A_LINE)]
KEY_PHRASE: Final = "a public key: ed25519: and 64 hexadecimal digits"
Key = Annotated[str, text(r"ed25519:[0-9a-f]{64}", KEY_PHRASE)]
Purpose = Annotated[
    str,
    text(
        r"DUO:[0-9]{7}|(?!DUO:).{1,200}",
        "a Data Use Ontology term such as DUO:0000006, or a line of the consortium's own words",
    ),
    AfterValidator(_line),
]
Country = Annotated[
    str, text(r"[A-Z]{2}", "a country's two letters (ISO 3166), such as NL", longest=2)
]
Clock = Annotated[
    str, text(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", 'a time of day such as "20:00"')
]
Digest64 = Annotated[str, text(r"(?:[0-9a-f]{64})?", "a SHA-256 in 64 hexadecimal digits")]
Endpoint = Annotated[
    str,
    Written(_endpoint, shape=pattern(r".+:[0-9]{1,5}", ENDPOINT_PHRASE, longest=260)),
]
FilePath = Annotated[Path, Written(_resolved, shape=pattern(r"[^~].*", PATH_PHRASE))]

Share = Annotated[float, number(at_least=0, at_most=1)]
PositiveShare = Annotated[float, number(above=0, at_most=1)]
OpenShare = Annotated[float, number(above=0, below=1)]
Positive = Annotated[float, number(above=0)]
NotNegative = Annotated[float, number(at_least=0)]
Finite = Annotated[float, number()]

Duration = Annotated[int, Written(read_duration, shape=DURATION_SHAPE)]
LongerThanZero = Annotated[
    int, AfterValidator(_some_time), Written(read_duration, shape=DURATION_SHAPE)
]
Size = Annotated[int, _measured(_SIZE, _SIZE_UNITS, "a size such as 512MiB or 8GiB")]
MessageSize = Annotated[
    int,
    AfterValidator(_a_message),
    _measured(_SIZE, _SIZE_UNITS, "a size from 2MiB to 64MiB, such as 4MiB"),
]
BitRate = Annotated[
    int, _measured(_BITRATE, _BIT_UNITS, "a rate such as 500kbit/s or 10Mbit/s")
]
Start = Annotated[
    datetime,
    Written(lambda value: read_instant(value, end_of_day=False), shape=_AN_INSTANT),
]
End = Annotated[
    datetime,
    Written(lambda value: read_instant(value, end_of_day=True), shape=_AN_INSTANT),
]

Listed = BeforeValidator(_listed)
"""A tuple that JSON brings as a list."""
OneOrMore = Written(_one_or_more, shape=alone_or_listed)
"""One word stands for a list of one."""
AsSet = Checked(_sorted_set, shape=without_repetition)
"""A list whose order says nothing: sorted, without repetition."""
