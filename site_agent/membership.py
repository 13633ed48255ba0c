"""One federation, as this site is a member of it: what stays the same while the agent runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from governance.identity.folder import Identity
from protos.errors import Refused
from site_agent.acceptance import Law
from site_agent.voice import HeldKey, Voice

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from governance.settings import FederationSettings, SiteSettings
    from site_agent.premises import Premises
    from site_agent.store import Store


@dataclass(frozen=True, slots=True)
class Membership:
    """Who this site is in a federation, with what it keeps and by whose law it acts.

    `cohort` is the one that site.yaml gives this federation.
    """

    settings: SiteSettings
    cohort: str
    voice: Voice
    store: Store
    premises: Premises

    @property
    def federation(self) -> str:
        """The federation's name."""
        return self.voice.federation

    @property
    def site(self) -> str:
        """This site's name."""
        return self.voice.site

    @property
    def now(self) -> Callable[[], datetime]:
        """The site's clock."""
        return self.voice.now

    @property
    def law(self) -> Law:
        """The hospital's own file, as the policy reads it."""
        return Law.of(self.settings)


def open_membership(
    settings: SiteSettings,
    federation: FederationSettings,
    *,
    store: Store,
    premises: Premises,
    now: Callable[[], datetime],
) -> tuple[Membership, Identity]:
    """Read who this site is in a federation of its file.

    Raises:
        Refused: it is not enrolled there, or under another name than site.yaml's.
    """
    identity = Identity.load(federation.folder)
    if (identity.role, identity.name) != ("site", settings.name):
        raise Refused(
            f"{federation.folder} belongs to {identity.role} {identity.name}, but site.yaml is "
            f"of site {settings.name}",
            rule="wrong-name",
        )
    voice = Voice(settings.name, identity.log, HeldKey(identity), now)
    return Membership(settings, federation.cohort, voice, store, premises), identity


def check_any(settings: SiteSettings) -> None:
    """Raise Refused where site.yaml names no federation."""
    if not settings.federations:
        raise Refused(
            "site.yaml names no federation",
            todo="Enrol with the token that an operator gives you: concilium-site enrol TOKEN",
            rule="no-federation",
        )


def chosen(settings: SiteSettings, name: str | None) -> FederationSettings:
    """Return the federation that a verb is about: the named one, or the only one.

    Raises:
        Refused: there is none, or none of this name, or it must be named.
    """
    check_any(settings)
    known = {folder_name(one): one for one in settings.federations}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    listed = ", ".join(known)
    raise Refused(
        "site.yaml names no such federation"
        if name is not None
        else "this hospital is in several federations",
        todo=f"Say --federation with one of: {listed}.",
        rule="which-federation",
    )


def folder_name(federation: FederationSettings) -> str:
    """Return how a federation is called: by its identity, or by its folder before enrolment."""
    try:
        return Identity.load(federation.folder).federation
    except Refused:
        return federation.folder.name
