"""The tables of errors know every way in which something is not possible."""

from __future__ import annotations

import grpc
import pytest

from protos import errors
from protos.errors import EXIT_CODE, GRPC_STATUS, ConciliumError, exit_code

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, ConciliumError)
    and kind is not ConciliumError
]


def test_the_tree_has_the_four_ways_of_the_design():
    assert {kind.__name__ for kind in KINDS} == {
        "Refused",
        "PeerFault",
        "Unavailable",
        "Corrupt",
    }


def test_both_tables_are_total():
    assert set(GRPC_STATUS) == set(KINDS)
    assert set(EXIT_CODE) == set(KINDS)


def test_each_status_is_one_of_grpc_and_tells_the_kinds_apart():
    assert len({grpc.StatusCode[name] for name in GRPC_STATUS.values()}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_ends_a_program_with_the_user_s_turn_or_try_again(kind):
    expected = errors.EXIT_UNAVAILABLE if kind is errors.Unavailable else errors.EXIT_USER
    assert exit_code(kind("no")) == expected


def test_a_narrower_error_has_its_kind_s_exit_code():
    class Busy(errors.Unavailable):
        pass

    assert exit_code(Busy("no")) == errors.EXIT_UNAVAILABLE
    assert exit_code(ConciliumError("no")) == errors.EXIT_USER


def test_exit_codes_are_those_of_the_design():
    codes = (
        errors.EXIT_DONE,
        errors.EXIT_FOUND,
        errors.EXIT_USER,
        errors.EXIT_UNAVAILABLE,
    )
    assert codes == (0, 1, 2, 3)


def test_an_error_says_where_what_and_what_to_do():
    assert str(errors.Refused("no")) == "no"
    full = errors.Refused("it is 12", where="a.yaml:3:1", todo="Make it 10.", rule="too-large")
    assert str(full) == "a.yaml:3:1: it is 12\nMake it 10."
    assert (full.what, full.rule) == ("it is 12", "too-large")


@pytest.mark.parametrize("rule", ["disk-full", "port-in-use", "store-unavailable"])
def test_what_no_waiting_helps_is_the_user_s_turn(rule):
    assert exit_code(errors.Unavailable("no", rule=rule)) == errors.EXIT_USER
    assert exit_code(errors.Unavailable("no", rule="store-busy")) == errors.EXIT_UNAVAILABLE
