"""A proposal in plain words for the person who signs: what it means at this very hospital.

Two screens that need no data scientist: what changed, what is trained, what leaves and who can
read it, what it costs in ε and where the cap stops it, which columns are read, what happens to
who leaves. The digest of this text goes into the consent, beside the agreement's own.
"""

from __future__ import annotations

import hashlib
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement import classes
from governance.agreement.meaning import SHOUTED
from governance.agreement.meaning_training import noise_said
from governance.agreement.plan import change_lines, plan
from governance.counts import count, every, verb
from governance.privacy.accountant import epsilon, format_epsilon, rounds_within
from governance.privacy.releases import (
    decimal_text,
    of_all_evaluations,
    of_an_evaluation,
    of_the_statistics,
)
from governance.settings import ISOLATION_TERM
from protos.words import Digest
from site_agent import review_terms
from site_agent.acceptance import Law, objections, reasons
from site_agent.policy import cap_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from governance.agreement.data_terms import Feature, Target
    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.privacy.releases import Release
    from governance.settings import CohortSettings, ColumnMap, SiteSettings
    from protos.errors import Refused

WIDTH: Final = 79
_FEW_COLUMNS: Final = 12
"""So many are shown each with its feature and codes; of more, the columns alone."""
_COLUMNS_SHOWN: Final = 24


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What the officer is shown, and the figures in it.

    Attributes:
        text: All of it.
        digest: The text's SHA-256.
        cap: ε that this site may spend, the lower of its own and the agreement's.
        delta: δ of the cap.
        stops_in_round: The first round of the agreement that the cap does not bear; 0 for none.
        objections: Every reason for which this hospital's own file refuses the agreement.
        terms: All terms of the agreement, for who wants to read on; not what is signed.
    """

    text: str
    digest: Digest
    cap: float
    delta: float
    stops_in_round: int
    objections: tuple[Refused, ...]
    terms: str = ""

    @property
    def to_sign(self) -> str:
        """The text with lines for a signature on paper; its digest is the text's alone."""
        lines = ("Place and date", "Name and office", "Signature")
        blanks = "\n".join(f"\n{line:<16} {'_' * 50}" for line in lines)
        return f"{self.text}SHA-256   {self.digest} of the text above\n{blanks}\n"


@dataclass(frozen=True, slots=True)
class Place:
    """The hospital that reads it: its file, the cohort at stake and what was ever released.

    `trained` are the rounds of this very agreement that are among the releases, `measured` its
    evaluations with noise; `stated` is whether its statistics are among them.
    """

    settings: SiteSettings
    cohort: str
    releases: Sequence[Release]
    release: Release
    trained: int = 0
    measured: int = 0
    stated: bool = False

    def beside_training(self, agreement: Agreement) -> tuple[Release, ...]:
        """Return what noised figures and statistics that are still to be made would release."""
        left = max(0, agreement.evaluations - self.measured)
        figures = (of_an_evaluation(agreement).times(left),) if left else ()
        return figures if self.stated else (*figures, *of_the_statistics(agreement))


def review(document: Document, place: Place, *, last: Document | None = None) -> Reviewed:
    """Write the review of an agreement; `last` is the one this site consented to before.

    Raises:
        Refused: the agreement itself cannot be, as `plan` says.
    """
    planned = plan(document)
    agreement = document.agreement
    cap, delta = cap_of(agreement, place.settings.policy)
    stops = _stops_in(agreement, place, cap=cap, delta=delta)
    refused = objections(document, Law.of(place.settings))
    parts = [
        *_heading(document, place, refused),
        *_unsafe(planned.unsafe, place.settings),
        *_section("What changed since you last signed", _changes(document, last)),
        *_section(
            "What we would train, for whom, until when", review_terms.what(document, planned)
        ),
        *_section(
            "What leaves this hospital, and who can read it", review_terms.leaves(agreement)
        ),
        *_section("What it costs your patients", _cost(agreement, place, stops)),
        *_section("What is read here", _read_here(agreement, place)),
        *_section("If you leave", _leaving(planned.sections.get("exits", ()))),
        "All terms of the agreement: concilium-site review --full",
        f"Agreement {document.digest}",
        f"Material  {document.material}",
    ]
    text = _laid_out(parts)
    terms = [
        *(line for part in planned.parts for line in _section(part.title, part.sentences)),
        *_section("What is read here, column by column", _columns(agreement, place)),
    ]
    digest = Digest(hashlib.sha256(text.encode()).hexdigest())
    return Reviewed(text, digest, cap, delta, stops, refused, _laid_out(terms))


def _laid_out(blocks: Iterable[str]) -> str:
    return "\n".join(line for block in blocks for line in _wrapped(block)) + "\n"


def _heading(document: Document, place: Place, refused: Sequence[Refused]) -> Iterator[str]:
    agreement = document.agreement
    yield f"{agreement.title}: what {place.settings.name} is asked to consent to"
    yield ""
    if refused:
        yield f"This hospital's own file refuses it{reasons(refused)}"
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


