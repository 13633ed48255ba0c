"""`concilium-coordinator`: the operator's program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator import cli_exits, cli_keeping, cli_live, cli_releases, cli_storage
from coordinator.cli_options import (
    HERE,
    Folder,
    Form,
    IdentityFolder,
    Passphrase,
    Reason,
    console_of,
    now,
    pending,
)
from governance import terminal
from governance.terminal import Format

_VERBS = (
    *("init", "schema", "plan", "rehearse", "serve", "invite", "enrol", "propose", "approve"),
    *(
        "withdraw-proposal",
        "status",
        "watch",
        "rounds",
        "round",
        "pause",
        "resume",
        "stop-round",
    ),
    *("release", "give", "recall", "remove", "settle", "hold", "erase", "move"),
    *("backup", "recover"),
)
app = typer.Typer(
    cls=terminal.in_order(*_VERBS),
    name="concilium-coordinator",
    help="Run a federation: write its agreement, ask the hospitals, watch the rounds.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(cli_live.verbs)
app.add_typer(cli_releases.verbs)
app.add_typer(cli_exits.verbs)
app.add_typer(cli_keeping.verbs)
app.add_typer(cli_storage.verbs)


def main() -> None:
    """Run the program."""
    terminal.run(app)


@app.command()
def init(
    federation: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, -.")],
    host: Annotated[str, typer.Option(help="The DNS name that hospitals dial.")],
    folder: Folder = HERE,
    operator: Annotated[str, typer.Option(help="The first operator's name.")] = "operator",
    listen: Annotated[str, typer.Option(help="Address and port for sites.")] = "0.0.0.0:8443",
    enrolment: Annotated[str, typer.Option(help="Address and port for newcomers.")] = (
        "0.0.0.0:8444"
    ),
    passphrase_file: Passphrase = None,
) -> None:
    """Make a federation's folder: authority, keys, coordinator.yaml, first operator.

    Example: concilium-coordinator init heart-europe --host fed.example.org --folder fed
    """
    from coordinator import founding

    secret = terminal.passphrase("for the root CA's key", file=passphrase_file, confirm=True)
    root = founding.found(
        folder,
        founding.Outline(federation, host, listen, enrolment, operator),
        passphrase=secret,
        now=now(),
    )
    terminal.tell(f"Made the federation {federation} in {folder}. The root's fingerprint is")
    terminal.tell(f"  {root}")
    terminal.tell("Keep keys/root.key offline: it is needed again only for a new issuing CA.")
    terminal.tell(f"Next: concilium-coordinator serve --folder {folder}")


@app.command()
def serve(folder: Folder = HERE) -> None:
    """Run the long-lived coordinator until it is interrupted.

    Example: concilium-coordinator serve --folder fed
    """
    from coordinator import service

    service.serve(folder)


@app.command()
def enrol(
    token: Annotated[str, typer.Argument(help="The one-time token of the invitation.")],
    identity: Annotated[Path, typer.Option("--identity", help="The folder to make.")],
) -> None:
    """Enrol as a further operator: all keys are made here and never leave.

    Example: concilium-coordinator enrol concilium1.… --identity me
    """
    from coordinator import console

    console.enrol(token, identity, now=now())
    terminal.tell(f"Enrolled. Act with: concilium-coordinator status --identity {identity}")


@app.command()
def invite(
    role: Annotated[str, typer.Argument(help="site, operator or auditor")],
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    hours: Annotated[int, typer.Option(min=1, max=24 * 30, help="How long it holds.")] = 72,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="A hospital's officer key is lost: new keys for it."),
    ] = False,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew", help="A hospital's certificate has ended: the next one for it."
        ),
    ] = False,
    request: Annotated[
        Path | None, typer.Option(help="By file: what the invited one wrote with its token.")
    ] = None,
    response: Annotated[
        Path | None, typer.Option(help="By file: write what the invited one is given.")
    ] = None,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
) -> None:
    """Print a one-time token for a hospital, an operator or an auditor; or enrol one by file.

    Example: concilium-coordinator invite site charite
    """
    if replace and renew:
        raise typer.BadParameter("--replace gives new keys, --renew keeps those that there are")
    if request is not None or response is not None:
        _carry(folder, identity, (role, name), (request, response), renew=renew)
        return
    with console_of(folder, identity) as console:
        token, acted = console.invite(
            role, name, hours=hours, now=now(), replace_keys=replace, renew=renew
        )
    if replace:
        terminal.tell(f"For 72 hours any statement of {name}'s officer key vetoes it; then its")
        terminal.tell(
            "consents are void, and what it spent stays spent. Propose anew after that."
        )
    if pending(acted):
        terminal.tell(f"Give this token to {name} then, not before; it is not shown again:")
    else:
        from coordinator.console import replaced

        if replaced(acted):
            terminal.tell(f"The token that {name} was given before no longer holds.")
        when = "after those 72 hours" if replace else f"within {hours} hours"
        terminal.tell(f"Give this token to {name}; it works once, {when}:")
    typer.echo(token)


@app.command()
def approve(
    act: Annotated[str, typer.Argument(help="The act's digest, or how it begins.")],
    folder: Folder = HERE,
    identity: IdentityFolder = None,
) -> None:
    """Give the second signature to an act that waits for one.

    Example: concilium-coordinator approve 3fa9 --identity rossi
    """
    with console_of(folder, identity) as console:
        acted = console.approve(act)
    terminal.tell(f"Approved; it is entry {acted.seq} of the ledger.")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Who is barred, with all keys and certificates.")],
    reason: Reason,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Bar a name: certificates and keys end now, open sessions within a second.

    Example: concilium-coordinator revoke charite --reason "keys stolen"
    """
    if not terminal.confirmed(f"Revoke {name} for good?", yes=yes):
        return
    with console_of(folder, identity) as console:
        acted = console.signed(
            "revoked", {"name": name, "serials": []}, {"reason": reason}, now=now()
        )
    if not pending(acted):
        terminal.tell(f"{name} is revoked (entry {acted.seq}).")


