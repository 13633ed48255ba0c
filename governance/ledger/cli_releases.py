"""The auditor's verbs about models that left the federation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from governance.ledger.cli_options import At, Export, Form, Site, Url, opened
from governance.terminal import Format
from protos.errors import EXIT_DONE, EXIT_FOUND

verbs = typer.Typer()


@verbs.command()
def releases(
    name: Annotated[
        str, typer.Argument(help="One release: who published it, who has it.")
    ] = "",
    url: Url = None,
    export: Export = None,
    site: Site = None,
    at: At = None,
    form: Form = Format.TABLE,
) -> None:
    """List the released models, those with a hospital inside, or what became of one.

    Example: concilium-ledger releases --export export --site charite
    """
    from governance.ledger import asking, query_releases

    with opened(url, export, site=site) as c:
        if name:
            asking.say(query_releases.one_release(c, name), form)
            return
        answer = query_releases.releases_held(c, site=site, at=at)
        hidden = frozenset({"agreement", "card", "rounds", "recalled_seq", "undone_seq"})
        asking.say(answer, form, hidden=hidden)


@verbs.command("verify-release")
def verify_release(
    folder: Annotated[Path, typer.Argument(help="The folder of a release.")],
    trust: Annotated[
        Path | None, typer.Option(help="The hospitals' keys, as `concilium-site key` prints.")
    ] = None,
    form: Form = Format.TABLE,
) -> int:
    """Check a release's folder offline: model, card, lineage. Exit code 1 when a check fails.

    Example: concilium-ledger verify-release release-v1 --trust hospitals.keys
    """
    from governance.ledger import asking

    verdict, answer = asking.release_verified(folder, trust)
    terminal.say(answer, form)
    return EXIT_DONE if verdict.verified else EXIT_FOUND
