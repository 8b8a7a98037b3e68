# shellcheck shell=bash
# The base of the node image: Debian 12, because newer suites' systemd doesn't run on cgroup v1. Sourced by node-image.sh;
# a file of its own so that the slow part of that build is keyed by its own content.

PACKAGES=systemd,conntrack,iptables,nftables,iproute2,ethtool,kmod,libseccomp2,pigz,runc,ca-certificates,curl,jq,procps
PACKAGES+=,containernetworking-plugins,busybox-static

build_rootfs() { # DIRECTORY
  local root=$1/rootfs
  bootstrap bookworm "$root" "$PACKAGES"
  trim_documentation "$root"
  ln -s /usr/lib/systemd/systemd "$root/sbin/init"
  install -D -t "$root/opt/cni/bin" "$root"/usr/lib/cni/{host-local,loopback,portmap,ptp}
  rm -rf "$root/usr/lib/cni"
  install -D "$root/usr/sbin/runc" "$root/usr/local/sbin/runc"
  mkdir -p "$root/etc/kubernetes/manifests"
  quiet_systemd "$root"
  kube_proxy_rootfs "$root" "$1/kube-proxy"
  install -D "$root/bin/busybox" "$1/busybox"
  tar --numeric-owner --exclude './dev/*' -C "$root" -cf "$1/rootfs.tar" .
  rm -rf "$root"
}

# A container has no devices, consoles or local file systems to set up.
quiet_systemd() { # ROOT
  local units=$1/lib/systemd/system
  rm -rf "$units"/sysinit.target.wants/systemd-tmpfiles-setup.service "$units"/multi-user.target.wants/* \
    "$1"/etc/systemd/system/*.wants "$units"/local-fs.target.wants/* "$units"/sockets.target.wants/*udev* \
    "$units"/sockets.target.wants/*initctl* "$units"/basic.target.wants/*
  echo ReadKMsg=no >>"$1/etc/systemd/journald.conf"
  ln -s /dev/null "$1/etc/systemd/system/systemd-binfmt.service"
}

# kube-proxy calls iptables: those programs and their plug-ins with the libraries that either loads, not a whole Debian.
kube_proxy_rootfs() { # ROOT DESTINATION
  local plugins=/usr/lib/x86_64-linux-gnu/xtables programs=(/usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi /usr/sbin/nft)
  local file link
  mkdir -p "$2$plugins"
  cp -a "$1$plugins/." "$2$plugins/"
  {
    printf '%s\n' "${programs[@]}"
    # shellcheck disable=SC2016 # expanded by the shell in the chroot
    chroot "$1" sh -c 'ldd "$@" "$0"/*.so' "$plugins" "${programs[@]}" | sed -n 's#^\t\(.* => \)\{0,1\}\(/[^ ]*\) (.*#\2#p'
  } | sort -u | while read -r file; do
    install -D "$1/$(chroot "$1" realpath "$file")" "$2/$file"
  done
  for link in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$2/usr/sbin/$link"
  done
}
