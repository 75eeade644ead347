"""What the tests of the report share: a parser of pages and a sample that means harm."""

from html.parser import HTMLParser

from sphinx_data import open_dataset
from sphinx_data.report import report
from sphinx_data.sample import Image, ImagePart, Message, Origin, Region, RegionPart, Sample, TextPart

HOSTILE = "</script></style><img src=x onerror=alert(1)>'\"&amp;<svg/onload=alert(2)>\x00\u202e|`*[x](javascript:y)"


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, data: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(data)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def classes(self, name):
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


def written(directory, **options):
    found = report(open_dataset(str(directory)), **options)
    with open(found.page, encoding="utf-8") as file:
        return Page(file.read()), found


def hostile_sample():
    message = Message(role="user", content=(ImagePart(image=0), TextPart(text=HOSTILE)))
    answer = Message(role="assistant", content=(RegionPart(regions=(0,), form="box", text=HOSTILE),))
    return Sample(
        id=HOSTILE, source=HOSTILE, license=HOSTILE, domain="vision", task="detection", language="en", split=HOSTILE,
        images=(Image(file="0.png", width=12, height=8, license=HOSTILE),),
        regions=(Region(box=(1, 1, 5, 5), label=HOSTILE, text=HOSTILE),),
        messages=(message, answer), origin=Origin(file=HOSTILE),
    )  # fmt: skip
