"""The council's account codes and directorates, in the words of payments."""

from typing import Final

# The nearest merchant category code of an account code; the first letter decides for the rare ones.
_MCC: Final = {
    "5C": "5999",
    "H": "8299",
    "H0": "7399",
    "H00": "7361",
    "J": "5211",
    "J1A": "0780",
    "J20": "4900",
    "J21": "4900",
    "J25": "7011",
    "J28": "4900",
    "J31": "5021",
    "J50": "5169",
    "J51": "7349",
    "J55": "7342",
    "J56": "4900",
    "K": "4789",
    "K02": "5541",
    "K03": "5532",
    "K05": "9399",
    "K08": "7538",
    "K11": "7538",
    "K17": "7512",
    "K20": "4121",
    "K21": "4111",
    "K24": "4111",
    "K26": "4722",
    "K30": "7523",
    "K40": "6300",
    "L": "5999",
    "L00": "5994",
    "L03": "5942",
    "L06": "5193",
    "L0J": "5977",
    "L0L": "7991",
    "L0P": "5735",
    "L11": "5044",
    "L18": "7629",
    "L22": "5411",
    "L25": "5812",
    "L30": "5699",
    "L31": "7216",
    "L41": "7338",
    "L42": "5943",
    "L4H": "7338",
    "L51": "7311",
    "L54": "6012",
    "L57": "7261",
    "L5B": "7929",
    "L5F": "9399",
    "L5H": "7311",
    "L67": "8111",
    "L68": "8999",
    "L70": "9402",
    "L75": "4814",
    "L80": "4814",
    "L88": "4812",
    "L99": "7372",
    "L9Y": "7372",
    "M": "7399",
    "M90": "5812",
    "MA2": "8641",
    "N": "8398",
    "P": "8398",
}
_OTHER: Final = "5999"

_CHILDREN: Final = "Children, Young People & Families"
_SCHOOLS: Final = f"{_CHILDREN}: Schools"
_ADULTS: Final = "Adults & Communities"
_DIRECTORATES: Final = {
    "": "Directorate not stated",
    "adult & communities": _ADULTS,
    "adult social care and health": "Adult Social Care & Health",
    "adults": _ADULTS,
    "adults & comms": _ADULTS,
    "cyo&f": _CHILDREN,
    "cyp&f": _CHILDREN,
    "cyp&f schools": _SCHOOLS,
}


def category_code(account: str) -> str:
    """The merchant category code that is nearest to an account code."""
    return next((_MCC[account[:size]] for size in (3, 2, 1) if account[:size] in _MCC), _OTHER)


def directorate_name(printed: str) -> str:
    """One name for the spellings of a directorate: the organization that its cards belong to."""
    plain = " ".join(printed.lower().split())
    known = _DIRECTORATES.get(plain) or " ".join(word if word == "&" else word.capitalize() for word in plain.split())
    return f"Birmingham City Council: {known}"
