#!/usr/bin/env bash
# Says whether a container registry is reachable, and pulls an image if one is.
# Usage: dev/registry.sh [IMAGE]         exit code 0: reachable, and Docker has the image
#
# The answer "not reachable" is remembered for fifteen minutes, so that one run of `make up` waits for a timeout once.
# FLASKBLOG_REGISTRY=no skips the question: everything is then built locally.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

unreachable=$(cache_dir)/registry-unreachable

# A pull of a tag that surely doesn't exist answers fast where a registry is reachable ("not found"); where none is, it
# ends with a network error or not at all.
reachable() {
  local answer
  [[ -z $(find "$unreachable" -mmin -15 2>/dev/null) ]] || return 1
  answer=$(timeout 15 docker pull --quiet kindest/node:flaskblog-probe 2>&1) || true
  case $answer in
    *"not found"* | *"manifest unknown"* | *denied* | *toomanyrequests*) return 0 ;;
  esac
  touch "$unreachable"
  step "No container registry answers, so images are built on this machine"
  return 1
}

[[ ${FLASKBLOG_REGISTRY:-} != no ]] || exit 1
reachable || exit 1
if (($# == 0)) || docker image inspect "$1" >/dev/null 2>&1; then exit 0; fi
step "Pulling $1"
mkdir -p "$(cache_dir)/logs"
timeout 900 docker pull --quiet "$1" >"$(cache_dir)/logs/pull.log" 2>&1
