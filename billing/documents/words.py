"""The words of documents, one set a language. A field without a text would not pass the type check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from babel import Locale

from billing.core.invoicing import EU

TAX_INVOICE = frozenset({"AE", "BH", "OM", "SA"})
"""Countries whose law wants an invoice called a tax invoice."""
HAS_VAT = (
    EU | TAX_INVOICE | frozenset({"CH", "EG", "GB", "JO", "KW", "LI", "MA", "NO", "QA", "TN", "TR", "ZA"})
)
"""Countries whose tax is known as VAT (or that join those of the Gulf that have it); elsewhere it is tax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The texts of one language. Braces name what is filled in; `units` and the like go by plural form."""

    language: str
    direction: str
    titles: Mapping[str, str]
    tax_titles: Mapping[str, str]
    states: Mapping[str, str]
    issued_on: str
    due_on: str
    service_period: str
    purchase_order: str
    currency: str
    corrects: str
    reason: str
    reasons: Mapping[str, str]
    replaces: str
    replaced_by: str
    buyer: str
    ship_to: str
    attention: str
    tax_number: str
    vat_number: str
    position: str
    description: str
    quantity: str
    unit_price: str
    gross: str
    discount: str
    tax: str
    vat: str
    net: str
    net_total: str
    tax_total: str
    categories: Mapping[str, str]
    total: str
    to_pay: str
    credit_left: str
    settlements: Mapping[str, str]
    seat: Mapping[str, str]
    periods: Mapping[str, Mapping[str, str]]
    proration: str
    kinds: Mapping[str, str]
    takes_back: str
    price_models: Mapping[str, str]
    tier: str
    last_tier: str
    flat_fee: str
    package: str
    free_units: str
    payment: str
    within: str
    within_end_of_month: str
    on_receipt: str
    transfer: str
    charges: Mapping[str, str]
    early_discount: str
    account_holder: str
    bank: str
    reference: str
    closed: Mapping[str, str]
    tax_reasons: Mapping[str, str]
    both_numbers: str
    page: str
    carried: str
    brought: str

    def counted(self, forms: Mapping[str, str], count: int) -> str:
        """The form of a word that goes with a number."""
        return forms.get(Locale.parse(self.language).plural_form(count), forms["other"])

    def tax_reason(self, category: str, seller_country: str) -> str | None:
        """Why there is no tax, or none of the seller's country; None for a category that bears tax."""
        in_eu = f"{category}_eu" if seller_country in EU else category
        return self.tax_reasons.get(in_eu, self.tax_reasons.get(category))


