# shellcheck shell=bash
# Shared by dev/metrics-server.sh, dev/traefik.sh and dev/prometheus.sh: installs a program of dev/tools.sh in the kind cluster.
#
# The image is loaded only on the control plane, where the manifests schedule it and where no test drains the node. An existing
# image is kept, so a second run is cheap.
# there already is kept, so a second run is cheap.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CLUSTER=$(awk '$1 == "name:" {print $2; exit}' "$ROOT_DIR/kind-example-config.yaml")
# shellcheck disable=SC2034 # used by the scripts that source this file
NODE=$CLUSTER-control-plane

k() { kubectl --context "kind-$CLUSTER" --request-timeout 150s "$@"; }

# Sets IMAGE to an image of the program that is loaded on the control plane. Also puts kubectl and kind on PATH.
bring_image() { # PROGRAM
  local program bin
  "$DEV_DIR/docker.sh"
  bin=$("$DEV_DIR/tools.sh" "$1")
  program=$(readlink -f "$bin/$1")
  bin=$("$DEV_DIR/tools.sh" --prefer-installed kind kubectl)
  PATH=$bin:$PATH
  # The program's folder is named by a hash of its inputs, so a tag never has two contents.
  IMAGE=flaskblog/$1:$(basename "$(dirname "$program")")
  with_lock images ensure_image "$program"
}

ensure_image() { # PROGRAM-FILE
  if ! docker image inspect "$IMAGE" >/dev/null 2>&1; then logged "image-$(basename "$1")" build_image "$1"; fi
  if timeout 30 docker exec "$NODE" ctr -n k8s.io images ls -q | grep -xF "docker.io/$IMAGE" >/dev/null; then return; fi
  step "Loading $IMAGE into the cluster"
  logged kind-load timeout 120 kind load docker-image "$IMAGE" --name "$CLUSTER" --nodes "$NODE"
}

build_image() { # PROGRAM-FILE
  local name context
  name=$(basename "$1")
  context=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory, now
  trap "rm -rf ${context@Q}" RETURN
  cp "$1" "$context/$name"
  cat >"$context/Dockerfile" <<END
FROM scratch
COPY $name /bin/
USER 65532:65532
ENTRYPOINT ["/bin/$name"]
END
  timeout 120 docker build --quiet --tag "$IMAGE" "$context"
}

# Applies the program's manifest, replacing `image: IMAGE` by the image that was loaded last.
apply_program() { # PROGRAM
  local manifest
  manifest=$(cache_dir)/$1.yaml
  sed "s|image: IMAGE\$|image: $IMAGE|" "$DEV_DIR/$1/$1.yaml" >"$manifest"
  logged "$1" k apply --filename "$manifest"
}

# The same, and waits for the rollout of its Deployment, which has the program's name.
install_program() { # PROGRAM NAMESPACE
  apply_program "$1"
  logged "$1" k rollout status "deployment/$1" --namespace "$2" --timeout 120s
}

within_a_minute() { # CHECK
  local attempt
  for ((attempt = 0; attempt < 60; attempt++)); do
    if "$1"; then return; fi
    sleep 1
  done
  return 1
}
