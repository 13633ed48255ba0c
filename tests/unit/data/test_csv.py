from __future__ import annotations

import contextlib
import csv as standard
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.errors import EXIT_USER, Refused, exit_code
from site_agent.data import csv


def cells(path: Path, *columns: str, encoding: str = "utf-8") -> list[tuple[str, ...]]:
    """Return the rows of these columns."""
    return [
        row
        for batch in csv.read(path, encoding=encoding, columns=columns)
        for row in zip(*batch, strict=True)
    ]


def refusal(path: Path, *columns: str, encoding: str = "utf-8") -> Refused:
    with pytest.raises(Refused) as caught:
        cells(path, *columns, encoding=encoding)
    assert exit_code(caught.value) == EXIT_USER
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "patients.csv"


def test_columns_come_in_the_order_asked_and_others_are_not_read(file: Path) -> None:
    file.write_text("a,b,c\n1,2,3\n4,5,6\n")
    assert cells(file, "c", "a") == [("3", "1"), ("6", "4")]
    assert cells(file, "b") == [("2",), ("5",)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_told_by_the_header(file: Path, delimiter: str) -> None:
    file.write_text(f'"id"{delimiter}a\n1{delimiter}"x{delimiter}y"\n')
    assert cells(file, "id", "a") == [("1", f"x{delimiter}y")]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("latin-1", "latin-1"), ("utf-16", "utf-16")],
)
def test_encodings_are_read_and_a_byte_order_mark_is_no_part_of_a_name(
    file: Path, encoding: str, said: str
) -> None:
    file.write_text("größe,b\r\n1,ä\r\n", encoding=encoding, newline="")
    assert cells(file, "größe", "b", encoding=said) == [("1", "ä")]


def test_blank_lines_are_skipped_and_quotes_may_hold_line_ends(file: Path) -> None:
    file.write_text('\na,b\n\n1,"2\n3"\n\n')
    assert cells(file, "a", "b") == [("1", "2\n3")]


def test_a_missing_file_is_refused(file: Path) -> None:
    assert refusal(file, "a").rule == "unreadable-source"
    assert refusal(file.parent, "a").rule == "unreadable-source"


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n", "a,b\n\n"])
def test_an_empty_file_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    assert refusal(file, "a").rule == "empty-source"


def test_a_missing_column_is_refused_and_the_nearest_one_named(file: Path) -> None:
    file.write_text("id,AGE_YEARS,x\n1,2,3\n")
    error = refusal(file, "id", "age_year")
    assert error.rule == "missing-column"
    assert "no column age_year" in error.what
    assert "AGE_YEARS" in error.todo
    assert "nearest" not in refusal(file, "blood_pressure").todo


def test_all_missing_columns_are_named_at_once_each_with_the_nearest(file: Path) -> None:
    file.write_text("id,AGE_Y,Sex,x\n1,2,3,4\n")
    with pytest.raises(Refused) as caught:
        list(csv.read(file, encoding="utf-8", columns=["id", "AGE_YR", "sex", "qqqq"]))
    assert caught.value.what == "the header has no column AGE_YR, sex, qqqq"
    assert "Nearest to AGE_YR is AGE_Y. Nearest to sex is Sex. Mend" in caught.value.todo


def test_a_patients_column_that_is_missing_is_mended_by_its_own_setting(file: Path) -> None:
    file.write_text("Fallnummer,Alter,Pat-ID\n1,2,3\n")
    with pytest.raises(Refused) as caught:
        list(csv.read(file, encoding="utf-8", columns=["MRN", "Altr"], patient_id="MRN"))
    assert caught.value.what == "the header has no column MRN, Altr"
    assert "`patient_id` in site.yaml" in caught.value.todo
    assert "The nearest: Fallnummer, Pat-ID." in caught.value.todo
    assert "The nearest one is Alter. Mend `map`" in caught.value.todo


