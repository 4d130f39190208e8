"""Reports of the command line: the board pack as a file, and the e-mails that are due."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tajdid.console import CompanyOption, chosen, home, now, say, stop

if TYPE_CHECKING:
    from dashboard.people.reader import Reader

LANGUAGES = ("en", "ar")


def dashboard_pack(
    out: Annotated[Path, typer.Option("--out", help="The PDF file to write.")],
    company: CompanyOption = None,
    lang: Annotated[str, typer.Option("--lang", help="en or ar.")] = "en",
    month: Annotated[
        str, typer.Option("--month", help="Such as 2025-12; default the newest closed one.")
    ] = "",
    compare: Annotated[str, typer.Option("--compare", help="previous or year.")] = "previous",
    segment: Annotated[str, typer.Option("--segment", help="One segment; default all.")] = "",
    currency: Annotated[str, typer.Option("--currency", help="Default the reporting currency.")] = "",
    trade: Annotated[
        str, typer.Option("--trade", help="subscriptions or orders, for a company that has both.")
    ] = "",
) -> None:
    """Write the board pack of a month as PDF.

    Example: tajdid dashboard-pack --company atlas --lang ar --out pack.pdf
    """
    _quiet()
    from dashboard.pack import content, document, reading
    from dashboard.people.reader import LOCAL

    if lang not in LANGUAGES:
        stop(f"'{lang}' is no language of the board pack: write en or ar.", 2)
    if compare not in ("previous", "year"):
        stop("--compare is previous or year.", 2)
    one = chosen(company)
    asked = {"month": month, "compare": compare, "segment": segment, "currency": currency, "trade": trade}
    view = reading.view_of(home(), one.folder.name, lang, now(), LOCAL)
    if view.problem is not None:
        stop(view.problem, 1)
    try:
        scope, _parts = content.parts(view, {name: value for name, value in asked.items() if value})
        for name, found in (("month", f"{scope.month:%Y-%m}"), ("currency", scope.currency)):
            if asked[name] and asked[name] != found:
                stop(f"There are no figures for --{name} {asked[name]}.", 2)
        if segment and segment != scope.segment:
            stop(f"There are no figures for --segment {segment}.", 2)
        made = document.to_pdf(content.content(view, asked), view.now)
    except content.NothingToReport:
        stop(f"{one.name} has no figures yet: run `tajdid warehouse build` first.", 1)
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_bytes(made)
        partial.replace(out)
    except OSError as error:
        stop(f"{out} cannot be written: {error.strerror}.", 1)
    say(f"Board pack of {scope.month:%Y-%m}, {len(made) // 1024:,} KB: {out}")


def digest(
    due: Annotated[bool, typer.Option("--due", help="Send what is due now.")] = False,
    company: Annotated[
        str | None, typer.Option("--company", help="Folder name of one company; default all.")
    ] = None,
) -> None:
    """Send the digests and alerts that are due: each once, also when this is run twice or was interrupted.

    Exit code 3 when some could not be sent now; they are tried again at the next run.

    Example: tajdid digest --due
    """
    _quiet()
    from dashboard.companies import companies
    from dashboard.digest.due import Office, run
    from dashboard.digest.settings import MailError, read_mail
    from dashboard.people.settings import SettingsError
    from dashboard.records.database import RecordsError, open_records

    if not due:
        stop("Say --due to send what is due now.", 2)
    known = [one for one in companies(home()) if company is None or one.name == company]
    if company is not None and not known:
        chosen(company)
    try:
        settings = read_mail(home())
        if settings is None:
            stop(f"{home() / 'dashboard.toml'} has no [mail]: nothing can be sent (docs/reports.md).", 2)

        is_fine = True
        for one in known:
            if one.records_url is None:
                continue
            readers = partial(_reader, home(), one.name)
            office = Office(home(), one.name, open_records(one.records_url), settings, readers, now)
            outcome = run(office)
            is_fine = is_fine and outcome.is_fine
            say(
                f"{one.name}: {outcome.sent} sent, {outcome.waiting} to be tried again, "
                f"{outcome.failed} given up, {outcome.unknown} perhaps not arrived"
            )
    except (MailError, SettingsError, RecordsError) as error:
        stop(str(error), 1)
    if not is_fine:
        raise SystemExit(3)


def _reader(home: Path, company: str, reader_id: str) -> Reader | None:
    """Who asked for a letter, with the roles they have in the company now; None for nobody on the list."""
    from dashboard.people import directory
    from dashboard.people.reader import LOCAL
    from dashboard.people.settings import read_sign_in

    sign_in = read_sign_in(home)
    if sign_in.kind == "none":
        return LOCAL if reader_id == LOCAL.reader_id else None
    person = directory.person(directory.open_people(sign_in.people_url), reader_id)
    return None if person is None else person.reader(company)


def _quiet() -> None:
    """Streamlit's caches work without a server; that they say so is no news."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from streamlit import logger

    logger.set_log_level("ERROR")
