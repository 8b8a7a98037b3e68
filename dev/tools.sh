#!/usr/bin/env bash
# Builds the programs that the local cluster and the tests need, and prints their directory.
# Usage: dev/tools.sh [--prefer-installed] [NAME…]        default: all of them
#
# Every version is pinned by a go.mod and go.sum here (dev/kubernetes, dev/go-tools/*). A build therefore needs only Go and a
# module proxy, and gives the same programs everywhere. Each version is built once and kept in the cache.
# --prefer-installed uses kind, helm and kubectl from PATH if they exist and are recent enough.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

# One line per group that is built together: group, module directory, PROGRAM=PACKAGE…
# The API tests need only an API server, etcd and kubectl, so those don't wait for the rest of Kubernetes.
groups() {
  local k=k8s.io/kubernetes/cmd c=github.com/containerd/containerd/v2/cmd
  local p=github.com/prometheus/prometheus/cmd o=github.com/prometheus-operator/prometheus-operator/cmd
  cat <<END
kube-api kubernetes kube-apiserver=$k/kube-apiserver kubectl=$k/kubectl
kube-node kubernetes kube-controller-manager=$k/kube-controller-manager kube-scheduler=$k/kube-scheduler kubelet=$k/kubelet kube-proxy=$k/kube-proxy kubeadm=$k/kubeadm
etcd go-tools/etcd etcd=go.etcd.io/etcd/server/v3
containerd go-tools/containerd containerd=$c/containerd containerd-shim-runc-v2=$c/containerd-shim-runc-v2 ctr=$c/ctr
coredns go-tools/coredns coredns=github.com/coredns/coredns
local-path-provisioner go-tools/local-path-provisioner local-path-provisioner=github.com/rancher/local-path-provisioner
kind go-tools/kind kind=sigs.k8s.io/kind
helm3 go-tools/helm3 helm=helm.sh/helm/v3/cmd/helm
helm4 go-tools/helm4 helm4=helm.sh/helm/v4/cmd/helm
kubeconform go-tools/kubeconform kubeconform=github.com/yannh/kubeconform/cmd/kubeconform
compose go-tools/compose docker-compose=github.com/docker/compose/v2/cmd
metrics-server go-tools/metrics-server metrics-server=sigs.k8s.io/metrics-server/cmd/metrics-server
traefik go-tools/traefik traefik=github.com/traefik/traefik/v3/cmd/traefik
prometheus go-tools/prometheus prometheus=$p/prometheus promtool=$p/promtool
prometheus-operator go-tools/prometheus-operator prometheus-operator=$o/operator prometheus-config-reloader=$o/prometheus-config-reloader
autoscaler go-tools/autoscaler recommender=k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender
victorialogs go-tools/victorialogs victoria-logs=github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs
END
}

group_line() { # NAME
  groups | awk -v name="$1" '{for (i = 3; i <= NF; i++) if (index($i, name "=") == 1) {print; exit}}'
}

module_version() { # DIRECTORY MODULE
  awk -v module="$2" '{sub(/^require /, ""); sub(/^\t/, "")} $1 == module && $2 ~ /^v/ {print $2; exit}' "$DEV_DIR/$1/go.mod"
}

# Linker flags that set the version of programs (kubeadm compares it, helm prints it).
ldflags() { # MODULE-DIRECTORY
  local flags='-s -w' version p=k8s.io/component-base/version
  case $1 in
    kubernetes)
      version=$(module_version "$1" k8s.io/kubernetes)
      flags+=" -X $p.gitVersion=$version -X $p.gitMajor=1 -X $p.gitMinor=$(cut -d. -f2 <<<"$version") -X $p.gitTreeState=clean"
      ;;
    go-tools/helm3)
      flags+=" -X helm.sh/helm/v3/internal/version.version=$(module_version "$1" helm.sh/helm/v3)"
      flags+=" -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=34"
      ;;
    go-tools/helm4) flags+=" -X helm.sh/helm/v4/internal/version.version=$(module_version "$1" helm.sh/helm/v4)" ;;
    go-tools/traefik) flags+=" -X github.com/traefik/traefik/v3/pkg/version.Version=$(module_version "$1" github.com/traefik/traefik/v3)" ;;
    go-tools/kubeconform) flags+=" -X main.version=$(module_version "$1" github.com/yannh/kubeconform)" ;;
    go-tools/compose)
      flags+=" -X github.com/docker/compose/v2/internal.Version=$(module_version "$1" github.com/docker/compose/v2)"
      ;;
    go-tools/containerd)
      flags+=" -X github.com/containerd/containerd/v2/version.Version=$(module_version "$1" github.com/containerd/containerd/v2)"
      ;;
  esac
  printf '%s\n' "$flags"
}

