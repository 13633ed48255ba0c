"""What one agreement asks of the hospitals when it follows another: consent, notice or nothing.

A consent is to material terms, named by their digest. Fewer rounds are operational by their
class, but the digest names the rounds: they ask for consent too.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from governance.agreement import classes
from governance.agreement.classes import Klass

if TYPE_CHECKING:
    from datetime import datetime

    from governance.agreement.load import Document


def class_between(former: Document, new: Document) -> Klass:
    """Return the class of a change as a whole: what the strongest of its parts asks."""
    found = classes.changes(former.fields(), new.fields())
    if former.material != new.material or classes.asks_consent(found):
        return Klass.MATERIAL
    if any(change.klass is Klass.OPERATIONAL for change in found):
        return Klass.OPERATIONAL
    return Klass.EDITORIAL


def due_at(former: Document, klass: Klass, asked_at: datetime) -> datetime:
    """Return when a change that was asked for at a moment is due, if nothing stands against it.

    An operational one waits for the notice of the one before, an editorial one for nothing.
    """
    if klass is Klass.OPERATIONAL:
        return asked_at + timedelta(seconds=former.agreement.notice)
    return asked_at
