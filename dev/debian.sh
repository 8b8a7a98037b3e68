# shellcheck shell=bash
# Debian root file systems from packages, for the images that are built where no container registry is reachable.
# Sourced by dev/node-image.sh and dev/mysql-image.sh.

# Root, because debootstrap makes device nodes and runs chroot.
require_debootstrap() {
  ((EUID == 0)) || die "No container registry is reachable, and building an image from Debian packages needs root; run this as root or log in to a registry that has $1."
  [[ -x /usr/sbin/debootstrap && -f /usr/share/keyrings/debian-archive-keyring.gpg ]] && return
  have apt-get || die "debootstrap is missing and there is no apt here to install it; install it and try again."
  step "Installing debootstrap"
  logged apt-debootstrap install_debootstrap
}

install_debootstrap() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap debian-archive-keyring
}

# The mirror that this machine's own apt uses for Debian; a sandbox may reach no other.
debian_mirror() {
  local mirror
  # shellcheck disable=SC2016 # apt's own variables
  mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 2>/dev/null |
    awk '$1 ~ /debian\/?$/ && $2 !~ /-/ {print $1; exit}')
  printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

bootstrap() { # SUITE DIRECTORY PACKAGE[,PACKAGE…]
  debootstrap --variant=minbase --include="$3" "$1" "$2" "$(debian_mirror)"
  rm -rf "$2"/var/cache/apt/* "$2"/var/lib/apt/lists/* "$2"/var/cache/debconf/*-old "$2"/var/log/*
}

# What no container reads: manuals, translations, package lists. Licences stay.
trim_documentation() { # DIRECTORY
  (
    cd "$1" || exit 1
    find usr/share/doc -type f ! -name copyright -delete
    find usr/share/doc -type l -delete
    find usr/share/doc -depth -type d -empty -delete
    rm -rf usr/share/{man,info,locale,lintian,bash-completion,i18n,gcc,zsh} usr/lib/locale/C.utf8/LC_MESSAGES
  )
}
