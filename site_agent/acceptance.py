"""What an agreement may say at this hospital: rules 1 to 7 of its law, each with what it stops.

They are read before a consent as before a task. A task is refused by the first that is broken
(`check_terms`); who must decide is told all of them at once (`objections`), each with what
would mend it and who can. The rules from 8 on are those of a moment: `site_agent.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement.schema import unsafe_terms
from governance.counts import count
from governance.settings import ISOLATION_TERM
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.settings import SitePolicy, SiteSettings

OPERATORS: Final = frozenset({"not-in-roster"})
"""Rules that only a changed agreement satisfies; the others the hospital can change too."""


@dataclass(frozen=True, slots=True)
class Law:
    """What this hospital's own file says: its name, its policy, the worker's confinement."""

    site: str
    policy: SitePolicy
    isolation: str

    @classmethod
    def of(cls, settings: SiteSettings) -> Law:
        """Return the law of a hospital's file."""
        return cls(settings.name, settings.policy, settings.resources.isolation)


def check_terms(document: Document, law: Law) -> None:
    """Check an agreement against the hospital's law; raise Refused naming the first rule."""
    for check in _TERMS:
        check(document.agreement, law)


def objections(document: Document, law: Law) -> tuple[Refused, ...]:
    """Return every rule of the hospital's law that an agreement breaks, in their order."""
    found = []
    for check in _TERMS:
        try:
            check(document.agreement, law)
        except Refused as refusal:
            found.append(refusal)
    return tuple(found)


def reasons(found: Sequence[Refused]) -> str:
    """Return what follows «refuses it»: the one objection, or a line for each of several."""
    if len(found) == 1:
        return f": {found[0]}"
    lines = [f"  {one.what[:1].upper()}{one.what[1:]}. {one.todo}" for one in found]
    return "\n".join((f", for {len(found)} reasons:", *lines))


# 1. The hospital stands in the roster. Stops an agreement among others from using its data.
def _in_roster(agreement: Agreement, law: Law) -> None:
    if not agreement.sites.roster.get(law.site):
        raise Refused(
            f"{law.site} does not stand in the agreement's roster with an officer's key",
            todo=f"The operator puts {law.site} into the agreement's roster, with its "
            "officer's key once enrolled: propose --fill-roster.",
            rule="not-in-roster",
        )


# 2. What weakens a guarantee is listed here by name. Stops a coordinator switching privacy off.
def _unsafe(agreement: Agreement, law: Law) -> None:
    unlisted = sorted(unsafe_terms(agreement) - set(law.policy.unsafe))
    if unlisted:
        raise Refused(
            f"the agreement has terms that weaken a guarantee: {', '.join(unlisted)}",
            todo="The operator takes them out of the agreement. Only this hospital can accept "
            "them, under policy.unsafe in site.yaml.",
            rule="unsafe-terms",
        )


# 3. Masks where the hospital demands them. Stops the coordinator reading this site's update.
def _secure_aggregation(agreement: Agreement, law: Law) -> None:
    if law.policy.require_secure_aggregation and not agreement.aggregation.secure:
        raise Refused(
            "the agreement lets the coordinator see this site's update, but site.yaml says "
            "require_secure_aggregation: true",
            todo="The operator proposes an agreement with aggregation: {secure: true}; or the "
            "officer accepts that the coordinator reads this hospital's noised updates "
            "(require_secure_aggregation: false under policy in site.yaml).",
            rule="secure-aggregation-required",
        )


# 4. Every purpose is one that the hospital allows. Stops another study from using the consent.
def _purposes(agreement: Agreement, law: Law) -> None:
    foreign = sorted(set(agreement.purpose) - set(law.policy.purposes))
    if foreign:
        said = ", ".join(foreign)
        raise Refused(
            f"the agreement is for {said}, not among policy.purposes of site.yaml",
            todo=f"If this hospital allows it, the officer adds {said} to policy.purposes in "
            "site.yaml; else decline.",
            rule="purpose-not-allowed",
        )


# 5. The model is approved here, and a wheel's runs confined. Stops code that nobody here has
#    looked at, and code that could call out or read a key.
def _model(agreement: Agreement, law: Law) -> None:
    wheel = agreement.model.wheel
    name = wheel or f"builtin:{agreement.model.name}"
    if wheel is not None and law.isolation == "none":
        raise Refused(
            "the model is a wheel's, and site.yaml says isolation: none",
            todo="Code from a wheel runs in a confined worker alone: isolation: required under "
            "resources in site.yaml.",
            rule="wheel-not-confined",
        )
    if name not in law.policy.models:
        raise Refused(
            f"the model {agreement.model.name} is not among policy.models of site.yaml",
            todo=f"If this hospital approves it, the officer adds {name} to policy.models in "
            "site.yaml; else decline.",
            rule="model-not-approved",
        )


# 6. Enough hospitals in every sum. Stops a round of one whose result is this site's update.
def _minimum_sites(agreement: Agreement, law: Law) -> None:
    fewest = min(agreement.sites.close_at_least, len(agreement.sites.roster))
    if fewest < law.policy.minimum_sites:
        raise Refused(
            f"the agreement closes rounds with {count(fewest, 'site')}, but site.yaml says "
            f"minimum_sites: {law.policy.minimum_sites}",
            todo="The operator raises sites.close_at_least in the agreement; or the officer "
            "accepts smaller sums, by policy.minimum_sites in site.yaml.",
            rule="minimum-sites",
        )


# 7. The worker's confinement is what the hospital says. Stops a promise that nobody keeps.
def _isolation(agreement: Agreement, law: Law) -> None:  # noqa: ARG001 - one row of the table
    if law.isolation == "none" and ISOLATION_TERM not in law.policy.unsafe:
        raise Refused(
            f"site.yaml says isolation: {law.isolation}, but does not list {ISOLATION_TERM} "
            "under policy.unsafe",
            todo=f"If the officer accepts it, list {ISOLATION_TERM} under policy.unsafe.",
            rule=ISOLATION_TERM,
        )


_TERMS: Final[tuple[Callable[[Agreement, Law], None], ...]] = (
    _in_roster,
    _unsafe,
    _secure_aggregation,
    _purposes,
    _model,
    _minimum_sites,
    _isolation,
)
