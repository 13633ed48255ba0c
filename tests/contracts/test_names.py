"""Modules that tests share are imported by name alone: two of one name would be one of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_modules_that_tests_share_have_one_name():
    shared = [
        path.name
        for path in TESTS.rglob("*.py")
        if not path.name.startswith("test_") and path.name not in {"conftest.py", "__init__.py"}
    ]
    assert [name for name, count in Counter(shared).items() if count > 1] == []
