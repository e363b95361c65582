"""IBANs: whether a number of a bank account can be one (ISO 13616, ISO 7064 mod 97), and what is shown of it.

A number that passes is well made; whether the account exists only its bank knows.
"""

import re
from typing import Final

_SHAPE: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)
_BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?", re.ASCII)
# The register of ISO 13616: how long a number of each country is. A country that joins is added here.
_LENGTHS: Final = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
        "YE30",
    )
}


def normalised(text: str) -> str:
    """A number as banks exchange it: capitals, no spaces. Other separators stay, and make it wrong."""
    return "".join(text.split()).upper()


def is_iban(number: str) -> bool:
    """Whether a `normalised` number has the length of its country and the right check digits."""
    if not _SHAPE.fullmatch(number) or _LENGTHS.get(number[:2]) != len(number):
        return False
    digits = "".join(str(int(sign, 36)) for sign in number[4:] + number[:4])
    return int(digits) % 97 == 1 and 2 <= int(number[2:4]) <= 98  # noqa: PLR2004 - 00, 01 and 99 are no check digits


def is_bic(code: str) -> bool:
    """Whether a code has the shape of a bank's identifier (ISO 9362)."""
    return _BIC.fullmatch(code) is not None


def grouped(number: str) -> str:
    """A number as people read it, in groups of four."""
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def masked(number: str) -> str:
    """Its country and its last four signs: "DE••• 3000"."""
    return f"{number[:2]}••• {number[-4:]}"
