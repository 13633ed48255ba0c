"""How many patients stand behind a consent, and that some are left out of it.

A number that is declared anew takes the place of the one in the consent: it is public, in tens,
and what an update is weighted by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Executable, insert, update

from governance.consent import ENDED, Consent
from governance.ledger import project_consents
from governance.ledger.schema import consents, patient_counts
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry

DECLARED: Final = "declared"
LEFT_OUT: Final = "left-out"


def data_declared(c: Connection, e: Entry) -> list[Executable]:
    """Let a site's consent count on as many patients as it declares.

    1. The agreement was proposed. Stops numbers for what nobody knows.
    2. The cohort is the one that was consented for. Stops other patients from coming in.
    """
    # 1.
    known = project_consents.agreement(c, e.body["agreement"])
    number = int(e.body["declared_patients"])
    changes = [_row(e, DECLARED, str(number))]
    consent = project_consents.consent_to(c, e.actor_name, known)
    if consent is None or Consent(consent.state) in ENDED:
        return changes
    # 2.
    if consent.cohort != e.body["cohort"]:
        raise Refused(
            f"{e.actor_name} consented for the cohort {consent.cohort}", rule="other-cohort"
        )
    mine = (consents.c.site == e.actor_name, consents.c.agreement == consent.agreement)
    return [*changes, update(consents).where(*mine).values(declared_patients=number)]


def opt_outs_applied(c: Connection, e: Entry) -> list[Executable]:
    """Note that patients are left out from now on: some, a number in tens, or none (0)."""
    project_consents.agreement(c, e.body["agreement"])
    return [_row(e, LEFT_OUT, str(e.body["patients"]))]


def _row(e: Entry, what: str, patients: str) -> Executable:
    return insert(patient_counts).values(
        seq=e.seq,
        site=e.actor_name,
        agreement=e.body["agreement"],
        cohort=e.body["cohort"],
        what=what,
        patients=patients,
    )
