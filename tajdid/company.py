"""The `tajdid init` command: asks what a company has, and writes its configuration.

Each question has an option of its own; with --no-input nothing is asked, and what no option answers is left
out. Answers are checked as they come, and nothing is written before all of them are good.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tajdid.console import day_of, home, now, say, stop

if TYPE_CHECKING:
    from tajdid.explain import Explanation


def init(
    name: Annotated[str | None, typer.Argument(help="Name of the company's folder in the workspace.")] = None,
    title_en: Annotated[str | None, typer.Option(help="Name shown in English.")] = None,
    title_ar: Annotated[str | None, typer.Option(help="Name shown in Arabic.")] = None,
    currency: Annotated[str | None, typer.Option(help="Reporting currency, such as EUR.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Reporting time zone, such as Europe/Berlin.")] = None,
    billing: Annotated[
        str | None,
        typer.Option(help="Billing database of `tajdid billing`: a URL, a SQLite file, or `new`."),
    ] = None,
    periods: Annotated[str | None, typer.Option(help="File or folder of subscription periods.")] = None,
    orders: Annotated[str | None, typer.Option(help="File or folder of orders.")] = None,
    crm: Annotated[str | None, typer.Option(help="Folder of CRM tables.")] = None,
    rates: Annotated[str | None, typer.Option(help="File or folder of exchange rates.")] = None,
    stripe: Annotated[str | None, typer.Option(help="File or folder of a Stripe export.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Last day of the figures; default: yesterday.")] = None,
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing.")] = False,
) -> None:
    """Set a company up: ask what you have, try it, and write company.toml and policy.toml.

    Example: tajdid init acme --currency EUR --timezone UTC --periods exports/periods.csv --no-input
    """
    from tajdid import init as setup

    asks = _Questions(is_silent=no_input)
    at = now()
    company = asks(name, "Name of the company's folder", lambda text: setup.checked_name(home(), text))
    english = asks(title_en, "Name in English", str, company)
    arabic = asks(title_ar, "Name in Arabic", str, english)
    code = asks(currency, "Reporting currency (ISO 4217)", setup.checked_currency, "EUR")
    zone = asks(timezone, "Reporting time zone (IANA)", setup.checked_timezone, "UTC")
    database = asks(
        billing,
        "Billing database of `tajdid billing`: a URL, a SQLite file, `new` (empty: none)",
        lambda text: text if text in ("", "new") else setup.checked_billing(text),
        "",
    )
    given = {"periods": periods, "orders": orders, "crm": crm, "rates": rates, "stripe": stripe}
    files: dict[str, Path] = {}
    for kind, question in setup.FILE_KINDS.items():

        def try_out(text: str, kind: str = kind) -> str:
            if text:
                location = Path(text).expanduser()
                _tell(kind, setup.tried(kind, location, at, code, zone))
                files[kind] = location
            return text

        asks(given[kind], f"{question}: file or folder (empty: none)", try_out, "")
    answers = setup.Answers(
        name=company,
        currency=code,
        timezone=zone,
        title_en=english,
        title_ar=arabic,
        as_of=day_of(as_of) if as_of else None,
        billing=setup.OWN_DATABASE if database == "new" else database or None,
        files=files,
    )
    try:
        folder = setup.write(home(), answers)
    except setup.InitError as error:
        stop(str(error), 2)
    say(f"Written: {folder / 'company.toml'} and {folder / 'policy.toml'}")
    if database == "new":
        say(f"Next: tajdid billing migrate --company {company}")
    say(f"Next: tajdid warehouse build --company {company} --explain")


class _Questions:
    """Asks for what no option answers. A wrong option ends the command; a wrong answer is asked again."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent

    def __call__(
        self, given: str | None, question: str, checked: Callable[[str], str], default: str | None = None
    ) -> str:
        from tajdid.init import InitError

        if given is None and self._is_silent:
            given = default
            if given is None:
                stop(f"{question}: give it, because --no-input asks nothing.", 2)
        if given is not None:
            try:
                return checked(given)
            except InitError as error:
                stop(str(error), 2)

        def answered(text: str) -> str:
            try:
                return checked(text.strip())
            except InitError as error:
                raise typer.BadParameter(str(error)) from error

        return str(typer.prompt(question, default=default, show_default=bool(default), value_proc=answered))


def _tell(kind: str, found: Explanation) -> None:
    for file, read, rejected, note in found.loads.select("file", "read", "set aside", "note").iter_rows():
        say(f"  {kind} {Path(file).name}: {read:,} rows tried, {rejected:,} set aside. {note}".rstrip())
    for row in found.rejects.iter_rows(named=True):
        say(f"    {row['rows']:,} x {row['reason']} ({row['column']}), first in row {row['first in row']}")
    for reason, meaning in found.reasons().items():
        say(f"    {reason}: {meaning}")
