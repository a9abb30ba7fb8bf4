"""Numbers that carry their own check: bank accounts, bank cards, French social-security numbers, books."""

from __future__ import annotations

# Characters of an IBAN by country, as registered.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_BRANDS = (  # first digits from, to; digits in all
    (34, 34, 15), (37, 37, 15), (300, 305, 14), (36, 36, 14), (38, 39, 14), (4, 4, 16), (51, 55, 16),
    (2221, 2720, 16), (6011, 6011, 16), (644, 659, 16), (3528, 3589, 16),
)  # fmt: skip


def is_iban(text: str) -> bool:
    """An account number of a known country with the right length and check digits (modulo 97)."""
    compact = text.replace(" ", "")
    if IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def is_card(text: str) -> bool:
    """A card number of a known brand's length whose check digit (Luhn) is right, and that is not one digit repeated."""
    digits = [int(char) for char in text if char.isdigit()]
    said = "".join(map(str, digits))
    known = any(low <= int(said[: len(str(low))]) <= high and len(said) == size for low, high, size in _BRANDS)
    if not known or len(set(digits)) < 2:
        return False
    doubled = [digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_nir(text: str) -> bool:
    """A French social-security number: sex, year, a month that exists, place (2A and 2B too), order, key."""
    compact = text.replace(" ", "")
    month = int(compact[3:5])
    if len(compact) != 15 or not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return False
    body = compact[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(compact[13:])


def is_isbn10(text: str) -> bool:
    """A book's number of ten digits."""
    return sum((10 - place) * int(char) for place, char in enumerate(text)) % 11 == 0
