"""Which pages hold text worth learning, whoever read it: rules on what is said, not on how it is drawn."""

import re
from collections import Counter
from collections.abc import Sequence

from sphinx_data.language import identify, letters
from sphinx_data.ocr.clean import Clean, Verdict
from sphinx_data.ocr.text import Line

_FEW_LINES = 10  # fewer repeat by chance
_LONG = 8  # characters from which a line that comes again is a repetition, and no cell of a table
_LANGUAGE_CHARS = 1000
_FEWEST_LETTERS = 40  # fewer do not tell a language
_SURE = 0.9

# What programs and templates put where no document is.
_BOILERPLATE = re.compile(
    r"intentionally (?:left )?blank|if this message is not eventually replaced"
    r"|your pdf viewer may not be able to display|cannot display this type of document"
    r"|javascript is (?:disabled|required)|enable javascript|page not found|404 not found|access denied"
    r"|diese seite (?:wurde|ist) (?:absichtlich|bewusst) (?:leer|freigelassen)"
    r"|page laissée (?:intentionnellement )?vide",
    re.IGNORECASE,
)
_SPAM = frozenset(
    [
        "casino",
        "viagra",
        "cialis",
        "torrent",
        "mobi",
        "epub",
        "ebook",
        "ebooks",
        "ringtone",
        "ringtones",
        "crack",
        "keygen",
        "serial",
    ]
)
# Personal data that a pattern tells: e-mail, IBAN, numbers of payment cards, of telephones with country code.
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}", re.IGNORECASE)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<!\d)(?:\d{4}[ -]){3}\d{4}(?!\d)")
_PHONE = re.compile(r"(?<![\w.])\+\d{1,3}[ ./-]?(?:\(\d{1,4}\)[ ./-]?)?\d{2,4}(?:[ ./-]?\d{2,4}){2,4}(?![\w.]?\d)")


def size_verdict(width: float, height: float, config: Clean) -> Verdict | None:
    """Whether a page has the shape of one, before anything of it is read."""
    ratio = max(width, height) / max(min(width, height), 1e-9)
    if ratio <= config.max_aspect:
        return None
    return Verdict(
        "page-shape", f"its sides are {width:g} and {height:g}, {ratio:.1f} to 1; {config.max_aspect:g} may be"
    )


def text_verdict(lines: Sequence[Line], config: Clean) -> Verdict | None:
    """The first rule that the text of a page breaks, or None."""
    text = "\n".join(line.text for line in lines)
    if len(text) > config.max_chars:
        return Verdict(
            "too-dense", f"{len(text):,} characters, at most {config.max_chars:,} can be read on one picture"
        )
    return (
        _repetition(lines, config)
        or _boilerplate(text, config)
        or _personal(text, config)
        or _language(text, config)
    )  # fmt: skip


def _repetition(lines: Sequence[Line], config: Clean) -> Verdict | None:
    """Whole lines that come again and again, and one phrase over and over inside them."""
    counts = Counter(key for line in lines if len(key := line.text.casefold()) >= _LONG)
    total = sum(len(line.text) for line in lines)
    again = sum(len(key) * (count - 1) for key, count in counts.items())
    share = again / max(1, total)
    if len(lines) >= _FEW_LINES and share > config.max_repeated and max(counts.values(), default=0) > 2:
        return Verdict("repeated-text", f"{share:.0%} of the characters are in lines that repeat another of the page")
    words = " ".join(line.text for line in lines).casefold().split()
    if len(words) >= 60 and 3 * max(Counter(words).values()) / len(words) > config.max_repeated:
        pairs = Counter(zip(words, words[1:], words[2:], strict=False))
        phrase, count = pairs.most_common(1)[0]
        if min(map(len, phrase)) > 1 and 3 * count / len(words) > config.max_repeated:
            return Verdict("repeated-text", f'"{" ".join(phrase)}" comes {count} times in {len(words)} words')
    return None


def _boilerplate(text: str, config: Clean) -> Verdict | None:
    if len(text) < 2 * config.max_boilerplate_chars:
        flat = " ".join(text.split())
        if len(flat) < config.max_boilerplate_chars and (found := _BOILERPLATE.search(flat)):
            return Verdict("boilerplate", f'it says little more than "{found[0]}"')
    lower = text.lower()
    if sum(word in lower for word in _SPAM) < 3:  # nearly always
        return None
    words = re.findall(r"[a-z]+", lower)
    spam = Counter(word for word in words if word in _SPAM)
    if len(spam) >= 3 and spam.total() > config.max_spam * len(words):
        return Verdict("boilerplate", f"{spam.total()} of {len(words)} words are those of download and casino spam")
    return None


def _personal(text: str, config: Clean) -> Verdict | None:
    if not config.personal_data:
        return None
    for kind, found in (("an e-mail address", _EMAIL.search(text)), ("a bank account", _iban(text)),
                        ("a payment card", _card(text)), ("a telephone number", _PHONE.search(text))):  # fmt: skip
        if found:
            return Verdict("personal-data", f"it shows {kind}")
    return None


def _iban(text: str) -> re.Match[str] | None:
    """An account number whose check digits are right (ISO 13616)."""
    for match in _IBAN.finditer(text):
        plain = match[0].replace(" ", "")
        if 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1:
            return match
    return None


def _card(text: str) -> re.Match[str] | None:
    """Sixteen digits whose last one is right (Luhn)."""
    for match in _CARD.finditer(text):
        digits = [int(c) for c in match[0] if c.isdigit()]
        if sum(d if n % 2 else (2 * d - 9 * (d > 4)) for n, d in enumerate(digits)) % 10 == 0:
            return match
    return None


def _language(text: str, config: Clean) -> Verdict | None:
    if not config.languages or letters(text[:_LANGUAGE_CHARS]) < _FEWEST_LETTERS:
        return None
    found = identify(text[:_LANGUAGE_CHARS])
    if found is None or found.confidence < _SURE or found.language in config.languages:
        return None
    wanted = ", ".join(config.languages)
    return Verdict(
        "language-unwanted", f"the text is {found.language} (confidence {found.confidence:.2f}), not {wanted}"
    )
