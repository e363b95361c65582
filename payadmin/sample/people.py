"""Invented people for real cards: names, addresses at example.com and numbers that Ofcom keeps for fiction."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_FIRST: Final = """
    Aaliyah Aaron Abigail Adam Agnes Ahmed Aisha Alan Alice Amara Amit Amy Andrew Anita Anna Anthony Arjun Asha
    Ayesha Barbara Ben Beth Brian Bridget Callum Carl Caroline Catherine Charlotte Chidi Chloe Christopher Clara
    Colin Daniel David Dawn Deepa Dennis Diane Donna Dylan Edith Edward Eleanor Elena Emily Emma Eric Esther Ethan
    Eve Farah Fatima Felix Fiona Frances Gareth Gemma George Georgia Grace Graham Hannah Harpreet Harry Hassan Hazel
    Heather Helen Henry Holly Hugh Ian Imran Ines Iris Isaac Isla Jack Jacob Jamal James Jane Jasmine Jaspreet
    Joanna John Jordan Joseph Joyce Julia Karen Kavita Keith Kevin Khadija Kim Kwame Laura Lauren Lee Leon Lewis
    Liam Linda Lucy Luke Magda Malik Marcus Margaret Maria Mark Martin Mary Matthew Maya Megan Mei Michael Mina
    Mohammed Molly Nadia Naomi Natalie Neil Nia Nicola Nigel Nisha Noah Nora Oliver Olivia Omar Oscar Owen Patrick
    Paul Paula Pauline Peter Philip Priya Rachel Ravi Rebecca Rhys Richard Rita Robert Rosa Rose Roy Ruth Ryan
    Sabrina Sally Samir Samuel Sandra Sanjay Sara Sean Shabnam Sharon Simon Simran Sofia Sonia Stella Stephen Steven
    Stuart Sunita Susan Tamsin Tariq Teresa Terry Thomas Tina Tom Tracey Uma Vera Victor Victoria Vikram Walter
    Wanda Wendy William Winston Yasmin Yusuf Zainab Zara
"""
_LAST: Final = """
    Adeyemi Ahmed Akhtar Ali Allen Anderson Armstrong Atkinson Bailey Baker Ball Banks Barker Barnes Barrett Begum
    Bell Bennett Bhatti Bird Booth Bradley Brennan Brooks Brown Burke Burton Butler Byrne Campbell Carr Carter Chan
    Chapman Chaudhry Clark Clarke Cole Collins Cook Cooper Cox Crawford Cross Cunningham Daly Das Davidson Davies
    Dawson Dean Dhillon Dixon Doyle Duncan Edwards Ellis Evans Farrell Fisher Fletcher Ford Foster Fox Francis
    Fraser Gallagher Garcia Gardner George Gibson Gill Gordon Graham Grant Gray Green Griffiths Hall Hamilton
    Harding Harper Harris Harrison Hart Harvey Hassan Hayes Henderson Hill Holmes Howard Hudson Hughes Hunt Hussain
    Ibrahim Jackson James Jenkins Johnson Johnston Jones Joshi Kapoor Kaur Kelly Kennedy Khan King Knight Kowalska
    Kumar Lane Lawson Lee Lewis Lloyd Lowe Lynch Mahmood Malik Marsh Marshall Martin Mason Matthews Mehta Miah
    Miller Mills Mitchell Moore Morgan Morris Murphy Murray Nelson Newton Nolan Nowak O'Brien O'Connor Okafor Okoro
    Osman Owen Page Palmer Parker Parsons Patel Payne Pearce Perry Phillips Porter Powell Price Quinn Rahman Rai
    Reid Reynolds Rhodes Richards Riley Roberts Robinson Rogers Rose Ross Russell Ryan Sandhu Saunders Scott Sharma
    Shaw Sheikh Silva Simpson Singh Smith Spencer Stevens Stewart Stone Sutton Taylor Thomas Thompson Turner Uddin
    Varga Wade Walker Wallace Walsh Ward Warren Watson Watts Webb Wells West White Wilkinson Williams Willis Wilson
    Wong Wood Woods Wright Yates Young Zhang
"""
_FIRST_NAMES: Final = _FIRST.split()
_LAST_NAMES: Final = _LAST.split()


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    username: str
    email: str
    phone: str


def person(external_id: str) -> Person:
    """Somebody who never lived, always the same for the same Customer ID."""
    dice = blake2b(external_id.encode(), digest_size=12, person=b"person").digest()
    first = _FIRST_NAMES[int.from_bytes(dice[:3]) % len(_FIRST_NAMES)]
    last = _LAST_NAMES[int.from_bytes(dice[3:6]) % len(_LAST_NAMES)]
    number = int.from_bytes(dice[6:9])
    plain = f"{first}.{last}".lower().replace("'", "")
    username = f"{plain}.{external_id.lower()}"
    # 0121 496 0000-0999 and 07700 900000-900999 are set aside for drama; nobody is ever called.
    phone = f"+44 121 496 0{number % 1000:03}" if number % 3 == 0 else f"+44 7700 900{number % 1000:03}"
    return Person(f"{first} {last}", username, f"{plain}{number % 1000:03}@example.com", phone)
