# Needs: go, make, git. `make help` lists the targets.

GO        ?= go
TEST      ?= $(GO) test
BIN       ?= bin
RUNS      ?= 5
RIG       ?= rig-out
DESTDIR   ?=
PREFIX    ?= /usr
SUITE     ?=
EVERY     ?= 1
CRASHTIME ?= 6m
FUZZTIME  ?= 5s
SAMPLE    ?= 0
SEED      ?= 1
LEAST     ?= 0
MUTANTS   ?= ./agent/... ./bootctl/... ./slots ./transport/... './cmd/ratchet-release/...:(campaign|cosign|keys|root|sign|verify)'
# HTTP/2 is left out: what we speak is HTTP/1.1, and it is a third of a mebibyte.
FLAGS     := -trimpath -tags nethttpomithttp2 -ldflags '-s -w'
STATIC    := CGO_ENABLED=0
# The Go that releases are built with, and that is looked at for known vulnerabilities. `make build` takes any.
TOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)
PINNED    := GOTOOLCHAIN=$(TOOLCHAIN)
# A release depends on its commit and on nothing that is set on this machine.
HERMETIC   = env -u GOEXPERIMENT -u GOFIPS140 -u GODEBUG -u GOWORK GOENV=off GOPROXY=$(shell $(GO) env GOPROXY) \
             GOMODCACHE=$(shell $(GO) env GOMODCACHE) GOFLAGS=-buildvcs=true GOOS=linux GOAMD64=v1 GOARM64=v8.0 GOARM=7 \
             GORISCV64=rva20u64 $(PINNED)
ARCHES    ?= amd64 arm64 arm riscv64
DIST      ?= dist
KEY       ?=
KEYS      ?= release-keys

.PHONY: all build man demo test race lint cross test386 crash crash-full defects mutants fuzz interop bench idle size dist reproducible sbom release install uninstall unit units rig rig-smoke rig-look rig-programs clean help

all: build

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

build: ## build the three programs into bin/
	@mkdir -p $(BIN)
	$(STATIC) $(GO) build $(FLAGS) -o $(BIN)/ ./cmd/...

MD2MAN  := $(GO) run github.com/cpuguy83/go-md2man/v2@v2.0.7

man: build ## manual pages of the programs and of the configuration files, into bin/man/
	@mkdir -p $(BIN)/man
	$(BIN)/ratchet-release help --man >$(BIN)/man/ratchet-release.1
	$(BIN)/ratchet-lab help --man >$(BIN)/man/ratchet-lab.1
	$(BIN)/ratchet help --man >$(BIN)/man/ratchet.8
	awk -v name=ratchet.toml -f scripts/man5.awk docs/formats/configuration.md | $(MD2MAN) -out $(BIN)/man/ratchet.toml.5
	awk -v name=ratchet-release.toml -f scripts/man5.awk docs/formats/workspace.md | $(MD2MAN) -out $(BIN)/man/ratchet-release.toml.5

demo: build ## the whole main job on this machine, in less than a minute
	$(BIN)/ratchet-lab demo

test: ## all tests that need nothing but Go
	$(GO) vet ./...
	$(TEST) ./...

race: ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short ./...

lint: ## gofmt, vet, staticcheck, known vulnerabilities of what a release is built from (reaches the module proxy)
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags interop ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...
	$(PINNED) $(GO) run ./scripts/vulncheck -tags interop,nethttpomithttp2 ./...

cross: ## build for the devices' processors
	GOARCH=arm GOARM=7 $(STATIC) $(GO) build $(FLAGS) -o /dev/null ./cmd/ratchet
	GOARCH=arm64 $(STATIC) $(GO) build $(FLAGS) -o /dev/null ./cmd/ratchet
	GOARCH=riscv64 $(STATIC) $(GO) build $(FLAGS) -o /dev/null ./cmd/ratchet

test386: ## the tests as a 32-bit program
	GOARCH=386 $(STATIC) $(TEST) ./...

crash: build ## every power cut of every scenario on simulated machines, and pairs of cuts; CRASHTIME (default 6m) bounds the pairs of lesser scenarios
	$(BIN)/ratchet-lab explore --time $(CRASHTIME)

crash-full: build ## all pairs of cuts, all triples of the main scenarios, and then any number: 20 minutes
	$(BIN)/ratchet-lab explore --full --time 20m

defects: build ## plant each known kind of defect, and see that crash finds it
	$(BIN)/ratchet-lab defects

mutants: ## small changes to the code, which tests must notice: SAMPLE of each package (default all: hours), SEED, MUTANTS (packages)
	$(GO) run ./scripts/mutants -sample $(SAMPLE) -seed $(SEED) -least $(LEAST) $(MUTANTS)

