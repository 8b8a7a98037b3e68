#!/usr/bin/env bash
# Prints the path of axe-core, the checker of accessibility, for the browser tests.
# Usage: dev/axe.sh
#
# Taken once from the npm registry, at a fixed version, and kept in the cache; it is one file of JavaScript.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

VERSION=4.14.1

fetch_axe() { # DIRECTORY
  cd "$1"
  npm pack --silent "axe-core@$VERSION"
  tar -xzf "axe-core-$VERSION.tgz" --strip-components=1 package/axe.min.js
  rm "axe-core-$VERSION.tgz"
}

if [[ ! -d $(cache_dir)/artefacts/axe/$VERSION ]] && ! have npm; then
  ((EUID == 0)) && have apt-get || die "npm is needed to fetch axe-core for the browser tests; install it and try again."
  step "Installing npm"
  logged apt-npm apt_install npm
fi
printf '%s/axe.min.js\n' "$(artefact axe "$VERSION" fetch_axe)"
