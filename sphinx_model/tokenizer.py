"""A small byte-level BPE tokenizer trained on one's own text, for presets that start from nothing."""

from collections.abc import Iterable, Iterator
from importlib.resources import files

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

IMAGE_TOKENS = ("<|image|>", "<|image_start|>", "<|image_end|>", "<|image_skip|>")
BOS, EOS, PAD = "<s>", "</s>", "<pad>"

# Words with their leading space, letters apart from signs; every digit alone, so that coordinates cost the same.
_SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def template(name: str) -> str:
    """A chat template that ships with the package, e.g. ``sphinx``. Raises ValueError naming those that exist."""
    folder = files("sphinx_model") / "templates"
    path = folder / f"{name}.jinja"
    if not path.is_file():
        known = sorted(entry.name.removesuffix(".jinja") for entry in folder.iterdir())
        raise ValueError(f"no chat template {name!r}; known: {', '.join(known)}")
    return path.read_text(encoding="utf-8")


def train_tokenizer(texts: Iterable[str], vocab_size: int = 4096) -> PreTrainedTokenizerFast:
    """Train on an iterator of texts; equal texts in equal order give an equal tokenizer.

    `vocab_size` counts bytes, merges, BOS, EOS, PAD and the four placeholders; fewer come out of little text. The words
    of the `sphinx` template are always in it, so that the end of an answer is one token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[PAD, BOS, EOS, *IMAGE_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_with_template(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens=list(IMAGE_TOKENS),
        clean_up_tokenization_spaces=False,
        chat_template=template("sphinx"),
    )


def _with_template(texts: Iterable[str]) -> Iterator[str]:
    yield from texts
    frame = (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions.\n\n### Human: \n### Assistant: \n###"
    )
    for _ in range(1000):
        yield frame
