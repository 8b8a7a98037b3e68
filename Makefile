# Two commands matter: `make up` (from nothing to a blog in the browser) and `make test` (all tests).
.PHONY: help up down test faults bench-blog bench-operator codegen fmt

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## From nothing to a blog at http://localhost:30423, on a three-node kind cluster
	@dev/up.sh

down: ## Remove the cluster again
	@dev/down.sh

test: ## All tests: unit, API server, MySQL, charts, cluster and browser
	@dev/test.sh

faults: ## Every fault of every object of a blog in every state, on the kind cluster
	@dev/faults.sh

bench-blog: ## The blog beside Flaskr, nginx and a bare handler, as a table of ratios
	@dev/bench-blog.sh

bench-operator: ## The operator beside a plain client that makes the same writes, as a table of ratios
	@dev/bench-operator.sh

codegen: ## Write everything that is generated from the Rust sources
	@cargo xtask codegen

fmt: ## Format the Rust sources
	@cargo fmt --all
