# One entry point for habits: `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.ONESHELL:

RECIPE ?= recipes/quickstart.yaml
ISO ?= build/$(basename $(notdir $(RECIPE))).iso
RELEASE := .build/release
ROOST := $(RELEASE)/roost
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Debian packages, by what needs them; docs/dependencies.md says why each is here.
BUILD_PACKAGES := libarchive-dev libblkid-dev libisofs-dev liblvm2-dev liburing-dev libvterm-dev libyaml-dev pkg-config zlib1g-dev
IMAGE_PACKAGES := mmdebstrap debian-archive-keyring squashfs-tools e2fsprogs grub-common grub-pc-bin \
  grub-efi-amd64-bin mtools dosfstools busybox-static kmod uidmap zstd xz-utils curl ca-certificates \
  git qemu-utils makefs fdisk cryptsetup-bin gpgv signify-openbsd
DEMO_PACKAGES := qemu-system-x86 ovmf
TEST_PACKAGES := bzip2 xorriso genisoimage parted lvm2 acpica-tools cpio gdisk openssh-client openssl nbd-server tgt vblade mandoc python3-jsonschema osslsigncode sbsigntool
BENCH_PACKAGES := live-build mkosi debootstrap systemd-container dosfstools jq

.PHONY: help deps build programs hatchling conformance iso demo test unit system check fmt fuzz soak bench docs clean

help: ## list these words
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

define install
	missing=""
	for package in $(1); do
	  dpkg-query -W -f '$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"
	done
	if [ -n "$$missing" ]; then
	  echo "==> installing Debian packages:$$missing"
	  $(SUDO) apt-get update -q >/dev/null
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -yq --no-install-recommends $$missing >/dev/null
	fi
endef

# The program that `swift test` runs; SwiftPM itself lets only one at a time.
RUN_TESTS := NO_COLOR=1 .build/debug/roostPackageTests.xctest --testing-library swift-testing
# The system tests that run beside all others; both take as long.
FIRST_LOT := SystemTests\.(AnywhereTests|BalanceTests|BuildTests|ConsoleTests|GuestTests|PersistTests)

# Runs tests by a command; what failed is said again at the end, where it is looked for.
define run_tests
	mkdir -p build/logs
	if ! $(2) 2>&1 | tee build/logs/$(1).log; then
	  echo "==> $(1) tests failed (all of it in build/logs/$(1).log):"
	  grep -E -A 12 '^✘ (Test .* recorded|Test .* failed)|error: ' build/logs/$(1).log | cut -c 1-300 | tail -n 200
	  exit 1
	fi
endef

deps: ## install the Debian packages that are missing, saying which
	@command -v swift >/dev/null || { echo "make: no 'swift' in PATH: install Swift 6.3 from swift.org"; exit 1; }
	$(call install,$(BUILD_PACKAGES) $(IMAGE_PACKAGES) $(DEMO_PACKAGES))

build: deps programs hatchling ## build the programs (release) and the hatchling guest

programs:
	@echo "==> programs: .build/release"
	started=$$SECONDS
	swift build -c release --static-swift-stdlib --quiet
	echo "    $$((SECONDS - started)) s"

hatchling:
	@echo "==> hatchling: build/hatchling.elf"
	mkdir -p build
	Sources/Hatchling/build.sh build/hatchling.elf

conformance:
	@echo "==> conformance: build/conformance.elf"
	mkdir -p build
	Sources/Conformance/build.sh build/conformance.elf

iso: build ## assemble build/quickstart.iso (RECIPE= names another)
	@echo "==> $(ISO)"
	$(ROOST) build $(RECIPE) -o $(ISO)

demo: iso ## build everything and boot it here, in this terminal
	@$(ROOST) boot $(ISO)

test: check iso unit system ## the whole test suite, system tests under QEMU included

