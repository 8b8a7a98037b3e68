#!/usr/bin/env bash
# Prints a directory with the resource definitions of kinds that a cluster may lack: the Prometheus operator's PodMonitor,
# PrometheusRule and ServiceMonitor, and the VerticalPodAutoscaler, as their own releases have them (dev/go-tools names the
# versions).
# Usage: dev/optional-crds.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

source_of() { # GO_TOOL MODULE
  local source
  cd "$DEV_DIR/go-tools/$1"
  source=$(GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' "$2")
  if [[ -z $source ]]; then
    go mod download "$2"
    source=$(GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' "$2")
  fi
  printf '%s\n' "$source"
}

copy_crds() { # DESTINATION
  local source name
  source=$(source_of prometheus-operator github.com/prometheus-operator/prometheus-operator)
  for name in podmonitors prometheusrules servicemonitors; do
    install -m 0644 "$source/example/prometheus-operator-crd/monitoring.coreos.com_$name.yaml" "$1/$name.yaml"
  done
  source=$(source_of autoscaler k8s.io/autoscaler/vertical-pod-autoscaler)
  install -m 0644 "$source/deploy/vpa-v1-crd-gen.yaml" "$1/verticalpodautoscalers.yaml"
}

have go || die "Go is missing; install it (https://go.dev/dl) and try again."
artefact optional-crds "$(input_hash dev/go-tools/prometheus-operator dev/go-tools/autoscaler dev/optional-crds.sh)" copy_crds
