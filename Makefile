# The main commands: `make up` (creates a cluster with a blog) and `make test` (all tests).
.PHONY: help up down test faults bench-blog bench-operator codegen fmt

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## Create a three-node kind cluster with a blog at http://localhost:30423
	@dev/up.sh

down: ## Remove the cluster
	@dev/down.sh

test: ## Run all tests: unit, API server, MySQL, charts, cluster and browser
	@dev/test.sh

faults: ## Try every fault of every object of a blog in every state, on the kind cluster
	@dev/faults.sh

bench-blog: ## Measure the blog, Flaskr, nginx and a bare handler; print a table of ratios
	@dev/bench-blog.sh

bench-operator: ## Measure the operator and a plain client with the same writes; print a table of ratios
	@dev/bench-operator.sh

codegen: ## Write the files that are generated from the Rust sources
	@cargo xtask codegen

fmt: ## Format the Rust sources
	@cargo fmt --all
