#!/usr/bin/env bash
# Checks whether a container registry is reachable, and pulls an image from it.
# Usage: dev/registry.sh [IMAGE]         exit code 0: reachable, and Docker has the image
#
# The result "not reachable" is cached for fifteen minutes, so that one run of `make up` waits for a timeout once.
# FLASKBLOG_REGISTRY=no skips the check: everything is then built locally.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

unreachable=$(cache_dir)/registry-unreachable

# Pulling a nonexistent tag returns fast if a registry is reachable ("not found"). Otherwise it ends with a network error, or
# not at all.
reachable() {
  local answer
  [[ -z $(find "$unreachable" -mmin -15 2>/dev/null) ]] || return 1
  answer=$(timeout 15 docker pull --quiet kindest/node:flaskblog-probe 2>&1) || true
  case $answer in
    *"not found"* | *"manifest unknown"* | *denied* | *toomanyrequests*) return 0 ;;
  esac
  touch "$unreachable"
  step "No container registry is reachable, so images are built on this machine"
  return 1
}

[[ ${FLASKBLOG_REGISTRY:-} != no ]] || exit 1
reachable || exit 1
if (($# == 0)) || docker image inspect "$1" >/dev/null 2>&1; then exit 0; fi
step "Pulling $1"
mkdir -p "$(cache_dir)/logs"
timeout 900 docker pull --quiet "$1" >"$(cache_dir)/logs/pull.log" 2>&1
