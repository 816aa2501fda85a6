# Sallyport. Go, make and git are all that these targets need; the rest comes
# from the Go module proxy. "make" lists them.
SHELL := bash
.DEFAULT_GOAL := help

# How many random meshes "make differential" sends to Istio's control plane, and
# a tenth as many histories of writes.
N ?= 20000

LINT := go tool -modfile=hack/tools/golangci-lint/go.mod golangci-lint
# -count=1: the test cache does not see what a program started by a test reads.
# -p 2: at most two packages at a time, each with an API server of its own.
TEST := go test -count=1 -p 2 -timeout 25m

# Modules of their own below test/: what they import stays out of the product.
TESTS := $(patsubst %/go.mod,%,$(wildcard test/*/go.mod))

.PHONY: help build test test-fast lint generate generate-rules verify control-plane demo demo-stop differential bench bench-webhook hostile clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

build: ## Build bin/sallyport and bin/sallyport-webhook
	go build -trimpath -o bin/ ./cmd/...

test: control-plane ## Run every test, those against the real API server included
	go build ./... && go vet ./...
	$(TEST) ./...
	for m in $(TESTS); do (cd $$m && go vet ./... && $(TEST) ./...) || exit 1; done

# What needs no cluster, no other program and no more than a few seconds.
FAST := ./internal/address ./internal/budget ./internal/companion ./internal/config ./internal/decisionlog ./internal/doctor ./internal/expiry ./internal/fair ./internal/golden ./internal/mesh \
	./internal/meshconfig ./internal/metadata ./internal/netpol ./internal/printable ./internal/rawjson ./internal/release ./internal/report ./internal/sample \
	./internal/schema ./internal/sight ./internal/told ./policies ./rules

test-fast: ## Run the tests of the pure packages, within a minute once compiled
	go test -short $(FAST)

lint: ## Check format and code, with gofmt, go vet and golangci-lint
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	for m in $(TESTS); do (cd $$m && go vet ./...) || exit 1; done
	$(LINT) run

generate: ## Rewrite the generated pages and the golden files
	go test -count=1 $$(git grep -l 'flag.Bool("update"' -- '*_test.go' $(TESTS:%=':!%') | xargs -n 1 dirname | sort -u | sed 's|^|./|') -update

generate-rules: ## Rewrite what is generated from rules: their findings and pages
	go test -count=1 ./rules ./test -update

verify: generate ## Fail where a generated file is stale
	git diff --exit-code

control-plane: ## Build etcd, kube-apiserver, kube-controller-manager and kubectl, once
	go run ./hack/controlplane/build

demo: ## Walk through the product on a real API server (KEEP=1: leave it running)
	@go run ./hack/demo $(if $(KEEP),-keep)

demo-stop: ## End what "make demo KEEP=1" left running
	@go run ./hack/demo -stop

differential: ## Let Istio judge N random meshes (default 20000), half as many ambient ones, histories of both, and validate 5 N objects
	cd test/istio && go test -count=1 -timeout 0 -v -run 'Differential$$|Histories$$|TestValidation' . -meshes $(N) -fixed $(N) -ambient-meshes $$(($(N) / 2)) \
		-histories $$(($(N) / 10)) -ambient-histories $$(($(N) / 20)) -objects $$((5 * $(N)))

bench: ## Measure how the judge scales with the size of the mesh
	go test -timeout 60m -run '^$$' -bench . -benchmem ./internal/... ./policies ./webhook ./cmd/...

bench-webhook: ## Measure the running server over HTTPS, beside one that always allows
	go test -timeout 30m -run '^$$' -bench Webhook -benchtime 1x ./test/bench

hostile: ## Attack the server for ten minutes on a real API server, in a cgroup of the manifests' size (root)
	go test -count=1 -timeout 60m -v -run 'TestHostile$$' ./test/hostile -length 10m -namespaces 2000 -hosts 5000 -page $(CURDIR)/docs/security.md
	go test -count=1 -timeout 20m -v -run 'TestDeletions$$' ./test/e2e

clean: ## Remove what "make build" made
	rm -rf bin
