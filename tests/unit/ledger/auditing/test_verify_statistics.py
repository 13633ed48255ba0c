"""What nobody may say of patients' statistics is named, although it was truly signed."""

from __future__ import annotations

import hashlib

import pytest
from verdicts import cut, found

from governance import normalisation, statements
from governance.normalisation import GRID, Released

BASIS = hashlib.sha256(b"basis").hexdigest()


class Forger:
    """Signs one statement after another at the end of a log that was cut in an open round."""

    def __init__(self, ledger, keys, speak):
        self.ledger, self.keys, self._speak = ledger, keys, speak
        cut(ledger, ledger.seq_of("round-opened", round=3) + 1)
        self._chains = {}

    @property
    def size(self):
        return len(self.ledger.entries())

    def say(self, kind, body, actor, key, told=()):
        signer = self.keys.key(key)
        chain = self._chains.get(key)
        envelope = self._speak(kind, body, actor, signer, chain=chain, told=told)
        said = statements.read(envelope)
        self._chains[key] = statements.Chain(said.counter, said.digest)
        self.ledger.append(envelope)
        for one in told:
            self.ledger.run((
                "INSERT INTO disclosures (seq, label, salt, value) VALUES (?, ?, ?, ?)",
                self.size - 1, one.label, one.salt, one.value,
            ))  # fmt: skip
        return said

    def pay(self, site, **changes):
        said = {"purpose": "statistics", "task": "heart/3/1/measure", "clip": "1.5"}
        body = self.keys.metrics_body(3, total="11.0000", **{**said, **changes})
        return self.say("budget-reserved", body, f"site/{site}", f"{site} agent")

    def release(self, site, *, values=(100, 9, -40)):
        text = normalisation.to_json(Released("30", tuple(GRID * n for n in values)))
        told = statements.disclose(
            "statistics", text, salt=hashlib.sha256(text.encode()).digest()
        )
        body = {**self.keys.at(3), "basis": BASIS, "mechanism": "gaussian"}
        self.say("statistics-released", body, f"site/{site}", f"{site} agent", told=(told,))
        return told

    def combine(self, told, **changes):
        made = [normalisation.parse(one.value) for one in told.values()]
        scales = normalisation.combined_in(made, {"age": ("18", "118")})
        body = {
            **self.keys.at(3),
            "basis": BASIS,
            "released": [statements.commitment(one) for one in told.values()],
            "sites": sorted(told),
            "values": {name: one.to_json() for name, one in scales.items()},
        }
        self.say("statistics-combined", {**body, **changes}, "coordinator", "ledger")


@pytest.fixture
def forger(ledger, keys, speak):
    return Forger(ledger, keys, speak)


@pytest.fixture
def said(forger):
    told = {}
    for number, site in enumerate(("amc", "ucl")):
        forger.pay(site)
        told[site] = forger.release(site, values=(100 + number, 9, -40))
    return told


def test_statistics_that_were_paid_for_and_combined_are_in_order(forger, said, ledger):
    forger.combine(said)
    # Every entry stands; it is the tables, left as they were before the cut, that do not.
    assert ledger.verdict().fault.rule == "projection-altered"


def test_statistics_that_nobody_paid_for_are_named(forger, ledger):
    forger.release("amc")
    assert "statistics" in found(ledger.verdict(), forger.size - 1, "no-reservation")


def test_a_second_vector_under_one_reservation_is_named(forger, said, ledger):
    forger.release("amc", values=(90, 9, -40))
    found(ledger.verdict(), forger.size - 1, "no-reservation")


def test_an_understated_epsilon_of_statistics_is_named(forger, ledger):
    forger.pay("amc", epsilon_total="0.1000")
    assert "less ε" in found(ledger.verdict(), forger.size - 1, "epsilon-understated")


def test_statistics_past_the_consents_cap_are_named(forger, ledger):
    forger.pay("amc", noise_multiplier="0.31", epsilon_total="99.0000")
    assert "allows" in found(ledger.verdict(), forger.size - 1, "budget-exceeded")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"sites": ["amc"]}, "statistics-invented"),
        ({"released": ["0" * 64, "1" * 64]}, "statistics-invented"),
        (
            {"values": {"age": {"low": "18", "high": "118", "mean": "60", "std": "5"}}},
            "statistics-invented",
        ),
        ({"round": 2}, "round-ended"),
    ],
)
def test_combined_statistics_of_other_than_what_was_said_are_named(
    forger, said, ledger, changes, rule
):
    forger.combine(said, **changes)
    found(ledger.verdict(), forger.size - 1, rule)


def test_a_second_set_of_statistics_is_named(forger, said, ledger):
    forger.combine(said)
    forger.combine(said)
    found(ledger.verdict(), forger.size - 1, "combined-twice")


def test_what_was_combined_cannot_be_held_against_a_value_that_is_gone(forger, said, ledger):
    """An auditor who is not shown the vectors finds no fault in what they came to."""
    forger.combine(said, values={"age": {"low": "18", "high": "118", "mean": "60", "std": "5"}})
    ledger.run(("DELETE FROM disclosures WHERE label = ?", "statistics"))
    assert ledger.verdict().fault.rule == "projection-altered"
