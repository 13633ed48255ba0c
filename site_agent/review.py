"""A proposal in plain words for the person who signs: what it means at this very hospital.

The same facts as the operator's plan, then what only the hospital knows: which of its columns
are read, what its patients have spent already, in which round its cap stops it, what changed
since it last signed. The digest of this text goes into the consent.
"""

from __future__ import annotations

import hashlib
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement import classes
from governance.agreement.meaning import SHOUTED
from governance.agreement.plan import change_lines, plan
from governance.privacy.accountant import epsilon, format_epsilon, rounds_within
from governance.privacy.releases import decimal_text
from governance.settings import ISOLATION_TERM
from protos.errors import Refused
from protos.words import Digest
from site_agent.policy import Law, cap_of, check_terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.privacy.releases import Release
    from governance.settings import CohortSettings, ColumnMap, SiteSettings

WIDTH: Final = 96


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the officer is shown, and the figures in it.

    Attributes:
        text: All of it.
        digest: The text's SHA-256.
        cap: ε that this site may spend, the lower of its own and the agreement's.
        delta: δ of the cap.
        stops_in_round: The first round of the agreement that the cap does not bear; 0 for none.
        objection: Why this hospital's own file refuses the agreement, or empty.
    """

    text: str
    digest: Digest
    cap: float
    delta: float
    stops_in_round: int
    objection: str


@dataclass(frozen=True, slots=True)
class Place:
    """The hospital that reads it: its file, the cohort at stake and what was ever released.

    `trained` are the rounds of this very agreement that are among the releases.
    """

    settings: SiteSettings
    cohort: str
    releases: Sequence[Release]
    release: Release
    trained: int = 0


def review(document: Document, place: Place, *, last: Document | None = None) -> Reviewed:
    """Write the review of an agreement; `last` is the one this site consented to before.

    Raises:
        Refused: the agreement itself cannot be, as `plan` says.
    """
    planned = plan(document)
    cap, delta = cap_of(document.agreement, place.settings.policy)
    stops = _stops_in(document.agreement, place, cap=cap, delta=delta)
    objection = _objection(document, place.settings)
    parts = [
        *_heading(document, place, objection),
        *_unsafe(planned.unsafe, place.settings),
        *_section("What changed since you last signed", _changes(document, last)),
        *(
            line
            for part in planned.parts
            if part.key != "exits"
            for line in _section(part.title, part.sentences)
        ),
        *_section("What is read here", _mapping(document.agreement, place)),
        *_section("What it costs this hospital", _cost(document.agreement, place, stops)),
        *_section("If you leave", _leaving(planned.sections.get("exits", ()))),
        f"Agreement {document.digest}",
        f"Material  {document.material}",
    ]
    text = "\n".join(line for block in parts for line in _wrapped(block)) + "\n"
    digest = Digest(hashlib.sha256(text.encode()).hexdigest())
    return Reviewed(text, digest, cap, delta, stops, objection)


def _heading(document: Document, place: Place, objection: str) -> Iterator[str]:
    agreement = document.agreement
    yield f"{agreement.title}: what {place.settings.name} is asked to consent to"
    yield ""
    if objection:
        yield f"This hospital's own file refuses it: {objection}"
        yield ""


def _unsafe(terms: frozenset[str], settings: SiteSettings) -> Iterator[str]:
    said = [f"UNSAFE ({term}): {SHOUTED[term]}" for term in sorted(terms)]
    if settings.resources.isolation == "none":
        said.append(f"UNSAFE ({ISOLATION_TERM}): the training worker here is not confined.")
    yield from said
    if said:
        yield ""


def _section(title: str, sentences: Sequence[str] | Iterator[str]) -> Iterator[str]:
    said = tuple(sentences)
    if said:
        yield title
        yield from (f"  {sentence}" for sentence in said)
        yield ""


def _changes(document: Document, last: Document | None) -> Iterator[str]:
    if last is None:
        yield "You have not signed an agreement of this federation before."
        return
    changed = classes.changes(last.fields(), document.fields())
    yield from change_lines(changed)


def _mapping(agreement: Agreement, place: Place) -> Iterator[str]:
    cohort = place.settings.cohorts[place.cohort]
    yield (
        f"The cohort {place.cohort}: {cohort.source.csv}, patients by the column "
        f"{cohort.patient_id}. It is read here and never copied elsewhere."
    )
    yield (
        f"{100 * cohort.held_out:g} % of the patients, chosen by a secret of this hospital, "
        "never train; new models are scored on them."
    )
    for feature in agreement.data.features:
        yield _column(feature.name, feature.unit or "", cohort)
    target = agreement.data.target
    yield _column(target.name, target.unit or "", cohort)
    unused = sorted(set(cohort.map) - {f.name for f in agreement.data.features} - {target.name})
    if unused:
        yield f"Mapped in site.yaml, but not read for this agreement: {', '.join(unused)}."


def _column(name: str, unit: str, cohort: CohortSettings) -> str:
    mapped = cohort.map.get(name)
    if mapped is None:
        return f"{name}: site.yaml maps no column to it, so this cohort cannot train."
    return f"{name}{f' ({unit})' if unit else ''}: your column {mapped.column}{_how(mapped)}"


def _how(mapped: ColumnMap) -> str:
    if mapped.codes:
        codes = ", ".join(f"{code} is {meaning}" for code, meaning in mapped.codes.items())
        return f", where {codes}"
    scale = f" × {decimal_text(mapped.scale)}" if mapped.scale != 1 else ""
    offset = f" {mapped.offset:+g}" if mapped.offset else ""
    return f"{scale}{offset}"


def _cost(agreement: Agreement, place: Place, stops: int) -> Iterator[str]:
    cap, delta = cap_of(agreement, place.settings.policy)
    if math.isinf(cap):
        yield "There is no noise, so that no ε bounds what leaves can tell of a patient."
        return
    rounds = agreement.schedule.rounds
    spent = epsilon(place.releases, delta)
    after = epsilon([*place.releases, place.release.times(_left(agreement, place))], delta)
    yield (
        f"The cohort {place.cohort} has spent ε {format_epsilon(spent)} so far, over all "
        f"agreements and federations; all {rounds} rounds of this one bring it to ε "
        f"{format_epsilon(after)} at δ {decimal_text(delta)}."
    )
    yield (
        f"The cap is ε {decimal_text(cap)}: the lower of your own "
        f"({decimal_text(place.settings.policy.cap.epsilon)}) and the agreement's."
    )
    yield (
        f"It stops this hospital in round {stops} of {rounds}; what is spent stays spent."
        if stops
        else f"It does not stop this hospital within the {rounds} rounds."
    )


def _leaving(exits: Sequence[str]) -> Iterator[str]:
    yield from exits
    yield "To stop for a while: concilium-site pause. To withdraw: concilium-site withdraw."


def _stops_in(agreement: Agreement, place: Place, *, cap: float, delta: float) -> int:
    if math.isinf(cap):
        return 0
    left = _left(agreement, place)
    bears = rounds_within(
        place.release, already=place.releases, cap=cap, delta=delta, most=left
    )
    if bears >= left:
        return 0
    return min(place.trained + bears, agreement.schedule.rounds - 1) + 1


def _left(agreement: Agreement, place: Place) -> int:
    """Return how many rounds this site has not trained in yet."""
    return max(0, agreement.schedule.rounds - place.trained)


def _objection(document: Document, settings: SiteSettings) -> str:
    law = Law(settings.name, settings.policy, settings.resources.isolation)
    try:
        check_terms(document, law)
    except Refused as refusal:
        return str(refusal)
    return ""


def _wrapped(block: str) -> list[str]:
    lines: list[str] = []
    for line in block.split("\n"):
        indent = " " * (len(line) - len(line.lstrip(" ")))
        lines += textwrap.wrap(
            line.strip(),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_on_hyphens=False,
        ) or [""]
    return lines
