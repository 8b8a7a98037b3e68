#!/usr/bin/env bash
# Builds a kind node image from Debian packages and from source, and prints its name.
# Usage: dev/node-image.sh
#
# Only for machines that reach no container registry; elsewhere kind pulls its published image. The steps are those of
# kind's own image build, whose files are taken from the kind module that dev/go-tools/kind pins.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$DEV_DIR/debian.sh"
. "$DEV_DIR/node/rootfs.sh"
help_if_asked "$@"

PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubeadm kubectl
  etcd containerd ctr containerd-shim-runc-v2 coredns local-path-provisioner)

# --- the node: kind's files and the programs ---

kind_module() { (cd "$DEV_DIR/go-tools/kind" && GOFLAGS=-mod=readonly go mod download sigs.k8s.io/kind && go list -m -f '{{.Dir}}' sigs.k8s.io/kind); }

storage_images() { sed -n 's/^const storage.*Image = "\(.*\)"/\1/p' "$KIND/pkg/build/nodeimage/const_storage.go"; }

storage_manifest() {
  local provisioner helper
  { read -r provisioner; read -r helper; } < <(storage_images)
  # shellcheck disable=SC2016 # Go's raw string quotes
  sed -n '/^const defaultStorageManifest = `/,/^`/{/^const/d;/^`/d;p}' "$KIND/pkg/build/nodeimage/const_storage.go" |
    sed -e "s#\` + storageProvisionerImage + \`#$provisioner#" -e "s#\` + storageHelperImage + \`#$helper#"
}