ENGLISH = Words(
    language="en",
    direction="ltr",
    titles={"invoice": "Invoice", "credit_note": "Credit note"},
    tax_titles={"invoice": "Tax invoice", "credit_note": "Tax credit note"},
    states={"paid": "Paid", "void": "Void", "uncollectible": "Written off"},
    issued_on="Issue date",
    due_on="Due date",
    service_period="Service period",
    purchase_order="Purchase order",
    currency="Currency",
    corrects="Corrects invoice",
    reason="Reason",
    reasons={"change": "Change of the subscription"},
    replaces="Replaces invoice",
    replaced_by="Replaced by invoice",
    buyer="Bill to",
    ship_to="Supplied to",
    attention="Attn. {name}",
    tax_number="Tax no.",
    vat_number="VAT no.",
    position="No.",
    description="Description",
    quantity="Quantity",
    unit_price="Unit price",
    gross="Amount",
    discount="Discount",
    tax="Tax",
    vat="VAT",
    net="Net",
    net_total="Net total",
    tax_total="{tax} {rate} on {net}",
    categories={
        "zero": "zero rate",
        "reverse_charge": "reverse charge",
        "export": "export",
        "outside_scope": "outside scope",
    },
    total="Total",
    to_pay="Amount due",
    credit_left="Credit left",
    settlements={
        "payment": "Payment of {day}",
        "credit_note": "Credit note {number}",
        "wallet": "Prepaid credit",
        "early_discount": "Early payment discount",
        "write_off": "Written off on {day}",
        "invoice": "Used for invoice {number}",
        "refund": "Refund of {day}",
    },
    seat={"one": "seat", "other": "seats"},
    periods={
        "day": {"one": "day", "other": "days"},
        "hour": {"one": "hour", "other": "hours"},
        "second": {"one": "second", "other": "seconds"},
    },
    proration="{part} of {whole} {unit}",
    kinds={"true_up": "Up to the agreed minimum", "rebate": "Volume rebate"},
    takes_back="Credit for invoice {number}",
    price_models={
        "graduated": "Graduated price",
        "volume": "Volume price",
        "graduated_percentage": "Graduated share",
        "percentage": "Share of the value",
        "tiered_block": "Price by blocks",
    },
    tier="{price} up to {bound}",
    last_tier="{price} beyond",
    flat_fee="{price} + {fee}",
    package="{price} per {size}",
    free_units="{count} free",
    payment="Payment",
    within="Payable within {count} {days} of issue.",
    within_end_of_month="Payable within {count} {days} of the end of the month of issue.",
    on_receipt="Payable on receipt.",
    transfer="Please transfer {amount} by {day}.",
    charges={
        "card": "{amount} will be charged to your card on {day}.",
        "direct_debit": "{amount} will be collected by direct debit on {day}.",
        "": "{amount} will be collected by your payment method on {day}.",
    },
    early_discount="{rate} discount if paid by {day}: {amount}.",
    account_holder="Account",
    bank="Bank",
    reference="Reference",
    closed={
        "paid": "Paid in full on {day}. Thank you.",
        "void": "This invoice was voided on {day}. Nothing is to be paid.",
    },
    tax_reasons={
        "reverse_charge": "Reverse charge: the recipient owes the VAT (Article 196, Directive 2006/112/EC).",
        "export": "Export: no tax of the seller's country is charged.",
        "export_eu": "Export outside the EU, exempt from VAT (Article 146, Directive 2006/112/EC).",
        "outside_scope": "Outside the scope of tax in the seller's country.",
        "outside_scope_eu": "Outside the scope of VAT (Articles 44 and 59, Directive 2006/112/EC).",
        "zero": "Taxed at the zero rate.",
    },
    both_numbers="VAT numbers: seller {seller}, recipient {buyer}.",
    page="Page {page} of {pages}",
    carried="Carried forward",
    brought="Brought forward",
)

_DIRECTIVE = "التوجيه \u20662006/112/EC\u2069"
"""The number of the directive keeps its own order inside Arabic."""

