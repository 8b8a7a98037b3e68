#!/usr/bin/env bash
# Installs the Prometheus operator and a Prometheus in the kind cluster, which the test of monitoring needs, and waits until
# it serves.
# Usage: dev/prometheus.sh
#
# All three programs are built by dev/tools.sh; definitions and rights of the Prometheus operator are its release's own. The
# images are brought to the control plane only, where the manifests let them run. What is there already is kept.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

CLUSTER=$(awk '$1 == "name:" {print $2; exit}' "$ROOT_DIR/kind-example-config.yaml")
NODE=$CLUSTER-control-plane
MODULE=github.com/prometheus-operator/prometheus-operator

k() { kubectl --context "kind-$CLUSTER" --request-timeout 150s "$@"; }

build_image() { # NAME PROGRAM IMAGE
  local context
  context=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory, now
  trap "rm -rf ${context@Q}" RETURN
  cp "$2" "$context/program"
  cat >"$context/Dockerfile" <<END
FROM scratch
COPY program /bin/$1
USER 65534:65534
ENTRYPOINT ["/bin/$1"]
END
  timeout 180 docker build --quiet --tag "$3" "$context"
}

ensure_image() { # NAME IMAGE
  if ! docker image inspect "$2" >/dev/null 2>&1; then logged "image-$1" build_image "$1" "$(readlink -f "$TOOLS/$1")" "$2"; fi
  if timeout 30 docker exec "$NODE" ctr -n k8s.io images ls -q | grep -xF "docker.io/$2" >/dev/null; then return; fi
  step "Loading $2 into the cluster"
  logged kind-load timeout 180 kind load docker-image "$2" --name "$CLUSTER" --nodes "$NODE"
}

image_of() { # NAME
  # The program's folder is named after all that it was built from, so the tag never stands for two contents.
  printf 'flaskblog/%s:%s\n' "$1" "$(basename "$(dirname "$(readlink -f "$TOOLS/$1")")")"
}

# The release's manifests, in a namespace of their own and with our images, on the control plane.
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

"$DEV_DIR/docker.sh"
TOOLS=$("$DEV_DIR/tools.sh" prometheus prometheus-operator prometheus-config-reloader)
BIN=$("$DEV_DIR/tools.sh" --prefer-installed kind kubectl)
PATH=$BIN:$PATH
OPERATOR_IMAGE=$(image_of prometheus-operator)
RELOADER_IMAGE=$(image_of prometheus-config-reloader)
PROMETHEUS_IMAGE=$(image_of prometheus)
with_lock images ensure_image prometheus-operator "$OPERATOR_IMAGE"
with_lock images ensure_image prometheus-config-reloader "$RELOADER_IMAGE"
with_lock images ensure_image prometheus "$PROMETHEUS_IMAGE"

step "Installing the Prometheus operator"
source=$(cd "$DEV_DIR/go-tools/prometheus-operator" && GOTOOLCHAIN=local GOWORK=off go list -m -f '{{.Dir}}' "$MODULE")
logged prometheus k apply --server-side --force-conflicts --filename "$source/example/prometheus-operator-crd"
k get namespace monitoring >/dev/null 2>&1 || k create namespace monitoring >/dev/null
operator_manifests "$source" >"$(cache_dir)/prometheus-operator.yaml"
logged prometheus k apply --filename "$(cache_dir)/prometheus-operator.yaml"
logged prometheus k rollout status deployment/prometheus-operator --namespace monitoring --timeout 120s

step "Installing Prometheus"
sed "s|image: IMAGE\$|image: $PROMETHEUS_IMAGE|" "$DEV_DIR/prometheus/prometheus.yaml" >"$(cache_dir)/prometheus.yaml"
logged prometheus k apply --filename "$(cache_dir)/prometheus.yaml"
for ((attempt = 0; attempt < 60; attempt++)); do
  k get statefulset prometheus-tests --namespace monitoring >/dev/null 2>&1 && break
  sleep 1
done
logged prometheus k rollout status statefulset/prometheus-tests --namespace monitoring --timeout 180s
