"""What the documents show is what happens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import standing
from words import Shell, Step, begins_alike, fits, steps_of

DOCUMENTS = ("operator.md", "site-administrator.md", "auditor.md")


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("398 entries\n", "218 entries\n", True),
        ("entries 5\n", "checkpoints 5\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nb\nc\n", False),
        ("model  9f7e8ecf  closed\n", "model 52db47b9 closed  \n", True),
    ],
)
def test_an_output_fits_when_only_numbers_digests_and_times_differ(expected, printed, same):
    assert fits(expected, printed) is same


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder like a fresh clone's in which `make demo` has run."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(standing.ROOT / "configs", home / "configs")
    shell = Shell(home)
    shell.take(
        Step(0, "show", "concilium-coordinator rehearse configs/breast-cancer/agreement.yaml")
    )
    return shell


@pytest.fixture
def place(home):
    """A copy of it in a folder with a short path, since a long one breaks lines elsewhere."""
    with tempfile.TemporaryDirectory(prefix="c-") as folder:
        yield shutil.copytree(home.home, Path(folder).resolve() / "c")


@pytest.mark.pages
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_command_prints_what_the_document_shows(home, place, document):
    wrong, alike = [], fits
    shell = Shell(place, printed=home.printed)
    try:
        for step in steps_of(standing.ROOT / "docs" / document):
            printed = shell.take(step)
            if step.act == "loosely":
                alike = begins_alike
            elif step.act == "show":
                if step.expected.strip() and not alike(step.expected, printed):
                    wrong.append(f"{document}:{step.line}: $ {step.command}\n{printed}")
                alike = fits
    finally:
        shell.end()
    assert not wrong, "\n".join(wrong)
