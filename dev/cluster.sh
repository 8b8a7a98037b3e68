#!/usr/bin/env bash
# Makes sure that the kind cluster of kind-example-config.yaml runs, and that kubectl's context points at it.
# Usage: dev/cluster.sh
#
# A healthy cluster is kept. One whose containers were stopped (a restarted Docker daemon) is started. One whose creation was
# interrupted is deleted and recreated. One that was complete before and doesn't become ready is left unchanged, since it holds
# the posts (in CI it is recreated too). With a registry this runs only `kind create cluster --config kind-example-config.yaml`.
# Without one it does the same with a node image that is built here.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

"$DEV_DIR/docker.sh"
CONFIG=$ROOT_DIR/kind-example-config.yaml
NAME=$(awk '$1 == "name:" {print $2; exit}' "$CONFIG")
EXPECTED_NODES=$(grep -c -- '- role:' "$CONFIG")
BIN=$("$DEV_DIR/tools.sh" --prefer-installed kind kubectl)
PATH=$BIN:$PATH

kubectl_here() { kubectl --context "kind-$NAME" --request-timeout 10s "$@"; }

containers() { docker ps --all --quiet --filter "label=io.x-k8s.kind.cluster=$NAME" "$@"; }

all_running() { (($(containers --filter status=running | wc -l) == EXPECTED_NODES)); }

# Complete: every node is ready, and the last object that kind installs (the default StorageClass) exists.
complete() {
  local ready
  kubectl_here get --raw /readyz >/dev/null 2>&1 || return 1
  ready=$(kubectl_here get nodes --no-headers 2>/dev/null | awk '$2 ~ /^Ready/' | wc -l)
  ((ready == EXPECTED_NODES)) && kubectl_here get storageclass standard >/dev/null 2>&1
}

complete_within() { # SECONDS
  local end=$((SECONDS + $1))
  until complete; do
    ((SECONDS < end)) || return 1
    sleep 1
  done
}

# Returns 0 if the existing cluster can be used.
revive() {
  # Written each time: its port changes when the containers are restarted, and another tool may have removed it.
  kind export kubeconfig --name "$NAME" >/dev/null 2>&1 || true
  if all_running && complete; then return; fi
  if (($(containers | wc -l) != EXPECTED_NODES)); then return 1; fi
  if ! all_running; then
    step "Starting the stopped nodes of the cluster"
    containers | xargs docker start >/dev/null 2>&1 || return 1
    kind export kubeconfig --name "$NAME" >/dev/null 2>&1 || true
  fi
  step "Waiting for the nodes of the cluster"
  # The API server may need a while to detect absent nodes; their readiness counts only after that.
  complete_within 180
}

check_ports() {
  local port
  while read -r port; do
    if port_in_use "$port"; then die "Port $port of this machine is taken by another program, but the blog needs it; end that program and try again."; fi
  done < <(awk '$1 == "hostPort:" {print $2}' "$CONFIG")
}

create() {
  local config image
  check_ports
  if "$DEV_DIR/registry.sh"; then
    step "Creating the cluster (kind pulls its node image the first time)"
    logged kind-create kind create cluster --config "$CONFIG" --wait 180s
    return
  fi
  image=$("$DEV_DIR/node-image.sh")
  config=$(cache_dir)/kind-config.yaml
  # Without CAP_SYS_RESOURCE the kubelet can't lower its own OOM score and would exit; with this feature gate it only logs a
  # warning.
  { cat "$CONFIG"; printf 'featureGates:\n  KubeletInUserNamespace: true\n'; } >"$config"
  step "Creating the cluster"
  logged kind-create kind create cluster --config "$config" --image "$image" --wait 180s
}

ensure_cluster() {
  if [[ -n $(containers) ]]; then
    if [[ ! -e $BEING_MADE ]] && revive; then
      step "The cluster $NAME is running"
      return
    fi
    [[ -e $BEING_MADE || ${CI:-} == true ]] ||
      die "The cluster $NAME exists, but its nodes don't become ready; kubectl --context kind-$NAME get nodes may show the reason. It was left unchanged, since it holds the posts: make down removes it with them, then make up creates a new one."
    step "The cluster $NAME is incomplete; deleting it"
    logged kind-delete kind delete cluster --name "$NAME"
  fi
  : >"$BEING_MADE"
  create
  complete_within 120 || die "The cluster was created, but not all of its nodes are ready; see kubectl --context kind-$NAME describe nodes."
  rm -f "$BEING_MADE"
}

# Exists during the whole creation, which marks an interrupted one.
BEING_MADE=$(cache_dir)/cluster-being-made
with_lock cluster ensure_cluster
