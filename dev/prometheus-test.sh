#!/usr/bin/env bash
# Runs a real Prometheus with an operator, two replicas of the blog and a MySQL, without a cluster. It checks that every panel
# of the dashboards has data, and that an alert fires when MySQL is killed and resolves when it is back.
# Usage: dev/prometheus-test.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

BIN=$("$DEV_DIR/tools.sh" prometheus)
cd "$ROOT_DIR"
cargo build --package blog-app --quiet
PROMETHEUS=$BIN/prometheus "$DEV_DIR/apiserver.sh" cargo test --package operator --features apiserver-tests,mysql-tests \
  --test panels --quiet -- --nocapture