make_overlay() { # DIRECTORY
  local o=$1 unit
  mkdir -p "$o"
  cp -r "$KIND/images/base/files/." "$o/"
  chmod -R u+w,go+rX "$o"
  install -D -t "$o/kind/bin" "$DEV_DIR/node/pod-network.sh"
  install -m 0644 -t "$o/etc/systemd/system" "$DEV_DIR/node/pod-network.service"
  chmod 0755 "$o"/kind/bin/* "$o"/usr/local/bin/*
  install -D -t "$o/usr/bin" "$BIN"/{kubelet,kubeadm,kubectl}
  install -D -t "$o/usr/local/bin" "$BIN"/{containerd,ctr,containerd-shim-runc-v2}
  mkdir -p "$o/etc/systemd/system/multi-user.target.wants" "$o/kind/manifests"
  for unit in kubelet containerd undo-mount-hacks pod-network; do
    ln -s "/etc/systemd/system/$unit.service" "$o/etc/systemd/system/multi-user.target.wants/"
  done
  # Without CAP_SYS_RESOURCE no process may make itself a less likely victim of the kernel's memory killer.
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$o/etc/containerd/config.toml"
  "$BIN/ctr" oci spec | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    >"$o/etc/containerd/cri-base.json"
  "$BIN/kubeadm" version -o short >"$o/kind/version"
  storage_manifest >"$o/kind/manifests/default-storage.yaml"
  cp "$DEV_DIR/node/default-cni.yaml" "$o/kind/manifests/"
}

# --- the images that a cluster runs, named as kubeadm and kind name them ---

component() { # IMAGE DIRECTORY [ENTRYPOINT]
  printf 'FROM scratch\nCOPY . /\n%s\n' "${3:+ENTRYPOINT [\"$3\"]}" >"$2.Dockerfile"
  docker build --quiet --tag "$1" --file "$2.Dockerfile" "$2" >/dev/null
  COMPONENTS+=("$1")
}

build_components() { # DIRECTORY
  local image name provisioner helper
  COMPONENTS=()
  while read -r image; do
    name=$(basename "${image%:*}")
    case $name in
      kube-proxy) mkdir -p "$1/$name" && cp -a "$ROOTFS/kube-proxy/." "$1/$name/" ;;&
      kube-* | etcd) install -D -t "$1/$name/usr/local/bin" "$BIN/$name"; component "$image" "$1/$name" ;;
      coredns) install -D -t "$1/$name" "$BIN/$name"; component "$image" "$1/$name" /coredns ;;
    esac
  done < <("$BIN/kubeadm" config images list --kubernetes-version "$("$BIN/kubeadm" version -o short)")
  mkdir -p "$1/pause"
  cc -static -Os -s -o "$1/pause/pause" "$DEV_DIR/node/pause.c"
  component "$(sed -n 's/.*sandbox_image = "\(.*\)"/\1/p' "$KIND/images/base/files/etc/containerd/config.toml")" "$1/pause" /pause
  { read -r provisioner; read -r helper; } < <(storage_images)
  install -D -t "$1/provisioner/usr/local/bin" "$BIN/local-path-provisioner"
  component "$provisioner" "$1/provisioner"
  install -D "$ROOTFS/busybox" "$1/helper/bin/sh"
  for name in mkdir rm chmod; do ln -s sh "$1/helper/bin/$name"; done
  component "$helper" "$1/helper"
}

DATABASE=mysql:9.7 # comes with the node, because bringing 300 MB to three running nodes takes a minute

# Loads the component images into the node image, by running its containerd and committing the container.
load_components() { # NODE-IMAGE DIRECTORY
  local container
  docker save --output "$2/components.tar" "${COMPONENTS[@]}" "$DATABASE"
  container=$(docker run --detach --privileged --entrypoint sleep "$1" infinity)
  # shellcheck disable=SC2064 # this container, now
  trap "docker rm --force --volumes $container >/dev/null" EXIT
  docker exec --detach "$container" containerd
  docker exec "$container" bash -c 'for i in {1..100}; do ctr version >/dev/null 2>&1 && exit; sleep 0.2; done; exit 1'
  docker exec --interactive "$container" ctr -n k8s.io images import --all-platforms --no-unpack - <"$2/components.tar" >/dev/null
  docker exec "$container" bash -c 'pkill -x containerd; while pgrep -x containerd >/dev/null; do sleep 0.1; done'
  docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' "$container" "$IMAGE"
  docker rm --force --volumes "$container" >/dev/null
  trap - EXIT
}

build_node() {
  local work base
  rm -rf "$(cache_dir)"/node.?????? # of a build that was interrupted
  work=$(mktemp -d "$(cache_dir)/node.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf ${work@Q}" RETURN
  make_overlay "$work/overlay"
  base=$(docker import "$ROOTFS/rootfs.tar")
  docker build --quiet --tag "$IMAGE-empty" --build-arg "BASE=$base" --file "$DEV_DIR/node/Dockerfile" "$work"
  build_components "$work"
  load_components "$IMAGE-empty" "$work"
  remove_leftovers
}

# The components live in the node image now, and older node images in no cluster; one that is in use refuses to go.
remove_leftovers() {
  docker rmi "${COMPONENTS[@]}" "$IMAGE-empty" || true
  docker images --format '{{.Repository}}:{{.Tag}}' flaskblog/kind-node | grep -vF "$IMAGE" | xargs -r docker rmi || true
}

key=$(input_hash dev/node-image.sh dev/debian.sh dev/node dev/kubernetes dev/go-tools/{etcd,containerd,coredns,local-path-provisioner,kind} \
  dev/mysql dev/mysql-image.sh)
IMAGE=flaskblog/kind-node:$key
if ! docker image inspect "$IMAGE" >/dev/null 2>&1; then
  require_debootstrap "the image kindest/node"
  "$DEV_DIR/mysql-image.sh"
  have cc || die "A C compiler is missing (for a twenty-line program); install gcc and libc6-dev and try again."
  BIN=$("$DEV_DIR/tools.sh" "${PROGRAMS[@]}")
  KIND=$(kind_module)
  step "Building the kind node image from Debian packages (about two minutes the first time)"
  ROOTFS=$(artefact node-rootfs "$(input_hash dev/node/rootfs.sh dev/debian.sh)" build_rootfs)
  with_lock node-image logged node-image build_node
fi
printf '%s\n' "$IMAGE"