unit: iso conformance
	@$(call install,$(TEST_PACKAGES))
	echo "==> unit tests"
	swift build --build-tests --quiet
	export ROOST_HATCHLING=$(CURDIR)/build/hatchling.elf ROOST_CONFORMANCE=$(CURDIR)/build/conformance.elf
	export ROOST_PROGRAMS=$(CURDIR)/$(RELEASE) ROOST_ISO=$(CURDIR)/$(ISO)
	# The gateway's are quick, and must not wait for threads that others keep.
	$(call run_tests,gateway,swift test --skip-build --filter GatewayTests)
	$(call run_tests,unit,swift test --skip-build --skip SystemTests --skip GatewayTests)

system: iso
	@$(call install,$(TEST_PACKAGES))
	echo "==> system tests: $(ISO) under QEMU"
	swift build --build-tests --quiet
	export ROOST_SYSTEM_TESTS=1 ROOST_ISO=$(CURDIR)/$(ISO) ROOST_PROGRAMS=$(CURDIR)/$(RELEASE)
	# An emulated machine waits for its own timers about half of the time.
	($(call run_tests,system-1,$(RUN_TESTS) --no-parallel --filter '$(FIRST_LOT)')) & first=$$!
	($(call run_tests,system-2,$(RUN_TESTS) --no-parallel --filter SystemTests --skip '$(FIRST_LOT)')) & second=$$!
	status=0
	wait $$first || status=1
	wait $$second || status=1
	exit $$status

check: ## formatting and lint, and a file that must fail them
	@echo "==> swift format lint"
	swift format lint --strict -r Package.swift Sources Tests
	if swift format lint --strict Tests/Canary.swift.txt 2>/dev/null; then
	  echo "make check: the canary passed: the linter checks nothing"; exit 1
	fi

fmt: ## format all Swift sources in place
	@swift format -i -r Package.swift Sources Tests

fuzz: ## run the seeded fuzz tests and libFuzzer's targets for a while (FUZZ_SECONDS=300)
	@swift build --build-tests --quiet
	echo "==> fuzz targets: build/fuzz"
	Tests/Fuzz/run.sh build
	seed=$$(date +%s)
	rounds=$$((SECONDS + $${FUZZ_SECONDS:-300} / 5))
	while :; do
	  echo "==> fuzz: seed $$seed (ROOST_FUZZ_SEED=$$seed repeats it)"
	  ROOST_FUZZ_SEED=$$seed swift test --skip-build --filter '[Ff]uzz' 2>&1 | grep -E '✘|Test run'
	  seed=$$((seed + 1))
	  [ $$SECONDS -lt $$rounds ] || break
	done
	echo "==> fuzz: libFuzzer (what it finds interesting stays in build/fuzz/corpus)"
	Tests/Fuzz/run.sh $$(($${FUZZ_SECONDS:-300} * 4 / 5))

soak: ## cut the power for as long as asked (SOAK_CUTS=500) in all that storage and provision do, and print the counts
	@test -f build/quickstart.iso || $(MAKE) iso
	$(call install,$(TEST_PACKAGES))
	swift build --build-tests --quiet
	ROOST_CUTS=$${SOAK_CUTS:-500} swift test --skip-build --filter PowerCutTests 2>&1 | grep -E '^power cuts|✘|Test run|↳'

bench: build conformance ## measure against peers (PART=builds, provision, api, starts, rates, network, memory, storage, domains, families: only that)
	@$(call install,$(TEST_PACKAGES) $(BENCH_PACKAGES))
	swift build --build-tests --quiet
	ROOST_BENCH=$(or $(PART),1) ROOST_PROGRAMS=$(CURDIR)/$(RELEASE) swift test --skip-build --no-parallel --filter Benchmarks

docs: build ## write the commands' help, manual pages and completions into docs/cli, and the recipes' schema
	@$(ROOST) schema > docs/recipe.schema.json
	$(ROOST) manual docs/cli --date $$(git log -1 --format=%cs 2>/dev/null || date +%F)
	if command -v mandoc >/dev/null; then mandoc -T lint -W warning docs/cli/man/man1/*.1; fi
	echo "==> docs/cli, docs/recipe.schema.json"

clean: ## remove what was built here (the package cache of the builder stays)
	@rm -rf .build build
