# Onramp. `make help` lists the targets; a plain `make` does the same.
.DEFAULT_GOAL := help
.PHONY: help run test lab reset learner data lint unit notebooks browser site tools docs setup gpu plugins containers clean
MAKEFLAGS += --no-print-directory

# Set here, so that only make's command line changes them: a VERSION or TIER in the shell's environment means something else.
DATAROOT = data/minidrive
VERSION = v1.0-mini
JOBS = 1
TIMEOUT = 600
TIER =
LESSON =
CORES =
SOLUTIONS =
YES =

export PYTHON
ifneq ($(CORES),)
ifneq ($(shell [ '$(CORES)' -ge 1 ] 2>&1 && echo yes),yes)
$(error CORES=$(CORES): expected a whole number from 1)
endif
export ONRAMP_CORES = $(CORES)
endif
PY := .venv/bin/python
NO = 0 no n false off
on = $(if $(filter-out $(NO),$(1)),$(2))
quoted = '$(subst ','\'',$(1))'
PARAMETERS = -p TIER cpu -p DATAROOT $(call quoted,$(DATAROOT)) -p VERSION $(call quoted,$(VERSION))
$(foreach switch,SOLUTIONS YES,$(if $(filter-out $(NO) 1 yes y true on,$($(switch))),\
$(error $(switch)=$($(switch)): expected 1, or nothing)))

help: ## list the targets
	@echo "usage: make TARGET [NAME=VALUE ...]"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "make run knows DATAROOT (data/minidrive), VERSION (v1.0-mini), JOBS (lessons at once, 1), TIMEOUT (seconds for each, 600)"
	@echo "every target knows CORES, the processor cores to use at most (all)"

run: data tools ## set up, make MiniDrive, run every lesson; results and the book of them go to build/
	@$(PY) -m ci.lessons.run --reuse --jobs $(JOBS) --timeout $(TIMEOUT) --out build $(PARAMETERS); status=$$?; \
	$(PY) -m ci.book --out build && exit $$status

test: ## set up, lint, unit tests, every lesson in FAST mode with the proof of its exercises, the book in a browser
	@ci/setup/cpu.sh data
	@$(MAKE) -j$(or $(CORES),2) minidrive tools
	@$(PY) -m ci.test

lab: data ## open JupyterLab at the first lesson, in your own copies (SOLUTIONS=1: in copies with the solutions)
	@$(PY) -m ci.lessons.lab $(call on,$(SOLUTIONS),--solutions)

reset: setup ## renew your copy of a lesson, after asking: make reset LESSON=02 (YES=1 does not ask); the old one is kept
	@$(PY) -m ci.lessons.lab --reset=$(call quoted,$(LESSON)) $(call on,$(SOLUTIONS),--solutions) $(call on,$(YES),--yes)

learner: setup ## write the learner's copies to learner/ and open nothing
	@$(PY) -m ci.lessons.lab --copies-only

data: setup ## make MiniDrive, the synthetic data set, in data/minidrive
.PHONY: minidrive
data minidrive:
	@$(PY) -m data_scripts.make_minidrive

lint: setup ## ruff, the rules of lessons, and whether the pages made from results/ are current
	@$(PY) -m ci.test lint

unit: tools ## the unit tests
	@$(PY) -m ci.test unit

notebooks: data tools ## every lesson in FAST mode with the proof of its exercises, and the book of them
	@$(PY) -m ci.test notebooks

browser: tools ## the book of `make notebooks` and JupyterLab in a browser, where there is Chromium or Chrome
	@$(PY) -m ci.test browser

site: tools ## make the book of what `make run` ran last: build/book/index.html
	@$(PY) -m ci.book --out build

tools: setup ## add what makes and tests the book to .venv (the targets that need it do it)
	@ci/setup/book.sh

docs: setup ## write what is made of results/ and of the commands' help: docs/, the README's table and picture
	@$(PY) -m ci.results
	@$(PY) -m ci.commands

setup: ## create .venv from the lock (the other targets do it when it is needed)
	@ci/setup/cpu.sh

gpu: ## set up a GPU tier, in .venv-gpu: make gpu, or make gpu TIER=trt10 (trt11, trtllm, edge)
	@$(or $(PYTHON),$(shell command -v python3.11 || command -v python3)) -m ci.setup.gpu $(TIER)

plugins: ## compile the plugins: make plugins TENSORRT_INCLUDE=DIR, for DRIVE and Jetson with TARGET=aarch64
	@$(MAKE) -C plugins plugins $(foreach name,TENSORRT_INCLUDE TENSORRT_LIB CUDA_TARGET CUDA_HOME,$(if \
	$(filter-out /%,$(firstword $($(name)))),$(name)=$(call quoted,$(CURDIR)/$($(name)))))

containers: setup ## lint the Dockerfile, with hadolint where there is one
	@$(PY) -m ci.setup.containers lint

clean: ## remove what was built, except .venv, the data and your copies of the lessons
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name learner -exec rm -r {} +; fi
