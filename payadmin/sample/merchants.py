"""One merchant from many spellings: card schemes cut names at 25 characters and add shop numbers."""

import re
from functools import lru_cache
from typing import Final

# The beginning of the string as printed on the statement, and the name that people use. The longest match wins.
_BRANDS: Final = {
    "aldi": "Aldi",
    "amazon": "Amazon",
    "amazon digital": "Amazon Digital",
    "amazon mktplce": "Amazon Marketplace",
    "amazon prime": "Amazon Prime",
    "amazon uk marketplace": "Amazon Marketplace",
    "amazon web services": "Amazon Web Services",
    "amz": "Amazon",
    "argos": "Argos",
    "asda": "Asda",
    "b q": "B&Q",
    "bm retail": "B&M",
    "b m retail": "B&M",
    "bp ": "BP",
    "bt bill": "BT",
    "caffe nero": "Caffè Nero",
    "civil justice cent": "Birmingham Civil Justice Centre",
    "co-op group": "Co-op",
    "costa": "Costa Coffee",
    "currys": "Currys",
    "dominos": "Domino's Pizza",
    "dvla": "DVLA",
    "dvsa": "DVSA",
    "ebuyer": "Ebuyer",
    "ee t-mobile": "EE",
    "esso": "Esso",
    "facebk": "Facebook",
    "giffgaff": "giffgaff",
    "greggs": "Greggs",
    "halfords": "Halfords",
    "hmcourts": "HM Courts & Tribunals Service",
    "holiday inn": "Holiday Inn",
    "homebase": "Homebase",
    "iceland": "Iceland",
    "ikea": "IKEA",
    "itunes": "Apple iTunes",
    "js online grocery": "Sainsbury's",
    "land registry": "HM Land Registry",
    "lidl": "Lidl",
    "london midland": "London Midland",
    "lul ticket": "London Underground",
    "malthurst": "Malthurst",
    "matalan": "Matalan",
    "mcdonalds": "McDonald's",
    "ms simply food": "M&S Simply Food",
    "ncp": "NCP",
    "npower": "npower",
    "park mobile": "ParkMobile",
    "parcelforce": "Parcelforce Worldwide",
    "post office": "Post Office",
    "poundland": "Poundland",
    "poundworld": "Poundworld",
    "premier inn": "Premier Inn",
    "q park": "Q-Park",
    "rontec": "Rontec",
    "royalmail": "Royal Mail",
    "ryman": "Ryman",
    "sainsburys": "Sainsbury's",
    "screwfix": "Screwfix",
    "selco": "Selco",
    "shell": "Shell",
    "sportsdirect": "Sports Direct",
    "staples": "Staples",
    "starbucks": "Starbucks",
    "stwater": "Severn Trent Water",
    "subway": "Subway",
    "superdrug": "Superdrug",
    "tesco": "Tesco",
    "tex ": "Texaco",
    "texaco": "Texaco",
    "the post office": "Post Office",
    "theworks": "The Works",
    "timpson": "Timpson",
    "toolstation": "Toolstation",
    "trainline": "Trainline",
    "travelodge": "Travelodge",
    "tvlicensing": "TV Licensing",
    "viking-direct": "Viking Direct",
    "virgin media": "Virgin Media",
    "virgintrains": "Virgin Trains",
    "vodafone": "Vodafone",
    "w m morrison": "Morrisons",
    "west coast trains": "Virgin Trains",
    "wh smith": "WHSmith",
    "wickes": "Wickes",
    "wilko": "Wilko",
    "wm morrison": "Morrisons",
}
_UPPERCASE: Final = """
    aa bbc bcc bp bt dsa ee eu gb hmrc hsbc ico it kfc lul m1 m6 nhs ncp pfs rac rspb rspca tk tv uk usa vw wh
"""
_UPPER: Final = frozenset(_UPPERCASE.split())
_WEB: Final = re.compile(r"^(?:https?://)?www[. ]")
_GATEWAY: Final = re.compile(r"^(?:paypal \*?|iz |eb |wp-|dri |cnp )")
_SHOP_NUMBER: Final = re.compile(r"[\s\-/(#]+[a-z]{0,2}\d{2,}\)?$")
_TAIL: Final = re.compile(r"[\s\-.,/&(]+$")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9'’]*")  # noqa: RUF001


@lru_cache(maxsize=32_768)
def merchant_name(printed: str) -> str:
    """The merchant behind a name as printed on the statement."""
    name = _GATEWAY.sub("", _WEB.sub("", " ".join(printed.lower().split()))) or printed
    for length in range(min(len(name), 24), 1, -1):
        if brand := _BRANDS.get(name[:length]):
            return brand
    name = _TAIL.sub("", _SHOP_NUMBER.sub("", name)) or name
    if "." in name and " " not in name:  # a web address, perhaps cut off
        return name.rstrip(".")
    shown = _WORD.sub(lambda word: word[0].upper() if word[0] in _UPPER else word[0].capitalize(), name)
    return shown if len(shown) > 2 and not shown.isdigit() else f"Merchant {shown}"  # noqa: PLR2004
