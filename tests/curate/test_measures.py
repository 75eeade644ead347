"""Values against computations made another way, on real pictures and texts."""

import io
import math
from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace
from photos import photo
from PIL import Image as Pictures
from PIL import ImageFilter
from samples import text_sample

from sphinx_data.curate import measures
from sphinx_data.curate.measures import answer, aspect, blankness, langid, repetition, sharpness
from sphinx_data.curate.text import words
from sphinx_data.dataset.reader import Example
from sphinx_data.media import DamagedImage
from sphinx_data.sample import Message, TextPart, encode

NAMES = ("astronaut.jpg", "coffee.jpg", "coins.png", "rocket.jpg", "000000000785.jpg")


def shown(*pictures: Pictures.Image, kind: str = "PNG") -> Example:
    files = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, kind)
        files.append(memoryview(file.getvalue()))
    return Example(memoryview(encode(text_sample("t", 0))), tuple(files))


def said(*turns: str, question: str | None = None) -> Example:
    messages = [Message(role="assistant", content=(TextPart(text=text),)) for text in turns]
    if question:
        messages.insert(0, Message(role="user", content=(TextPart(text=question),)))
    return Example(memoryview(encode(replace(text_sample("t", 0), messages=tuple(messages)))), ())


def test_every_module_keeps_the_convention():
    assert measures.measure_names() == ["answer", "aspect", "blankness", "langid", "repetition", "sharpness"]
    for name, line in measures.descriptions().items():
        module = measures.load(name)
        assert 20 < len(line) < 120
        assert set(module.measure(shown(photo("coins.png")))) <= set(module.SCHEMA.names)


