"""Released models at a hospital: who may fetch one, and which one is used."""

from __future__ import annotations

import pytest
from hospital import SITE, officer_of
from sqlalchemy import insert

from governance.consent import Consent
from governance.ledger import release_folder, schema
from protos.errors import Refused
from protos.words import AgreementState
from site_agent import answers, desk, drafts, fetching, office, predicting, released
from site_agent.store.copy import Copy

MODEL = "c" * 64


def refused(rule):
    return pytest.raises(Refused, check=lambda problem: problem.rule == rule)


def published(hospital, name, *, seq, recalled=None, here=True, agreement="a" * 64):
    """Let the copy of the ledger have a release, which lies here too, or does not."""
    row = {
        "release": name,
        "seq": seq,
        "round": seq,
        "attempt": 1,
        "agreement": agreement,
        "model": MODEL,
        "card": "d" * 64,
        "rounds": "[1]",
        "sites": "[]",
        "state": "published" if recalled is None else "recalled",
        "recalled_seq": recalled,
    }
    copy = Copy.open(hospital.premises.copy_of(hospital.m.federation))
    copy.now(lambda c: c.execute(insert(schema.releases).values(**row)))
    copy.close()
    if here:
        place = hospital.premises.releases / name
        place.mkdir()
        (place / release_folder.CARD).write_bytes(b"{}")
        (place / release_folder.MODEL).write_bytes(b"12345")


# --- its own consent ----------------------------------------------------------------------


def test_a_hospital_that_consented_may_fetch_also_when_the_agreement_is_over(charite):
    document = charite.consented()
    fetching.check_consent(charite.m, document.digest)
    charite.take(AgreementState(document.digest, "complete"))
    charite.clock.pass_(days=30_000)
    fetching.check_consent(charite.m, document.digest)


def test_a_hospital_that_did_not_consent_may_not_fetch(charite):
    with refused("fetch-without-consent"):
        fetching.check_consent(charite.m, "0" * 64)
    document = charite.proposed()
    with refused("fetch-without-consent"):
        fetching.check_consent(charite.m, document.digest)


def test_a_hospital_that_declined_or_withdrew_may_not_fetch(charite):
    document = charite.proposed()
    draft = charite.store.look(lambda c: office.decline_draft(c, charite.m, document, "no"))
    charite.deliver(drafts.sign(draft, officer_of(SITE)))
    with refused("fetch-without-consent"):
        fetching.check_consent(charite.m, document.digest)


def test_who_withdrew_fetches_nothing_of_that_agreement(charite):
    document = charite.consented()
    charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    with refused("fetch-without-consent"):
        fetching.check_consent(charite.m, document.digest)


def test_who_paused_may_use_what_it_took_part_in(charite):
    document = charite.consented()
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    assert desk.in_state(charite.m, Consent.PAUSED).digest == document.digest
    fetching.check_consent(charite.m, document.digest)


def test_a_name_that_leads_out_of_the_folder_is_refused(charite):
    for name in ("../other", "a/b", ""):
        with pytest.raises(Refused):
            fetching.fetch(charite.m, name)


# --- which one is used --------------------------------------------------------------------


def test_the_newest_release_that_stands_is_used(charite):
    published(charite, "v1", seq=5)
    published(charite, "v2", seq=9)
    published(charite, "v3", seq=12, recalled=15)
    published(charite, "v4", seq=20, here=False)
    assert predicting.chosen(charite.m, "") == "v2"
    assert predicting.chosen(charite.m, "v1") == "v1"


def test_a_release_that_was_recalled_is_not_used(charite):
    published(charite, "v3", seq=12, recalled=15)
    for name in ("v3", ""):
        with refused("release-recalled"):
            predicting.chosen(charite.m, name)


def test_a_release_that_is_not_here_is_not_used(charite):
    with refused("release-not-here"):
        predicting.chosen(charite.m, "")
    published(charite, "v4", seq=20, here=False)
    for name in ("v4", "../v4"):
        with refused("release-not-here"):
            predicting.chosen(charite.m, name)


def test_a_folder_that_was_altered_here_is_not_used(charite, tmp_path):
    published(charite, "v1", seq=5)
    with refused("not-a-release"):
        predicting.predict(charite.m, tmp_path / "p.csv", tmp_path / "out.csv")


# --- what is said of them -----------------------------------------------------------------


def test_models_lists_releases_with_their_state(charite):
    published(charite, "v1", seq=5, recalled=8)
    published(charite, "v2", seq=9)
    published(charite, "v3", seq=12, here=False)
    rows = {row[1]: (row[2], row[4]) for row in answers.models(charite.m).rows}
    assert rows["release v1"] == ("RECALLED: do not use it", 5)
    assert rows["release v2"] == ("fetched", 5)
    assert rows["release v3"] == ("can be fetched", "")


def test_status_says_that_a_release_here_was_recalled(charite):
    published(charite, "v1", seq=5, recalled=8)
    published(charite, "v2", seq=9, recalled=10, here=False)
    (said,) = released.warnings(charite.m)
    assert said == "The release v1 was recalled (entry 8): stop using it."
    assert said in answers.status(charite.m).notes
