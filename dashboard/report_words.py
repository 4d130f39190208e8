"""Words of saved views and of e-mails, for the codes their records hold."""

from __future__ import annotations

from dashboard.i18n import Text
from dashboard.words import Words, lookup, page_titles


def page(text: Text) -> Words:
    """Pages, as the list beside them calls them."""
    return lookup(page_titles(text))


def view_refused(text: Text) -> Words:
    """Why a saved view is not saved, changed or opened."""
    _ = text.gettext
    return lookup(
        {
            "no_name": _("Give the view a name."),
            "too_long": _("A name has at most 80 letters."),
            "too_many": _("You have 200 views. Delete one first."),
            "too_much": _("This page has more filters than a view can keep."),
            "no_page": _("Your role does not include the page of this view."),
            "not_there": _("This view is no longer there."),
            "not_yours": _("Only its owner can change this view."),
            "may_not_share": _("Your role does not share views with the team."),
            "too_late": _("This view was deleted more than 30 days ago."),
        }
    )


def mail_refused(text: Text) -> Words:
    """Why a digest or an alert is not set up."""
    _ = text.gettext
    return lookup(
        {
            "no_address": _("Write one e-mail address, such as name@example.com."),
            "other_domain": _("This workspace does not send to addresses of this domain."),
            "no_page": _("Your role does not include this page. Choose another one from the list."),
            "too_many": _("You have 50 digests and alerts. Stop one first."),
            "no_number": _("Write the value as a number, such as 1500 or 2.5."),
            "not_there": _("It was already stopped."),
        }
    )


def mail_period(text: Text) -> Words:
    """How often a digest comes."""
    _ = text.gettext
    return lookup({"daily": _("Daily"), "weekly": _("Weekly"), "monthly": _("Monthly")})


def mail_side(text: Text) -> Words:
    """To which side of its threshold a figure goes."""
    _ = text.gettext
    return lookup({"above": _("above"), "below": _("below")})


def mail_event(text: Text) -> Words:
    """What an alert of single accounts waits for."""
    _ = text.gettext
    return lookup(
        {
            "newly_high": _("A customer comes to high risk"),
            "notice_soon": _("A notice ends within 30 days"),
        }
    )


def mail_state(text: Text) -> Words:
    """How a letter went."""
    _ = text.gettext
    return lookup(
        {
            "waiting": _("waiting to be sent"),
            "claimed": _("being sent"),
            "handed": _("being sent"),
            "sent": _("sent"),
            "unknown": _("may not have arrived"),
            "failed": _("not sent"),
            "dropped": _("no longer due"),
        }
    )
