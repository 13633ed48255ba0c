"""What an agreement means, costs and changes, before anybody is asked; or why it cannot be.

The same plan is shown to the operator by `plan`, and to each hospital by `review`.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement import classes, meaning, refusals
from governance.agreement.classes import Change, Klass
from governance.agreement.cost import NOTHING, cost_of
from governance.agreement.meaning import Part
from governance.agreement.schema import unsafe_terms
from governance.counts import count
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.cost import Cost
    from governance.agreement.load import Document
    from protos.words import Digest

__all__ = ["Change", "Klass", "Part", "Plan", "plan"]

WIDTH: Final = 96
_ASKS: Final = {
    Klass.MATERIAL: "material: every hospital must consent anew",
    Klass.OPERATIONAL: "operational: in force after the notice, unless a hospital objects",
    Klass.EDITORIAL: "editorial: taken note of, nothing is asked",
}


_IN_FORCE: Final = "the agreement in force"


@dataclass(frozen=True, slots=True)
class Plan:
    """An agreement in plain words.

    Attributes:
        parts: The sections, each with its sentences.
        warnings: What may be meant and is worth a second look.
        unsafe: The terms that weaken a guarantee; a hospital must accept each in its own file.
        changes: Against the agreement in force; None when there is none to compare with.
        epsilon: Over all rounds at every hospital; None when no noise bounds it.
        epsilon_per_round: Of one round alone.
        spare_rounds: How many lost rounds the budget bears.
        digest: Of the document.
        material: Its material digest.
        is_draft: Whether keys are still missing.
        against: What it was compared with, in words; empty for nothing.
    """

    parts: tuple[Part, ...]
    warnings: tuple[str, ...]
    unsafe: frozenset[str]
    changes: tuple[Change, ...]
    epsilon: float | None
    epsilon_per_round: float | None
    spare_rounds: int
    digest: Digest
    material: Digest
    is_draft: bool
    against: str

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """The sentences by the section's key."""
        return {part.key: part.sentences for part in self.parts}

    def text(self) -> str:
        """Return the plan as lines of at most 96 columns."""
        return "\n".join(line for block in self._blocks() for line in _wrapped(block))

    def changes_text(self) -> str:
        """Return the differences to the agreement in force, with the class of each."""
        said = change_lines(self.changes, against=self.against)
        return "\n".join(line for block in said for line in _wrapped(block))

    def _blocks(self) -> Iterator[str]:
        for term in sorted(self.unsafe):
            yield f"UNSAFE ({term}): {meaning.SHOUTED[term]}"
        for warning in self.warnings:
            yield f"WARNING: {warning}"
        if self.unsafe or self.warnings:
            yield ""
        for part in self.parts:
            yield part.title
            yield from (f"  {sentence}" for sentence in part.sentences)
            yield ""
        yield f"Agreement {self.digest}"
        yield f"Material  {self.material}"
        if self.against:
            yield ""
            yield from change_lines(self.changes, against=self.against)


def plan(
    document: Document, *, in_force: Document | None = None, against: str = _IN_FORCE
) -> Plan:
    """Return what an agreement means, and what it changes.

    Args:
        document: The agreement, perhaps a draft whose roster has names alone.
        in_force: The one to compare with.
        against: What that one is called.

    Raises:
        Refused: with everything that is not built yet, cannot work together, or cannot be
            afforded; each with its place, and both lines of what contradicts itself.
    """
    found = refusals.objections(document)
    cost = NOTHING
    try:
        cost = cost_of(document.agreement)
        found += refusals.over_budget(document, cost)
    except Refused as problem:
        found.append(refusals.unfittable(document, problem))
    if found:
        raise refusals.raised(document, found)
    agreement = document.agreement
    changes = classes.changes(in_force.fields(), document.fields()) if in_force else ()
    return Plan(
        parts=meaning.parts(document, cost),
        warnings=tuple(_warnings(document, cost)),
        unsafe=unsafe_terms(agreement),
        changes=changes,
        epsilon=cost.epsilon,
        epsilon_per_round=cost.per_round,
        spare_rounds=cost.spare_rounds,
        digest=document.digest,
        material=document.material,
        is_draft=agreement.is_draft,
        against=against if in_force is not None else "",
    )


def change_lines(changes: tuple[Change, ...], *, against: str = _IN_FORCE) -> list[str]:
    """Return the differences in words, the strongest class first."""
    if not changes:
        return [f"Nothing changes against {against}."]
    lines = [f"{count(len(changes), 'change')} against {against}:"]
    for klass in Klass:
        of_class = [change for change in changes if change.klass is klass]
        if of_class:
            lines.append(f"  [{klass.value}] {_ASKS[klass]}")
            lines += [f"    {c.path}: {said(c.old)} -> {said(c.new)}" for c in of_class]
    return lines


def said(value: object) -> str:
    """Return a value of the canonical document as a change shows it."""
    if value is None:
        return "(nothing)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {said(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(said(inner) for inner in value) + "]"
    return str(value)


def _warnings(document: Document, cost: Cost) -> Iterator[str]:
    agreement = document.agreement
    if agreement.is_draft:
        yield (
            "this is a draft: hospitals or operators in it have names alone, and `propose "
            "--fill-roster` will write the keys of those enrolled."
        )
    if cost.epsilon is not None and cost.spare_rounds == 0:
        yield "the budget bears no lost round: one failure ends the schedule early."
    rate = agreement.round.local.sampling_rate
    if rate is not None and rate * agreement.data.minimum_patients < 1:
        yield (
            "at a hospital with the minimum of patients most steps draw nobody at this "
            "sampling rate, so they add noise alone."
        )
    share = (
        agreement.privacy.delta * agreement.data.minimum_patients if agreement.privacy else 0
    )
    if share > 0.1:
        yield (
            f"δ is more than a tenth of 1/{agreement.data.minimum_patients}: with that chance "
            "a whole record could leave unprotected."
        )


def _wrapped(block: str) -> list[str]:
    indent = " " * (len(block) - len(block.lstrip(" ")))
    return textwrap.wrap(
        block.strip(),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=True,
        break_on_hyphens=False,
    ) or [""]
