# Names for commands, no more: `.venv/bin/pyinfra -y INVENTORY deploy.py` is the real thing.
INVENTORY ?= inventories/local.py
PYTHON ?= python3
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
AS_ROOT := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo -n)

# Each module of tests has hosts of its own, which wait for each other's engines more than they compute.
BY_MODULE := --dist loadfile --no-loadscope-reorder
AT_ONCE := -n 3 $(BY_MODULE)

.PHONY: deploy plan verify timer timer-off test test-unit test-all test-hosts test-cluster test-nodes test-served soak bench bench-up \
    bench-down lint help
help: ; @sed -n 's/^## //p' Makefile

## make deploy [INVENTORY=...]   bring every host of the inventory to what it should be
deploy: .venv/ready
	.venv/bin/pyinfra -y $(INVENTORY) deploy.py

## make plan [INVENTORY=...]     print what `make deploy` would do, and change nothing
plan: .venv/ready
	.venv/bin/pyinfra --dry $(INVENTORY) deploy.py

## make verify [INVENTORY=...]   prove from every host that it all works
verify: .venv/ready
	.venv/bin/python -m pytest -q tests/verify --inventory $(INVENTORY)

## make timer [INVENTORY=...]    have systemd run deploy.py on this inventory every week, and tell when that fails
timer: .venv/ready
	.venv/bin/python -m tasks.timer on $(INVENTORY)

## make timer-off [INVENTORY=...]  take that timer away again
timer-off: .venv/ready
	.venv/bin/python -m tasks.timer off $(INVENTORY)

## make test-unit                the tests that need no host; half a minute
test-unit: .venv/ready-dev
	.venv/bin/python -m pytest -q -n auto --maxprocesses 4 $(BY_MODULE) tests/operations tests/unit

## make test                     those, and the whole chain on hosts of one kind, in containers; two minutes
test: .venv/ready-dev
	.venv/bin/python -m tests.bench prepare chain
	.venv/bin/python -m pytest -q --timeout 900 $(AT_ONCE) tests/chain tests/mergers tests/operations tests/unit

## make test-all                 all tests: those, and every kind of host, both registries, Kubernetes
# `make test test-all` runs `test` once.
test-all: test
	.venv/bin/python -m tests.bench prepare
	$(MAKE) --no-print-directory -j 2 -Oline test-nodes test-served & clusters=$$!; trap "kill $$clusters" INT TERM; \
	$(MAKE) --no-print-directory test-hosts; hosts=$$?; wait $$clusters && exit $$hosts

test-hosts: .venv/ready-dev
	.venv/bin/python -m pytest --timeout 1800 --durations 20 $(AT_ONCE) tests/fleet tests/gateway tests/judges

## make test-cluster             those on Kubernetes; they share two clusters, and follow one after the other on each
test-cluster: .venv/ready-dev
	.venv/bin/python -m tests.bench prepare cluster
	$(MAKE) --no-print-directory -j 2 -Oline test-nodes test-served

test-nodes: .venv/ready-dev
	.venv/bin/python -m pytest --timeout 1800 -m 'not served' tests/cluster
test-served: .venv/ready-dev
	.venv/bin/python -m pytest --timeout 1800 -m served tests/cluster

## make soak                     the long campaigns, of which `make test-all` holds samples
soak: .venv/ready-dev
	.venv/bin/python -m tests.bench prepare
	.venv/bin/python -m pytest --timeout 14400 -s tests/operations tests/fleet tests/gateway tests/cluster --soak
	.venv/bin/python -m pytest --timeout 14400 tests/mergers tests/judges --soak --hypothesis-seed=$(SEED)

## make bench                    how long runs take, against Ansible and pyinfra as it comes; how fast the gateway is; half an hour
bench: .venv/ready-dev
	.venv/bin/python -m tests.bench prepare
	.venv/bin/python -m benchmarks

## make bench-up                 hosts in containers, one of each kind, open to SSH, and an inventory that lists them
bench-up: .venv/ready-dev
	.venv/bin/python -m tests.bench up

## make bench-down               remove those hosts
bench-down: .venv/ready-dev
	.venv/bin/python -m tests.bench down

## make format                   fix style as far as ruff can
.PHONY: format
format: .venv/ready-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

## make lint                     style and types
lint: .venv/ready-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/ready: requirements.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo 'Installing python3-venv ...'; \
	    $(AS_ROOT) apt-get update -q >/dev/null && \
	    $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
	    apt-get install -q -y --no-remove python3-venv >/dev/null; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
