"""What is no YAML is said with its place and with what it mostly comes from."""

from __future__ import annotations

import pytest

from governance.yaml_positions import parse
from protos.errors import Refused


@pytest.mark.parametrize(
    ("text", "place", "todo"),
    [
        ("a:\n\tb: 1\n", "f:2:1", "spaces, never with a tab"),
        ("a:\n  b: 1\n c: 2\n", "f:3:2", "the spaces before this line"),
        ("a: b: c\n", "f:1:5", "`:` stands once in a line"),
    ],
)
def test_a_mistake_says_where_and_what_to_look_at(text, place, todo):
    with pytest.raises(Refused) as told:
        parse(text, file="f")
    assert (told.value.where, told.value.rule) == (place, "malformed-file")
    assert todo in told.value.todo
