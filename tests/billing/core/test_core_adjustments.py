"""Discounts, tax, commitments, credits and prepaid balance."""

from fractions import Fraction

import polars as pl
import pytest
from both_ways import BOTH_WAYS
from hypothesis import given
from hypothesis import strategies as st

from billing.core.adjustments import (
    REACH_SCHEMA,
    Discount,
    PostedLine,
    TaxLine,
    commitment_true_up,
    credit_line,
    discount_lines,
    discounted,
    draw_from_grants,
    net_of_gross,
    refund_of,
    settle_cancellation,
    tax_lines,
    tax_of,
    with_tax,
)
from billing.core.money import BillingError, post


def percent(value):
    return Discount(ppm=value * 10_000)


def fixed(minor, *on):
    return Discount(amount_minor=minor, on=frozenset(on) if on else None)


@pytest.mark.parametrize(
    ("lines", "discounts", "taken"),
    [
        ([10_000], [percent(10), fixed(5_000)], [6_000]),
        ([10_000], [fixed(5_000), percent(10)], [6_000]),
        ([1_000, 2_000], [fixed(4_000)], [1_000, 2_000]),
        ([10_000, 5_000, 3_000, 2_000], [fixed(1_000)], [500, 250, 150, 100]),
        ([10_000, -3_000], [percent(50)], [5_000, 0]),
        ([1_000, 2_000], [fixed(500, 1)], [0, 500]),
        ([1, 1, 1], [percent(50)], [1, 1, 0]),
        ([10_000], [percent(50), percent(50)], [7_500]),
        ([], [fixed(100)], []),
        ([0, 0], [fixed(100)], [0, 0]),
    ],
)
def test_discounts_act_on_what_is_left(lines, discounts, taken):
    assert discount_lines(lines, discounts) == taken


def test_narrow_discounts_come_first_where_the_setting_says_so():
    discounts = [percent(50), fixed(1_000, 0)]
    assert discount_lines([2_000, 2_000], discounts) == [2_000, 1_000]
    assert discount_lines([2_000, 2_000], discounts, order="narrow_first") == [1_500, 1_000]


def test_a_discount_is_a_share_or_an_amount_and_never_negative():
    for terms, code in [
        ({}, "bad_rate"),
        ({"ppm": 1, "amount_minor": 1}, "bad_rate"),
        ({"ppm": 1_000_001}, "bad_rate"),
        ({"ppm": -1}, "bad_rate"),
        ({"amount_minor": -1}, "negative_quantity"),
    ]:
        with pytest.raises(BillingError) as refused:
            Discount(**terms)
        assert refused.value.code == code
    with pytest.raises(BillingError, match="unknown_setting"):
        discount_lines([1], [percent(1)], order="age")


DISCOUNTS = st.lists(
    st.one_of(
        st.builds(Discount, ppm=st.integers(0, 1_000_000)),
        st.builds(Discount, amount_minor=st.integers(0, 5_000)),
    ),
    max_size=4,
)
DOCUMENTS = st.lists(st.tuples(st.lists(st.integers(-100, 3_000), max_size=5), DISCOUNTS), max_size=4)


@given(DOCUMENTS, st.sampled_from(["percent_first", "narrow_first"]))
def test_many_documents_are_discounted_as_each_of_them_alone(documents, order):
    lines = [
        (document, 10 * document + place, net)
        for document, (nets, _) in enumerate(documents)
        for place, net in enumerate(nets)
    ]
    reached = [
        (document, 10 * document + place, age, one.ppm, one.amount_minor)
        for document, (nets, discounts) in enumerate(documents)
        for age, one in enumerate(discounts)
        for place in range(len(nets))
    ]
    frame = pl.DataFrame(
        lines, schema={"document": pl.Int64, "line": pl.Int64, "net_minor": pl.Int64}, orient="row"
    )
    found = discounted(frame, pl.DataFrame(reached, schema=REACH_SCHEMA, orient="row"), order=order)
    taken = dict(found.group_by("line").agg(pl.col("taken_minor").sum()).iter_rows())
    for document, (nets, discounts) in enumerate(documents):
        alone = discount_lines(nets, discounts, order=order)
        assert [taken.get(10 * document + place, 0) for place in range(len(nets))] == alone
        assert all(0 <= one <= max(net, 0) for one, net in zip(alone, nets, strict=True))


# Tax.


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(
    ("net_minor", "rate_ppm", "tax_minor"),
    [
        (999, 210_000, 210),
        (997, 210_000, 209),
        (12_345, 72_500, 895),
        (9_999, 88_750, 887),
        (-999, 210_000, -210),
        (1, 500_000, 1),
        (3, 500_000, 2),
        (0, 210_000, 0),
        (100, 0, 0),
    ],
)
def test_tax_is_posted_from_the_net(apply, net_minor, rate_ppm, tax_minor):
    assert apply(tax_of, net_minor, 1, rate_ppm) == tax_minor


@pytest.mark.parametrize("apply", BOTH_WAYS)
def test_net_and_tax_apart_are_each_rounded_from_the_exact_net(apply):
    net_num, net_den = 16_000 * 29, 30
    assert apply(post, net_num, net_den) == 15_467
    assert apply(tax_of, net_num, net_den, 250_000) == 3_867
    assert post(net_num * 125, net_den * 100) == 19_333


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(
    ("gross", "ppm", "net"), [(1_200, 200_000, 1_000), (100, 190_000, 84), (1, 210_000, 1)]
)
def test_a_price_that_includes_tax_gives_its_net(apply, gross, ppm, net):
    assert apply(net_of_gross, gross, ppm) == net


