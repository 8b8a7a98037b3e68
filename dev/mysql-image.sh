#!/usr/bin/env bash
# Makes sure that Docker has the image mysql:9.7.
# Usage: dev/mysql-image.sh
#
# The published image is used where it is there already or can be pulled. Where no registry is reachable an image with the
# same contract is built from Debian's MySQL packages (dev/mysql/), so manifests and tests work unchanged with either.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$DEV_DIR/debian.sh"
help_if_asked "$@"

IMAGE=mysql:9.7

# Debian's testing and unstable are the suites with MySQL 9. They move, so the build checks what it got.
build_rootfs() { # DIRECTORY
  local root
  root=$1/rootfs
  bootstrap sid "$root" mysql-server-core,mysql-client-core,xz-utils,zstd
  chroot "$root" mysqld --version | tee /dev/stderr | grep -q 'Ver 9\.7\.' ||
    die "Debian's MySQL is no longer 9.7; change IMAGE in dev/mysql-image.sh with the operator's default image."
  groupadd --root "$root" --system --gid 999 mysql
  useradd --root "$root" --system --uid 999 --gid mysql --home-dir /var/lib/mysql --no-create-home --shell /bin/false mysql
  trim "$root"
  # Not var/run: that is a link to /run, which would be this machine's.
  install -d -o 999 -g 999 -m 1777 "$root/var/lib/mysql" "$root/run/mysqld"
  install -d -o 999 -g 999 -m 0750 "$root/var/lib/mysql-files"
  install -d "$root/etc/mysql/conf.d" "$root/docker-entrypoint-initdb.d"
  tar --numeric-owner -C "$root" -cf "$1/rootfs.tar" .
  rm -rf "$root"
}

# From 640 MB to what mysqld and the usual clients need. Perl is there only for packaging and rarely used scripts.
trim() { # ROOT
  trim_documentation "$1"
  (
    cd "$1" || exit 1
    rm -rf usr/share/perl* usr/lib/x86_64-linux-gnu/perl* usr/lib/x86_64-linux-gnu/lib{perl,protobuf.so,apt-p}* \
      usr/bin/perl* usr/bin/{apt,apt-*} usr/lib/apt var/lib/apt usr/bin/sqv usr/lib/x86_64-linux-gnu/libdb-5.3.so
    rm -f usr/bin/mysql{_config_editor,_migrate_keyring,_secure_installation,d_multi,d_safe,dumpslow,import,show,slap} \
      usr/lib/mysql/plugin/{telemetry_client,component_telemetry}.so usr/lib/mysql/plugin/authentication_*_client.so
    find usr/share/mysql -mindepth 1 -maxdepth 1 -type d ! -name english ! -name charsets -exec rm -rf {} +
    rm -rf dev proc sys boot tmp
    mkdir -m 0755 dev proc sys
    mkdir -m 1777 tmp
  )
}

build_image() { # TAR
  local base
  base=$(docker import "$1")
  docker build --tag "$IMAGE" --build-arg "BASE=$base" --build-arg "INPUTS=$key" "$DEV_DIR/mysql"
}

local_inputs() { docker image inspect --format '{{index .Config.Labels "dev.flaskblog.inputs"}}' "$IMAGE" 2>/dev/null; }

key=$(input_hash dev/mysql dev/mysql-image.sh dev/debian.sh)
if found=$(local_inputs); then
  # No label: somebody else's mysql:9.7, in other words the published one.
  [[ -z $found || $found == '<no value>' || $found == "$key" ]] && exit 0
elif "$DEV_DIR/registry.sh" "$IMAGE"; then
  step "Pulled $IMAGE"
  exit 0
fi
require_debootstrap "$IMAGE"
step "Building $IMAGE from Debian packages (about a minute and a half the first time)"
rootfs=$(artefact mysql-rootfs "$(input_hash dev/mysql-image.sh dev/debian.sh)" build_rootfs)
logged mysql-image build_image "$rootfs/rootfs.tar"
