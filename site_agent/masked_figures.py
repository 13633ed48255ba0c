"""This hospital's figures into their masked sum: encoded, masked, and stated by their digest.

All in the transaction that ends the task: what a crash cut short is made anew, with new noise,
and nothing of the first had left.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from governance.secagg import counted, kept, site
from protos.errors import Corrupt, PeerFault
from protos.words_masks import MaskSaid, Vector
from site_agent.store import letters, masks, work

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from governance.noised import Noised
    from protos.words import Task
    from site_agent.membership import Membership

RULE: Final = "metrics-masked"
"""What allows the vector, and the statement of it, to leave."""


def send(c: Connection, m: Membership, task: Task, figures: Noised) -> dict[str, Any]:
    """Send a task's figures masked; return what `evaluation-made` says in their place.

    Raises:
        PeerFault: R11, a number lies beyond the bound; or the run is over.
        Corrupt: a vector was masked with these keys before.
    """
    run = masks.find(c, m.federation, task.task, site=m.site)
    if run is None or run.kept is None:
        raise PeerFault("the masked sum of the task is over", rule="mask-step")
    # Stops two vectors under the same masks, whose difference is that of two draws of noise.
    if run.sent:
        raise Corrupt("other figures were masked with these keys before", rule="mask-reused")
    vector = counted.coded(run.terms, figures)
    site.apply(kept.masked(run.kept, m.voice.key), vector)
    values = vector.astype("<u4").tobytes()
    digest = hashlib.sha256(values).hexdigest()
    masks.note_sent(c, m.federation, task.task, digest)
    letters.send(c, m.federation, MaskSaid(task.task, Vector(values)), rule=RULE)
    spent = work.spent_on(c, m.cohort)
    return {"masked": digest, "epsilon": spent[-1].epsilon_total}
