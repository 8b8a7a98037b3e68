#!/usr/bin/env bash
# Removes what `make up` and the tests created: the cluster with all its data, and the test database.
# Usage: dev/down.sh [--all]        --all also removes the images and the cache, so the next `make up` builds from
#                                 scratch (except what Go and Cargo keep in their own caches)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

NAME=$(awk '$1 == "name:" {print $2; exit}' "$ROOT_DIR/kind-example-config.yaml")

nodes() { docker ps --all --quiet --filter "label=io.x-k8s.kind.cluster=$NAME"; }

remove_cluster() {
  if [[ -z $(nodes) ]]; then
    step "The cluster $NAME doesn't exist"
    return
  fi
  PATH=$("$DEV_DIR/tools.sh" --prefer-installed kind):$PATH
  logged kind-delete kind delete cluster --name "$NAME"
  step "Removed the cluster $NAME and its data"
}

remove_images() {
  local images
  images=$(docker images --quiet --filter reference='flaskblog/*' | sort -u)
  # Only a mysql:9.7 that was built here; a pulled one may be in use by other projects.
  images+=" $(docker images --quiet --filter reference=mysql:9.7 --filter label=dev.flaskblog.inputs)"
  if [[ -n ${images// /} ]]; then
    # shellcheck disable=SC2086 # a list of ids
    docker rmi --force $images >/dev/null
    step "Removed the project's images"
  fi
}

case ${1:-} in
  '' | --all) ;;
  *) die "dev/down.sh accepts only --all; see dev/down.sh --help." ;;
esac
if have docker && timeout 20 docker info >/dev/null 2>&1; then
  with_lock cluster remove_cluster
  "$DEV_DIR/mysql-test.sh" stop
  step "Removed the test database"
  if [[ ${1:-} == --all ]]; then remove_images; fi
else
  step "No Docker daemon is running, so no cluster exists"
fi
if [[ ${1:-} == --all ]]; then
  cache=$(cache_dir)
  # A daemon that dev/docker.sh started keeps writing to its log there; the log is removed with the daemon.
  chmod -R u+w "$cache" 2>/dev/null || true
  find "$cache" -mindepth 1 ! -path "$cache/logs" ! -path "$cache/logs/dockerd.log" -delete
  step "Removed the cache $cache"
fi
