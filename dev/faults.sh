#!/usr/bin/env bash
# Tries every fault of every object of a blog in every state on the kind cluster, and prints each result.
# Usage: dev/faults.sh [OBJECT [FAULT [STATE]]]
#
#   OBJECT  a part of an object's name: DatabaseSecret, App, Claim …          (all)
#   FAULT   Deleted BeingDeleted Emptied Garbage Immutable OwnedByAnother Contested  (all)
#   STATE   Running Hibernated Suspended RollingOut  (all)
#
# The tests use their own blogs, in namespaces that begin with `faults-`; other blogs are left unchanged. All faults take two
# hours; `make test` runs a sample. A fault that is neither repaired nor reported fails, and so does `Ready` during an outage.
#
# Examples:
#   dev/faults.sh                       all
#   dev/faults.sh AppService            one object
#   dev/faults.sh Claim BeingDeleted    one object and one fault
#   dev/faults.sh '' '' Hibernated      one state
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"
(($# <= 3)) || die "At most an object, a fault and a state are accepted; see dev/faults.sh --help."

cd "$ROOT_DIR"
use_cargo_target
"$DEV_DIR/up.sh"
"$DEV_DIR/metrics-server.sh"
"$DEV_DIR/prometheus.sh"
bin=$("$DEV_DIR/tools.sh" kubectl)
crds=$("$DEV_DIR/optional-crds.sh")
PATH=$bin:$PATH OPTIONAL_CRDS=$crds FAULTS=all FAULT_OF=${1:-} FAULT=${2:-} FAULT_IN=${3:-} \
  cargo test --package e2e --features cluster-tests --test cluster --quiet -- --nocapture matrix::every_fault
