"""The first run: a tour of three steps that can be skipped, and what is still to be set up.

Both are shown on the reader's first page until put away, which is kept for each reader.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import address, keeping
from dashboard.links import page_link
from dashboard.people.directory import everybody, open_people
from dashboard.records import marks, targets
from dashboard.records.database import RecordsError
from dashboard.view import Published, View, clock

TOUR, CHECKLIST = "tour", "checklist"
STEP = "tour-step"


@dataclass(frozen=True)
class Task:
    """One thing to set up: what it is, whether it is done, and the command, file or page that does it.

    `before` says what has to be there first.
    """

    title: str
    is_done: bool
    how: tuple[str, ...] = ()
    page: str | None = None
    before: str | None = None


def show(view: View, page: str) -> None:
    """The tour or, once it is over, the checklist; nothing on other pages than the first."""
    if view.records is None or view.published is None or not address.is_first(page):
        return
    try:
        seen = _seen(view)
        if TOUR not in seen:
            _tour(view)
        elif CHECKLIST not in seen:
            _checklist(view, view.published)
    except RecordsError:
        return


def _key(view: View) -> str:
    return f"marks-{view.reader.reader_id}-{view.company.name if view.company else ''}"


def _seen(view: View) -> frozenset[str]:
    """The reader's marks, read once a session."""
    key = _key(view)
    if key not in st.session_state:
        assert view.records is not None
        st.session_state[key] = marks.of(view.records, view.reader.reader_id)
    found: frozenset[str] = st.session_state[key]
    return found


def _put_away(view: View, mark: str) -> None:
    assert view.records is not None
    with keeping.written():
        marks.put(view.records, view.reader.reader_id, clock(), mark)
    st.session_state.pop(_key(view), None)


def steps(view: View) -> Sequence[tuple[str, str]]:
    """The tour: what each step shows, and why."""
    _ = view.text.gettext
    return [
        (
            _("Every number has its rows"),
            _(
                "Press “Show the rows” below a number: the rows add up to it exactly. “More” has its "
                "definition, its SQL and its files."
            ),
        ),
        (
            _("The address is the view"),
            _(
                "Month, comparison and segment are kept in the address. Copy it, and a colleague sees the "
                "same, as far as their role allows."
            ),
        ),
        (
            _("Know how far to trust it"),
            _(
                "The badge beside the title says to which day the figures reach and whether all tests "
                "passed. Data health has the rest."
            ),
        ),
    ]


def _tour(view: View) -> None:
    _, show = view.text.gettext, view.show
    tour = steps(view)
    step = min(max(0, st.session_state.get(STEP, 0)), len(tour) - 1)
    title, words = tour[step]
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small", key="tour"):
        place = _("Step {step} of {all}").format(step=show.number(step + 1), all=show.number(len(tour)))
        st.caption(place, width="content")
        st.markdown(f"**{title}**", width="content")
        st.text(words)
        with st.container(horizontal=True, width="content", gap="small"):
            if step < len(tour) - 1:
                st.button(_("Next"), key="tour-next", on_click=_to_step, args=(step + 1,))
                st.button(
                    _("Skip the tour"),
                    key="tour-skip",
                    type="tertiary",
                    on_click=_put_away,
                    args=(view, TOUR),
                )
            else:
                st.button(_("Done"), key="tour-done", on_click=_put_away, args=(view, TOUR))


def _to_step(step: int) -> None:
    st.session_state[STEP] = step


def tasks(view: View, published: Published) -> list[Task]:
    """What a company needs before its figures are its own."""
    _ = view.text.gettext
    name = view.company.name if view.company else ""
    build = published.build
    return [
        Task(
            _("Connect a source of your own"),
            not build.is_sample and (build.has_subscriptions or build.has_orders),
            ("tajdid", "init", name),
        ),
        Task(_("Set the currency and the month end"), _has_policy(view), (f"{name}/policy.toml",)),
        _invitation(view, name),
        Task(_("Set targets"), bool(targets.in_force(view.records)), page="forecast"),
    ]


def _invitation(view: View, company: str) -> Task:
    """Whether somebody else has a role in the company and can sign in; without sign-in nobody can."""
    _, settings = view.text.gettext, view.visit.settings
    has_sign_in = settings is not None and settings.kind != "none"
    others = [
        person
        for person in (everybody(open_people(settings.people_url)) if settings and has_sign_in else [])
        if person.reader_id != view.reader.reader_id and person.roles.get(company)
    ]
    return Task(
        _("Invite your colleagues"),
        bool(others),
        ("tajdid", "people", "add", "sara@example.com", "--role", "executive", "--company", company),
        before=None
        if has_sign_in
        else _("First set up sign-in in dashboard.toml; until then nobody else comes in."),
    )


def _has_policy(view: View) -> bool:
    """Whether the company's policy names its currency and its time zone."""
    if view.company is None:
        return False
    try:
        named = tomllib.loads((view.company.folder / "policy.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return {"reporting_currency", "reporting_timezone"} <= named.keys()


def _checklist(view: View, published: Published) -> None:
    _, show = view.text.gettext, view.show
    todo = tasks(view, published)
    done = sum(task.is_done for task in todo)
    label = _("First steps: {done} of {all} done").format(done=show.number(done), all=show.number(len(todo)))
    box = st.expander(label, key="first-steps", on_change="rerun")
    if not box.open:
        return
    with box:
        for task in todo:
            st.text(("✓ " if task.is_done else "○ ") + task.title)
            if not task.is_done:
                _way(view, task)
        st.button(
            _("Do not show this again"), key="first-steps-hide", on_click=_put_away, args=(view, CHECKLIST)
        )


def _way(view: View, task: Task) -> None:
    """How a task is done."""
    if task.before is not None:
        st.caption(task.before)
    if task.how:
        st.code(" ".join(task.how), language=None)
    if task.page is not None:
        page_link(view, task.page, view.text.gettext("Forecast and targets"))