fuzz: ## every fuzz target for FUZZTIME (default 5s) each
	scripts/fuzz.sh $(FUZZTIME)

interop: build ## against mosquitto, fw_setenv, grub-editenv, loop devices, FUSE, ext4 (scripts/deps.sh interop)
	$(TEST) -count=1 -tags interop $$(grep -rl '^//go:build interop' --include='*_test.go' . | xargs -n1 dirname | sort -u)

rig-programs: build ## the device's programs for the rig's boards
	@for arch in arm64 amd64; do mkdir -p $(BIN)/rig/$$arch && \
		GOARCH=$$arch $(STATIC) $(GO) build $(FLAGS) -o $(BIN)/rig/$$arch/ ./cmd/ratchet ./scripts/rig/guest || exit 1; done

rig-smoke: rig-programs ## real U-Boot and GRUB in QEMU, a hundred power cuts, ten booted (scripts/deps.sh rig-smoke)
	$(BIN)/ratchet-lab rig smoke --dir $(RIG)

rig: rig-programs ## every power cut of two updates looked at, every EVERYth flush point booted, with a report (scripts/deps.sh rig)
	$(BIN)/ratchet-lab rig all --dir $(RIG) --every $(EVERY) $(if $(shell command -v mosquitto || ls /usr/sbin/mosquitto 2>/dev/null),--mosquitto transport/mqtt/example)

rig-look: build ## every power cut of the last rig again, with this agent, without QEMU
	$(BIN)/ratchet-lab rig look --dir $(RIG)

bench: build ## install speed and memory against the physical limit (root, loop devices)
	$(GO) run ./scripts/bench -runs $(RUNS)

idle: build ## memory and wake-ups of the daemon at rest
	scripts/idle.sh

size: build ## size of the device's program, which is to stay below 11 MiB
	@file $(BIN)/ratchet 2>/dev/null | cut -d, -f1-4 || true
	@ls -l $(BIN)/ratchet | awk '{printf "ratchet: %.2f MiB\n", $$5/1048576; exit $$5 > 11*1048576}'

unit: build ## the systemd unit's score, line by line: 2.5 at most, and a reason for each line that is open (systemd 252)
	@mkdir -p $(BIN)/unit
	@sed 's|=/usr/bin/ratchet |=$(CURDIR)/$(BIN)/ratchet |' packaging/systemd/ratchet.service >$(BIN)/unit/ratchet.service
	systemd-analyze verify --man=no --recursive-errors=no $(BIN)/unit/ratchet.service
	systemd-analyze security --offline=true --threshold=25 --no-pager packaging/systemd/ratchet.service
	@$(TEST) -count=1 -run TestUnit .

units: build ## Debian 11, 12 and 13 (SUITE=bookworm: one of them) start the unit in QEMU and are updated (scripts/deps.sh units)
	$(GO) run ./scripts/units -bin $(BIN) $(if $(SUITE),-suite $(SUITE))

# What a package has, and where: docs/integration/system.md.
install: build ## program, systemd unit and system user into DESTDIR (default: this machine)
	install -D -m 755 $(BIN)/ratchet $(DESTDIR)$(PREFIX)/bin/ratchet
	install -D -m 644 packaging/systemd/ratchet.service $(DESTDIR)$(PREFIX)/lib/systemd/system/ratchet.service
	install -D -m 644 packaging/systemd/ratchet.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/ratchet.conf

uninstall: ## remove what install put there; state, configuration and user stay
	rm -f $(DESTDIR)$(PREFIX)/bin/ratchet $(DESTDIR)$(PREFIX)/lib/systemd/system/ratchet.service \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/ratchet.conf

dist: ## the programs for each of ARCHES as a release has them, into dist/ARCH: the same bytes for everybody
	@for arch in $(ARCHES); do $(HERMETIC) GOARCH=$$arch $(MAKE) build BIN=$(DIST)/$$arch || exit 1; done

reproducible: ## two clones in unlike surroundings, one digest for each program (of the last commit)
	scripts/reproducible.sh

sbom: ## a bill of materials of each program of the last commit, CycloneDX, held against the program, into bin/sbom/
	scripts/release.sh sbom "$(BIN)"

release: ## the last commit, from a clone of its own, into dist/release: programs, bills, provenance, sums; KEY=... signs
	ARCHES="$(ARCHES)" FLAGS="$(FLAGS)" scripts/release.sh release "$(DIST)" "$(KEY)" "$(KEYS)"

clean: ## remove what was built
	rm -rf $(BIN) $(DIST)
