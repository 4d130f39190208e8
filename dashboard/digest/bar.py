"""The e-mails a reader wants, set up on the page they are about: digests, alerts, and their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import streamlit as st

from dashboard import figures, keeping
from dashboard import report_words as words
from dashboard.digest import accounts, letters
from dashboard.digest.letters import Reading
from dashboard.digest.settings import MailError, MailSettings, read_mail
from dashboard.pack.content import NothingToReport
from dashboard.records import audit, mail, targets
from dashboard.records.database import RecordsError
from dashboard.records.mail import Alert, Digest, Refused
from dashboard.records.views import SavedView
from dashboard.states import panel
from dashboard.view import View, home

SAID = "mail-said"


def button(view: View, page: str, seen: Sequence[SavedView]) -> None:
    """The menu of e-mails; nothing for a reader who may not take figures away."""
    if not view.may("export"):
        return
    _ = view.text.gettext
    with st.popover(_("E-mail"), key="mail-menu", on_change="rerun") as menu:
        if menu.open:
            with panel(view):
                _menu(view, page, [one for one in seen if one.page == page])
    said = st.session_state.pop(SAID, None)
    if said:
        st.toast(said)


def own_list(view: View) -> None:
    """The reader's e-mails, where the link at the foot of a letter leads; nothing without it."""
    is_asked = st.query_params.get("mail") == "settings" and not st.session_state.get("mail-menu")
    if not is_asked or not view.may("export"):
        return
    with st.container(border=True, key="mail-settings"), panel(view):
        _mine(view)


def _menu(view: View, page: str, seen: Sequence[SavedView]) -> None:
    _ = view.text.gettext
    try:
        settings = read_mail(home())
    except MailError as error:
        st.warning(_("The e-mail settings of this workspace cannot be used."))
        if view.may("manage_people"):
            st.code(str(error), language=None, wrap_lines=True)
        return
    if settings is None:
        st.info(_("This workspace sends no e-mail yet. Write [mail] into its dashboard.toml."))
        return
    by_id = {one.view_id: one for one in seen}
    about = st.selectbox(
        _("About"),
        ["", *by_id],
        format_func=lambda key: by_id[key].name if key else _("This page as it is now"),
        key="mail-about",
    )
    st.text_input(
        _("To the address"),
        value=view.reader.reader_id if "@" in view.reader.reader_id else "",
        key="mail-address",
        max_chars=mail.LONGEST_ADDRESS,
    )
    parameters = {} if about else letters.steady({**st.query_params})
    _ask_digest(view, page, settings, about or None, parameters)
    st.divider()
    if view.may_open("revenue") or view.may_open("churn"):  # the pages of the figures that alerts watch
        _ask_alert(view, page, settings, by_id.get(about), parameters)
        st.divider()
    if accounts.open_to(view):
        _ask_event(view, settings)
        st.divider()
    _mine(view)


def _ask_digest(
    view: View,
    page: str,
    settings: MailSettings,
    view_id: str | None,
    parameters: dict[str, str],
) -> None:
    _ = view.text.gettext
    names = words.mail_period(view.text)
    st.segmented_control(
        _("A digest"),
        list(mail.PERIODS),
        default="weekly",
        format_func=names,
        key="mail-period",
        required=True,
    )
    st.caption(
        _("It speaks of the newest closed month, and comes from {hour} on ({timezone}).").format(
            hour=view.show.identifier(f"{settings.hour:02}:00"),
            timezone=view.show.identifier(settings.timezone),
        )
    )

    def asked() -> None:
        assert view.records is not None
        to, period = _address(settings), st.session_state["mail-period"]
        mail.ask_digest(
            view.records,
            view.now,
            view.reader,
            page=page,
            parameters=parameters,
            view_id=view_id,
            period=period,
            language=view.language,
            address=to,
        )
        audit.note(view.records, view.reader.reader_id, view.now, "digest", to, f"{period} {page}")
        st.session_state[SAID] = _("The digest will be sent.")

    st.button(_("Send me this digest"), key="mail-ask-digest", on_click=_tried, args=(view, asked))


def _ask_alert(
    view: View,
    page: str,
    settings: MailSettings,
    about: SavedView | None,
    parameters: dict[str, str],
) -> None:
    _ = view.text.gettext
    try:
        found = letters.watched(view, about.parameters if about else parameters)
    except NothingToReport:
        st.caption(_("There is no figure yet that an alert could watch."))
        return
    metric_id = st.selectbox(
        _("An alert when"),
        list(found),
        format_func=lambda key: found[key].metric.label,
        key="mail-metric",
    )
    watched = found[metric_id]
    sides = words.mail_side(view.text)
    st.segmented_control(
        _("Goes"), list(mail.SIDES), default="above", format_func=sides, key="mail-side", required=True
    )
    unit = "%" if figures.is_percentage(watched.metric) else watched.currency
    if watched.metric.unit not in (*figures.MONEY, *figures.RATIOS):
        unit = ""
    st.text_input(
        _("This value ({unit})").format(unit=view.show.identifier(unit)) if unit else _("This value"),
        key="mail-value",
        max_chars=30,
    )
    st.caption(
        _("Now: {value}").format(value=figures.shown(view, watched.metric, watched.amount, watched.currency))
    )

    def asked() -> None:
        assert view.records is not None
        to, side = _address(settings), st.session_state["mail-side"]
        amount, scale = threshold(view, watched, st.session_state["mail-value"])
        mail.ask_alert(
            view.records,
            view.now,
            view.reader,
            page=page,
            parameters=parameters,
            view_id=about.view_id if about else None,
            metric_id=metric_id,
            side=side,
            amount=amount,
            scale=scale,
            language=view.language,
            address=to,
        )
        audit.note(view.records, view.reader.reader_id, view.now, "digest", to, f"alert {metric_id} {side}")
        st.session_state[SAID] = _("The alert is set.")

    st.button(_("Set this alert"), key="mail-ask-alert", on_click=_tried, args=(view, asked))


