"""Who takes part, who decides and for how long: an agreement's terms about its parties."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field

from governance.json_shapes import NULL, Json, Written, either, exactly, pattern
from governance.yaml_models import Section, guess
from governance.yaml_values import (
    KEY_PHRASE,
    AsSet,
    BitRate,
    Clock,
    Country,
    End,
    Key,
    Line,
    Listed,
    Name,
    OneOrMore,
    Positive,
    Size,
    Start,
    must,
    text,
    whole,
)

Act = Literal[
    "erase", "hold", "invite", "propose", "recall", "recover", "release", "remove", "replace",
    "revoke", "rotate-key", "settle",
]  # fmt: skip
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Metric = Literal["auc", "accuracy", "log-loss", "brier", "rmse"]
Count = Annotated[int, whole(1, 1000)]


def _zone(value: object) -> object:
    phrase = "a time zone such as Europe/Berlin"
    try:
        if isinstance(value, str):
            return ZoneInfo(value).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise must(f"{phrase}{guess(str(value), available_timezones())}") from None
    raise must(phrase)


Zone = Annotated[
    str,
    Written(_zone, shape=pattern(r"[A-Za-z0-9_+/-]+", "a time zone such as Europe/Berlin")),
]


def _officer_keys(value: object) -> object:
    """Take no key (a draft), one key, or a list of the keys that must all sign."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _names_alone(value: object) -> object:
    """Take a draft's list of names as names without keys."""
    if isinstance(value, tuple) and all(isinstance(name, str) for name in value):
        if len(set(value)) < len(value):
            raise must("a list without repetition")
        return dict.fromkeys(value)
    return value


def _all_or_number(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise must("all, or how many hospitals are drawn for each round")


def _keys_or_none(inner: Json) -> Json:
    return {"anyOf": [inner, inner["items"], NULL]}


def _names_or_keys(inner: Json) -> Json:
    names = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    return {"anyOf": [inner, names]}


OfficerKeys = Annotated[
    tuple[Key, ...],
    Field(max_length=10),
    AsSet,
    Written(_officer_keys, shape=_keys_or_none),
    Listed,
]
OperatorKey = Annotated[
    str,
    text(r"(?:ed25519:[0-9a-f]{64})?", KEY_PHRASE),
    Written(lambda value: "" if value is None else value, shape=either(NULL)),
]


_ALL_OR_NUMBER: Final = exactly(anyOf=[{"const": "all"}, {"type": "integer", "minimum": 1}])


class Coordinator(Section):
    """Who runs the coordinator, and under which country's law."""

    operator: Line
    hosted_in: Country


class Valid(Section):
    """From which instant to which the agreement holds."""

    from_: Start = Field(alias="from")
    until: End


class Requires(Section):
    """What a hospital's machine must have: bytes of memory, bits a second upward."""

    memory: Size | None = None
    upload: BitRate | None = None


class Sites(Section):
    """The hospitals, each with the officer keys that must sign; none yet in a draft."""

    roster: Annotated[
        dict[Name, OfficerKeys],
        Field(min_length=1, max_length=1000),
        Written(_names_alone, shape=_names_or_keys),
    ]
    ready_at_least: Count
    close_at_least: Count
    per_round: Annotated[
        int | Literal["all"], Written(_all_or_number, shape=_ALL_OR_NUMBER)
    ] = "all"
    requires: Requires = Requires()


class Operators(Section):
    """Whose acts count, and which acts need two of them; a key is empty in a draft."""

    keys: Annotated[
        dict[Name, OperatorKey],
        Field(min_length=1, max_length=100),
        Written(_names_alone, shape=_names_or_keys),
    ]
    two_for: Annotated[tuple[Act, ...], AsSet, OneOrMore, Listed] = ()


class Window(Section):
    """Hours of some days in a time zone; `to` before `from` goes over midnight."""

    days: Annotated[tuple[Day, ...], Field(min_length=1), AsSet, OneOrMore, Listed]
    from_: Clock = Field(alias="from")
    to: Clock
    zone: Zone


class Stop(Section):
    """When enough is reached: a figure, or so many evaluations without a better one."""

    metric: Metric
    reached: Positive | None = None
    patience: Count | None = None


class Schedule(Section):
    """How many rounds, when they may run, and when they stop early."""

    rounds: Annotated[int, whole(1, 100_000)]
    window: Window | None = None
    stop: Stop | None = None


class Release(Section):
    """How a model card speaks of the hospitals."""

    sites: Literal["names", "number"] = "number"


class Disclosures(Section):
    """Who may read what stands behind a commitment in the ledger."""

    visible_to: Literal["members", "auditors"] = "members"


class Exits(Section):
    """What becomes of models and training when a hospital leaves."""

    releases: Literal["keep", "recall"] = "keep"
    training: Literal["continue", "retrain-from-before"] = "continue"