def test_a_group_is_taxed_once_and_shared_by_its_lines():
    three = [TaxLine(102, 210_000)] * 3
    assert tax_lines(three) == [22, 21, 21]
    assert tax_lines(three, scope="line") == [21, 21, 21]
    assert tax_lines([TaxLine(102, 210_000), TaxLine(102, 0), TaxLine(102, 210_000, "reduced")]) == [
        21,
        0,
        21,
    ]
    assert tax_lines([]) == []
    with pytest.raises(BillingError, match="unknown_setting"):
        tax_lines(three, scope="country")


def test_documents_of_a_frame_are_taxed_each_on_its_own():
    frame = pl.DataFrame(
        {"invoice_id": ["a", "b", "a", "a"], "net_minor": [102] * 4, "tax_rate_ppm": [210_000] * 4}
    )
    assert with_tax(frame, ["invoice_id", "tax_rate_ppm"])["tax_minor"].to_list() == [22, 21, 21, 21]


@given(
    nets=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=8),
    rate_ppm=st.sampled_from([0, 50_000, 88_750, 210_000, 1_000_000]),
)
def test_shares_of_a_group_add_up_to_its_tax(nets, rate_ppm):
    taxes = tax_lines([TaxLine(net, rate_ppm) for net in nets])
    for wanted in (True, False):
        group = [(net, tax) for net, tax in zip(nets, taxes, strict=True) if (net < 0) is wanted]
        net_sum = sum(net for net, _ in group)
        total = post(net_sum * rate_ppm, 1_000_000)
        assert sum(tax for _, tax in group) == total
        assert all(abs(Fraction(total * net, net_sum or 1) - tax) < 1 for net, tax in group if net)


# Commitments, credits, balance.


def test_a_commitment_bills_what_is_missing():
    # 10,000.00 committed, a fee of 1,000.00, for 25 of 28 days.
    assert commitment_true_up(1_000_000 * 25, 100_000 * 25, 28) == 803_571
    assert commitment_true_up(1_000_000 * 25, 100_000 * 25, 28, rounding="posted_difference") == 803_571
    assert commitment_true_up(1, 0, 2, rounding="difference_of_posted") == 1
    assert commitment_true_up(3, 1, 2, rounding="difference_of_posted") == 1
    assert commitment_true_up(5, 2, 2, rounding="posted_difference") == 2
    assert commitment_true_up(100, 900, 1) == 0
    with pytest.raises(BillingError, match="unknown_setting"):
        commitment_true_up(1, 1, 1, rounding="none")


def test_a_credit_takes_its_share_of_the_tax():
    credit = credit_line(PostedLine(1_000, 100), 500)
    assert credit == (500, 50)
    assert credit.total_minor == 550
    assert credit_line(PostedLine(0, 0), 0) == (0, 0)


def test_a_credit_beyond_what_is_left_is_refused():
    with pytest.raises(BillingError, match="over_credit"):
        credit_line(PostedLine(1_000, 100, 600, 60), 401)
    with pytest.raises(BillingError, match="negative_quantity"):
        credit_line(PostedLine(1_000, 100), -1)


@given(net=st.integers(1, 10**6), rate_ppm=st.integers(0, 10**6), data=st.data())
def test_the_last_credit_of_a_line_leaves_nothing(net, rate_ppm, data):
    line = PostedLine(net, post(net * rate_ppm, 10**6))
    while line.credited_net_minor < net:
        left = net - line.credited_net_minor
        credit = credit_line(line, data.draw(st.integers(max(1, left // 3), left)))
        line = line._replace(
            credited_net_minor=line.credited_net_minor + credit.net_minor,
            credited_tax_minor=line.credited_tax_minor + credit.tax_minor,
        )
        assert line.credited_tax_minor <= line.tax_minor
    assert line.credited_net_minor == net
    assert line.credited_tax_minor == line.tax_minor


@pytest.mark.parametrize("apply", BOTH_WAYS)
@pytest.mark.parametrize(
    ("note", "paid", "used", "back"),
    [
        (3_000, 7_500, 6_000, 1_500),
        (3_000, 9_000, 6_000, 3_000),
        (3_000, 6_000, 6_000, 0),
        (3_000, 0, 6_000, 0),
    ],
)
def test_a_refund_is_what_was_paid_beyond_the_use_and_at_most_the_note(apply, note, paid, used, back):
    assert apply(refund_of, note, paid, used) == back


def test_a_cancellation_refunds_what_was_paid_beyond_the_use():
    assert settle_cancellation(3_000, 7_500, 6_000) == (1_500, 1_500)
    assert settle_cancellation(3_000, 9_000, 6_000) == (3_000, 0)
    assert settle_cancellation(3_000, 0, 6_000) == (0, 3_000)


def test_grants_are_drawn_in_their_order():
    assert draw_from_grants([10_000], 2_500) == ((2_500,), 0)
    assert draw_from_grants([1_000, 5_000], 3_500) == ((1_000, 2_500), 0)
    assert draw_from_grants([1_000], 3_500) == ((1_000,), 2_500)
    assert draw_from_grants([], 5) == ((), 5)
    with pytest.raises(BillingError, match="negative_quantity"):
        draw_from_grants([5], -1)


def test_tax_that_lines_bring_is_replaced():
    lines = pl.DataFrame({"document": [1, 1, 2], "net_minor": [102, 102, 102], "tax_rate_ppm": [210_000] * 3})
    known = lines.with_columns(pl.lit(None, dtype=pl.Int64).alias("tax_minor"))
    assert with_tax(known, ["document", "tax_rate_ppm"])["tax_minor"].to_list() == [22, 21, 21]
