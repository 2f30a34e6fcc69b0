# Names for commands, no more: `.venv/bin/pyinfra -y INVENTORY deploy.py` is the real thing. Each verb prints its own.
PYTHON ?= python3
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
AS_ROOT := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo -n)

# A relative INVENTORY is looked for in HOME_DIR first. Without either it is this machine, unless there is a choice.
override HOME_DIR := $(patsubst ~/%,$(HOME)/%,$(HOME_DIR))
ON = $(call quoted,$(or $(if $(HOME_DIR),$(wildcard $(HOME_DIR)/$(INVENTORY))),$(INVENTORY),inventories/local.py))
quoted = $(if $(word 2,$(subst ', ,$(1))),$(call in_quotes,$(1)),$(1))
in_quotes = '$(subst ','\'',$(1))'
ONE_ACCOUNT = $(if $(ACCOUNT), --data registry_rotate_account=$(ACCOUNT))
MORE = $(if $(call typed,DATA), $(addprefix --data ,$(DATA)))

# Each module of tests has hosts of its own, which wait for each other's engines more than they compute.
BY_MODULE := --dist loadfile --no-loadscope-reorder
AT_ONCE := -n 3 $(BY_MODULE)

VERBS := deploy plan verify status timer timer-off password rotate-certificate rotate-passwords revoke-passwords rotate-ca \
    retire-ca adopt backup restore make-room repair \
    cache-clear workstation
OTHERS := help init test test-unit test-all test-hosts test-cluster test-nodes test-served soak bench bench-up bench-down \
    format lint
.PHONY: $(VERBS) $(OTHERS) which
help: ; @sed -n 's/^## //p' Makefile

READ := INVENTORY HOME_DIR ACCOUNT PLAN DATA FROM REPOSITORY OLDER DEEP IMAGE NAME HOSTS KEY REGISTRY PYTHON SEED AS_ROOT
GIVEN := $(foreach each,$(.VARIABLES),$(if $(filter command,$(origin $(each))),$(each)))
which:
	@$(if $(wildcard .venv/ready),,$(CHECK_PYTHON))
	@$(PYTHON) -m tasks.cli.which --verb '$(firstword $(filter $(VERBS) init,$(MAKECMDGOALS)) deploy)' \
	    --inventory $(call in_quotes,$(INVENTORY)) --home $(call in_quotes,$(HOME_DIR)) \
	    --unknown-goals $(call in_quotes,$(filter-out $(VERBS) $(OTHERS) which .venv/%,$(MAKECMDGOALS))) \
	    --unknown-variables $(call in_quotes,$(foreach each,$(filter-out $(READ),$(GIVEN)),$(each)=$($(each))))

## make init                     write an inventory of your own: it asks, and tries to reach each host; or with
##                               NAME=yours HOSTS="registry=nas=admin@192.168.1.10 docker_hosts=nas" [KEY=~/.ssh/homelab]
##                               [REGISTRY=registry.home.arpa]
init: which .venv/ready
	@.venv/bin/python -m tasks.init $(call option,home,$(HOME_DIR)) $(call option,name,$(call typed,NAME)) \
	    $(call option,registry-name,$(call typed,REGISTRY)) $(call option,key,$(call typed,KEY)) \
	    $(foreach each,$(call typed,HOSTS),$(call in_quotes,$(each)))
option = $(if $(2),--$(1) $(call in_quotes,$(2)))
typed = $(if $(filter command,$(origin $(1))),$($(1)))

## make deploy [INVENTORY=...]   bring every host of the inventory to what it should be; DATA="KEY=VALUE ..." is for settings
##                               of this one run, here and below
deploy: which .venv/ready
	.venv/bin/pyinfra -y$(MORE) $(ON) deploy.py

## make plan [INVENTORY=...]     print what `make deploy` would do, and change nothing
plan: which .venv/ready
	.venv/bin/pyinfra --dry$(MORE) $(ON) deploy.py

## make verify [INVENTORY=...] [DEEP=1]   prove from every host that it all works; DEEP=1 reads every byte of the images too
verify: which .venv/ready
	.venv/bin/python -m pytest -q tests/verify$(if $(call typed,DEEP), --deep) --inventory $(ON)

## make status [INVENTORY=...]   what is deployed, days left, what a run would do; fails unless that is nothing
status: which .venv/ready
	@.venv/bin/python -m tasks.cli.status $(ON)

## make password ACCOUNT=...     print an account's password, and nothing else
password: which
	@$(MAKE) -s --no-print-directory .venv/ready >&2
	@.venv/bin/python -m tasks.cli.password $(ON) $(call quoted,$(ACCOUNT))

## make workstation              write scripts by which laptops, builders and local clusters trust the registry; they hold no
##                               secret, and no host is contacted: docs/workstation.md
workstation: which .venv/ready
	@.venv/bin/python -m tasks.workstation $(ON)

## make timer [INVENTORY=...]    have systemd run deploy.py on this inventory every week, and tell when that fails
timer: which .venv/ready
	.venv/bin/python -m tasks.timer on $(ON)

## make timer-off [INVENTORY=...]  take that timer away again
timer-off: which .venv/ready
	.venv/bin/python -m tasks.timer off $(ON)

## make rotate-certificate       give the registry a new certificate now
rotate-certificate: which .venv/ready
	.venv/bin/pyinfra -y$(MORE) $(ON) deploys/rotate_certificate.py

## make rotate-passwords [ACCOUNT=...]  give every account, or one, a new password
rotate-passwords: which .venv/ready
	.venv/bin/pyinfra -y$(MORE)$(ONE_ACCOUNT) $(ON) deploys/rotate_credentials.py

## make revoke-passwords [ACCOUNT=...]  end former passwords now, whoever still uses them
revoke-passwords: which .venv/ready
	.venv/bin/pyinfra -y$(MORE)$(ONE_ACCOUNT) $(ON) deploys/revoke_credentials.py

## make rotate-ca                replace the certificate authority, old and new side by side for a time
rotate-ca: which .venv/ready
	.venv/bin/pyinfra -y$(MORE) $(ON) deploys/rotate_ca.py

## make retire-ca                end that time now
retire-ca: which .venv/ready
	.venv/bin/pyinfra -y$(MORE) $(ON) deploys/retire_ca.py

## make adopt                    take over a registry whose state is lost; read docs/by-task.md first
adopt: which .venv/ready
	.venv/bin/pyinfra -y$(MORE) $(ON) deploys/adopt.py

## make backup                   back up the images now; set up first what keeps them: docs/by-task.md, Back up
backup: which .venv/ready
	.venv/bin/pyinfra -y$(MORE) $(ON) deploys/backup.py

## make restore FROM=... [REPOSITORY=...] [OLDER=yes]  put images back: FROM=latest, HOST:latest, a backup's name, or a folder
##                               on the registry host; tags that are newer there stay, unless OLDER=yes
RESTORED = $(call data,restore,$(call typed,FROM))$(call data,restore_repository,$(call typed,REPOSITORY))$(call \
    data,restore_older,$(if $(call typed,OLDER),true))
data = $(if $(2), --data $(call quoted,registry_$(1)=$(2)))
restore: which .venv/ready
	.venv/bin/pyinfra -y$(RESTORED)$(MORE) $(ON) deploys/restore.py

## make make-room [PLAN=1]       delete the tags that registry_retention lets go; PLAN=1 prints which and why, and deletes none
make-room: which .venv/ready
	.venv/bin/pyinfra $(if $(PLAN),--dry,-y)$(MORE) $(ON) deploys/make_room.py

## make repair [PLAN=1] [DEEP=1]  repair images that cannot be pulled, from a backup if one has them; else by your next push.
##                               PLAN=1 prints what it would do; DEEP=1 reads every byte of the images
repair: which .venv/ready
	.venv/bin/pyinfra $(if $(PLAN),--dry,-y)$(if $(call typed,DEEP), --data registry_repair_deep=true)$(MORE) $(ON) deploys/repair.py

## make cache-clear [IMAGE=...] [PLAN=1]  remove an image from the caches (IMAGE=docker.io/library/alpine:3), or everything
cache-clear: which .venv/ready
	.venv/bin/pyinfra $(if $(PLAN),--dry,-y)$(call data,cache_clear,$(call typed,IMAGE))$(MORE) $(ON) deploys/cache_clear.py

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
	.venv/bin/python -m pytest --timeout 1800 --durations 20 $(AT_ONCE) tests/fleet tests/gateway tests/caches tests/judges tests/web

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
	.venv/bin/python -m pytest --timeout 14400 -s tests/operations tests/fleet tests/gateway tests/caches tests/cluster --soak
	.venv/bin/python -m pytest --timeout 14400 -n 3 --dist load tests/mergers tests/judges --soak --hypothesis-seed=$(SEED)

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
format: .venv/ready-dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

## make lint                     style and types
lint: .venv/ready-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# If the project was moved, or the system's Python replaced, the interpreter of these programs is gone.
BROKEN := $(shell [ ! -e .venv/ready ] || [ -x "$$(sed -n '1s/^#!//p' .venv/bin/pyinfra)" ] || echo broken)
CHECK_PYTHON = command -v $(PYTHON) >/dev/null || { \
    echo 'there is no $(PYTHON) here; apt-get install python3, or make $(MAKECMDGOALS) PYTHON=python3.11' >&2; exit 1; }; \
    $(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or later is needed, this is \
    %d.%d; make $(MAKECMDGOALS) PYTHON=python3.11" % v[:2])'

# What pyinfra meets before it reads config.py is caught in a program of our own, if this version of the project has one.
PIPS := from pyinfra_cli.main import main
PROJECT_FIRST := sys.path.insert(0, __import__("os").path.realpath(sys.path[0] + "/../.."))
OWN_PROGRAM := $(PROJECT_FIRST)\ntry:\n    from tasks.cli.program import main\nexcept ModuleNotFoundError:\n    $(PIPS)

.PHONY: broken
.venv/ready: requirements.txt $(BROKEN)
	@$(CHECK_PYTHON)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo 'Installing python3-venv ...'; \
	    $(AS_ROOT) apt-get update -q >/dev/null && \
	    $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
	    apt-get install -q -y --no-remove python3-venv >/dev/null; }
	$(PYTHON) -m venv $(if $(BROKEN),--clear )$(@D)
	.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@sed -i 's|^$(PIPS)|$(OWN_PROGRAM)|' .venv/bin/pyinfra
	@touch $@

.venv/ready-dev: .venv/ready requirements-dev.txt
	.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