@pytest.mark.parametrize("name", NAMES)
def test_blur_makes_less_sharp_in_order(name):
    picture = photo(name)
    found = [sharpness.measure(shown(picture.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)]
    for field in ("score", "peak"):
        values = [row[field] for row in found]
        assert values == sorted(values, reverse=True)
        assert values[0] > 5 * values[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_fewer_pixels_is_less_sharp(name):
    picture = photo(name)
    small = picture.resize((picture.width // 4, picture.height // 4), Pictures.Resampling.LANCZOS)
    assert sharpness.measure(shown(small))["score"] < sharpness.measure(shown(picture))["score"] / 4


def test_sharpness_is_the_variance_of_the_laplacian():
    picture = photo("astronaut.jpg")  # 512 x 512: measured as it is
    red, green, blue = np.moveaxis(np.asarray(picture).astype(float), 2, 0)
    grey = np.pad(np.floor(0.299 * red + 0.587 * green + 0.114 * blue + 0.5), 1, mode="reflect")
    edges = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    found = sharpness.measure(shown(picture))
    assert found["score"] == pytest.approx(edges.var(), rel=2e-3)  # the weights of grey are rounded otherwise
    tiles = [edges[y : y + 128, x : x + 128].var() for y in range(0, 512, 128) for x in range(0, 512, 128)]
    assert found["peak"] == pytest.approx(max(tiles), rel=2e-3)


def test_the_least_sharp_picture_counts():
    sharp, blurred = photo("coffee.jpg"), photo("coffee.jpg").filter(ImageFilter.GaussianBlur(4))
    assert sharpness.measure(shown(sharp, blurred)) == sharpness.measure(shown(blurred))


def test_blank_pages():
    assert blankness.measure(shown(Pictures.new("RGB", (700, 900), "white"))) == {"score": 1.0, "entropy": 0.0}
    page = Pictures.new("RGB", (512, 512), (250, 240, 230))
    page.paste((0, 0, 200), (0, 0, 512, 128))
    page.paste((246, 236, 226), (0, 128, 512, 256))  # within 8 levels of the paper
    found = blankness.measure(shown(page))
    assert found["score"] == 0.75
    assert found["entropy"] == pytest.approx(1.5)  # shares 1/2, 1/4, 1/4
    page.putpixel((5, 300), (0, 0, 0))
    assert blankness.measure(shown(page, Pictures.new("RGB", (9, 9))))["score"] == 1.0


def test_blankness_against_counting():
    pixels = np.asarray(photo("astronaut.jpg")).reshape(-1, 3)
    cells = Counter(map(tuple, (pixels // 16).tolist()))
    fullest = max(cells, key=lambda cell: (cells[cell], [-c for c in cell]))
    centre = np.rint(pixels[(pixels // 16 == fullest).all(axis=1)].mean(axis=0))
    expected = (abs(pixels - centre).max(axis=1) <= 8).mean()
    assert blankness.measure(shown(photo("astronaut.jpg")))["score"] == pytest.approx(expected, abs=1e-6)


def test_transparent_pixels_are_white():
    ink = Pictures.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert blankness.measure(shown(ink))["score"] == 1.0
    ink.paste((0, 0, 0, 255), (0, 0, 32, 64))
    assert blankness.measure(shown(ink))["score"] < 0.6


@pytest.mark.parametrize(("mode", "kind"), [("L", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "JPEG")])
def test_every_mode_is_measured(mode, kind):
    assert sharpness.measure(shown(photo("coins.png").convert(mode), kind=kind))["score"] > 100


def test_samples_without_pictures_are_null():
    assert sharpness.measure(shown()) == blankness.measure(shown()) == aspect.measure(shown()) == {}


def test_a_damaged_picture_is_told():
    with pytest.raises(DamagedImage, match="image 0 cannot be decoded"):
        sharpness.measure(Example(memoryview(b""), (memoryview(b"\x89PNG\r\n\x1a\nno"),)))


def test_repetition_by_hand():
    once = " ".join(f"w{n}" for n in range(19))  # ten 10-grams
    assert repetition.measure(said(once)) == {"score": 0.0, "grams": 10}
    assert repetition.measure(said(f"{once}. {once.upper()}!")) == {"score": round(10 / 29, 6), "grams": 29}
    assert repetition.measure(said("ha " * 109)) == {"score": 0.99, "grams": 100}
    assert repetition.measure(said("yes", "yes", "yes")) == {"score": 0.0, "grams": 0}
    assert repetition.measure(said(once, once)) == {"score": 0.0, "grams": 20}  # turns may say the same
    chinese = "天地玄黄宇宙洪荒日月盈昃辰宿列张"
    assert repetition.measure(said(chinese)) == {"score": 0.0, "grams": 7}
    assert repetition.measure(said(chinese * 2)) == {"score": round(7 / 23, 6), "grams": 23}


def test_words_of_many_scripts():
    assert words("Don't stop, naïve café 3.5") == ["Don", "t", "stop", "naïve", "café", "3", "5"]
    assert words("我爱Python编程。") == ["我", "爱", "Python", "编", "程"]
    assert words("हिन्दी में लिखा") == ["हिन्दी", "में", "लिखा"]
    assert len(words("ภาษาไทย")) == 7
    assert words("한국어 텍스트") == ["한국어", "텍스트"]


def test_answers_by_hand():
    assert answer.measure(said("a red car", "no", question="What is there?")) == {
        "characters": 11, "words": 4, "turns": 2, "shortest": 2, "longest": 9,
    }  # fmt: skip


TEXTS = {
    "en": "The quick brown fox jumps over the lazy dog while the farmer looks on.",
    "de": "Der Himmel über dem Hafen hatte die Farbe eines Fernsehers ohne Empfang.",
    "fr": "Longtemps, je me suis couché de bonne heure, avant que mes yeux se ferment.",
    "es": "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, vivía un hidalgo.",
    "it": "Nel mezzo del cammin di nostra vita mi ritrovai per una selva oscura.",
    "pt": "Não há nada de novo debaixo do sol, disse o velho pescador à sua filha.",
    "nl": "Het regende al de hele dag en niemand wilde naar buiten om boodschappen te doen.",
    "pl": "Wszystkie szczęśliwe rodziny są do siebie podobne, każda nieszczęśliwa jest inna.",
    "tr": "Bütün mutlu aileler birbirine benzer, her mutsuz ailenin mutsuzluğu kendine göredir.",
    "ru": "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему.",
    "zh": "学而时习之，不亦说乎？有朋自远方来，不亦乐乎？",
    "ja": "国境の長いトンネルを抜けると雪国であった。",
    "ko": "죽는 날까지 하늘을 우러러 한 점 부끄럼이 없기를.",
    "ar": "كل العائلات السعيدة تتشابه، أما العائلات التعيسة فلكل منها قصتها.",
    "hi": "सभी सुखी परिवार एक जैसे होते हैं, हर दुखी परिवार अपने ढंग से दुखी होता है।",
    "th": "ครอบครัวที่มีความสุขทั้งหมดเหมือนกัน",
    "el": "Όλες οι ευτυχισμένες οικογένειες μοιάζουν μεταξύ τους.",
    "vi": "Mọi gia đình hạnh phúc đều giống nhau, mỗi gia đình bất hạnh lại khổ theo cách riêng.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_languages(language):
    pytest.importorskip("py3langid")
    found = langid.measure(said(TEXTS[language]))
    assert found["language"] == language
    assert 0.5 < found["confidence"] <= 1


def test_short_answers_are_told_by_their_question():
    pytest.importorskip("py3langid")
    german = langid.measure(said("rot", question="Welche Farbe hat das Auto, das vor dem Haus steht?"))
    assert german["language"] == "de"
    assert langid.measure(said("red"))["confidence"] < 0.2
    assert langid.measure(said("12, 7", question="3 + 4?")) == {}
    assert math.isclose(langid.measure(said(TEXTS["en"] * 2000))["confidence"], 1, abs_tol=0.05)
