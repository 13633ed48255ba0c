"""Words and letters for the same thing; what two languages read differently is left open."""

from __future__ import annotations

import pytest

from site_agent.data.vocabulary import meanings

SEXES = ("female", "male")


@pytest.mark.parametrize(
    ("male", "female"),
    [
        ("M", "F"),
        ("m", "w"),
        ("H", "F"),
        ("H", "M"),
        ("U", "D"),
        ("männlich", "weiblich"),
        ("Homme", "Femme"),
        ("varón", "mujer"),
        ("maschio", "femmina"),
    ],
)
def test_the_sexes_are_told_by_their_words_or_by_the_pair_of_letters(
    male: str, female: str
) -> None:
    assert meanings([male, female], SEXES) == {male: "male", female: "female"}
    assert meanings([male, female], ("m", "w")) == {male: "m", female: "w"}


@pytest.mark.parametrize(
    ("yes", "no"),
    [("ja", "nein"), ("J", "N"), ("oui", "non"), ("Sí", "No"), ("S", "N"), ("wahr", "falsch")],
)
def test_yes_and_no_are_told_for_outcomes_and_for_categories(yes: str, no: str) -> None:
    assert meanings([yes, no], ("0", "1")) == {yes: "1", no: "0"}
    assert meanings([yes, no], ("no", "yes")) == {yes: "yes", no: "no"}


@pytest.mark.parametrize("codes", [["M"], ["1", "2"], ["A", "B"], ["männlich?", "divers"]])
def test_what_is_not_certain_is_left_open(codes: list[str]) -> None:
    assert meanings(codes, SEXES) == {}


def test_a_letter_that_two_pairs_read_differently_is_left_open() -> None:
    assert meanings(["H", "M", "F"], SEXES) == {"H": "male", "F": "female"}


def test_letters_of_other_things_stand_for_nothing() -> None:
    assert meanings(["T", "F"], ("typical", "atypical")) == {}
    assert meanings(["ja", "M"], ("red", "green")) == {}


def test_words_for_no_value_are_told_in_any_column() -> None:
    assert meanings(["unbekannt", "k. A.", "rot"], ("red", "green")) == {
        "unbekannt": "missing",
        "k. A.": "missing",
    }
