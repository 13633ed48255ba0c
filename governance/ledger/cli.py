"""`concilium-ledger`: the auditor's program; it needs neither torch nor opacus."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from governance.ledger import (
    cli_exits,
    cli_keeping,
    cli_privacy,
    cli_questions,
    cli_releases,
    cli_server,
    paging,
)
from governance.ledger.cli_options import (
    After,
    All,
    Export,
    Form,
    Limit,
    Since,
    Until,
    Url,
    opened,
)
from governance.ledger.signatures import Signatures
from governance.terminal import Format
from protos.errors import EXIT_DONE, EXIT_FOUND

_VERBS = (
    *("verify", "agreements", "consents", "rounds", "round", "contributions", "spending"),
    *("releases", "lineage", "exits", "exit", "acts", "certificates", "patients"),
    *("members", "masks", "statistics", "audits", "retention"),
    *(
        "show",
        "search",
        "checkpoint",
        "witness",
        "verify-release",
        "export",
        "rebuild",
        "grant",
    ),
)

app = typer.Typer(
    name="concilium-ledger",
    cls=terminal.in_order(*_VERBS),
    help="Verify a federation's governance ledger and ask it; trust nobody who keeps it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the program."""
    terminal.run(app)


@app.command()
def verify(
    url: Url = None,
    export: Export = None,
    trust: Annotated[
        Path | None, typer.Option(help="The hospitals' keys, as `concilium-site key` prints.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from before; the log must extend it.")
    ] = None,
    signatures: Annotated[
        Signatures, typer.Option(help="Which to check: all, hospitals' alone, none.")
    ] = Signatures.ALL,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental",
            help="You verified the record up to --against: check later signatures alone.",
        ),
    ] = False,
    form: Form = Format.TABLE,
) -> int:
    """Check everything from nothing; name the first fault.

    Exit code 1 when there is one, and where --trust asks for proof and it is not proven.

    Example: concilium-ledger verify --export build/demo/export --trust build/demo/trust.keys
    """
    from governance.ledger import asking, verdicts

    verdict = asking.verified(
        url,
        export,
        trust=trust,
        against=against,
        signatures=signatures,
        incremental=incremental,
    )
    terminal.say(verdicts.answer(verdict, form), form)
    good = verdict.verified if trust is None else verdict.proven
    return EXIT_DONE if good else EXIT_FOUND


app.add_typer(cli_questions.verbs)
app.add_typer(cli_releases.verbs)
app.add_typer(cli_keeping.verbs)
app.add_typer(cli_exits.verbs)
app.add_typer(cli_privacy.verbs)


@app.command()
def show(
    seq: Annotated[int, typer.Argument(help="The entry's number, from 0.")],
    url: Url = None,
    export: Export = None,
    proof: Annotated[
        bool, typer.Option("--proof", help="With the proof that it is in the log.")
    ] = False,
    form: Form = Format.TABLE,
) -> None:
    """Show one entry: who said what, signed with which key.

    Example: concilium-ledger show 17 --export export --proof
    """
    from governance.ledger import asking, showing

    with opened(url, export) as c:
        answer = showing.show(c, seq, proof=proof)
    asking.say(answer, form, short=False)
    if proof and form is not Format.JSON:
        # Never wrapped, and no line after it: it is a file of c2sp.org/tlog-proof.
        typer.echo(answer.facts["proof"], nl=False)


@app.command()
def search(
    word: Annotated[str, typer.Argument(help="A name, a digest's first digits, a reason.")],
    url: Url = None,
    export: Export = None,
    kind: Annotated[str | None, typer.Option(help="Statements of this kind alone.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = paging.ROWS,
    after: After = None,
    all_: All = False,
    form: Form = Format.TABLE,
) -> None:
    """Find the statements that say a word, in their fields or in what is disclosed of them.

    Example: concilium-ledger search withdrawn --export export --since 2026-11-01
    """
    from governance.ledger import asking, searching

    with opened(url, export) as c:
        page = paging.asked(limit, after, all_=all_)
        answer = searching.search(c, word, kind=kind, since=since, until=until, page=page)
        asking.say(answer, form)


@app.command("checkpoint")
def checkpoint_(
    url: Url = None,
    export: Export = None,
    last: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 20,
    all_: All = False,
    size: Annotated[int | None, typer.Option(min=1, help="The one of so many entries.")] = None,
    note: Annotated[
        bool, typer.Option("--note", help="The signed note itself: a file to keep.")
    ] = False,
    form: Form = Format.TABLE,
) -> None:
    """List the heads that the log signed and who cosigned them, or print one to be kept.

    Example: concilium-ledger checkpoint --note --export export > kept.checkpoint
    """
    from governance.ledger import asking, query_heads

    with opened(url, export) as c:
        if note or size is not None:
            typer.echo(query_heads.note_of(c, size), nl=False)
            return
        asking.say(query_heads.heads(c, last=None if all_ else last), form)


@app.command()
def witness(url: Url = None, export: Export = None, form: Form = Format.TABLE) -> None:
    """Say of each hospital which checkpoints it cosigned, and which ones it left out.

    Example: concilium-ledger witness --export export
    """
    from governance.ledger import asking, query_heads

    with opened(url, export) as c:
        asking.say(query_heads.witnessing(c), form)


@app.command("export")
def export_(
    folder: Annotated[Path, typer.Argument(help="The folder to make, or to write anew.")],
    url: Url = None,
    source: Annotated[
        Path | None, typer.Option("--export", help="Another export to write it from.")
    ] = None,
    since: Annotated[int, typer.Option(min=0, help="Only the entries from this one on.")] = 0,
    form: Form = Format.TABLE,
) -> None:
    """Write one folder that anyone can verify offline, with a README that says how.

    Example: concilium-ledger export handover --url fed/state/coordinator.db
    """
    from governance.ledger import asking
    from governance.ledger.export import export

    with asking.source(url, source) as held:
        made = export(held, folder, since=since)
    terminal.say(asking.exported(folder, made), form)


@app.command()
def rebuild(
    url: Url = None,
    form: Form = Format.TABLE,
) -> None:
    """Make the tables of current state anew from the entries, in the database itself.

    Example: concilium-ledger rebuild --url fed/state/coordinator.db
    """
    from governance.ledger import asking

    terminal.say(asking.rebuilt(url), form)


@app.command()
def grant(
    application: Annotated[
        str, typer.Argument(help="The role that the coordinator connects as; not the owner.")
    ],
    auditor: Annotated[str, typer.Option(help="A role that only reads.")] = "",
    disclosures: Annotated[
        bool, typer.Option("--disclosures", help="It reads disclosed names and figures too.")
    ] = False,
) -> None:
    """Print the SQL by which PostgreSQL itself refuses to change the record.

    Run it as the tables' owner: psql -d federation -f grant.sql

    Example: concilium-ledger grant concilium --auditor regulator > grant.sql
    """
    from governance.ledger import granting

    for statement in granting.grants(application, auditor=auditor, disclosures=disclosures):
        typer.echo(f"{statement};")


@app.command()
def enrol(
    token: Annotated[str, typer.Argument(help="The one-time token of the invitation.")],
    identity: Annotated[Path, typer.Option("--identity", help="The folder to make.")],
) -> None:
    """Enrol as an auditor: the keys are made here and never leave.

    Example: concilium-ledger enrol concilium1.… --identity me
    """
    from governance.ledger import joining

    joining.enrol(token, identity, now=datetime.now(UTC))
    terminal.tell(f"Enrolled. Your keys are in {identity}; keep it to yourself.")


cli_server.serve(app)

if __name__ == "__main__":
    main()
