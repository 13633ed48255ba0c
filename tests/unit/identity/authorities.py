"""A federation's authority under test, and what it issues."""

from __future__ import annotations

from datetime import UTC, datetime

from governance.identity import authority
from governance.identity.certificate import make_csr, make_tls_key, read_chain

NOW = datetime(2026, 11, 21, 10, 46, tzinfo=UTC)
PASSPHRASE = b"correct horse"


def federation(folder, *, name="heart", host="fed.example.org", now=NOW):
    return authority.create(folder, federation=name, host=host, passphrase=PASSPHRASE, now=now)


def issued(fed, *, name="charite", role="site", now=NOW):
    return fed.issue(make_csr(make_tls_key()), name=name, role=role, now=now)


def leaf(certificate):
    return read_chain(certificate.pem_chain)[0]
