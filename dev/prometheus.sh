#!/usr/bin/env bash
# Installs the Prometheus operator and a Prometheus in the kind cluster, which the test of monitoring needs, and waits until
# it is ready.
# Usage: dev/prometheus.sh
#
# dev/tools.sh builds all three programs; the Prometheus operator's CRDs and permissions are those of its release.
. "$(dirname "${BASH_SOURCE[0]}")/addons.sh"
help_if_asked "$@"

MODULE=github.com/prometheus-operator/prometheus-operator

# The release's manifests, in their own namespace and with images built here, on the control plane.
operator_manifests() { # SOURCE
  local file
  for file in "$1"/example/rbac/prometheus-operator/prometheus-operator-{service-account,cluster-role,cluster-role-binding,deployment}.yaml; do
    echo ---
    sed -e 's/namespace: default$/namespace: monitoring/' -e "s|image: .*|image: $OPERATOR_IMAGE|" \
      -e "s|--prometheus-config-reloader=.*|--prometheus-config-reloader=$RELOADER_IMAGE|" \
      -e 's|kubernetes.io/os: linux|node-role.kubernetes.io/control-plane: ""|' \
      -e 's|^      containers:$|      tolerations: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]\n      containers:|' \
      "$file"
  done
}

is_made() { k get statefulset prometheus-tests --namespace monitoring >/dev/null 2>&1; }

bring_image prometheus-operator
OPERATOR_IMAGE=$IMAGE
bring_image prometheus-config-reloader
RELOADER_IMAGE=$IMAGE
step "Installing the Prometheus operator"
source=$(cd "$DEV_DIR/go-tools/prometheus-operator" && GOTOOLCHAIN=local GOWORK=off go list -m -f '{{.Dir}}' "$MODULE")
logged prometheus k apply --server-side --force-conflicts --filename "$source/example/prometheus-operator-crd"
k get namespace monitoring >/dev/null 2>&1 || k create namespace monitoring >/dev/null
operator_manifests "$source" >"$(cache_dir)/prometheus-operator.yaml"
logged prometheus k apply --filename "$(cache_dir)/prometheus-operator.yaml"
logged prometheus k rollout status deployment/prometheus-operator --namespace monitoring --timeout 120s

bring_image prometheus
step "Installing Prometheus"
apply_program prometheus
within_a_minute is_made ||
  die "The Prometheus operator creates no Prometheus; see kubectl --context kind-$CLUSTER logs -n monitoring deploy/prometheus-operator."
logged prometheus k rollout status statefulset/prometheus-tests --namespace monitoring --timeout 180s
