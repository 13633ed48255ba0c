"""The certificate that a hospital keeps of its exit: it shows the exit, and bears no change."""

from __future__ import annotations

import base64
import json

import pytest
from test_exits import whole_exit

from governance.ledger import exit_certificate, store
from protos.errors import Refused


@pytest.fixture
def certificate(agreed):
    whole_exit(agreed)
    store.sign_checkpoint(agreed.connection, agreed.key("ledger"), agreed.log.origin)
    return exit_certificate.made(agreed.connection, "amc")


def test_it_shows_the_exit_from_its_request_to_its_end(certificate):
    shown = exit_certificate.check(certificate, where="here")
    assert (shown.federation, shown.site, shown.closed) == ("heart", "amc", True)
    assert shown.steps[0] == "exit-requested"
    assert shown.steps[-1] == "exit-closed"
    assert "impact-listed" in shown.steps


def test_there_is_none_before_a_checkpoint_covers_the_exit(agreed):
    whole_exit(agreed)
    assert exit_certificate.made(agreed.connection, "amc") is None
    assert not exit_certificate.is_whole(agreed.connection, "amc")


def test_there_is_none_of_a_site_that_stays(agreed, certificate):
    assert certificate
    assert exit_certificate.made(agreed.connection, "ucl") is None


def altered(fields, what):
    request = next(one for one in fields["entries"] if one["seq"] == fields["exit"])
    if what == "envelope":
        said = json.loads(request["envelope"])
        payload = base64.b64decode(said["payload"]).replace(b"own-wish", b"removed!")
        said["payload"] = base64.b64encode(payload).decode()
        request["envelope"] = json.dumps(said)
    elif what == "time":
        request["received_at"] = "2026-11-21T08:00:00.000000Z"
    elif what == "proof":
        request["proof"] = request["proof"][1:]
    elif what == "left out":
        fields["entries"].remove(request)
    elif what == "end":
        fields["entries"].pop()
    elif what == "head":
        fields["checkpoint"] = fields["checkpoint"].replace(
            "concilium/heart", "concilium/other"
        )
    else:
        fields["site"] = "ucl"
    return fields


@pytest.mark.parametrize(
    "what", ["envelope", "time", "proof", "left out", "end", "head", "site"]
)
def test_any_change_is_found(certificate, what):
    wrong = json.dumps(altered(json.loads(certificate), what)).encode()
    with pytest.raises(Refused) as refused:
        exit_certificate.check(wrong, where="here")
    assert refused.value.rule == "bad-exit-certificate"
