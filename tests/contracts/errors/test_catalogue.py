"""Every code that the source can raise is explained, and every explanation is of one it raises.

The source is read as a syntax tree. A code is a text, a constant, one of either, a parameter's
default, or a part of a table here; what hands on another error's code adds none.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import typer

from coordinator.cli import app as coordinator
from governance import error_pages, stragglers
from governance.consent import Consent
from governance.ledger.cli import app as ledger
from site_agent.cli import app as site

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("protos", "governance", "coordinator", "site_agent")
KINDS: Final = frozenset({"ConciliumError", "Refused", "PeerFault", "Corrupt", "Unavailable"})
BY_PLACE: Final = {
    "Told": 0,
    "Goodbye": 0,
    "Cancel": 1,
    "Objection": 2,
    "Fault": 1,
    "cancel": 3,
    "coordinator/effects.py:_cancel": 2,
}
"""What carries a code without a keyword, and at which place."""
NOT_ERRORS: Final = frozenset({"asked", "send", "mark", "values", "Verdict", "Saying", "_sum"})
"""What else is said by a keyword `rule`: why a message may leave, what a gate decided."""
FORMED: Final = {
    "f'consent-is-{consent.value}'": {f"consent-is-{state.value}" for state in Consent},
    "f'consent-is-{state.value}'": {f"consent-is-{state.value}" for state in Consent},
    "asked.why_out": {stragglers.LATE, stragglers.NO_ANSWER},
}
"""Codes put together from parts."""
HANDED_ON: Final = (
    r".*\.rule|.*\['rule'\]|rules\.pop\(\)|lambda .*|fields\.rule\(.*\)"
    r"|(rule|code|reason)"  # a parameter: its callers are looked at
)


@dataclass
class Found:
    """What was found in the source: codes with their places, and places that give none."""

    codes: dict[str, str] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


def sources():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "_pb2" not in path.name:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def constants_of(tree):
    """Return a module's constants that are texts, by name."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    return {
        target.id: node.value.value
        for node in assigned
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


class Reader(ast.NodeVisitor):
    """Reads one module's codes."""

    def __init__(self, path, tree, everywhere, found):
        self.path, self.found = path, found
        self.constants = {**everywhere, **constants_of(tree)}
        self.functions = [tree]

    def visit_FunctionDef(self, node):
        self.functions.append(node)
        given = node.args.posonlyargs + node.args.args
        pairs = [
            *zip(reversed(given), reversed(node.args.defaults), strict=False),
            *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            if argument.arg == "rule" and default is not None:
                self.take(default, node)
        self.generic_visit(node)
        self.functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        said = {keyword.arg: keyword.value for keyword in node.keywords}
        code = said.get("code" if name == "complain" else "rule")
        place = BY_PLACE.get(name, BY_PLACE.get(f"{self.path}:{name}"))
        if place is not None and len(node.args) > place:
            code = node.args[place]
        if code is not None and name not in NOT_ERRORS:
            self.take(code, node)
        elif name in KINDS:
            self.found.without.append(f"{self.path}:{node.lineno}")
        self.generic_visit(node)

    def take(self, code, node):
        place = f"{self.path}:{node.lineno}"
        for value in self.values(code, place):
            if value:
                self.found.codes.setdefault(value, place)

    def values(self, code, place):
        """Return what an expression can be."""
        match code:
            case ast.Constant():
                return {code.value}
            case ast.BoolOp():
                return self.all_of(code.values, place)
            case ast.IfExp():
                return self.all_of([code.body, code.orelse], place)
            case ast.Name() if code.id in self.constants:
                return {self.constants[code.id]}
            case ast.Name() if assigned := self.assigned(code.id):
                return self.all_of(assigned, place)
            case _:
                return self.formed(ast.unparse(code), place)

    def all_of(self, codes, place):
        return set().union(*(self.values(code, place) for code in codes))

    def assigned(self, name):
        """Return what a name is given in the function at hand."""
        return [
            node.value
            for node in ast.walk(self.functions[-1])
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
        ]

    def formed(self, text, place):
        if text not in FORMED and not re.fullmatch(HANDED_ON, text):
            self.found.unclear.append(f"{place}: {text}")
        return FORMED.get(text, set())


@cache
def found():
    trees = list(sources())
    everywhere = {}
    for _, tree in trees:
        everywhere |= constants_of(tree)
    all_found = Found()
    for path, tree in trees:
        Reader(path, tree, everywhere, all_found).visit(tree)
    return all_found


def explained():
    read = error_pages.catalogue()
    return {code for entries in read.values() for entry in entries for code in entry.codes}


@pytest.mark.slow
def test_every_error_has_a_code():
    assert not found().without, 'give these errors a rule="…": ' + ", ".join(found().without)
    assert not found().unclear, (
        "say a code here as a text or a constant, or add what it can be to FORMED: "
        + ", ".join(found().unclear)
    )


def test_every_code_is_explained():
    missing = sorted(found().codes.keys() - explained())
    entries = "\n".join(
        f'\n[{code}]      # raised in {found().codes[code]}\ncause = "…"\n'
        f'who = "one of: {", ".join(error_pages.WHO)}"\nnext = "…"'
        for code in missing
    )
    assert not missing, (
        "add to the file of its theme in governance/errors/, then run `make errors`:\n"
        f"{entries}"
    )


def test_every_explanation_is_of_a_code_that_can_be_raised():
    unused = sorted(explained() - found().codes.keys())
    assert not unused, f"take out of governance/errors/, then run `make errors`: {unused}"


def test_codes_have_one_form():
    assert [code for code in found().codes if not re.fullmatch(r"[a-z0-9-]{1,64}", code)] == []


def test_the_page_is_what_the_catalogue_says():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert page == error_pages.page(), "docs/errors.md is not up to date: run `make errors`"


def test_causes_and_next_steps_are_sentences():
    wrong = [
        entry.codes[0]
        for entries in error_pages.catalogue().values()
        for entry in entries
        if not (entry.cause.endswith(".") and entry.next.endswith("."))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("program", "app"),
    [
        ("concilium-coordinator", coordinator),
        ("concilium-site", site),
        ("concilium-ledger", ledger),
    ],
)
def test_commands_to_give_next_exist(program, app):
    verbs = typer.main.get_command(app).commands
    wrong = []
    for entries in error_pages.catalogue().values():
        for entry in entries:
            for command in re.findall(rf"`{program} ([^`]+)`", f"{entry.cause} {entry.next}"):
                verb, *words = command.split()
                options = {
                    option
                    for parameter in getattr(verbs.get(verb), "params", ())
                    for option in (*parameter.opts, *parameter.secondary_opts)
                }
                asked = {word for word in words if word.startswith("--")}
                if verb not in verbs or asked - options:
                    wrong.append(f"{entry.codes[0]}: {program} {command}")
    assert not wrong, f"the program has no such verb or option: {wrong}"


def test_the_code_ends_the_first_line_of_an_error(capsys):
    from governance.terminal import complain

    complain("fed: it is taken\nChoose another.", code="already-founded")
    assert capsys.readouterr().err == (
        "error: fed: it is taken [already-founded]\nChoose another.\n"
    )


@pytest.mark.parametrize("code", ["", "no code", "\x1b[2J", "UPPER"])
def test_what_a_peer_sends_as_a_code_and_is_none_is_not_printed(code, capsys):
    from governance.terminal import complain

    complain("the coordinator said no", code=code)
    assert capsys.readouterr().err == "error: the coordinator said no\n"
