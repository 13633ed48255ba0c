"""The two programs' own files: site.yaml, which is the hospital's law, and coordinator.yaml.

Paths in them start from the file's folder. No agreement and no coordinator can widen what a
hospital's file says.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, ValidationInfo

from governance.agreement.party_terms import Window
from governance.agreement.schema import UNSAFE_TERMS
from governance.json_shapes import Written, exactly, pattern
from governance.yaml_models import Section, guess, validated
from governance.yaml_positions import Problem, read
from governance.yaml_values import (
    FOLDER,
    AsSet,
    Endpoint,
    FilePath,
    Finite,
    Flag,
    Line,
    Listed,
    LongerThanZero,
    MessageSize,
    Name,
    OneOrMore,
    OpenShare,
    Purpose,
    Size,
    Word,
    must,
    must_unseen,
    number,
    text,
    whole,
)
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

ISOLATION_TERM: Final = "no-isolation"
SITE_UNSAFE_TERMS: Final = (*UNSAFE_TERMS, ISOLATION_TERM)
"""What a hospital must name in its own file before it accepts it."""

UnsafeTerm = Literal[
    "no-noise", "no-privacy", "fixed-noise-seed", "exact-small-classes", "no-isolation"
]
SiteEvent = Literal["consent-due", "budget-80", "certificate-30d", "fork", "task-refused"]
CoordinatorEvent = Literal[
    "site-offline-24h", "round-abandoned-3", "fork", "certificate-30d", "disk-10"
]


def _encoding(value: object) -> str:
    try:
        if isinstance(value, str) and "x".encode(value):  # base64 is a codec of no text
            return codecs.lookup(value).name
    except (LookupError, ValueError):
        raise must("the name of a text encoding, such as utf-8 or latin-1") from None
    raise must("the name of a text encoding, such as utf-8 or latin-1")


def _code(value: object) -> object:
    """Read a code's meaning as text: `J: 1` and `J: "1"` are the same."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _database(value: object, info: ValidationInfo) -> str:
    """Resolve a SQLite file against the folder; a URL may hold a password and is not shown."""
    url = _resolved(value, (info.context or {}).get(FOLDER, Path()))
    if url is None:
        raise must_unseen(_DATABASES)
    return url


def database_url(text: str, folder: Path) -> str:
    """Return the URL that `database` in a folder's coordinator.yaml would mean.

    Raises:
        Refused: it is none of SQLite or PostgreSQL; it is not repeated, it may hold a password.
    """
    url = _resolved(text, folder.resolve())
    if url is None:
        raise Refused(f"the database must be {_DATABASES}", rule="bad-database")
    return url


def _resolved(value: object, folder: Path) -> str | None:
    if isinstance(value, str) and value.startswith("sqlite:///") and len(value) > 10:
        return f"sqlite:///{folder / value.removeprefix('sqlite:///')}"
    if isinstance(value, str) and re.fullmatch(r"postgresql(?:\+psycopg)?://\S+", value):
        return value
    return None


_DATABASES: Final = "a URL such as sqlite:///state/coordinator.db or postgresql://…"
_AN_ENCODING: Final = exactly(
    type="string", description="the name of a text encoding", examples=["utf-8", "latin-1"]
)
_A_CODE: Final = exactly(type=["string", "integer"])
_A_DATABASE: Final = pattern(
    r"sqlite:///.+|postgresql(?:\+psycopg)?://\S+", "a URL of SQLite or PostgreSQL"
)

Proxy = Annotated[
    str,
    text(
        r"none|env|http://[A-Za-z0-9.-]+:[0-9]{1,5}/?",
        "none, env (the machine's proxy variables) or http://host:port",
    ),
]
HostName = Annotated[
    str,
    text(
        r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*",
        "a DNS name, such as fed.example.org",
        longest=253,
    ),
]
ModelName = Annotated[
    str,
    text(
        r"builtin:[a-z][a-z0-9-]{0,62}|[0-9a-f]{64}",
        "builtin: and a model's name, or the SHA-256 of a wheel that was approved here",
    ),
]


class Source(Section):
    """Where a cohort's records are, and how its numbers are written."""

    csv: FilePath
    encoding: Annotated[str, Written(_encoding, shape=_AN_ENCODING)] = "utf-8"
    decimal: Literal["point", "comma"] = "point"


class ColumnMap(Section):
    """The hospital's column for a feature: value × scale + offset, or its codes' meaning."""

    column: Line
    scale: Finite = 1.0
    offset: Finite = 0.0
    codes: dict[str, Annotated[str, Written(_code, shape=_A_CODE)]] | None = None


class CohortSettings(Section):
    """Patients under one name, whose privacy budget outlives agreements and federations.

    `held_out` is the share that never trains; `map` is by the agreement's names.
    """

    source: Source
    patient_id: Line
    held_out: OpenShare = 0.2
    map: Annotated[dict[Word, ColumnMap], Field(min_length=1)]


class FederationSettings(Section):
    """One federation that this hospital is in."""

    coordinator: Endpoint
    folder: FilePath
    cohort: Name
    proxy: Proxy = "none"


class Cap(Section):
    """The ε at this δ over everything ever released from a cohort."""

    epsilon: Annotated[float, number(above=0, at_most=1000)]
    delta: OpenShare