ARABIC = Words(
    language="ar",
    direction="rtl",
    titles={"invoice": "فاتورة", "credit_note": "إشعار دائن"},
    tax_titles={"invoice": "فاتورة ضريبية", "credit_note": "إشعار دائن ضريبي"},
    states={"paid": "مدفوعة", "void": "ملغاة", "uncollectible": "مشطوبة"},
    issued_on="تاريخ الإصدار",
    due_on="تاريخ الاستحقاق",
    service_period="فترة الخدمة",
    purchase_order="أمر الشراء",
    currency="العملة",
    corrects="تصحيح للفاتورة",
    reason="السبب",
    reasons={"change": "تغيير في الاشتراك"},
    replaces="بديلة عن الفاتورة",
    replaced_by="حلّت محلها الفاتورة",
    buyer="إلى",
    ship_to="مكان التوريد",
    attention="عناية {name}",
    tax_number="الرقم الضريبي",
    vat_number="الرقم الضريبي",
    position="م",
    description="البيان",
    quantity="الكمية",
    unit_price="سعر الوحدة",
    gross="المبلغ",
    discount="الخصم",
    tax="الضريبة",
    vat="الضريبة",
    net="الصافي",
    net_total="الإجمالي قبل الضريبة",
    tax_total="{tax} {rate} على {net}",
    categories={
        "zero": "نسبة صفرية",
        "reverse_charge": "احتساب عكسي",
        "export": "تصدير",
        "outside_scope": "خارج النطاق",
    },
    total="الإجمالي",
    to_pay="المبلغ المستحق",
    credit_left="الرصيد المتبقي",
    settlements={
        "payment": "دفعة بتاريخ {day}",
        "credit_note": "إشعار دائن {number}",
        "wallet": "رصيد مدفوع مسبقًا",
        "early_discount": "خصم السداد المبكر",
        "write_off": "شُطب بتاريخ {day}",
        "invoice": "سُدّد به من الفاتورة {number}",
        "refund": "استرداد بتاريخ {day}",
    },
    seat={"one": "مقعد", "two": "مقعد", "few": "مقاعد", "many": "مقعدًا", "other": "مقعد"},
    periods={
        "day": {"one": "يوم", "two": "يوم", "few": "أيام", "many": "يومًا", "other": "يوم"},
        "hour": {"one": "ساعة", "two": "ساعة", "few": "ساعات", "many": "ساعة", "other": "ساعة"},
        "second": {"one": "ثانية", "two": "ثانية", "few": "ثوانٍ", "many": "ثانية", "other": "ثانية"},
    },
    proration="{part} من {whole} {unit}",
    kinds={"true_up": "تكملة إلى الحد الأدنى المتفق عليه", "rebate": "حسم كمية"},
    takes_back="رصيد دائن عن الفاتورة {number}",
    price_models={
        "graduated": "سعر متدرج",
        "volume": "سعر حسب الكمية",
        "graduated_percentage": "نسبة متدرجة",
        "percentage": "نسبة من القيمة",
        "tiered_block": "سعر بالحزم",
    },
    tier="{price} حتى {bound}",
    last_tier="{price} لما زاد",
    flat_fee="{price} + {fee}",
    package="{price} لكل {size}",
    free_units="{count} مجانًا",
    payment="الدفع",
    within="تُدفع خلال {count} {days} من الإصدار.",
    within_end_of_month="تُدفع خلال {count} {days} من نهاية شهر الإصدار.",
    on_receipt="تُدفع عند الاستلام.",
    transfer="يرجى تحويل {amount} في موعد أقصاه {day}.",
    charges={
        "card": "سيُخصم {amount} من بطاقتكم في {day}.",
        "direct_debit": "سيُحصَّل {amount} بالخصم المباشر في {day}.",
        "": "سيُحصَّل {amount} بوسيلة الدفع المسجلة لديكم في {day}.",
    },
    early_discount="يكفي دفع {amount} عند السداد في موعد أقصاه {day} (خصم {rate}).",
    account_holder="الحساب",
    bank="المصرف",
    reference="المرجع",
    closed={
        "paid": "دُفعت بالكامل في {day}. شكرًا لكم.",
        "void": "أُلغيت هذه الفاتورة في {day}، ولا يُستحق أي مبلغ.",
    },
    tax_reasons={
        "reverse_charge": f"احتساب عكسي: ضريبة القيمة المضافة على المستلم (المادة 196 من {_DIRECTIVE}).",
        "export": "تصدير: لا تُحتسب ضريبة بلد البائع.",
        "export_eu": f"تصدير خارج الاتحاد الأوروبي، معفى من الضريبة (المادة 146 من {_DIRECTIVE}).",
        "outside_scope": "خارج نطاق الضريبة في بلد البائع.",
        "outside_scope_eu": f"خارج نطاق ضريبة القيمة المضافة (المادتان 44 و59 من {_DIRECTIVE}).",
        "zero": "خاضعة للضريبة بنسبة الصفر.",
    },
    both_numbers="الرقم الضريبي للبائع {seller}، وللمستلم {buyer}.",
    page="صفحة {page} من {pages}",
    carried="يُرحَّل إلى الصفحة التالية",
    brought="منقول من الصفحة السابقة",
)

LANGUAGES: Mapping[str, Words] = {"en": ENGLISH, "ar": ARABIC}


def words_of(locale: str) -> Words:
    """The words of a locale such as ar or ar-KW; English for a language there are none of."""
    return LANGUAGES.get(locale.replace("_", "-").split("-")[0].lower(), ENGLISH)


def title(document_kind: str, seller_country: str, words: Words) -> str:
    return (words.tax_titles if seller_country in TAX_INVOICE else words.titles)[document_kind]


def tax_name(seller_country: str, words: Words) -> tuple[str, str]:
    """What the tax and a tax number are called."""
    if seller_country in HAS_VAT:
        return words.vat, words.vat_number
    return words.tax, words.tax_number
