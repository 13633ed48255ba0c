"""The document is canonical, reads back as itself, and no peer can send another form."""

from __future__ import annotations

import pytest
from governance.agreement.load import load, parse
from protos.errors import PeerFault


def test_canonical_document_reads_back_as_itself(agreement_file):
    document = load(agreement_file)
    assert parse(document.raw) == document
    assert parse(document.raw).raw == document.raw


def test_document_in_another_form_is_a_peers_fault(agreement_file):
    raw = load(agreement_file).raw
    with pytest.raises(PeerFault):
        parse(raw + b"\n")
