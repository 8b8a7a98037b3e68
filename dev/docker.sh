#!/usr/bin/env bash
# Makes sure that a Docker daemon is running.
# Usage: dev/docker.sh
#
# A running daemon is used. As root on a machine with apt (a sandbox, a CI machine), Docker is installed from the distribution
# and started. Other users are prompted first, or the error names what is missing.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

WRAPPER=/usr/local/sbin/flaskblog-runc

docker_answers() { timeout 20 docker info >/dev/null 2>&1; }

# Prompts a user without root permissions; only the part that needs root runs as root.
ask_for_root() {
  local answer
  if ! [[ -t 0 && -t 2 ]] || ! have sudo; then
    die "No Docker daemon answers and installing or starting one needs root; start it (sudo systemctl start docker) and try again."
  fi
  read -r -p "No Docker daemon answers. Start it with sudo, installing it first if it is missing? [y/N] " answer
  [[ $answer == [yY]* ]] || die "Without a Docker daemon there is no cluster; start one and try again."
  # Created by this user before root's part runs: this user could not write to root's directories later.
  mkdir -p "$(cache_dir)"/{logs,locks}
  sudo FLASKBLOG_CACHE="$(cache_dir)" FLASKBLOG_STARTED="$FLASKBLOG_STARTED" "$DEV_DIR/docker.sh"
  docker_answers || die "The daemon runs, but $(id -un) may not use it; add yourself to the group docker, log in again and try again."
}

install_packages() {
  local missing=()
  have dockerd || missing+=(docker.io)
  have containerd || missing+=(containerd)
  have runc || missing+=(runc)
  have iptables || missing+=(iptables)
  have ip || missing+=(iproute2)
  have jq || missing+=(jq)
  ((${#missing[@]})) || return 0
  have apt-get || die "Docker is not installed and this machine has no apt to install it; install Docker and try again."
  step "Installing ${missing[*]}"
  logged apt-docker apt_install "${missing[@]}"
}

lacks_sys_resource() { # bit 24 of the bounding set
  local bounding
  bounding=$(awk '/^CapBnd/ {print $2}' /proc/self/status)
  (((16#$bounding >> 24 & 1) == 0))
}

configure_runtime() {
  local config=/etc/docker/daemon.json merged
  lacks_sys_resource || return 0
  install -m 0755 "$DEV_DIR/runc-without-sys-resource.sh" "$WRAPPER"
  mkdir -p /etc/docker
  [[ -s $config ]] || echo '{}' >"$config"
  merged=$(jq --arg path "$WRAPPER" '.runtimes.flaskblog.path = $path | .["default-runtime"] = "flaskblog"' "$config") ||
    die "$config is not valid JSON; repair it and try again."
  printf '%s\n' "$merged" >"$config"
}

# dockerd refuses to start while the process in its pid file lives, whichever program that is by now.
remove_stale_pid_file() { # FILE PROGRAM
  local pid
  [[ -f $1 ]] || return 0
  pid=$(<"$1")
  [[ $(cat "/proc/${pid:-none}/comm" 2>/dev/null) == "$2" ]] || rm -f "$1"
}

start_daemon() {
  local log attempt
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker || die "systemd could not start Docker; see journalctl -u docker."
    return
  fi
  remove_stale_pid_file /var/run/docker.pid dockerd
  remove_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
  mkdir -p "$(cache_dir)/logs"
  log=$(cache_dir)/logs/dockerd.log
  # Its own session: the daemon outlives this script and a kill of its process group.
  setsid dockerd >>"$log" 2>&1 </dev/null &
  for ((attempt = 0; attempt < 120; attempt++)); do
    docker_answers && return
    sleep 0.5
  done
  tail -n 30 "$log" >&2
  die "dockerd did not answer within a minute; its last lines are above, all of them in $log."
}

ensure_daemon() {
  docker_answers && return # started by the run that held the lock before us
  install_packages
  configure_runtime
  step "Starting the Docker daemon"
  start_daemon
}

if have docker && docker_answers; then exit 0; fi
[[ -z ${DOCKER_HOST:-} ]] || die "No Docker daemon answers at DOCKER_HOST=$DOCKER_HOST; start it or unset the variable."
if ((EUID != 0)); then ask_for_root; exit 0; fi
with_lock docker ensure_daemon
