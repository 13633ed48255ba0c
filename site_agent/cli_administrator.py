"""The administrator's verbs of `concilium-site`: the first day, and how things stand."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from governance import moments, terminal
from governance.terminal import Format
from site_agent.cli_options import HERE, Federation, Form, Passphrase, SiteFile, Yes

verbs = typer.Typer()


@verbs.command()
def init(
    name: Annotated[
        str | None, typer.Option(help="This hospital's name: a-z, 0-9 and -.")
    ] = None,
    federation_folder: Annotated[
        str | None, typer.Option(help="Where the keys of the first federation will lie.")
    ] = None,
    coordinator: Annotated[str | None, typer.Option(help="host:port to dial.")] = None,
    cohort: Annotated[str | None, typer.Option(help="A name for the patients.")] = None,
    csv: Annotated[str | None, typer.Option(help="The file of their records.")] = None,
    patient_id: Annotated[str | None, typer.Option(help="Its column of patients.")] = None,
    proxy: Annotated[str | None, typer.Option(help="none, env or http://host:port.")] = None,
    cap: Annotated[float | None, typer.Option(help="The most ε ever spent.")] = None,
    agreement: Annotated[
        Path | None, typer.Option(help="Its file, to propose a column for each feature.")
    ] = None,
    yes: Yes = False,
    site: SiteFile = HERE,
) -> None:
    """Write a commented site.yaml: asks on a terminal, or takes all from flags.

    Example: concilium-site init --name charite --csv ami.csv --agreement agreement.yaml
    """
    from site_agent import outline

    said = outline.Said(
        name, coordinator, federation_folder, cohort, csv, patient_id, proxy, cap, agreement
    )
    ask = None if yes or name is not None else outline.asker()
    made = outline.made(said, site.resolve().parent, ask)
    outline.write(site, made)
    for note in outline.notes(site, made, agreement):
        terminal.tell(note)


@verbs.command()
def preflight(
    agreement: Annotated[
        Path | None, typer.Argument(help="An agreement's file; default: the proposed one.")
    ] = None,
    token: Annotated[str, typer.Option(help="The invitation, to know whom to expect.")] = "",
    upload: Annotated[str, typer.Option(help="The line's upward rate, such as 10Mbit/s.")] = "",
    cohort: Annotated[str | None, typer.Option(help="Which of site.yaml's cohorts.")] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> int:
    """Look at line, clock, machine, data and pace before any signature; exit 1 if one stops.

    Example: concilium-site preflight agreement.yaml --upload 10Mbit/s
    """
    from governance import findings
    from site_agent import preflight as looked
    from site_agent.preflight import practice

    rate = practice.rate_of(upload) if upload else None
    wanted = looked.Wanted(agreement, federation, cohort, token, rate)
    found = looked.inspect(site, wanted, terminal.tell)
    terminal.say(findings.answer(found, form), form)
    return 1 if findings.stopped(found) else 0


@verbs.command()
def doctor(
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> int:
    """Find what is wrong with line, machine, store and agent, and who must act; exit 1 then.

    Example: concilium-site doctor
    """
    from governance import findings
    from site_agent import doctor as looked

    found = looked.examine(site, federation, terminal.tell)
    terminal.say(findings.answer(found, form, findings.WRONG), form)
    return 1 if findings.stopped(found) else 0


@verbs.command()
def enrol(
    token: Annotated[str, typer.Argument(help="The one-time token of the invitation.")] = "",
    request: Annotated[Path | None, typer.Option(help="By file: write the request.")] = None,
    response: Annotated[Path | None, typer.Option(help="By file: take the answer.")] = None,
    passphrase_file: Passphrase = None,
    site: SiteFile = HERE,
) -> None:
    """Enrol this hospital: all keys are made here and never leave.

    Example: concilium-site enrol concilium1.eyJ…
    """
    from governance.settings import load_site
    from site_agent import joining

    settings = load_site(site)
    if response is not None:
        identity = joining.finish_by_file(settings, response)
    else:
        secret = terminal.passphrase(
            "for the officer's key", file=passphrase_file, confirm=True
        )
        if request is not None:
            joining.request_by_file(settings, token, secret, request)
            terminal.tell(f"Wrote {request}: hand it to the operator, and keep it close.")
            return
        identity = joining.enrol(settings, token, secret)
    terminal.tell(f"Enrolled as {identity.actor} of {identity.federation}.")
    terminal.tell(f"Its root: {identity.root}")
    terminal.tell("Compare it with the operator, by telephone.")
    warning = joining.dialled_otherwise(settings, identity)
    if warning:
        terminal.tell(f"Note: {warning}")
    terminal.tell("Next: concilium-site run, and concilium-site review when asked to consent.")


@verbs.command()
def renew(
    token: Annotated[str, typer.Argument(help="The one-time token of the invitation.")] = "",
    request: Annotated[Path | None, typer.Option(help="By file: write the request.")] = None,
    response: Annotated[Path | None, typer.Option(help="By file: take the answer.")] = None,
    officer_key: Annotated[
        Path | None, typer.Option(help="The officer's key, where site.yaml names none here.")
    ] = None,
    passphrase_file: Passphrase = None,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Come back after the certificate has ended: signed by the agent's key and the officer's.

    Example: concilium-site renew concilium1.eyJ…
    """
    from governance.identity.enrolment import read_token
    from site_agent import desk, returning

    known = None if response is not None else read_token(token)
    with desk.opened(site, federation if known is None else known.federation) as m:
        if response is not None or known is None:
            until = returning.finish_by_file(m, response or Path())
        else:
            key = returning.officer(
                m,
                officer_key,
                lambda: terminal.passphrase("of the officer's key", file=passphrase_file),
            )
            if request is not None:
                returning.request_by_file(m, known, key, request)
                terminal.tell(f"Wrote {request}: hand it to the operator, and keep it close.")
                return
            until = returning.renew(m, known, key)
    terminal.tell(f"The certificate holds until {until:%Y-%m-%d %H:%M} UTC.")
    terminal.tell("An agent that runs dials with it by itself; else: concilium-site run")