def _ask_event(view: View, settings: MailSettings) -> None:
    """An alert of single accounts: of the reader's own, where they see no others."""
    _ = view.text.gettext
    events = accounts.open_to(view)
    st.selectbox(
        _("An alert for each account"), events, format_func=words.mail_event(view.text), key="mail-event"
    )
    if view.published is not None and not view.published.is_company:
        st.caption(_("Of your own accounts."))

    def asked() -> None:
        assert view.records is not None
        to, event = _address(settings), st.session_state["mail-event"]
        mail.ask_alert(
            view.records,
            view.now,
            view.reader,
            page=accounts.PAGES[event],
            parameters={},
            view_id=None,
            metric_id=event,
            side=mail.EACH,
            amount=0,
            scale=1,
            language=view.language,
            address=to,
        )
        audit.note(view.records, view.reader.reader_id, view.now, "digest", to, f"alert {event}")
        st.session_state[SAID] = _("The alert is set.")

    st.button(_("Set this alert"), key="mail-ask-event", on_click=_tried, args=(view, asked))


def _address(settings: MailSettings) -> str:
    """The address as it stands in its field when a button is pressed. Raises Refused."""
    return mail.checked_address(st.session_state["mail-address"], settings.domains)


def threshold(view: View, watched: Reading, written: str) -> tuple[int, int]:
    """The threshold a reader wrote, as a whole number and its scale. Raises Refused: no_number."""
    try:
        amount = targets.amount_of(written, figures.unit_of(view, watched.metric, watched.currency))
    except targets.Refused:
        raise Refused("no_number") from None
    value = figures.target_value(view, watched.metric, amount, watched.currency)
    return amount, int(value.denominator or Decimal(1))


def _mine(view: View) -> None:
    """The reader's digests and alerts, how the last of each went, and a button that ends it."""
    _ = view.text.gettext
    assert view.records is not None
    title = _("My e-mails")
    st.markdown(f"**{title}**")
    digests = mail.digests(view.records, view.reader.reader_id)
    alerts = mail.alerts(view.records, view.reader.reader_id)
    if not digests and not alerts:
        st.caption(_("None yet."))
        return
    for wish in digests:
        _one(view, wish.digest_id, digest_words(view, wish))
    for watch in alerts:
        _one(view, watch.alert_id, alert_words(view, watch))


def digest_words(view: View, wish: Digest) -> str:
    return view.text.gettext("{period} digest of {page}, to {address}").format(
        period=words.mail_period(view.text)(wish.period),
        page=words.page(view.text)(wish.page),
        address=view.show.identifier(wish.address),
    )


def alert_words(view: View, wish: Alert) -> str:
    _ = view.text.gettext
    if wish.is_of_accounts:
        return _("Alert: {event}, to {address}").format(
            event=words.mail_event(view.text)(wish.metric_id), address=view.show.identifier(wish.address)
        )
    try:
        metric = letters.watched(view, wish.parameters)[wish.metric_id]
        what, line = metric.metric.label, letters.threshold_words(view, wish, metric)
    except (KeyError, NothingToReport):
        what, line = wish.metric_id, view.show.number(letters.threshold(wish), 2)
    return _("Alert: {metric} {side} {threshold}, to {address}").format(
        metric=what,
        side=words.mail_side(view.text)(wish.side),
        threshold=line,
        address=view.show.identifier(wish.address),
    )


def _one(view: View, wish_id: str, said: str) -> None:
    _ = view.text.gettext
    assert view.records is not None
    last = mail.deliveries(view.records, wish_id, 1)

    def stopped() -> None:
        assert view.records is not None
        mail.stop(view.records, view.now, view.reader, wish_id)
        st.session_state[SAID] = _("It is stopped.")

    with st.container(horizontal=True, vertical_alignment="center", key=f"mail-{wish_id}"):
        st.text(said)
        st.button(_("Stop"), key=f"mail-stop-{wish_id}", on_click=_tried, args=(view, stopped))
    if last:
        when = last[0]["finished_at"] or last[0]["recorded_at"]
        st.caption(
            _("Last: {state}, {when}").format(
                state=words.mail_state(view.text)(last[0]["state"]), when=view.show.instant(when)
            )
        )


def _tried(view: View, act: Callable[[], None]) -> None:
    """Do it; what speaks against it is said to the reader."""
    try:
        act()
    except Refused as refused:
        st.session_state[SAID] = words.mail_refused(view.text)(refused.reason)
    except RecordsError as error:
        keeping.refused(error)