# Omits snapshotters that containerd doesn't need here, and service discovery that Prometheus doesn't need.
TAGS='no_btrfs no_devmapper no_zfs no_aufs remove_all_sd enable_kubernetes_sd'

build_group() { # MODULE-DIRECTORY PROGRAM=PACKAGE… DESTINATION
  local module=$1 destination=${*: -1} pair flags
  flags=$(ldflags "$module")
  cd "$DEV_DIR/$module"
  # A fixed GOFLAGS: a user's own must not loosen the lock file.
  export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off
  local packages=("${@:2:$#-2}")
  go build -trimpath -buildvcs=false -tags "$TAGS" -ldflags "$flags" \
    -o "$destination/" "${packages[@]#*=}"
  # Go names a program after its package's path, which isn't always its usual name.
  for pair in "${packages[@]}"; do
    local built=${pair#*=}
    built=$(basename "${built%/v[0-9]}")
    if [[ $built != "${pair%%=*}" ]]; then mv "$destination/$built" "$destination/${pair%%=*}"; fi
  done
}

ensure() { # NAME…: builds missing programs and links them into $BIN
  local name line group module pairs key directory
  for name in "$@"; do
    line=$(group_line "$name")
    [[ -n $line ]] || die "dev/tools.sh has no program $name; see dev/tools.sh --help."
    read -r group module pairs <<<"$line"
    key=$(printf '%s\n' "$line" "$(input_hash "dev/$module")" "$(ldflags "$module")" | sha256sum | cut -c1-12)
    directory=$(cache_dir)/artefacts/$group/$key
    if [[ ! -d $directory ]]; then
      have go || die "$name is missing and so is Go to build it; install either of them (https://go.dev/dl) and try again."
      at_least "$(go env GOVERSION | sed 's/^go//')" "$OLDEST_GO" ||
        die "$name is missing, and this machine's $(go env GOVERSION) is too old to build it; install $name, or Go $OLDEST_GO or newer (https://go.dev/dl), and try again."
      step "Building $group"
      # shellcheck disable=SC2086 # a list of words
      artefact "$group" "$key" build_group "$module" $pairs >/dev/null
    fi
    ln -sfn "$directory/$name" "$BIN/$name"
  done
}

OLDEST_GO=1.26 # the version of the go.mod files here; GOTOOLCHAIN=local keeps Go from fetching another one

# Recent enough: a kind that creates Kubernetes 1.34 nodes, helm 3.14 or 4, kubectl 1.33.
installed() { # NAME
  local version
  have "$1" || return 1
  case $1 in
    kind) version=$(kind version 2>/dev/null | grep -o 'v[0-9.]*' | head -n 1) && at_least "$version" 0.30 ;;
    helm) version=$(helm version --template '{{.Version}}' 2>/dev/null) && at_least "$version" 3.14 ;;
    kubectl) version=$(kubectl version --client 2>/dev/null | awk '/Client/ {print $3}') && at_least "$version" 1.33 ;;
    *) return 1 ;;
  esac
}

main() {
  local wanted=() build=() name
  # Only the machine's own programs count as installed, not those that an earlier run of this script put in front of PATH.
  PATH=$(tr : '\n' <<<"$PATH" | grep -vF "$(cache_dir)/bin/" | paste -sd :)
  BIN=$(cache_dir)/bin/$(input_hash dev/kubernetes dev/go-tools dev/tools.sh)
  if [[ ${1:-} == --prefer-installed ]]; then
    BIN+=-installed
    shift
  fi
  mkdir -p "$BIN"
  wanted=("$@")
  if ((${#wanted[@]} == 0)); then mapfile -t wanted < <(groups | tr ' ' '\n' | sed -n 's/=.*//p'); fi
  for name in "${wanted[@]}"; do
    if [[ $BIN == *-installed ]] && installed "$name"; then ln -sfn "$(command -v "$name")" "$BIN/$name"; else build+=("$name"); fi
  done
  if ((${#build[@]})); then ensure "${build[@]}"; fi
  printf '%s\n' "$BIN"
}

main "$@"
