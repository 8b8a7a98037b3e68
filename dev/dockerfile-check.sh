#!/usr/bin/env bash
# Builds the images from their Dockerfiles, as somebody with Docker alone would, and runs what came out.
# Usage: dev/dockerfile-check.sh
#
# Takes as long as two release builds from nothing, so it isn't part of `make test`: run it when a Dockerfile, or what it
# copies, changes. Where no registry is reachable the base image that the Dockerfiles name is made of Debian packages and
# this machine's own Rust under the same name, and removed again afterwards.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$DEV_DIR/debian.sh"
help_if_asked "$@"

BASE=$(awk '$1 == "FROM" {print $2; exit}' "$ROOT_DIR/blog-app/Dockerfile")

# The compiler and its library, without documentation.
build_base_files() { # DIRECTORY
  local sysroot
  sysroot=$(rustc --print sysroot)
  bootstrap bookworm "$1/rootfs" gcc,libc6-dev,ca-certificates
  cp "$(readlink -f /etc/ssl/certs/ca-certificates.crt)" "$1/rootfs/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$1/rootfs/usr/local/bin" "$1/rootfs/usr/local/lib"
  cp -a "$sysroot"/bin/{cargo,rustc} "$1/rootfs/usr/local/bin/"
  cp -a "$sysroot"/lib/. "$1/rootfs/usr/local/lib/"
}

make_base() {
  local dir
  require_debootstrap "$BASE"
  dir=$(artefact dockerfile-base "$(rustc -vV | sha256sum | cut -c1-12)-$(input_hash dev/dockerfile-check.sh dev/debian.sh)" build_base_files)
  step "Making $BASE from packages and this machine's Rust"
  tar -C "$dir/rootfs" -c . | docker import --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' - "$BASE" >/dev/null
  # shellcheck disable=SC2064 # this name, now
  trap "docker rmi --force $BASE >/dev/null" EXIT
}

check() { # PROGRAM
  local image=flaskblog/$1:dockerfile-check
  step "docker build -f $1/Dockerfile ."
  logged "dockerfile-$1" docker build --network host --tag "$image" --file "$ROOT_DIR/$1/Dockerfile" "$ROOT_DIR"
  docker run --rm --read-only --network none --entrypoint "/$1" "$image" --version
  step "$image has $(($(docker image inspect --format '{{.Size}}' "$image") / 1024)) KiB and runs as $(docker image inspect --format '{{.Config.User}}' "$image")"
  docker rmi "$image" >/dev/null
}

"$DEV_DIR/docker.sh"
docker image inspect "$BASE" >/dev/null 2>&1 || "$DEV_DIR/registry.sh" "$BASE" || make_base
check operator
check blog-app
