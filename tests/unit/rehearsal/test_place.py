"""Which folder a rehearsal may begin in, and which one it leaves as it is."""

from __future__ import annotations

import pytest

from coordinator.rehearsal import place
from protos.errors import Refused


@pytest.fixture
def unfinished(tmp_path):
    """Return the folder of a rehearsal that was interrupted."""
    place.clear(tmp_path / "out", replaces=False)
    (tmp_path / "out" / "agreement.yaml").touch()
    return tmp_path / "out"


@pytest.fixture
def finished(unfinished):
    """Return the folder of a rehearsal that came to its end."""
    (unfinished / place.SUMMARY).touch()
    return unfinished


def left_in(out):
    return {path.name for path in out.iterdir()}


def test_an_unfinished_rehearsal_begins_anew_and_that_is_said(unfinished, capsys):
    place.clear(unfinished, replaces=False)
    assert left_in(unfinished) == {place.MARK}
    assert "did not come to its end; it begins anew" in capsys.readouterr().err


def test_a_finished_rehearsal_in_a_folder_of_ones_own_is_never_replaced(finished):
    before = left_in(finished)
    with pytest.raises(Refused) as refused:
        place.clear(finished, replaces=False)
    assert refused.value.rule == "rehearsal-kept"
    assert str(finished) in refused.value.what
    assert left_in(finished) == before


def test_a_finished_rehearsal_in_the_default_folder_is_replaced_and_that_is_said(
    finished, capsys
):
    place.clear(finished, replaces=True)
    assert left_in(finished) == {place.MARK}
    assert "The earlier rehearsal in" in capsys.readouterr().err


def test_what_no_rehearsal_left_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").touch()
    for out in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(Refused) as refused:
            place.clear(out, replaces=True)
        assert refused.value.rule == "rehearsal-folder"
    assert left_in(tmp_path) == {"thesis.txt"}
