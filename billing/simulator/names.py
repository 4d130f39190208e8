"""What the simulated companies and people are called: word lists of our own, combined by number.

Every name is invented. A name is a function of country and number, so two customers of one country never
share one until the words run out (more than 4,000 combinations a country).
"""

from __future__ import annotations

ARABIC_COUNTRIES = ("AE", "SA", "EG", "KW")

# A number walks through the combinations in steps that share no factor with the size of any list below.
_STEP = 2_711

_STEM_TEXT = (
    "Adler Alba Amber Anker Arden Argo Aurora Avena Bastion Bergen Birka Borea Brava Calla Candela "
    "Carat Castell Cedra Cirrus Clara Corvo Delta Dorna Eiche Elva Estrel Falken Fara Ferro Fjord Flora "
    "Galen Gamma Halden Helio Hestia Hora Ibis Iris Jura Kappel Karma Kestrel Krona Lagune Lantern "
    "Larix Lumen Luna Magna Marelle Meridian Mistral Molen Montis Nadir Navis Nexa Nordic Novum Oaken "
    "Oliva Onda Orbis Ostara Pallas Perla Pinea Polar Prisma Quadra Raven Regent Rialto Riva Rosa Rubin "
    "Saffran Salina Savona Selva Sirius Solis Strand Talis Terra Tessin Tilia Torre Ulmen Umbra Valora "
    "Vela Verano Vesta Vidar Viola Walden Zenit"
)
_STEMS = _STEM_TEXT.split()

_TRADES = {
    "DE": (
        "Gastro",
        "Klinik",
        "Logistik",
        "Bäckerei",
        "Hotels",
        "Catering",
        "Fertigung",
        "Labor",
        "Großküchen",
        "Reinigung",
        "Druck",
        "Pflege",
        "Werkstätten",
        "Technik",
    ),
    "FR": (
        "Restauration",
        "Hôtels",
        "Santé",
        "Logistique",
        "Boulangerie",
        "Propreté",
        "Imprimerie",
        "Ateliers",
        "Traiteur",
        "Laboratoires",
        "Cliniques",
        "Distribution",
        "Services",
    ),
    "NL": (
        "Horeca",
        "Zorg",
        "Logistiek",
        "Bakkerij",
        "Hotels",
        "Catering",
        "Schoonmaak",
        "Drukwerk",
        "Techniek",
        "Keukens",
        "Labs",
        "Groep",
        "Facilitair",
    ),
    "IT": (
        "Ristorazione",
        "Alberghi",
        "Sanità",
        "Logistica",
        "Panificio",
        "Pulizie",
        "Stampa",
        "Officine",
        "Laboratori",
        "Cucine",
        "Servizi",
        "Industrie",
        "Alimentari",
    ),
    "ES": (
        "Hostelería",
        "Hoteles",
        "Salud",
        "Logística",
        "Panadería",
        "Limpiezas",
        "Imprenta",
        "Talleres",
        "Laboratorios",
        "Cocinas",
        "Servicios",
        "Industrias",
        "Alimentación",
    ),
    "PL": (
        "Gastronomia",
        "Hotele",
        "Zdrowie",
        "Logistyka",
        "Piekarnia",
        "Czystość",
        "Drukarnia",
        "Warsztaty",
        "Laboratoria",
        "Kuchnie",
        "Serwis",
        "Produkcja",
        "Handel",
    ),
}
_LANGUAGE = {"AT": "DE", "BE": "FR"}

_FORMS = {
    "DE": ("GmbH", "AG", "GmbH & Co. KG"),
    "AT": ("GmbH", "OG", "AG"),
    "FR": ("SARL", "SAS", "SA"),
    "BE": ("SRL", "SA", "SC"),
    "NL": ("B.V.", "N.V.", "Groep B.V."),
    "IT": ("S.r.l.", "S.p.A.", "S.n.c."),
    "ES": ("S.L.", "S.A.", "S.L.U."),
    "PL": ("Sp. z o.o.", "S.A.", "Sp. j."),
}

_ARABIC_KINDS = ("شركة", "مجموعة", "مؤسسة", "مصانع", "فنادق", "مطاعم", "مخابز", "مستشفى")
_ARABIC_STEM_TEXT = (
    "النخيل الواحة الصفاء الربيع الفجر النور الأمل المدينة الخليج البحر الشرق الأندلس الياسمين الزيتون "
    "الريحان الفيروز اللؤلؤة المرجان الكوثر السلام الوفاء الرواد الإتقان الجودة النجمة الهلال القمة "
    "الصحراء الوادي الينابيع البستان العنبر الزعفران السنابل المنارة القلعة الرافدين الأصالة البركة "
    "الغدير"
)
_ARABIC_STEMS = _ARABIC_STEM_TEXT.split()
_ARABIC_TRADES = (
    "للضيافة",
    "للأغذية",
    "للتموين",
    "للتجارة",
    "للخدمات",
    "للطباعة",
    "للتنظيف",
    "للرعاية الصحية",
    "للصناعات الغذائية",
    "اللوجستية",
    "للمختبرات",
    "للتوزيع",
    "المتحدة",
)

OWNERS = (
    "Anna Keller",
    "Bilal Haddad",
    "Clara Moreau",
    "Daan Visser",
    "Elena Russo",
    "Farah Nasser",
    "Georg Lindner",
    "Hana Novak",
    "Ines Ortega",
    "Jonas Weber",
    "Karim Saleh",
    "Lena Fischer",
)
SUCCESS_MANAGERS = (
    "Mona Khalil",
    "Niels de Boer",
    "Olga Wrona",
    "Paul Girard",
    "Rania Aziz",
    "Sofia Conti",
    "Tarek Mansour",
    "Ute Brandt",
)


def company_name(country: str, number: int) -> str:
    """The invented company `number` of a country, in Arabic letters where Arabic is spoken."""
    if country in ARABIC_COUNTRIES:
        return _combine(number, _ARABIC_KINDS, _ARABIC_STEMS, _ARABIC_TRADES)
    trades = _TRADES[_LANGUAGE.get(country, country)]
    return _combine(number, _STEMS, trades, _FORMS[country])


def _combine(number: int, *lists: tuple[str, ...] | list[str]) -> str:
    size = 1
    for words in lists:
        size *= len(words)
    position = number * _STEP % size
    words_chosen = []
    for words in lists:
        position, at = divmod(position, len(words))
        words_chosen.append(words[at])
    return " ".join(words_chosen)
