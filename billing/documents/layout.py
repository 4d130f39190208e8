"""What a page shows, as plain texts in reading order: labels, values, rows. The template only sets them.

Every text from data passes `own`, every number `isolated`, so that nothing in a name moves what stands beside
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from billing.documents.document import InvoiceDocument, Line, Party, PriceTerms, Tier
from billing.documents.formats import Formats, formats_of, isolated, own
from billing.documents.words import Words, tax_name, title, words_of

Page = dict[str, Any]

_TONES = {"paid": "good", "void": "bad", "uncollectible": "bad"}


def page_of(document: InvoiceDocument, locale: str) -> Page:
    """The texts of a document in a language; a locale without words of its own gets those of English."""
    words = words_of(locale)
    formats = formats_of(locale, document.currency, language=words.language)
    tax, number_label = tax_name(document.seller.country, words)
    named = title(document.kind, document.seller.country, words)
    parties = [(words.buyer, document.buyer), (words.ship_to, document.ship_to)]
    return {
        "language": words.language,
        "direction": words.direction,
        "title": named,
        "subject": f"{named} {document.number}",
        "number": own(document.number),
        "state": words.states.get(document.state),
        "tone": _TONES.get(document.state, ""),
        "issued_on": document.issued_on.isoformat(),
        "author": document.seller.name,
        "facts": list(_facts(document, words, formats)),
        "seller": _party(document.seller, words, formats, number_label),
        "parties": [
            {"label": label, **_party(party, words, formats, number_label)}
            for label, party in parties
            if party is not None
        ],
        "headers": _headers(document, words, tax),
        "rows": list(_rows(document, words, formats)),
        "sums": list(_sums(document, words, formats, tax)),
        "last": _last(document, words, formats),
        "notes": list(_notes(document, words, formats)),
        "payment": _payment(document, words, formats),
        "labels": {"page": words.page, "carried": words.carried, "brought": words.brought},
    }


def _facts(document: InvoiceDocument, words: Words, formats: Formats) -> Iterator[tuple[str, list[str]]]:
    """What stands at the head: labels with the lines of their values."""
    yield words.issued_on, [formats.day(document.issued_on)]
    if document.due_on:
        yield words.due_on, [formats.day(document.due_on)]
    if document.service_start and document.service_end:
        yield words.service_period, [formats.period(document.service_start, document.service_end)]
    if document.purchase_order:
        yield words.purchase_order, [own(document.purchase_order)]
    if len(document.corrects) == 1:
        (one,) = document.corrects
        yield words.corrects, [own(one.number), formats.day(one.issued_on)]
    elif document.corrects:
        yield words.corrects, [own(one.number) for one in document.corrects]
    if document.reason:
        yield words.reason, [words.reasons.get(document.reason, own(document.reason))]
    if document.replaces:
        yield words.replaces, [own(document.replaces)]
    if document.replaced_by:
        yield words.replaced_by, [own(document.replaced_by)]


def _party(party: Party, words: Words, formats: Formats, number_label: str) -> Page:
    city = " ".join(part for part in (party.postal_code, party.city) if part)
    place = [*party.lines, city, party.region]
    lines = [own(line) for line in place if line] + [formats.country(party.country)]
    if party.contact:
        lines.insert(0, words.attention.format(name=own(party.contact)))
    if party.tax_number:
        lines.append(f"{number_label} {own(party.tax_number)}")
    lines += [own(line) for line in (party.registration, party.email) if line]
    return {"name": own(party.name), "lines": lines}


# Lines.


def _headers(document: InvoiceDocument, words: Words, tax: str) -> dict[str, str]:
    """The heads of columns, in their order; a document without quantities or discounts has none for them."""
    heads = {"position": words.position, "description": words.description}
    if document.kind == "invoice":
        heads |= {"quantity": words.quantity, "unit_price": words.unit_price}
    if any(line.discount_minor for line in document.lines):
        heads |= {"gross": words.gross, "discount": words.discount}
    return heads | {"tax": tax, "net": f"{words.net} {isolated(document.currency)}"}


def _rows(document: InvoiceDocument, words: Words, formats: Formats) -> Iterator[Page]:
    party = None
    sums = accumulate(line.net_minor for line in document.lines)
    for line, so_far in zip(document.lines, sums, strict=True):
        if line.party != party and line.party:
            yield {"party": own(line.party)}
        party = line.party
        yield {
            "position": isolated(str(line.position)),
            "description": own(line.description),
            "details": list(_details(line, document, words, formats)),
            "quantity": "" if line.quantity is None else formats.decimal(line.quantity),
            "unit": _unit(line, words),
            "unit_price": _unit_price(line, formats),
            "gross": formats.amount(line.gross_minor),
            "discount": formats.amount(-line.discount_minor) if line.discount_minor else "",
            "tax": formats.rate(line.tax_rate_ppm),
            "net": formats.amount(line.net_minor),
            "so_far": formats.amount(so_far),
        }


def _details(line: Line, document: InvoiceDocument, words: Words, formats: Formats) -> Iterator[str]:
    """The small print of a line: what it corrects, when, how much of a period, at which price."""
    if line.kind in words.kinds:
        yield words.kinds[line.kind]
    if line.corrects and len(document.corrects) != 1:
        yield words.takes_back.format(number=own(line.corrects))
    when = list(_when(line, document, words, formats))
    if when:
        yield " · ".join(when)
    if line.price:
        price = _price(line.price, words, formats)
        if price:
            yield price


def _when(line: Line, document: InvoiceDocument, words: Words, formats: Formats) -> Iterator[str]:
    """The period of a line, where it is not that of the document, and the part of a period it is."""
    if (line.service_start, line.service_end) != (document.service_start, document.service_end):
        yield formats.period(line.service_start, line.service_end)
    if line.proration:
        one = line.proration
        unit = words.counted(words.periods[one.unit], one.whole)
        part, whole = isolated(f"{one.part:,}"), isolated(f"{one.whole:,}")
        yield words.proration.format(part=part, whole=whole, unit=unit)


def _unit(line: Line, words: Words) -> str:
    if line.quantity is not None and line.unit == "seat":
        return words.counted(words.seat, line.quantity.mantissa)
    return own(line.unit) if line.unit else ""


def _unit_price(line: Line, formats: Formats) -> str:
    if line.unit_price is None:
        return ""
    return ("≈ " if line.is_average else "") + formats.price(line.unit_price)


def _price(price: PriceTerms, words: Words, formats: Formats) -> str:
    """A price that is more than so much a unit, in words; '' for one that is not."""
    if price.model == "package" and price.unit_price and price.package_size:
        size = isolated(f"{price.package_size:,}")
        told = words.package.format(price=formats.price(price.unit_price), size=size)
        free = words.free_units.format(count=isolated(f"{price.free_units:,}")) if price.free_units else ""
        return " · ".join(part for part in (told, free) if part)
    if price.model not in words.price_models:
        return ""
    parts = [words.price_models[price.model]]
    is_share = price.model in ("percentage", "graduated_percentage")
    if price.model == "percentage" and price.unit_price:
        parts.append(formats.percent(price.unit_price))
        if price.fee and price.fee.mantissa:
            parts[-1] = words.flat_fee.format(price=parts[-1], fee=formats.price(price.fee))
    parts += [_tier(tier, words, formats, is_share=is_share) for tier in price.tiers]
    return " · ".join(parts)


def _tier(tier: Tier, words: Words, formats: Formats, *, is_share: bool) -> str:
    told = formats.percent(tier.unit_price) if is_share else formats.price(tier.unit_price)
    if tier.flat_fee.mantissa:
        told = words.flat_fee.format(price=told, fee=formats.price(tier.flat_fee))
    if tier.up_to is None:
        return words.last_tier.format(price=told)
    return words.tier.format(price=told, bound=isolated(f"{tier.up_to:,}"))


# Sums and how it is paid.


def _sums(
    document: InvoiceDocument, words: Words, formats: Formats, tax: str
) -> Iterator[tuple[str, str, str]]:
    """The totals: label, amount, and how it stands (plain, total or small)."""
    yield words.net_total, formats.amount(document.net_minor), "plain"
    for one in document.taxes:
        label = words.tax_total.format(
            tax=tax, rate=formats.rate(one.tax_rate_ppm), net=formats.amount(one.net_minor)
        )
        if one.category in words.categories:
            label += f" ({words.categories[one.category]})"
        yield label, formats.amount(one.tax_minor), "plain"
    yield f"{words.total} {isolated(document.currency)}", formats.amount(document.total_minor), "total"
    for paid in document.settlements:
        label = words.settlements[paid.kind].format(
            day=formats.day(paid.on), number=own(paid.reference or "")
        )
        yield label, formats.amount(-paid.amount_minor), "plain"


def _last(document: InvoiceDocument, words: Words, formats: Formats) -> Page:
    """The line below the totals: what is left to pay, or of a note's credit."""
    label = words.to_pay if document.kind == "invoice" else words.credit_left
    currency = isolated(document.currency)
    return {"label": f"{label} {currency}", "amount": formats.amount(document.open_minor)}


