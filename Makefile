# `make help` lists the targets. NAME=value on the command line sets what a run does:
#   make loadtest SCENARIO=documents PROFILE=stress WORKERS=2 USERS=200 RUN_TIME=20s HOST=https://…
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
# A run starts several Python processes; without bytecode each would spend seconds compiling a thousand modules.
unexport PYTHONDONTWRITEBYTECODE

RUN := .venv/bin
SETTINGS := SCENARIO PROFILE PROFILES_FILE WORKERS USERS SPAWN_RATE RATE RUN_TIME WARM_UP THRESHOLD THRESHOLDS_FILE WORKLOAD_FILE HOST ALLOWED_HOSTS ACCOUNTS_FILE TOKEN_FILE FEED FEED_POLICY KEEP_DATA CLIENT FAST FEWER_WORKERS UI WEB_PORT EXPORTER_PORT EXPORTER_COMPATIBILITY TARGET_PORT RUNS_DIR RUN_ID BASELINE
# HOST is taken from the command line only: some shells put the machine's own name into the environment's HOST.
FROM_ENVIRONMENT := $(filter-out HOST,$(SETTINGS))
# Make would expand a $ in a value, and run a $(shell ...) in it, such as in the name of a branch.
GIVEN := $(foreach name,$(filter-out MAKE% -%,$(.VARIABLES)),$(if $(filter command line,$(origin $(name))),$(name)))
define as_text
override $(1) := $$(value $(1))
export $(1)
endef
$(foreach name,$(GIVEN),$(eval $(call as_text,$(name))))
# A value as one word for the shell; nothing for an empty one.
quoted = $(if $(value $(1)),'$(subst ','\'',$(value $(1)))')

define pass
ifneq ($(filter override,$(origin $(1)))$(and $(filter $(1),$(FROM_ENVIRONMENT)),$(filter environment%,$(origin $(1)))),)
export LOADTEST_$(1) := $$(value $(1))
endif
endef
$(foreach setting,$(SETTINGS),$(eval $(call pass,$(setting))))

MINUTES ?= 3
SECONDS ?= 3600
CASES ?= 100000

# A misspelt NAME=value would be silently ignored, and a different test would run.
UNKNOWN := $(filter-out $(SETTINGS) LOADTEST_% LOCUST_% BASE MINUTES SECONDS SEED CASES PYTHON,$(GIVEN))
ifneq ($(and $(UNKNOWN),$(filter loadtest duet swarm,$(MAKECMDGOALS))),)
$(shell python3 local_conf/unknown_names.py $(call quoted,UNKNOWN) '$(SETTINGS)' >&2)
$(error stopped)
endif

.PHONY: help setup environment setup-dev loadtest duet test test-stack test-kubernetes kube-score test-swarm images swarm up down lint fuzz newest-locust audit audit-images sbom sbom-images rebuild bench bench-workers growth soak dashboards dashboards-preview pictures clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: environment ## create the environment (.venv) from the lock file, and download RedisJSON
	@$(RUN)/python -m loadtest.local

environment:
	@local_conf/setup.sh

setup-dev:
	@local_conf/setup.sh requirements-dev.lock

loadtest: environment ## run a load test on this machine, without Docker
	@exec $(RUN)/loadtest run

duet: environment ## compare the sample target at BASE=<commit or branch> with this working tree, under the same load
	@exec $(RUN)/loadtest duet --base=$(call quoted,BASE)

test: lint ## lint, types, and all tests, with those of the Compose stack if a Docker engine is available
	@exec $(RUN)/python -m tests

test-stack: setup-dev ## run only the tests of the Compose stack
	@exec $(RUN)/python -m pytest tests/stack

