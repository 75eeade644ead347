# Every target makes .venv itself when it is missing or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet -c constraints.txt

PADDLE := .venv-paddle/bin/python
PADDLE_PIP := $(PADDLE) -m pip install --quiet -c constraints-paddle.txt

.PHONY: setup demo test test-heavy lint bench clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[dev]'
	touch .venv/ready

# PaddleOCR's OpenCV and ours fill the same folder, so it has an environment of its own, where the headless one is last.
.venv-paddle/ready: pyproject.toml constraints-paddle.txt
	test -x $(PADDLE) || $(PYTHON) -m venv .venv-paddle
	$(PADDLE_PIP) -e '.[paddle]'
	$(PADDLE_PIP) --force-reinstall --no-deps opencv-python-headless
	touch .venv-paddle/ready

demo: .venv/ready
	$(BIN)/python recipes/demo/run.py

test: .venv/ready
	$(BIN)/python -m pytest -n 2

test-heavy: .venv/ready .venv-paddle/ready
	$(BIN)/python -m pytest -m heavy

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/ready
	for script in $(filter-out benchmarks/common.py benchmarks/smol.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .venv-paddle runs build *.egg-info
