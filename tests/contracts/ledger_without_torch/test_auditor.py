"""An auditor's machine has neither torch nor opacus, safetensors or scikit-learn."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from governance import statements
from governance.identity import certificate, issuing
from governance.identity.keys import AuthorityKey, SigningKey
from governance.ledger import store
from governance.statements import Chain, Log

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

AUDITORS_MACHINE = """
import sys

ABSENT = {"torch", "opacus", "safetensors", "sklearn"}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"there is no {name} here")


sys.meta_path.insert(0, Absent())
sys.argv = ["concilium-ledger", *sys.argv[1:]]
from governance.ledger.cli import main

try:
    main()
finally:
    assert not ABSENT & {name.partition(".")[0] for name in sys.modules}
"""


def fingerprint(text):
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A small real log: founded, an operator and a hospital enrolled, a checkpoint."""
    path = tmp_path_factory.mktemp("auditor") / "ledger.db"
    root_key, issuing_key = certificate.make_tls_key(), certificate.make_tls_key()
    root = issuing.root_authority(root_key, federation="heart", now=NOW)
    own = issuing.issuing_authority(
        issuing_key.public_key(), federation="heart", issuer=root, key=root_key, now=NOW
    )
    log = Log.of("heart", certificate.fingerprint(root))
    authority = AuthorityKey(issuing_key)
    ledger_key, officer = SigningKey.generate(), SigningKey.generate()

    def enrol(c, name, role, actor, key, officers=(), **more):
        body = {
            "name": name,
            "role": role,
            "agent": key.key_id,
            "officers": [one.key_id for one in officers],
            "needed": len(officers),
            "tls": fingerprint(name),
            **more,
        }
        payload = statements.compose(
            "enrolled", body, actor=actor, key=key.key_id, chain=Chain.START, log=log, at=NOW
        )
        envelope = statements.sign(payload, [key, *officers, authority])
        store.append(c, statements.read(envelope), received_at=NOW)

    engine = store.open_engine(f"sqlite:///{path}")
    store.create(engine)
    with engine.begin() as c:
        roots = {
            "issuing": certificate.to_pem([own]).decode(),
            "origin_root": certificate.to_pem([root]).decode(),
        }
        enrol(c, "coordinator", "coordinator", "coordinator", ledger_key, **roots)
        enrol(c, "ops", "operator", "operator/ops", SigningKey.generate())
        enrol(c, "amc", "site", "site/amc", SigningKey.generate(), [officer])
        store.sign_checkpoint(c, ledger_key, log.origin)
    engine.dispose()
    return path


def ask(*arguments):
    return subprocess.run(
        [sys.executable, "-c", AUDITORS_MACHINE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_auditor_verifies_without_training_software(ledger):
    done = ask("verify", "--url", ledger, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] is True


@pytest.mark.parametrize(
    "question", [["consents"], ["rounds"], ["spending"], ["certificates"], ["show", "2"]]
)
@pytest.mark.slow
def test_an_auditor_asks_without_training_software(ledger, question):
    done = ask(*question, "--url", ledger)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_auditor_hands_over_without_training_software(ledger, tmp_path):
    done = ask("export", tmp_path / "out", "--url", ledger)
    assert done.returncode == 0, done.stderr
    done = ask("verify", "--export", tmp_path / "out")
    assert done.returncode == 0, done.stderr


def test_the_accountant_needs_no_training_software():
    code = AUDITORS_MACHINE.replace(
        "from governance.ledger.cli import main",
        "from governance.privacy.accountant import epsilon\n"
        "from governance.privacy.releases import Release\n"
        "main = lambda: print(epsilon([Release(0.1, 1.1, 5)], 1e-5))",
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 1
