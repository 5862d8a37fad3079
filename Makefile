# Head Start. `make help` lists what there is. Without make, the README gives the plain commands.
PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv-bench/bin
READY := .venv/.ready
COURSE ?= course
VARIANT ?= 0
# Which PyTorch: without an NVIDIA card, Linux takes the build for the processor, which is gigabytes smaller.
# Say TORCH=pypi or TORCH=cpu to choose.
NVIDIA := $(wildcard /dev/nvidia0 /dev/nvidiactl /dev/dxg)
TORCH ?= $(if $(filter Linux,$(shell uname -s)),$(if $(NVIDIA),pypi,cpu),pypi)
CPU_WHEELS := https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# A waiting thread sleeps: otherwise it takes the core from whoever it waits for.
export OMP_WAIT_POLICY := PASSIVE

.DEFAULT_GOAL := help
.PHONY: help replicate book test test-quick lab serve zip pdf release grade bench check format clean

help:  ## this list
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | while IFS='	' read -r name what; do printf '  make %-10s %s\n' "$$name" "$$what"; done

book: $(READY)  ## execute the lessons and build the website (nothing that has not changed is executed again)
	@rm -rf _build/html
	@$(BIN)/python book/_tools/execute.py
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@echo "Or run: make serve"

test: $(READY)  ## the package, the site if it is built, the coursework, every lesson; THOROUGH=1 adds what takes longest
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

test-quick: $(READY)  ## a first answer in about a minute: what needs neither a second nor a browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --quick tests

lab: $(READY)  ## JupyterLab, opened on the first lesson
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/lessons/01_the_specialist.ipynb

serve: book  ## show the website at http://127.0.0.1:8000
	@echo "http://127.0.0.1:8000  (Ctrl-C ends it)"
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

zip: book  ## the site, the lessons, the package and the list of requirements in one file, for a classroom without network
	$(BIN)/python book/_tools/pack.py

pdf: book  ## the whole course as one printable file, answers open (needs Chromium)
	$(BIN)/python book/_tools/print_course.py

release: $(READY)  ## notebooks for students in COURSE/release (VARIANT=2027: data of this class; ONLY="stages rates"; SITE=address of the lessons)
	$(BIN)/python lessons/coursework/coursework.py release --course "$(COURSE)" --variant $(VARIANT) $(if $(SITE),--site "$(SITE)") $(ONLY)

grade: $(READY)  ## grade COURSE/submitted: feedback, grades.csv, report.csv, class.html; goes on where it stopped
	$(BIN)/python lessons/coursework/coursework.py grade --course "$(COURSE)" $(if $(OPEN),--open) $(ONLY)

bench: .venv-bench/.ready  ## measure against other tools (REAL_DATA=folder adds real photographs); goes on where it stopped
	$(BENCH)/python tests/benchmarks/bench.py $(if $(REAL_DATA),--real-data "$(REAL_DATA)") $(BENCH_ARGS)

check: $(READY)  ## ruff, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

study-%: $(READY)  ## a record of lessons/studies again, such as study-map, study-text: minutes to hours; goes on where it stopped
	$(BIN)/python lessons/studies/$(subst -,_,$*).py

replicate: $(READY)  ## run every lesson with other kernels and other draws, and record which claims hold: hours; goes on where it stopped
	$(BIN)/python lessons/studies/replicate.py $(if $(DRAWS),--draws $(DRAWS))

clean:  ## remove everything built, but keep .venv
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build ./*.egg-info
	find . -name .venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +

.venv-bench/.ready: tests/benchmarks/requirements.txt pyproject.toml
	test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	$(BENCH)/python -m pip install --disable-pip-version-check -r tests/benchmarks/requirements.txt
	$(BENCH)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than 3.11. Name one that is not, for example: make PYTHON=python3.12 book"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifeq ($(TORCH),cpu)
	@echo "Installing into .venv, once: first PyTorch for the processor from $(CPU_WHEELS) (about 0.2 GB;"
	@echo "no NVIDIA card was found here: make TORCH=pypi takes the build with 5 GB of CUDA libraries instead),"
	@echo "then the other packages of requirements.txt from PyPI (about 2 GB on disk)."
	$(PIP) --timeout 15 --retries 1 $$(grep '^torch' requirements.txt) --index-url $(CPU_WHEELS) || \
	  echo "PyTorch for the processor cannot be had there. PyPI's follows; on Linux it brings 5 GB of CUDA libraries."
else
	@echo "Installing into .venv, once: the packages of requirements.txt from PyPI (about 2 GB on disk). On Linux, PyTorch"
	@echo "brings 5 GB of CUDA libraries more; to do without, stop with Ctrl-C and say: make TORCH=cpu $(MAKECMDGOALS)"
endif
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
