"""Captions: JSON of COCO, TextCaps, Karpathy and AI Challenger, token and CSV files of Flickr8k and Flickr30k.

Input, by its content: {images, annotations: [{image_id, caption}]} (COCO, COCO-CN, STAIR, nocaps); {images: [{filename,
filepath, sentences, split}]} (Karpathy); {data: [{image_id, caption_str}]} (TextCaps); a list of {image_id, caption:
[...]} (AI Challenger); lines "1000092795.jpg#0 <tab> caption" (Flickr); a CSV with a header of image and caption,
commas or bars between. One sample a picture, a caption a turn: "Provide a one-sentence caption for the provided image."
-> the caption, then "Provide another ...". `max_turns` bounds the captions of a picture, chosen by its id; all stay in
``meta``. Files of COCO, COCO-CN, TextCaps and Flickr30k-CN (lines) were tested, the other forms on files made after
their descriptions. `form=pair` gives a document of picture and caption without a question. Chinese captions are asked
for in Chinese, those of other languages by the language's name. COCO's captions are CC-BY-4.0 with the licence of each
photo, TextCaps' CC-BY-4.0; Flickr30k's are for research. https://cocodataset.org/#download
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Any, Literal

import msgspec
import xxhash

from sphinx_data.convert import Inputs, _entries, _questions
from sphinx_data.convert._caption_files import Captioned, captioned, language_told
from sphinx_data.convert._common import RejectedError, UniqueIds, find_media, limited, load_image, short
from sphinx_data.convert._json_items import value
from sphinx_data.convert._questions import Question, QuestionOptions, Record
from sphinx_data.convert._recognise import Glimpse
from sphinx_data.convert._sample import about_image, assistant, built
from sphinx_data.phrasing import choose
from sphinx_data.sample import Built, ImagePart, Message, Reject, TextPart

_NAMES = {
    "ja": "Japanese", "ko": "Korean", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "nl": "Dutch",
    "pt": "Portuguese", "ru": "Russian", "cs": "Czech", "pl": "Polish", "tr": "Turkish", "ar": "Arabic", "hi": "Hindi",
    "vi": "Vietnamese", "th": "Thai", "id": "Indonesian", "sv": "Swedish", "uk": "Ukrainian", "he": "Hebrew",
}  # fmt: skip
_ENOUGH = 200  # pictures whose captions tell a file's language
_PICTURES = ("image", "image_name", "filename")  # the first column of a table
_CAPTIONS = {"caption", "comment", "sentence"}


class Options(QuestionOptions, frozen=True, kw_only=True):
    """Parameters of this format."""

    max_turns: Annotated[int, msgspec.Meta(ge=1)] = 5  # captions of a picture that become turns
    form: Literal["dialogue", "pair"] = "dialogue"
    only: str | None = None  # pictures of this split of Karpathy's: train, restval, val or test


def recognise(glimpse: Glimpse) -> bool:
    """Captions in one of the forms above."""
    if glimpse.is_folder:
        return False
    if {"images", "annotations"} <= glimpse.keys:
        found = [entry for entry in glimpse.member("annotations") if isinstance(entry, dict)]
        return any("caption" in entry and "segments_info" not in entry and "bbox" not in entry for entry in found)
    if "images" in glimpse.keys:
        return any(isinstance(entry, dict) and "sentences" in entry for entry in glimpse.member("images"))
    if "data" in glimpse.keys:
        found = [entry for entry in glimpse.member("data") if isinstance(entry, dict)]
        return any({"image_id", "caption_str"} <= set(entry) for entry in found)
    if any(isinstance(entry, dict) for entry in glimpse.records):
        lists = [entry.get("caption") for entry in glimpse.records if isinstance(entry, dict)]
        return glimpse.record_has("image_id", "caption") and all(isinstance(said, list) for said in lists)
    first = glimpse.lines[0].lower().replace(" ", "") if glimpse.lines else ""
    if "#" in first.partition("\t")[0] and ".jpg" in first and "\t" in first:
        return True
    picture, *others = first.split("|" if "|" in first else ",")
    own = picture == "image" and "|" not in first and not glimpse.path.endswith(".txt")  # a CSV is anybody's own
    return picture in _PICTURES and not own and not _CAPTIONS.isdisjoint(others)


def records(inputs: Inputs, options: Options) -> Iterator[Record]:
    """Every picture of every file; then the captions that belong to none."""
    return limited(lambda: _records(inputs, options), options)


def _records(inputs: Inputs, options: Options) -> Iterator[Record]:
    unique, root = UniqueIds(options.source), inputs.places()["images"]
    for path in _questions.annotation_files(inputs, "captions*.json|dataset*.json", "*.json|*.token*|*.csv|*.txt"):
        name, pictures = _questions.file_name(path), captioned(path)
        first = list(islice(pictures, _ENOUGH))
        language = options.language or language_told([entry for entry in first if isinstance(entry, Captioned)])
        for found in chain(first, pictures):
            if not isinstance(found, Captioned):
                yield Record(input=name, record=found.record, rejects=(msgspec.structs.replace(found, input=name),))
            elif options.only is None or found.split == options.only:
                yield Record(
                    input=name,
                    record=found.key,
                    id=unique(found.key),
                    media=(find_media(root, *found.names),),
                    questions=tuple(
                        Question(place=f"{found.key}#{number}", raw=_entries.encoded(caption))
                        for number, caption in enumerate(found.captions)
                    ),
                    license=found.license,
                    image_license=found.image_license,
                    language=language,
                    split=found.split,
                )


def produce(record: Record, options: Options, places: dict[str, str]) -> Iterator[Built | Reject]:
    """One sample, with the rejects of captions that are none, or the reject of the picture."""
    yield from record.rejects
    if not record.questions:
        return

    def reject(level: Literal["image", "turn"], rule: str, detail: str) -> Reject:
        return Reject(input=record.input, record=record.record, id=record.id, level=level, rule=rule, detail=detail)

    captions = []
    for question in record.questions:
        text = _entries.as_text(value(question.raw))
        if text is None:
            yield reject("turn", "caption-missing", f"Caption {question.place} is {short(value(question.raw))}.")
        else:
            captions.append(text)
    try:
        if not captions:
            raise RejectedError("no-captions", "No caption of the picture can be used.")
        picture = load_image(record.media[0], options, places)
    except RejectedError as error:
        yield reject("image", error.rule, error.detail)
        return
    chosen = _chosen(captions, record.id, 1 if options.form == "pair" else options.max_turns)
    if options.form == "pair":
        messages: tuple[Message, ...] = (assistant(ImagePart(image=0), TextPart(text=chosen[0])),)
    else:
        asking = [_instruction(record, turn) for turn in range(len(chosen))]
        messages = about_image(list(zip(asking, chosen, strict=True)))
    yield built(
        record, options, [picture], domain="vision-language", task="caption", messages=messages,
        language=record.language, license=record.license, meta=_facts(record, captions),
        image_licenses=[options.image_license or record.image_license],
    )  # fmt: skip


def _facts(record: Record, captions: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {"captions": captions} if len(captions) > 1 else {}
    return facts | ({"split": record.split} if record.split else {})


def _chosen(captions: list[str], sample_id: str, count: int) -> list[str]:
    """At most so many captions, drawn by the sample's id, in file order; equal ones once."""
    distinct = list(dict.fromkeys(captions))
    drawn = sorted(distinct, key=lambda text: xxhash.xxh3_64_intdigest(f"{sample_id}\0{text}".encode()))[:count]
    return [caption for caption in distinct if caption in drawn]


def _instruction(record: Record, turn: int) -> str:
    language = (record.language or "en").partition("-")[0]
    kind = "another" if turn else "question"
    if language == "zh":
        return choose("caption", f"{kind}-zh", record.id, turn)
    if language in _NAMES:
        wording = choose("caption", f"{kind}-language", record.id, turn)
        return wording.replace("{language}", _NAMES[language])
    return choose("caption", kind, record.id, turn)
