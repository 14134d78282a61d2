# make help lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN       := $(CURDIR)/bin
TOOLS     := $(CURDIR)/.cache/tools
GO        ?= go
GOLANGCI  := $(TOOLS)/golangci-lint
DEADCODE  := $(TOOLS)/deadcode
GOVC      := $(TOOLS)/govc
VERSITYGW := $(TOOLS)/versitygw
BUF       := $(TOOLS)/node_modules/.bin/buf
OTLP      := $(TOOLS)/otlp-receiver
GOVULNCHECK := $(TOOLS)/govulncheck
ISSUER    := $(TOOLS)/oidc-issuer
export PATH := $(TOOLS):$(PATH):/usr/sbin:/sbin

# Pinned: `latest` means different things on different module proxies.
GOLANGCI_VERSION := v2.15.0
DEADCODE_VERSION := v0.52.0
GOVC_VERSION     := v0.39.0
VERSITYGW_VERSION := v1.8.0
BUF_VERSION       := 1.75.0
GQLGEN_VERSION    := v0.17.98
GOVULNCHECK_VERSION := v1.9.0

DEMO_TOOLS  := qemu-img qemu-system-x86_64
TEST_TOOLS  := $(DEMO_TOOLS) gcc strace ip mkfs.xfs mkfs.ext4 openssl tar virt-v2v ovmf python3 postgres prometheus systemd-analyze rsyslogd
BENCH_TOOLS := qemu-img openssl

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build hypervisord, hyperexport and hyperctl into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $(BIN)/ ./cmd/...

.PHONY: demo
demo: ## Export a running VM from a simulated vCenter, compare it with the source, boot it
	@scripts/deps.sh $(DEMO_TOOLS)
	@$(MAKE) --no-print-directory build
	@$(BIN)/hypervisord demo

.PHONY: test
test: lint race e2e ## Everything that must pass: linters, race tests, integration, end to end

.PHONY: ci
ci: test ## What CI runs
	@# Without the internet nobody can look; the line says so.
	@if scripts/vuln.sh --reachable; then $(MAKE) --no-print-directory vuln; fi

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Known vulnerabilities in what the programs call; red if it could not look
	@scripts/vuln.sh $(GOVULNCHECK) ./...

.PHONY: lint
lint: $(GOLANGCI) $(DEADCODE) ## Format, vet, linters, dead code, tidy modules
	@test -z "$$(git ls-files '*.go' | xargs gofmt -l | tee /dev/stderr)"
	$(GO) mod tidy -diff
	$(GO) vet ./...
	@# A module of its own: River is no dependency of the programs.
	cd bench/engine && $(GO) vet ./... && $(GO) mod tidy -diff
	$(GOLANGCI) run --allow-parallel-runners
	@# storetest, pgtest, issuertest and conform serve tests: no program reaches them, and -test would hide what only tests use.
	@# What is in scalars.go but not called is called by generated code that is not.
	@out="$$($(DEADCODE) ./... | grep -vE '^internal/(store/(storetest|pgtest)/|auth/issuertest/|api/conform/|api/graph/scalars.go)' || true)"; test -z "$$out" || { echo "$$out"; exit 1; }

.PHONY: race
race: $(GOVC) $(VERSITYGW) $(OTLP) $(ISSUER) ## All package tests under the race detector, with the real parts; the long ones without it
	@scripts/deps.sh $(TEST_TOOLS)
	$(GO) test -race -short -timeout 20m ./...
	$(GO) test -timeout 20m -run "$$(scripts/long-tests.sh)" $$(scripts/long-tests.sh --packages)

.PHONY: e2e
e2e: build $(VERSITYGW) $(ISSUER) ## The three programs end to end, and the short chaos run (as root: it mounts file systems)
	@scripts/deps.sh $(TEST_TOOLS)
	$(GO) test -count=1 -timeout 20m -tags e2e ./e2e/...

.PHONY: bench
bench: $(GOVC) build ## Compare with govc and qemu-img on the same disk, in one run; result in docs/bench/
	@scripts/deps.sh $(BENCH_TOOLS)
	$(GO) run ./bench
	@$(MAKE) --no-print-directory bench-engine

.PHONY: bench-engine
bench-engine: ## Compare the job engine with River on SQLite and PostgreSQL; result in docs/bench/engine.md
	@scripts/deps.sh postgres
	cd bench/engine && $(GO) run .

.PHONY: bench-apis
bench-apis: build ## Compare REST, gRPC and GraphQL on one daemon; result in docs/bench/apis.md
	$(GO) run ./bench/apis

.PHONY: chaos
chaos: build $(VERSITYGW) ## Long: 200 kills, exact crash points, power cuts, 100 kills under webhooks (as root)
	@scripts/deps.sh $(TEST_TOOLS)
	CHAOS=long $(GO) test -count=1 -timeout 170m -v -tags e2e -run Chaos ./e2e/...

.PHONY: crash
crash: build ## Long: the engine is killed 200 times while 16 clients submit 10,000 jobs
	CHAOS=long $(GO) test -count=1 -timeout 60m -v -tags e2e -run TestCrashEngine ./e2e/...

.PHONY: test-v2v
# A KVM that is there but does not work lets the guest hang.
test-v2v: export LIBGUESTFS_BACKEND_SETTINGS ?= force_tcg
test-v2v: $(VERSITYGW) ## Long: the real virt-v2v on a guest that debootstrap makes (as root)
	@scripts/deps.sh $(TEST_TOOLS) nbdkit nbdcopy debootstrap sfdisk
	env="$$(scripts/v2v-guest.sh .cache/v2v)" && eval "$$env" && PATH="$(TOOLS):$$PATH" \
		$(GO) test -count=1 -timeout 45m -v -tags v2v -run TestVirtV2V ./internal/daemon

.PHONY: graphql
graphql: ## Generate the GraphQL door's execution from its schema
	GOBIN=$(TOOLS) $(GO) install github.com/99designs/gqlgen@$(GQLGEN_VERSION)
	cd internal/api/graph && $(TOOLS)/gqlgen generate

.PHONY: proto
proto: $(BUF) ## Lint api/proto and generate api/gen from it; a test holds them together
	$(GO) build -o $(TOOLS)/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	$(BUF) lint
	$(BUF) generate

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN) .cache

$(GOLANGCI):
	GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
$(DEADCODE):
	GOBIN=$(TOOLS) $(GO) install golang.org/x/tools/cmd/deadcode@$(DEADCODE_VERSION)
$(GOVULNCHECK):
	GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
$(GOVC):
	GOBIN=$(TOOLS) $(GO) install github.com/vmware/govmomi/govc@$(GOVC_VERSION)
$(VERSITYGW):
	GOBIN=$(TOOLS) $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
$(BUF):
	npm install --prefix $(TOOLS) --no-audit --no-fund --ignore-scripts @bufbuild/buf@$(BUF_VERSION)
$(OTLP): tools/otlp-receiver/main.go tools/otlp-receiver/go.mod
	cd tools/otlp-receiver && $(GO) build -o $@ .
$(ISSUER): tools/oidc-issuer/main.go tools/oidc-issuer/state.go tools/oidc-issuer/control.go tools/oidc-issuer/go.mod
	cd tools/oidc-issuer && $(GO) build -o $@ .
