"""A model with one line of `__admin__` gets all of a page."""

import re


def test_one_line_gives_a_page_in_the_menu_with_its_rows(lab, admin, gadgets):
    gadgets(3)
    page = admin.get("/gadgets/")
    text = page.get_data(as_text=True)
    assert page.status_code == 200, text[-3000:]
    assert "G-00002" in text
    assert text.count('class="rowcheck"') == 0, "without actions there is nothing to choose"
    assert re.search(r'Finance.*<a href="/gadgets/"', text, re.DOTALL), "under its own heading in the menu"
    assert "very-secret-token" not in text


def test_the_details_show_every_field_but_secrets_and_the_story(lab, admin, gadgets):
    (row,) = gadgets(1, note="about", settings={"a": [1, 2]})
    text = admin.get(f"/gadgets/{row.id}/").get_data(as_text=True)
    for shown in ("G-00000", "1.00", "Red", "about", "a: 1, 2", "History"):
        assert shown in text
    assert "very-secret-token" not in text
