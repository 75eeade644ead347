"""Train our packs with TRL's `SFTTrainer`:  python recipes/elsewhere/trl_sft.py MODEL MIX OUT [STEPS]

TRL prepares nothing here: our packs are tokenised, masked and packed with pictures, which its own packing refuses. It
insists on a `datasets.Dataset`, so that one holds the packs' numbers and reads a pack when it is asked for.
"""

import sys

from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer

import sphinx_model.auto  # noqa: F401 (registers the classes)
from sphinx_model.loader import as_inputs, open_packs


def main(model_dir: str, mix: str, out: str, steps: int = 100) -> None:
    """Train for `steps` steps and save the model in ``out/hf``."""
    processor = AutoProcessor.from_pretrained(model_dir)
    packs = open_packs(mix, processor, tokens=1024, views=36, folder=f"{out}/plans")
    numbers = Dataset.from_dict({"pack": range(len(packs))})
    numbers.set_transform(lambda rows: {"pack": [packs[number] for number in rows["pack"]]})
    arguments = SFTConfig(
        output_dir=out,
        max_steps=steps,
        per_device_train_batch_size=2,  # packs
        learning_rate=5e-4,
        logging_steps=max(1, steps // 10),
        save_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=False,
        activation_checkpointing=False,
        loss_type="nll",  # its default wants the head of a model that it knows
        bf16=False,
        max_length=None,
    )
    trainer = SFTTrainer(
        model=AutoModelForImageTextToText.from_pretrained(model_dir),
        args=arguments,
        train_dataset=numbers,
        data_collator=lambda rows: as_inputs([row["pack"] for row in rows]),
        processing_class=processor,
    )
    trainer.train()
    trainer.save_model(f"{out}/hf")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:5]))