def test_a_patients_column_alone_is_never_said_to_be_in_the_map(file: Path) -> None:
    file.write_text("Fallnummer,Alter\n1,2\n")
    with pytest.raises(Refused) as caught:
        list(csv.read(file, encoding="utf-8", columns=["Falnr", "Alter"], patient_id="Falnr"))
    assert "`map`" not in caught.value.todo
    assert "The nearest: Fallnummer" in caught.value.todo


def test_a_record_in_the_headers_place_is_not_quoted(file: Path) -> None:
    file.write_text("P0017,secretname,44.5\nP0018,other,45.5\n")
    error = refusal(file, "secretnam")
    assert "looks like a record" in error.todo
    assert "secretname" not in str(error)


def test_a_column_that_is_there_twice_is_refused(file: Path) -> None:
    file.write_text("a,a,b\n1,2,3\n")
    assert refusal(file, "a").rule == "ambiguous-column"
    assert cells(file, "b") == [("3",)]


def test_latin_1_bytes_in_utf_8_are_refused_with_their_line_and_a_way_out(file: Path) -> None:
    file.write_bytes("a,b\n1,2\n3,größe\n4,5\n".encode("latin-1"))
    error = refusal(file, "a")
    assert error.rule == "wrong-encoding"
    assert "line 3" in error.what
    assert error.where.endswith(":3")
    assert "encoding: latin-1" in error.todo
    assert "größe" not in str(error)


def test_latin_1_bytes_far_down_are_found(file: Path) -> None:
    lines = [b"a,b"] + [b"1,2"] * 40_000 + [b"3,\xe4"] + [b"1,2"] * 10
    file.write_bytes(b"\n".join(lines))
    assert "line 40002" in refusal(file, "a").what


def test_a_header_in_another_encoding_is_refused(file: Path) -> None:
    file.write_bytes("größe\n1\n".encode("latin-1"))
    assert "line 1 " in refusal(file, "größe").what


def test_utf_8_declared_as_ascii_is_refused_with_a_way_out(file: Path) -> None:
    file.write_text("a\nä\n", encoding="utf-8")
    assert "encoding: utf-8" in refusal(file, "a", encoding="ascii").todo


@pytest.mark.parametrize("encoding", ["no-such", "base64"])
def test_what_is_no_text_encoding_is_refused(file: Path, encoding: str) -> None:
    file.write_text("a\n1\n")
    assert refusal(file, "a", encoding=encoding).rule == "wrong-encoding"


@pytest.mark.parametrize("line", ["9,9", "9,9,9,9"])
def test_a_ragged_line_is_refused_with_its_number_and_not_its_cells(
    file: Path, line: str
) -> None:
    file.write_text(f"a,b,c\n1,2,3\n\n{line}\n")
    error = refusal(file, "a")
    assert error.rule == "malformed-source"
    assert "line 4" in error.what
    assert "header has 3" in error.what


def test_a_quote_that_is_never_closed_is_refused(file: Path) -> None:
    file.write_text('a,b\n1,2\n3,"4\n5,6\n')
    assert refusal(file, "a").rule == "malformed-source"


TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n"))


@given(st.lists(st.lists(TEXT, min_size=2, max_size=2), min_size=1, max_size=20))
def test_what_a_writer_writes_is_what_is_read(rows: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patients.csv"
        with file.open("w", encoding="utf-8", newline="") as text:
            standard.writer(text, quoting=standard.QUOTE_ALL).writerows([["a", "b"], *rows])
        assert cells(file, "a", "b") == [tuple(row) for row in rows]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patients.csv"
        file.write_bytes(b"a,b\n" + content)
        with contextlib.suppress(Refused):
            assert cells(file, "a", "b")


def test_a_hundred_thousand_records_are_read_one_by_one(file: Path) -> None:
    line = ",".join(f"{value:.2f}" for value in np.arange(10) + 0.25)
    names = [f"c{place}" for place in range(10)]
    file.write_text("\n".join([",".join(names), *[line] * 100_000, ""]))
    records = sum(len(batch[0]) for batch in csv.read(file, encoding="utf-8", columns=names))
    assert records == 100_000
