#!/usr/bin/env bash
# Installs a metrics server in the kind cluster, which `autoscaling` needs, and waits until it has figures.
# Usage: dev/metrics-server.sh
#
# The program is built by dev/tools.sh, its manifests are in dev/metrics-server. Its image is brought to the control plane
# only, where the manifests let it run. What is there already is kept, so a second run is cheap.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

CLUSTER=$(awk '$1 == "name:" {print $2; exit}' "$ROOT_DIR/kind-example-config.yaml")
NODE=$CLUSTER-control-plane

k() { kubectl --context "kind-$CLUSTER" --request-timeout 150s "$@"; }

build_image() {
  local context
  context=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory, now
  trap "rm -rf ${context@Q}" RETURN
  cp "$PROGRAM" "$context/metrics-server"
  cat >"$context/Dockerfile" <<END
FROM scratch
COPY metrics-server /
USER 65532:65532
ENTRYPOINT ["/metrics-server"]
END
  timeout 120 docker build --quiet --tag "$IMAGE" "$context"
}

ensure_image() {
  if ! docker image inspect "$IMAGE" >/dev/null 2>&1; then logged image-metrics-server build_image; fi
  if timeout 30 docker exec "$NODE" ctr -n k8s.io images ls -q | grep -xF "docker.io/$IMAGE" >/dev/null; then return; fi
  step "Loading $IMAGE into the cluster"
  logged kind-load timeout 120 kind load docker-image "$IMAGE" --name "$CLUSTER" --nodes "$NODE"
}

# As the API server will reach it; it keeps the connections that it has opened, also one to an address that doesn't lead to
# the server yet. Some networks answer on every address.
is_reached() {
  local address
  address=$(k get service metrics-server --namespace kube-system --output 'jsonpath={.spec.clusterIP}')
  [[ $(timeout 10 docker exec "$NODE" curl --silent --insecure --noproxy "*" --max-time 5 "https://$address/readyz") == ok ]]
}

has_figures() { [[ $(k top nodes --no-headers 2>/dev/null | wc -l) -gt 0 ]]; }

within_a_minute() { # CHECK
  local attempt
  for ((attempt = 0; attempt < 60; attempt++)); do
    if "$1"; then return; fi
    sleep 1
  done
  return 1
}

"$DEV_DIR/docker.sh"
BIN=$("$DEV_DIR/tools.sh" metrics-server)
PROGRAM=$(readlink -f "$BIN/metrics-server")
BIN=$("$DEV_DIR/tools.sh" --prefer-installed kind kubectl)
PATH=$BIN:$PATH
# The program's folder is named after all that it was built from, so the tag never stands for two contents.
IMAGE=flaskblog/metrics-server:$(basename "$(dirname "$PROGRAM")")
with_lock images ensure_image
step "Installing the metrics server"
manifest=$(cache_dir)/metrics-server.yaml
sed "s|image: IMAGE\$|image: $IMAGE|" "$DEV_DIR/metrics-server/metrics-server.yaml" >"$manifest"
logged metrics-server k apply --filename "$manifest"
logged metrics-server k rollout status deployment/metrics-server --namespace kube-system --timeout 120s
within_a_minute is_reached || die "The metrics server runs but its Service doesn't lead to it; see $(cache_dir)/logs/metrics-server.log."
logged metrics-server k apply --filename "$DEV_DIR/metrics-server/api-service.yaml"
within_a_minute has_figures ||
  die "The metrics server runs but has no figures after a minute; see kubectl --context kind-$CLUSTER logs -n kube-system deploy/metrics-server."