lint: setup-dev ## check style, types, import layers and Dockerfiles
	@$(RUN)/ruff check
	@$(RUN)/ruff format --check
	@$(RUN)/mypy
	@$(RUN)/lint-imports --no-logo --cache-dir .cache/import_linter
	@$(RUN)/hadolint docker/*.Dockerfile

fuzz: setup-dev ## test 100,000 generated inputs; CASES=500 for fewer
	@FUZZ_CASES=$(call quoted,CASES) exec $(RUN)/python -m pytest --timeout=0 tests/fuzz

newest-locust: setup-dev ## test against Locust's newest release, unless it is the pinned one
	@local_conf/newest_locust.sh

audit: setup-dev ## look up known vulnerabilities in the locked packages
	@exec $(RUN)/python local_conf/audit.py

audit-images: setup-dev docker-ready ## look up known vulnerabilities in each image, including its system packages
	@exec $(RUN)/python local_conf/audit_images.py

sbom: setup-dev ## write dist/sbom.cdx.json: the contents of the images
	@exec $(RUN)/python local_conf/sbom.py

sbom-images: setup-dev docker-ready ## write dist/sbom/*.cdx.json: the contents of each image, including its system packages
	@local_conf/sbom_images.sh

rebuild: docker-ready ## build each image twice and compare their files
	@local_conf/rebuild.sh

up: docker-ready ## start the Compose stack with generated passwords and logins, also for later Compose commands
	@local_conf/keep_logins.sh && local_conf/make_secrets.sh
	@exec docker compose up --build

down: docker-ready ## stop the Compose stack
	@exec docker compose down --remove-orphans

images: docker-ready ## build the images that deploy/kubernetes names
	@version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' locust/loadtest/__init__.py) && \
	for image in locust:loadtest target_app:loadtest-target-app; do \
	  docker build $${PYTHON_IMAGE:+--build-arg PYTHON_IMAGE} --file docker/$${image%:*}.Dockerfile \
	    --tag $${image#*:}:$$version . || exit; \
	done

swarm: environment docker-ready ## write dist/swarm.json, a run for `docker stack deploy`, from the Compose file
	@local_conf/make_secrets.sh >/dev/null && exec $(RUN)/python local_conf/swarm.py

test-kubernetes: setup-dev ## test the runs of deploy/kubernetes on kubectl's current cluster, which needs the images
	@TEST_KUBERNETES=$${TEST_KUBERNETES:-true} exec $(RUN)/python -m pytest tests/kubernetes

kube-score: setup-dev ## build kube-score, and check deploy/kubernetes with it; needs Go
	@GOBIN=$(CURDIR)/.cache/bin go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
	@PATH="$(CURDIR)/.cache/bin:$$PATH" exec $(RUN)/python -m pytest tests/contracts/test_kubernetes.py -k kube_score

test-swarm: setup-dev ## test a run on Docker Swarm, which this machine joins during the test
	@TEST_SWARM=1 exec $(RUN)/python -m pytest tests/stack/test_swarm.py

bench: setup-dev ## measure speed side by side with other tools
	@for bench in recorder master exporter engine target; do $(RUN)/python -m bench.$$bench || exit; done

bench-workers: setup-dev ## measure a master with 1,000 workers on kubectl's current cluster, which needs the images
	@exec $(RUN)/python -m bench.many_workers

growth: setup-dev ## check memory and open files during a 3-minute run; MINUTES=30 for a longer one
	@exec $(RUN)/python -m bench.growth $(call quoted,MINUTES)

soak: setup-dev ## disturb a running stack at random for an hour, and count every request; SECONDS=600 and SEED=1 change that, COMPOSE=1 uses Compose
	@exec $(RUN)/python -m tests.faults $(call quoted,SECONDS) $(call quoted,SEED)

dashboards: setup-dev ## write grafana/dashboards/*.json from their source, and the rules for the Prometheus operator
	@$(RUN)/python grafana/generate.py
	@local_conf/prometheus_rule.sh > deploy/kubernetes/prometheus-operator/rules.yaml

dashboards-preview: setup-dev ## draw the dashboards from recorded responses as one HTML page, without Grafana
	@cd grafana && exec ../$(RUN)/python -m preview.page ../.cache/dashboards_preview.html

pictures: setup-dev ## retake the pictures in docs/: the dashboards, and the report of the latest run or of RUN_ID
	@cd grafana && ../$(RUN)/python -m preview.pictures ../docs/pictures
	@cd grafana && exec ../$(RUN)/python -m preview.report ../docs/pictures/report.png $(call quoted,RUN_ID)

clean: ## remove the environment, caches and builds; keep the results in runs/
	@rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: docker-ready
docker-ready:
	@docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1 || { \
	  echo "error: no Docker engine answers ('docker info' failed, or Compose is missing). Allowed: Docker with" \
	  "Compose v2. Next: install or start Docker, or use 'make loadtest', which needs no Docker." >&2; exit 1; }
