"""Train our packs with Hugging Face's `Trainer`:  python recipes/elsewhere/hf_trainer.py MODEL MIX OUT [STEPS]

MODEL is a directory in Hugging Face form (`sphinx-model init`, `convert` or a run's ``hf``), MIX a dataset directory.
Needs `accelerate`. What `sphinx-train` adds: exact resume on any number of ranks, losses by source, encoders outside
the sharding, logits of supervised positions only.
"""

import sys

from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments

import sphinx_model.auto  # noqa: F401 (registers the classes)
from sphinx_model.loader import as_inputs, open_packs


def main(model_dir: str, mix: str, out: str, steps: int = 100) -> None:
    """Train for `steps` steps and save the model in ``out/hf``."""
    processor = AutoProcessor.from_pretrained(model_dir)
    packs = open_packs(mix, processor, tokens=1024, views=36, folder=f"{out}/plans")
    arguments = TrainingArguments(
        output_dir=out,
        max_steps=steps,
        per_device_train_batch_size=2,  # packs
        learning_rate=5e-4,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 20,
        adam_beta2=0.95,
        logging_steps=max(1, steps // 10),
        save_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    model = AutoModelForImageTextToText.from_pretrained(model_dir)
    trainer = Trainer(model=model, args=arguments, train_dataset=packs, data_collator=as_inputs)
    trainer.train()
    trainer.save_model(f"{out}/hf")
    processor.save_pretrained(f"{out}/hf")


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:5]))
