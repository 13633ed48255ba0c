"""A hello and its welcome, in the place of an agent that does not run: whose clock is right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protos import codec
from protos.errors import PeerFault, Unavailable
from protos.words import FromSite, Goodbye, Hello, Welcome
from site_agent import process
from site_agent.egress import Egress
from site_agent.link import Address, Link, Papers
from site_agent.session import SOFTWARE
from site_agent.store import letters

if TYPE_CHECKING:
    from datetime import timedelta

    from governance.identity.folder import Identity
    from governance.settings import FederationSettings
    from site_agent.membership import Membership


async def skew(m: Membership, identity: Identity, place: FederationSettings) -> timedelta:
    """Return how far this machine's clock is ahead of the coordinator's.

    Raises:
        Refused, PeerFault, Unavailable: as the coordinator says, and as the line does.
    """
    process.forget_proxies(m.settings)
    papers = Papers(identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem)
    egress = Egress(m.store, m.federation, m.now)
    link = Link(Address(place.coordinator, place.proxy), papers, egress)
    hello = Hello(
        protocol_lowest=codec.PROTOCOL,
        protocol_highest=codec.PROTOCOL,
        software=SOFTWARE,
        models=m.settings.policy.models,
        cosigned_size=0,
        clock=m.now(),
    )
    taken = m.store.look(lambda c: letters.taken(c, m.federation))
    try:
        async with link.session() as stream:
            await stream.send(FromSite(hello, ack=taken))
            word = await stream.receive()
            if word is None:
                await stream.ended()
                raise Unavailable("the coordinator ended the session", rule="session-ended")
    finally:
        await link.close()
    if isinstance(word.body, Goodbye):
        raise Unavailable(word.body.sentence or "goodbye", rule=word.body.rule)
    if not isinstance(word.body, Welcome):
        raise PeerFault("the coordinator did not say welcome", rule="welcome-first")
    return m.now() - word.body.clock
