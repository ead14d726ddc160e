"""Blocks of the pages: what they hold, and that nothing breaks out of its place."""

from html.parser import HTMLParser

import pytest

from tracking.html_page import STYLE, definitions, folded, heading, note, page, paragraph, table


class Reader(HTMLParser):
    """Notes the open tags and the text, and whether tags close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_a_page_of_all_blocks() -> None:
    odd = '<script>&"'
    body = [heading(odd, "a<b"), paragraph(odd), note(odd), definitions({odd: odd}), folded(odd, table([odd], [[odd]]))]
    reader = Reader(page(odd, {odd: odd}, body, ".x { color: red; }"))
    assert reader.open == [] and "script" not in reader.tags
    assert sum(odd in words for words in reader.words) == 11
    assert "".join(reader.words).count(f"{STYLE}.x {{ color: red; }}") == 1


def test_tables() -> None:
    made = table(["name", "n", "why"], [["a", "1", "b"], ["all", "1", ""]], texts=(0, 2), total=1)
    assert made.count('<td class="text">') == 4 and made.count("<td>1</td>") == 2
    assert made.count("<tr class=all>") == 1 and made.index("<tr class=all>") > made.index("<td>1</td>")
    with pytest.raises(ValueError, match="rows: got 1 cells, allowed: 3, as the head has it"):
        table(["name", "n", "why"], [["a"]])