def _notes(document: InvoiceDocument, words: Words, formats: Formats) -> Iterator[str]:
    """What the law wants said of untaxed lines."""
    categories = list(dict.fromkeys(tax.category for tax in document.taxes))
    for category in categories:
        reason = words.tax_reason(category, document.seller.country)
        if reason:
            yield reason
        if category == "reverse_charge":
            yield words.both_numbers.format(
                seller=own(document.seller.tax_number or "–"), buyer=own(document.buyer.tax_number or "–")
            )


def _payment(document: InvoiceDocument, words: Words, formats: Formats) -> Page | None:
    """How an invoice is to be paid, in sentences, and where to."""
    if document.terms is None:
        return None
    if document.state != "open" or not document.open_minor:
        closed = words.closed.get(document.state)
        if not closed or not document.state_on:
            return None
        return {
            "title": words.payment,
            "texts": [closed.format(day=formats.day(document.state_on))],
            "account": [],
        }
    texts = list(_how_to_pay(document, words, formats))
    by_transfer = document.terms.collection == "terms"
    return {
        "title": words.payment,
        "texts": texts,
        "account": list(_account(document, words)) if by_transfer else [],
    }


def _how_to_pay(document: InvoiceDocument, words: Words, formats: Formats) -> Iterator[str]:
    terms = document.terms
    assert terms is not None
    assert document.due_on is not None
    amount, day = formats.money(document.open_minor), formats.day(document.due_on)
    if terms.collection == "automatic":
        charge = words.charges.get(terms.method or "", words.charges[""])
        yield charge.format(amount=amount, day=day)
        return
    if terms.net_days is not None and (terms.net_days or terms.end_of_month):
        sentence = words.within_end_of_month if terms.end_of_month else words.within
        days = words.counted(words.periods["day"], terms.net_days)
        yield sentence.format(count=isolated(str(terms.net_days)), days=days)
    elif document.due_on == document.issued_on:
        yield words.on_receipt
    yield words.transfer.format(amount=amount, day=day)
    if terms.early_discount:
        early = terms.early_discount
        yield words.early_discount.format(
            rate=formats.rate(early.discount_ppm),
            day=formats.day(early.until),
            amount=formats.money(early.to_pay_minor),
        )


def _account(document: InvoiceDocument, words: Words) -> Iterable[tuple[str, str]]:
    account = document.account
    if account is not None:
        yield words.account_holder, own(account.holder)
        if account.bank_name:
            yield words.bank, own(account.bank_name)
        yield "IBAN", isolated(" ".join(account.iban[at : at + 4] for at in range(0, len(account.iban), 4)))
        if account.bic:
            yield "BIC", isolated(account.bic)
    yield words.reference, own(document.number)