class SitePolicy(Section):
    """What this hospital permits; each rule is asked before each task."""

    cap: Cap
    minimum_sites: Annotated[int, whole(1, 1000)] = 3
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1), AsSet, OneOrMore, Listed]
    models: Annotated[tuple[ModelName, ...], Field(min_length=1), AsSet, OneOrMore, Listed]
    require_secure_aggregation: Flag = True
    quiet_hours: Window | None = None
    bytes_per_day: Size | None = None
    witness_lag: LongerThanZero = 86_400
    unsafe: Annotated[tuple[UnsafeTerm, ...], AsSet, OneOrMore, Listed] = ()


class Listen(Section):
    """An address to listen on."""

    listen: Endpoint


class Resources(Section):
    """What the training worker may use, and whether it must be confined."""

    threads: Annotated[int, whole(1, 1024)] = 4
    memory: Size | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    isolation: Literal["required", "none"] = "required"

    @property
    def compute(self) -> str:
        """Where training and evaluation are computed; `auto` is the processor."""
        return "cuda" if self.device == "cuda" else "cpu"


class SiteNotify(Section):
    """The program that is told of events, and of which."""

    run: Annotated[tuple[Line, ...], Field(min_length=1), OneOrMore, Listed]
    events: Annotated[tuple[SiteEvent, ...], AsSet, OneOrMore, Listed]


class SiteSettings(Section):
    """A hospital's file."""

    site: Literal[1]
    name: Name
    state: FilePath
    officer_key: FilePath | None = None
    federations: Annotated[tuple[FederationSettings, ...], Listed] = ()
    cohorts: dict[Name, CohortSettings] = Field(default_factory=dict)
    policy: SitePolicy
    metrics: Listen | None = None
    resources: Resources = Resources()
    notify: SiteNotify | None = None
    rehearsal: Flag = False


class Spool(Section):
    """Where updates wait for their round, and how many bytes a hospital's may take."""

    folder: FilePath
    quota_per_site: Size = 4 << 30


class Keep(Section):
    """What is kept on disk."""

    models: Literal["all"] = "all"
    updates: Literal["until-final"] = "until-final"


class Limits(Section):
    """What one hospital may ask of the coordinator.

    `sessions_per_site` that were replaced may stand beside the newest until their goodbye is
    read; `message` is the largest that is read of anybody, in bytes.
    """

    sessions_per_site: Annotated[int, whole(1, 16)] = 1
    message: MessageSize = 4 << 20
    session_messages_per_second: Annotated[int, whole(1, 100_000)] = 50


class CoordinatorNotify(Section):
    """The program that is told of events, and of which."""

    run: Annotated[tuple[Line, ...], Field(min_length=1), OneOrMore, Listed]
    events: Annotated[tuple[CoordinatorEvent, ...], AsSet, OneOrMore, Listed]


class CoordinatorSettings(Section):
    """The coordinator's file."""

    coordinator: Literal[1]
    federation: Name
    host: HostName
    listen: Endpoint
    enrolment: Listen | None = None
    database: Annotated[str, Field(repr=False), Written(_database, shape=_A_DATABASE)]
    spool: Spool
    keep: Keep = Keep()
    limits: Limits = Limits()
    metrics: Listen | None = None
    notify: CoordinatorNotify | None = None


def load_site(path: Path) -> SiteSettings:
    """Read a hospital's file.

    Raises:
        Refused: with every error of the file, each with its place.
    """
    context = {FOLDER: path.resolve().parent}
    return validated(SiteSettings, read(path), context=context, further=_site_problems)


def load_coordinator(path: Path) -> CoordinatorSettings:
    """Read the coordinator's file.

    Raises:
        Refused: with every error of the file, each with its place.
    """
    return validated(CoordinatorSettings, read(path), context={FOLDER: path.resolve().parent})


def cohort_of(settings: SiteSettings, federation: FederationSettings) -> CohortSettings:
    """Return the cohort that a federation trains on; `load_site` saw to it that it is there."""
    return settings.cohorts[federation.cohort]


def _site_problems(site: SiteSettings) -> Iterator[Problem]:
    known = ", ".join(site.cohorts) or "none"
    for index, federation in enumerate(site.federations):
        if federation.cohort not in site.cohorts:
            said = f"is {federation.cohort!r}, but must be one of cohorts: {known}"
            said += guess(federation.cohort, site.cohorts)
            path = ("federations", index, "cohort")
            yield Problem(path, f"federations[{index}].cohort {said}")
    if site.resources.isolation == "none" and ISOLATION_TERM not in site.policy.unsafe:
        said = f"is none, but policy.unsafe does not list {ISOLATION_TERM}"
        yield Problem(("resources", "isolation"), f"resources.isolation {said}")
    for name, cohort in site.cohorts.items():
        for feature, mapped in cohort.map.items():
            valued = any(value != "missing" for value in (mapped.codes or {}).values())
            if valued and (mapped.scale != 1 or mapped.offset != 0):
                said = "has a unit, beside which codes may stand for missing alone"
                steps = ("cohorts", name, "map", feature)
                yield Problem(steps, f"{'.'.join(steps)} {said}")
