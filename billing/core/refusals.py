"""What each code of a refusal means, in a sentence for people. The code is for programs and never changes."""

from collections.abc import Mapping

REFUSALS: Mapping[str, str] = {
    "amount_out_of_range": "The number is larger than an amount or a quantity may be.",
    "bad_decimal": "This is no decimal number; write digits with a point, such as 12.50.",
    "bad_interval": "An interval is written like P1W, P30D, P1M, P3M or P1Y.",
    "bad_rate": "A rate lies between 0 and 100 %, and a number of days is not negative.",
    "bad_tiers": "Tiers need bounds that rise, and only the last one is open.",
    "bad_time": "The time cannot be read; write it as 2025-01-31T08:00:00Z.",
    "before_horizon": "That day lies before the time that bill runs still look at.",
    "currency_mismatch": "There is no price in the customer's currency.",
    "date_out_of_range": "The day lies outside the calendar.",
    "duplicate_conflict": "This event id came before with other content.",
    "empty_period": "The period holds no day: its end must lie after its start.",
    "float_money": "A binary float is not exact; send the number as decimal text or as a whole number.",
    "future_event": "The event lies more than a day ahead of now.",
    "illegal_plan": "The plan cannot be used this way.",
    "illegal_transition": "The subscription's state does not allow this.",
    "immutable": "What is published, billed or taken does not change; make a new one.",
    "key_conflict": "This key was used before for something else.",
    "missing_column": "A column is missing.",
    "missing_value": "A value that is needed is missing.",
    "naive_time": "The time has no time zone; add Z or an offset such as +02:00.",
    "negative_price": "A price is not negative.",
    "negative_quantity": "A quantity is not negative; only usage that is summed up may fall.",
    "no_payment_method": "The customer has no way to pay on file.",
    "no_price": "No price list has a price for this on that day.",
    "over_credit": "The credit is larger than what is left of the line.",
    "over_refund": "The refund is larger than what is left of the payment, or than the credit that is kept.",
    "parent_cycle": "A customer cannot stand below itself.",
    "period_locked": "The books of that month are closed.",
    "pool_overlap": "Something of this pool counts in another pool of the same customers.",
    "too_many_decimals": "The number has more decimals than are kept.",
    "unexpected": "Something failed that nobody foresaw.",
    "unknown_component": "There is no such component of a plan.",
    "unknown_contract": "There is no such contract.",
    "unknown_currency": "This is no currency of ISO 4217.",
    "unknown_customer": "There is no such customer.",
    "unknown_discount": "There is no such discount.",
    "unknown_entity": "There is no such legal entity.",
    "unknown_invoice": "There is no such invoice.",
    "unknown_item": "There is no such item of this customer.",
    "unknown_meter": "There is no such meter.",
    "unknown_model": "There is no such price model, or its terms are incomplete.",
    "unknown_payment": "There is no such payment, or it never arrived.",
    "unknown_plan": "There is no such plan or version of it.",
    "unknown_reference": "Something that this names is not there.",
    "unknown_refund": "There is no such refund.",
    "unknown_setting": "There is no such setting, or it has no such value.",
    "unknown_subscription": "There is no such subscription.",
    "unknown_time_zone": "There is no such time zone; write it as Europe/Berlin.",
    "unreadable_file": "The file cannot be read.",
    "version_overlap": "Two versions of an item hold on the same day.",
}


def in_words(code: str, detail: str) -> str:
    """The meaning of a code, and what it was about."""
    meaning = REFUSALS.get(code, code.replace("_", " ").capitalize() + ".")
    return f"{meaning} ({detail})" if detail else meaning
