#!/usr/bin/env bash
# An OCI runtime for sandboxes whose bounding set lacks CAP_SYS_RESOURCE. There runc can't grant that capability, so every
# privileged container (kind's nodes are privileged) fails with "unable to apply caps: operation not permitted". This
# wrapper removes the capability from the request of the container or the exec, then becomes runc.
# dev/docker.sh installs it, only if the capability is missing.
set -euo pipefail

strip() { # FILE JQ-PATH
  [[ -f $1 ]] || return 0
  local tmp
  tmp=$(mktemp "$1.XXXXXX")
  jq -c "if $2 then $2 |= map_values(map(select(. != \"CAP_SYS_RESOURCE\"))) else . end" "$1" >"$tmp"
  cat "$tmp" >"$1" # keeps the file's owner and mode
  rm -f "$tmp"
}

previous=
for arg in "$@"; do
  case $previous in
    --bundle | -b) strip "$arg/config.json" .process.capabilities ;;
    --process | -p) strip "$arg" .capabilities ;;
  esac
  case $arg in
    --bundle=*) strip "${arg#*=}/config.json" .process.capabilities ;;
    --process=*) strip "${arg#*=}" .capabilities ;;
  esac
  previous=$arg
done
exec runc "$@"
