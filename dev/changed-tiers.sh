#!/usr/bin/env bash
# Prints the test tiers that changed files can affect. `dev/test.sh --changed` runs them.
# Usage: git diff --name-only BASE | dev/changed-tiers.sh
#
# A file of no known kind affects every tier, so a new folder is never left out.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

ALL='quick api mysql charts logging cluster'

tiers_of() { # PATH
  case $1 in
    docs/logging.md | docs/manifests.md | docs/monitoring.md | docs/docker.md | docs/runbooks/* | README.md) echo quick cluster ;;
    *.md | docs/* | LICENSE | .gitignore | .github/* | xtask/*) echo quick ;;
    blog-app/tests/mysql* | operator/tests/credential_sync/* | operator/tests/panels/*) echo quick mysql ;;
    operator/tests/apiserver/* | operator/tests/late_kinds/*) echo quick api ;;
    blog-app/tests/* | operator/tests/fake_api/* | operator/examples/* | operator/tests/*.rs) echo quick ;;
    blog-app/* | deploy/docker/* | compose.yaml) echo quick mysql cluster ;;
    operator/* | crds/*) echo quick api mysql charts logging cluster ;;
    charts/logging/* | dev/logging/* | dev/logging-check.sh) echo quick charts logging cluster ;;
    charts/*) echo quick charts cluster ;;
    deploy/* | e2e/* | blog.yaml | kind-example-config.yaml) echo quick cluster ;;
    dev/bench* | dev/screenshots.sh | dev/down.sh | dev/faults.sh) echo quick ;;
    *) echo "$ALL" ;;
  esac
}

declare -A affected
while IFS= read -r path; do
  for tier in $(tiers_of "$path"); do affected[$tier]=1; done
done
for tier in $ALL; do
  if [[ -n ${affected[$tier]:-} ]]; then echo "$tier"; fi
done
