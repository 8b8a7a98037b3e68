#!/usr/bin/env bash
# Prints a directory with the Prometheus operator's resource definitions for PodMonitor, PrometheusRule and ServiceMonitor, as
# its own release has them (dev/go-tools/prometheus-operator names the version).
# Usage: dev/monitoring-crds.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

MODULE=github.com/prometheus-operator/prometheus-operator

copy_crds() { # DESTINATION
  local source name
  cd "$DEV_DIR/go-tools/prometheus-operator"
  source=$(GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' "$MODULE")
  if [[ -z $source ]]; then
    go mod download "$MODULE"
    source=$(GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' "$MODULE")
  fi
  for name in podmonitors prometheusrules servicemonitors; do
    install -m 0644 "$source/example/prometheus-operator-crd/monitoring.coreos.com_$name.yaml" "$1/$name.yaml"
  done
}

have go || die "Go is missing; install it (https://go.dev/dl) and try again."
artefact monitoring-crds "$(input_hash dev/go-tools/prometheus-operator dev/monitoring-crds.sh)" copy_crds