@verbs.command()
def key(site: SiteFile = HERE, federation: Federation = None) -> None:
    """Print this hospital's public keys, to be handed to auditors on paper.

    Example: concilium-site key > charite.keys
    """
    from site_agent import answers, desk

    with desk.opened(site, federation) as m:
        typer.echo(answers.keys(m), nl=False)


@verbs.command()
def status(
    site: SiteFile = HERE, federation: Federation = None, form: Form = Format.TABLE
) -> None:
    """Say what the agent does, which agreements stand, and whether the ledger is whole.

    Example: concilium-site status --format json
    """
    from site_agent import answers, desk

    with desk.opened(site, federation) as m:
        terminal.say(answers.status(m), form)


@verbs.command()
def budget(
    site: SiteFile = HERE, federation: Federation = None, form: Form = Format.TABLE
) -> None:
    """Say what is spent, reserved and left of each cohort's privacy, and how long it lasts.

    Example: concilium-site budget
    """
    from site_agent import desk, spending

    with desk.opened(site, federation) as m:
        terminal.say(spending.budget(m, form), form)


@verbs.command()
def models(
    site: SiteFile = HERE, federation: Federation = None, form: Form = Format.TABLE
) -> None:
    """List which models may train here, and which final models are held.

    Example: concilium-site models
    """
    from site_agent import answers, desk

    with desk.opened(site, federation) as m:
        terminal.say(answers.models(m), form)


@verbs.command()
def sent(
    since: Annotated[
        datetime | None,
        typer.Option(parser=moments.since, help="From this time or day on, UTC."),
    ] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Of this round alone.")] = None,
    dump: Annotated[int | None, typer.Option(help="Say what number N says, in words.")] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> None:
    """List every message that left: time, kind, bytes, digest, who can read it, by which rule.

    Example: concilium-site sent --round 3
    """
    from site_agent import desk, leaving

    with desk.opened(site, federation) as m:
        if dump is not None:
            typer.echo(leaving.dumped(m, dump), nl=False)
            return
        terminal.say(leaving.listed(m, form, since=since, round_=round_), form)