@app.command()
def plan(
    agreement: Annotated[Path, typer.Argument(help="The agreement's YAML file.")],
    against: Annotated[
        Path | None, typer.Option(help="Compare with this file instead of the one in force.")
    ] = None,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    form: Form = Format.TABLE,
) -> None:
    """Say in plain words what an agreement means, and what changes (exit 1 if anything does).

    Example: concilium-coordinator plan agreement.yaml
    """
    from coordinator import planning

    report = planning.asked(folder, identity) if against is None else None
    changed = planning.show(agreement, against=against, report=report, form=form)
    raise typer.Exit(1 if changed else 0)


@app.command()
def schema(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")] = HERE,
) -> None:
    """Write JSON Schemas of agreement.yaml, site.yaml and coordinator.yaml, for editors.

    Example: concilium-coordinator schema my-study
    """
    from governance import json_schemas

    for path in json_schemas.write(folder):
        terminal.tell(f"Wrote {path}.")
    terminal.tell("An editor with a YAML language server completes and checks a file beside")
    terminal.tell("them whose first line is, for an agreement:")
    terminal.tell(f"  {json_schemas.modeline('agreement').rstrip()}")


@app.command()
def propose(
    agreement: Annotated[Path, typer.Argument(help="The agreement's YAML file.")],
    fill_roster: Annotated[
        bool, typer.Option("--fill-roster", help="Write the enrolled keys into the file.")
    ] = False,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
) -> None:
    """Ask the sites of an agreement for their consent.

    Example: concilium-coordinator propose agreement.yaml --fill-roster
    """
    from coordinator import planning

    with console_of(folder, identity) as console:
        document, acted = planning.propose(console, agreement, fill=fill_roster, now=now())
    if not pending(acted):
        sites = ", ".join(document.agreement.sites.roster)
        terminal.tell(f"Proposed {document.digest[:12]} (entry {acted.seq}) to {sites}.")


@app.command(name="rotate-key")
def rotate_key(
    which: Annotated[str, typer.Argument(help="issuing")],
    folder: Folder = HERE,
    passphrase_file: Passphrase = None,
) -> None:
    """Make a new issuing CA under the root; the coordinator uses it from its next start.

    Example: concilium-coordinator rotate-key issuing
    """
    from coordinator import founding

    secret = terminal.passphrase("of the root CA's key", file=passphrase_file)
    founding.rotate(folder, which, passphrase=secret, now=now())
    terminal.tell("Made a new issuing CA. Restart the coordinator to use it.")


@app.command()
def rehearse(
    agreement: Annotated[Path, typer.Argument(help="The agreement's YAML file.")],
    sites: Annotated[
        Path | None,
        typer.Option(help="One folder a site; default: sites/ beside the agreement."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where all is left; default: build/demo, or build/synthetic, each time anew."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Fixed noise (Unsafe): the same digest every time.")
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Patients made from the data contract alone.")
    ] = False,
    site_count: Annotated[
        int | None,
        typer.Option(min=2, max=100, help="With --synthetic: this many instead of the roster."),
    ] = None,
    skew: Annotated[
        float | None,
        typer.Option(help="With --synthetic: how much hospitals differ; 0 to 3, default 0.3."),
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The model's file, where the agreement names a wheel.")
    ] = None,
) -> None:
    """Run the whole federation on this machine, as real processes over real TLS.

    Example: concilium-coordinator rehearse agreement.yaml --synthetic --site-count 5
    """
    from coordinator import rehearsal
    from coordinator.rehearsal.synthetic import asked

    invention = asked(synthetic=synthetic, sites=sites, site_count=site_count, skew=skew)
    folder = out or Path("build") / ("synthetic" if invention else "demo")
    code = rehearsal.rehearse(
        agreement,
        sites=invention or sites,
        out=folder,
        seed=seed,
        replaces=out is None,
        wheel=wheel,
    )
    raise typer.Exit(code)


def _carry(
    folder: Path,
    identity: Path | None,
    who: tuple[str, str],
    files: tuple[Path | None, Path | None],
    *,
    renew: bool,
) -> None:
    from coordinator import carrying

    (role, name), (request, response) = who, files
    if request is None or response is None:
        raise typer.BadParameter("--request and --response go together")
    with console_of(folder, identity) as console:
        if renew:
            carrying.renew(console, request, response, name=name, now=now())
        else:
            carrying.enrol(console, request, response, role=role, name=name, now=now())
    done = "has its next certificate" if renew else "is enrolled"
    terminal.tell(f"{name} {done}. Bring it {response}; there is nothing secret in it.")
