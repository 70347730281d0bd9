# what a person types here; `make help` lists it

CARGO   ?= cargo
TARGET  := $(shell rustc --print host-tuple 2>/dev/null)
BUILT   := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/$(TARGET)/release
THREADS ?= 3
export SUREFOOT_BIN ?= $(BUILT)/surefoot
# which kill points `make test` draws; given again, it draws the same
ifndef SUREFOOT_SWEEP_SEED
SUREFOOT_SWEEP_SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
endif
export SUREFOOT_SWEEP_SEED

# nextest where it is installed, cargo's own runner otherwise
ifeq ($(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes),yes)
UNIT  = $(CARGO) nextest run --workspace --lib --bins --no-fail-fast --no-tests=pass
HOSTS = $(CARGO) nextest run -p lab --test '*' --no-fail-fast --test-threads $(THREADS)
SWEEP = $(HOSTS) --run-ignored only -E 'test(sweep)' --no-tests=pass
TWINS = $(HOSTS) --run-ignored only -E 'not test(sweep)'
else
UNIT  = $(CARGO) test --workspace --lib --bins --no-fail-fast
HOSTS = $(CARGO) test -p lab --test '*' --no-fail-fast -- --test-threads $(THREADS)
SWEEP = $(HOSTS) --ignored sweep
TWINS = $(HOSTS) --ignored --skip sweep
endif

.PHONY: help release build setup demo shell down test everything check unit hosts sweep bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

build: ## the program and the lab
	$(CARGO) build --release -p surefoot -p lab

setup: build ## what the lab needs on this machine
	$(BUILT)/lab setup bookworm trixie ubuntu el9

demo: build ## surefoot on a fresh host, which stays
	$(BUILT)/lab setup
	$(BUILT)/lab demo

shell: ## a shell in the demo host
	$(BUILT)/lab shell demo

down: ## remove the demo host
	$(BUILT)/lab down demo

# A release: the program under its name, its checksum, its signature, and install.sh that knows both. The secret key of minisign is
# RELEASE_KEY, with its public half beside it (KEY.pub); another machine type's program is put into dist/ before.
RELEASE_KEY ?= $(error RELEASE_KEY is not set: the path of the secret key of minisign)
RELEASE_URL ?= $(error RELEASE_URL is not set: the folder that the release will be found in)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

release: build ## the files that install.sh downloads, in dist/
	./.ci/release "$(BUILT)/surefoot" "$(VERSION)" "$(RELEASE_URL)" "$(RELEASE_KEY)" dist

test: check unit hosts ## all but twins on other releases, the longest, and sweeps

everything: test ## the twins and the longest, too
	$(TWINS)

check: ## form, lints, licences and sources of what is built in
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --quiet --debug --locked cargo-deny
	$(CARGO) deny check bans licenses sources

unit: ## what needs no host
	$(UNIT)

hosts: setup ## on real hosts
	@echo "kill points are drawn with SUREFOOT_SWEEP_SEED=$(SUREFOOT_SWEEP_SEED)"
	$(HOSTS)

sweep: setup ## every kill point, on real hosts; long
	$(SWEEP)

bench: build ## surefoot against a bash script and Ansible; long, on a quiet machine
	$(BUILT)/lab bench

clean: ## hosts, bases and caches of the lab
	$(BUILT)/lab clean --all
