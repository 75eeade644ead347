"""``make demo``: the whole path on real input, as the commands that a person would type.

Real documents, photos, annotations and dialogues become datasets, a mix, a trained model and a page to look at.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = Path("runs/demo")
DATA = HERE.relative_to(ROOT) / "data"
BIN = Path(sys.executable).parent

DATASETS = {
    "shapes": f"convert {DATA}/shapes/questions.json --format llava --images {DATA}/shapes/images --license MIT",
    "signs": f"convert {DATA}/signs --format imagefolder --license Apache-2.0",
    "photos": f"convert {DATA}/photos/instances.json --format coco",
    "dialogues": f"convert {DATA}/dialogues.json --format llava --license MIT",
    "documents": f"build-ocr {DATA}/documents --license CC-BY-SA-4.0 --language en",
    "marks": f"build-som {OUT}/photos --set dialogue=both",
}


def run(command: str) -> None:
    """Print a command and run it; a failure ends the demo with its status."""
    print(f"\n$ {command}", flush=True)
    name, *arguments = shlex.split(command)
    done = subprocess.run([str(BIN / name), *arguments], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """The six datasets, the mix, the check, the training, the result."""
    os.chdir(ROOT)
    started = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    for name, command in DATASETS.items():
        run(f"sphinx-data {command} --out {OUT}/{name}")
    run(f"sphinx-data mix {HERE.relative_to(ROOT)}/mix.yaml --root {OUT} --out {OUT}/mix")
    run(f"sphinx-data verify {OUT}/mix")
    run(f"sphinx-train {HERE.relative_to(ROOT)}/train.yaml")
    show(time.monotonic() - started)


def show(seconds: float) -> None:
    """The table, the proof and three held-out questions."""
    lock = json.loads((OUT / "mix/mix.lock.json").read_text())
    shares = {source["name"]: source["realised"]["samples"] for source in lock["sources"]}
    print(f"\n{'source':<12}{'samples':>9}{'share':>8}  rejects")
    for name in DATASETS:
        found = json.loads((OUT / name / "dataset.json").read_text())
        rules = ", ".join(f"{count} {rule}" for rule, count in found["rejects_by_rule"].items()) or "none"
        print(f"{name:<12}{found['samples']:>9,}{shares[name]:>8.1%}  {rules}")
    steps = [json.loads(line) for line in (OUT / "run/log.jsonl").read_text().splitlines()]
    speed = sorted(step["supervised_tokens_per_s"] for step in steps)[len(steps) // 2]
    views = sorted(step["views_per_s"] for step in steps)[len(steps) // 2]
    print(f"\ntraining: {len(steps)} steps, loss {steps[0]['loss']:.2f} -> {steps[-1]['loss']:.2f}, "
          f"{speed:,.0f} supervised tokens/s, {views:,.0f} views/s")  # fmt: skip
    result = json.loads((OUT / "run/evaluation.json").read_text())
    print(f"held-out loss with the right image   {result['loss_right']:.4f}\n"
          f"held-out loss with a swapped image   {result['loss_swapped']:.4f}\n"
          f"{result['pairs']} pairs, the right image is better in {result['better']:.0%}, "
          f"paired test p = {result['p_value']:.2g}")  # fmt: skip
    for answer in [answer for answer in result["answers"] if answer["id"].startswith("shapes/")][:3]:
        print(f"\n{answer['id']}: {answer['question']}\n  model: {answer['answer']}\n  truth: {answer['truth']}")
    print(f"\nmodel: {OUT}/run/hf\nlook:  {(OUT / 'run/report.html').resolve().as_uri()}\n{seconds:.0f} s in all")
    if result["pairs"] < 200 or not result["p_value"] < 0.01:
        sys.exit("the model does not use its eyes: right and swapped images differ too little")


if __name__ == "__main__":
    main()
