#!/usr/bin/env bash
# Prints the path of axe-core, an accessibility checker, for the browser tests.
# Usage: dev/axe.sh
#
# Fetched once from the npm registry, at a fixed version, and kept in the cache; it is one file of JavaScript.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

VERSION=4.14.1

[[ -d $(cache_dir)/artefacts/axe/$VERSION ]] || require_npm "axe-core for the browser tests"
printf '%s/axe.min.js\n' "$(artefact axe "$VERSION" npm_files "axe-core@$VERSION" package/axe.min.js)"