def _read_here(agreement: Agreement, place: Place) -> Iterator[str]:
    cohort = place.settings.cohorts[place.cohort]
    yield (
        f"The cohort {place.cohort}: {cohort.source.csv}, patients by the column "
        f"{cohort.patient_id}. It is read here and never copied elsewhere. "
        f"{100 * cohort.held_out:g} % of the patients, chosen by a secret of this hospital, "
        "never train: new models are scored on them."
    )
    fields = _fields(agreement)
    missing = [field.name for field in fields if field.name not in cohort.map]
    yield from (
        f"{name}: site.yaml maps no column to it, so this cohort cannot train."
        for name in missing
    )
    known = {field.name: cohort.map[field.name] for field in fields if field.name in cohort.map}
    yield f"Your columns: {_named(known)}."
    unused = sorted(set(cohort.map) - {field.name for field in fields})
    if unused:
        yield f"Mapped in site.yaml, but not read for this agreement: {', '.join(unused)}."


def _named(known: Mapping[str, ColumnMap]) -> str:
    if len(known) <= _FEW_COLUMNS:
        said = (f"{name} from {one.column}{_how(one)}" for name, one in known.items())
        return "; ".join(said)
    columns = list(dict.fromkeys(one.column for one in known.values()))
    shown, rest = columns[:_COLUMNS_SHOWN], len(columns) - _COLUMNS_SHOWN
    more = f"; and {rest} more" if rest > 0 else ""
    return f"{'; '.join(shown)}{more}. What each is read as: --full"


def _fields(agreement: Agreement) -> list[Feature | Target]:
    return [agreement.data.target, *agreement.data.features]


def _columns(agreement: Agreement, place: Place) -> Iterator[str]:
    cohort = place.settings.cohorts[place.cohort]
    for field in _fields(agreement):
        yield _column(field.name, field.unit or "", cohort)


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
    rest = (place.release.times(_left(agreement, place)), *place.beside_training(agreement))
    after = epsilon([*place.releases, *rest], delta)
    yield (
        "ε bounds what anybody can learn of one patient, whatever is published and whatever "
        "they know already: taking part changes the odds of any conclusion about a patient by "
        f"at most e^ε, but for a chance of {_chance(delta)}. ε 1 is a factor of 2.7, ε 3 of "
        "20; smaller is safer."
    )
    yield (
        f"The cohort {place.cohort} has spent ε {format_epsilon(spent)} so far, over all "
        f"agreements and federations; {every(rounds, 'round')} of this one "
        f"{verb(rounds, 'brings', 'bring')} it to ε {format_epsilon(after)}: "
        f"a factor of {_factor(after)}."
    )
    yield (
        f"The cap is ε {decimal_text(cap)}: the lower of your own "
        f"({decimal_text(place.settings.policy.cap.epsilon)}) and the agreement's."
    )
    yield (
        f"It stops this hospital in round {stops} of {rounds}; what is spent stays spent."
        if stops
        else f"It does not stop this hospital within the {count(rounds, 'round')}."
    )
    if agreement.privacy is not None and agreement.privacy.target is not None:
        yield noise_said(agreement)
    yield _figures_covered(agreement, delta)
    if agreement.statistics_federated:
        alone = format_epsilon(epsilon(of_the_statistics(agreement), delta))
        yield f"ε counts the statistics, said once: ε {alone} if nothing else left."


def _figures_covered(agreement: Agreement, delta: float) -> str:
    if not agreement.metrics_noised:
        return "Held-out patients' figures are exact and not covered by ε."
    alone = format_epsilon(epsilon(of_all_evaluations(agreement), delta))
    return (
        f"That counts the figures of held-out patients: {count(agreement.evaluations, 'time')} "
        f"with noise, ε {alone} if nothing else left."
    )


def _factor(value: float) -> str:
    return f"{math.exp(value):,.0f}" if value > 3 else f"{math.exp(value):.1f}"


def _chance(delta: float) -> str:
    return f"1 in {1 / delta:,.0f}"


def _leaving(exits: Sequence[str]) -> Iterator[str]:
    yield from exits
    yield "To stop for a while: concilium-site pause"
    yield "To withdraw from the agreement: concilium-site withdraw"


def _stops_in(agreement: Agreement, place: Place, *, cap: float, delta: float) -> int:
    if math.isinf(cap):
        return 0
    left = _left(agreement, place)
    bears = rounds_within(
        place.release,
        already=[*place.releases, *place.beside_training(agreement)],
        cap=cap,
        delta=delta,
        most=left,
    )
    if bears >= left:
        return 0
    return min(place.trained + bears, agreement.schedule.rounds - 1) + 1


def _left(agreement: Agreement, place: Place) -> int:
    """Return how many rounds this site has not trained in yet."""
    return max(0, agreement.schedule.rounds - place.trained)


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
