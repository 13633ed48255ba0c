"""YAML is read one way only, and every value remembers where it stands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.yaml_positions import dotted, parse, read, resolve
from protos.errors import Refused


@pytest.mark.parametrize(
    "word", ["NO", "no", "on", "off", "yes", "y", "2027-01-01", "12:30:00"]
)
def test_words_of_older_yaml_stay_text(word):
    assert resolve(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("-12", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.0e-5", 1e-5),
        (".5", 0.5),
        ("5.", 5.0),
        ("017", 17),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        (".nan", ".nan"),
    ],
)
def test_unquoted_scalars_are_the_core_schemas(text, value):
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_quoted_numbers_are_text():
    assert parse("a: \"1\"\nb: 'true'\n", file="f").value == {"a": "1", "b": "true"}


def test_values_know_their_line_and_column():
    located = parse("a:\n  b: [1, 22]\n", file="f.yaml")
    assert located.place(("a", "b", 1)) == "f.yaml:2:10"
    assert located.place(("a", "b"), at_key=True) == "f.yaml:2:3"


def test_missing_value_is_placed_at_its_section():
    located = parse("a:\n  b: {c: 1}\n", file="f.yaml")
    assert located.place(("a", "b", "d")) == "f.yaml:2:3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "f:2:1: a stands here again; it is already in line 1"),
        ("a: &x 1\n", "f:1:4: &x is an anchor, which is not allowed"),
        ("a: *x\n", "f:1:4: *x is an alias, which is not allowed"),
        ("a: !!str 1\n", "f:1:4: tag:yaml.org,2002:str is a tag, which is not allowed"),
        ("a: !x 1\n", "f:1:4: !x is a tag, which is not allowed"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins; a file holds one"),
        ("&k a: 1\n", "f:1:1: &k is an anchor, which is not allowed"),
    ],
)
def test_second_ways_of_reading_are_refused(text, said):
    located = parse(text, file="f")
    assert str(located.refuse(located.problems)) == said


def test_first_of_two_equal_keys_keeps_its_place():
    located = parse("a: {b: 1}\na: {b: 2}\n", file="f")
    assert located.value == {"a": {"b": 1}}
    assert located.place(("a", "b")) == "f:1:8"


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: b: c\n", "\tx: 1\n", "a: 'x", "a: \x07\n", "? [1]: 2\n"]
)
def test_what_is_not_yaml_is_refused_with_its_place(text):
    with pytest.raises(Refused) as caught:
        parse(text, file="f")
    assert caught.value.where.startswith("f")
    assert caught.value.rule == "malformed-file"


def test_endless_nesting_is_refused():
    with pytest.raises(Refused, match="levels deep"):
        parse("[" * 200, file="f")


def test_latin_1_is_refused_naming_line_and_column(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes("a: 1\ntitle: Köln\n".encode("latin-1"))
    with pytest.raises(Refused) as caught:
        read(path)
    assert caught.value.where == f"{path}:2:9"


def test_missing_and_huge_files_are_refused(tmp_path):
    with pytest.raises(Refused, match="cannot be read"):
        read(tmp_path / "none.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(Refused, match="larger than"):
        read(tmp_path / "huge.yaml")


def test_paths_are_written_as_people_do():
    assert dotted(("data", "features", 2, "range")) == "data.features[2].range"
    assert dotted(()) == "the file"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Refused):
        parse(text, file="f")
