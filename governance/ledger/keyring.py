"""Which keys count for whom, as the log itself brought them in and ended them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from governance import statements
from governance.exits import Step
from governance.ledger import founding, project_members
from governance.ledger.kinds import check_form
from governance.ledger.operators import is_act
from protos.errors import Refused
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from governance.ledger.entry import Entry
    from governance.ledger.founding import Founding
    from governance.statements import Statement


@dataclass(slots=True)
class Held:
    """A key of a name, from the entry that brought it in to the one that ended it."""

    name: str
    usage: str
    actor: str
    from_seq: int
    until_seq: int | None = None


@dataclass(slots=True)
class Keyring:
    """Every key that the log ever knew, and the certificates of its authorities."""

    keys: dict[KeyId, Held] = field(default_factory=dict)
    certificates: dict[KeyId, x509.Certificate] = field(default_factory=dict)
    founded: Founding | None = None

    def check_speaker(self, entry: Entry) -> None:
        """Check that the signer speaks for itself, with a key that counts and may say this.

        Raises:
            Refused: it is not so.
        """
        statement = entry.statement
        if self.founded is not None and statement.log != self.founded.log:
            raise Refused("it was signed for another log", rule="wrong-log")
        kind = check_form(statement)
        held = self._newcomers(entry).get(statement.key) or self.keys.get(statement.key)
        if held is None:
            raise Refused("its key was never enrolled", rule="key-not-enrolled")
        if held.until_seq is not None:
            raise Refused(f"its key had ended at entry {held.until_seq}", rule="key-replaced")
        if statement.actor != held.actor:
            raise Refused(f"{held.name}'s key signed it", rule="not-yours")
        if held.usage not in kind.signer:
            raise Refused(f"a key for {held.usage} signed it", rule="wrong-signer")

    def check_approvals(self, statement: Statement) -> None:
        """Check that whoever approved an operator's act is one, or raise Refused.

        Stops a key that ended, or one of somebody else, from being the second operator's.
        """
        if not is_act(statement):
            return
        for key in statement.signatures:
            held = self.keys.get(key)
            if held is None or held.usage != "operator":
                raise Refused("it is approved by no operator's key", rule="key-not-enrolled")
            if held.until_seq is not None:
                raise Refused(
                    f"the key of {held.name}, which approved it, had ended at entry "
                    f"{held.until_seq}",
                    rule="key-replaced",
                )

    def check_signatures(self, statement: Statement) -> None:
        """Check every signature on a statement, or raise Refused."""
        certificates = dict(self.certificates)
        if statement.kind == "enrolled" and "issuing" in statement.body:
            first = founding.founding(statement.envelope)
            certificates[first.authority] = first.issuing
        elif "issuing" in statement.body and self.founded is not None:
            certificates.update([founding.rotated(statement, self.founded.root)])
        statements.check_signatures(statement, statement.signatures, certificates=certificates)

    def take(self, entry: Entry) -> None:
        """Let an enrolment, a rotation or a revocation take effect.

        Raises:
            Refused: a key would come in twice, or the first entry founds no log.
        """
        statement, body = entry.statement, entry.body
        if entry.seq == 0:
            self.founded = founding.founding(statement.envelope)
            self.certificates[self.founded.authority] = self.founded.issuing
        newcomers = self._newcomers(entry)
        if newcomers.keys() & self.keys.keys():
            raise Refused("it brings in a key that another entry had brought", rule="key-taken")
        if statement.kind == "enrolled":
            self._end_all(str(body["name"]), entry.seq)  # of a name whose keys are replaced
        self.keys |= newcomers
        if statement.kind == "key-rotated":
            self._end(KeyId(body["old"]), entry.seq)
            self._certify(statement)
        elif statement.kind == "revoked" or _bars(statement):
            name = body["name"] if statement.kind == "revoked" else body["site"]
            self._end_all(str(name), entry.seq)

    def of(self, name: str, usage: str) -> dict[KeyId, Held]:
        """Return all keys that a name ever had for a usage."""
        return {
            key: held
            for key, held in self.keys.items()
            if (held.name, held.usage) == (name, usage)
        }

    def _end_all(self, name: str, seq: int) -> None:
        for held in self.keys.values():
            if held.name == name and held.until_seq is None:
                held.until_seq = seq

    def officers(self) -> list[KeyId]:
        """Return every key that was ever an officer's."""
        return [key for key, held in self.keys.items() if held.usage == "officer"]

    def sites_in_force(self) -> list[str]:
        """Return the names of the sites whose agent key counts now, in order."""
        return sorted(
            {
                held.name
                for held in self.keys.values()
                if held.usage == "agent" and held.until_seq is None
            }
        )

    def _newcomers(self, entry: Entry) -> dict[KeyId, Held]:
        rows: list[Mapping[str, Any]] = list(project_members.newcomers(entry.statement))
        return {
            KeyId(row["key_id"]): Held(
                row["name"], row["usage"], project_members.actor_of(row), entry.seq
            )
            for row in rows
        }

    def _certify(self, statement: Statement) -> None:
        if "issuing" in statement.body and self.founded is not None:
            key, certificate = founding.rotated(statement, self.founded.root)
            self.certificates[key] = certificate

    def _end(self, key: KeyId, seq: int) -> None:
        if key in self.keys:
            self.keys[key].until_seq = seq


def _bars(statement: Statement) -> bool:
    """Tell whether this is the step of an exit with which the site's keys end."""
    return statement.kind == "exit-step" and statement.body["step"] == Step.BAR.value
