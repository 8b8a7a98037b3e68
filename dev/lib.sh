# shellcheck shell=bash
# Helpers that every script in dev/ sources: steps with elapsed time, error messages, the cache, locks.
#
# Two rules keep the scripts composable:
#   * stdout carries only results (a path, a URL), so messages for users go to stderr;
#   * a build is kept under a hash of its inputs and appears there by one rename. An interrupted build therefore leaves
#     nothing that appears complete, and a warm run only compares names.
# `set -e` has no effect inside a function that is called as a condition (`if f`, `f || …`). So never call `logged`,
# `with_lock` or `artefact` as a condition.
set -euo pipefail

DEV_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by the scripts that source this file
ROOT_DIR=$(dirname "$DEV_DIR")
# Scripts call each other; the first one sets the clock that all of them print.
export FLASKBLOG_STARTED=${FLASKBLOG_STARTED:-$(date +%s)}

# The header comment of a script is its help text. Prints it for --help and exits.
help_if_asked() {
  local arg
  for arg in "$@"; do
    case $arg in
      -h | --help) awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; exit 0 ;;
    esac
  done
}

colour() { # CODE TEXT
  if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then printf '\033[%sm%s\033[0m' "$1" "$2"; else printf '%s' "$2"; fi
}

step() {
  local elapsed=$(($(date +%s) - FLASKBLOG_STARTED))
  printf '%s %s\n' "$(colour 2 "$(printf '[%2d:%02d]' $((elapsed / 60)) $((elapsed % 60)))")" "$*" >&2
}

# Prints one sentence: what failed and the remedy.
die() {
  printf '%s %s\n' "$(colour '1;31' 'error:')" "$*" >&2
  exit 1
}

require_programs() {
  local program
  for program in flock sha256sum timeout awk curl; do
    have "$program" || die "The program $program is missing; these scripts need Linux with its usual tools (util-linux, coreutils, curl)."
  done
}

have() { command -v "$1" >/dev/null 2>&1; }

at_least() { # VERSION MINIMUM
  [[ -n $1 && $(printf '%s\n' "$2" "${1#v}" | sort -V | head -n 1) == "$2" ]]
}

# Needs root, on a machine with apt.
apt_install() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# Fetches files of an npm package, without their folders. It is the builder of an artefact, after require_npm.
npm_files() { # PACKAGE@VERSION FILE… DIRECTORY
  cd "${*: -1}"
  npm pack --silent "$1"
  tar -xzf ./*.tgz --transform='s|.*/||' "${@:2:$#-2}"
  rm ./*.tgz
}

require_npm() { # WHAT-FOR
  have npm && return
  ((EUID == 0)) && have apt-get || die "npm is needed to fetch $1; install it and try again."
  step "Installing npm"
  logged apt-npm apt_install npm
}

# Rust builds the images and the tests; the minimum version is that of Cargo.toml.
require_rust() {
  local oldest found
  oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT_DIR/Cargo.toml")
  have cargo && have rustc || die "Rust is missing; install it (https://rustup.rs) and try again."
  found=$(rustc --version | awk '{print $2}')
  at_least "$found" "$oldest" || die "This machine's Rust $found is too old, $oldest or newer is needed; run rustup update (https://rustup.rs) and try again."
}

# Cargo identifies packages by their path in the workspace. In a directory that several clones share it uses another clone's
# build if that is newer than the sources. So such builds are deleted first.
use_cargo_target() { # exports CARGO_TARGET_DIR
  local marker
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(cache_dir)/cargo-target}
  marker=$CARGO_TARGET_DIR/clone
  if [[ -f $marker && $(<"$marker") == "$ROOT_DIR" ]]; then return; fi
  mkdir -p "$CARGO_TARGET_DIR"
  find "$CARGO_TARGET_DIR" -maxdepth 4 -type d -path '*/.fingerprint/*' -prune \
    \( -name 'operator-*' -o -name 'blog-app-*' -o -name 'flaskblog-api-*' -o -name 'e2e-*' -o -name 'xtask-*' \) -exec rm -rf {} +
  printf '%s\n' "$ROOT_DIR" >"$marker"
}

cache_dir() {
  local dir=${FLASKBLOG_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flaskblog}
  mkdir -p "$dir"
  printf '%s\n' "$dir"
}

# The files below a path, each followed by a zero byte; in a copy without git's folder all of them.
tracked_files() { # PATH
  if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard -- "$1" | while IFS= read -rd '' file; do
      [[ ! -f $file ]] || printf '%s\0' "$file"
    done
  else
    find "$1" -type f -print0
  fi
}

# Hash of the contents and names of files and directories. Names are relative to the project, so every clone has the same hash.
# Files that git ignores don't count.
input_hash() {
  (
    cd "$ROOT_DIR"
    local path
    for path in "$@"; do
      path=${path#"$ROOT_DIR"/}
      [[ -e $path ]] || die "$path is missing, so the build can't start; restore it with git."
      tracked_files "$path"
    done | LC_ALL=C sort -zu | xargs -0 sha256sum | sha256sum | cut -c1-12
  )
}

# logged NAME COMMAND…: writes output to a log file; prints the end of it if the command fails.
logged() {
  local name=$1 log status=0
  shift
  mkdir -p "$(cache_dir)/logs"
  log=$(cache_dir)/logs/$name.log
  set +e
  (set -e; "$@") >"$log" 2>&1 </dev/null
  status=$?
  set -e
  ((status == 0)) && return
  tail -n 30 "$log" >&2
  die "$name failed (exit code $status); its last lines are above, all of them in $log."
}

# with_lock NAME COMMAND…: runs one at a time on this machine. The descriptor is closed for the command, so that a daemon
# which it starts doesn't hold the lock without end.
with_lock() {
  local name=$1 file
  shift
  mkdir -p "$(cache_dir)/locks"
  file=$(cache_dir)/locks/$name
  (
    flock -n 9 || {
      step "Waiting for another run to finish with: $name"
      flock -w 3600 9 || die "Another run has held the lock $file for an hour; end it and try again."
    }
    "$@" 9>&-
  ) 9>"$file"
}

# artefact NAME KEY BUILDER…: prints the directory with NAME as built from KEY. `BUILDER… DIRECTORY` fills an empty
# directory; it is called only if the directory for that key doesn't exist.
artefact() {
  local name=$1 key=$2 dest
  shift 2
  dest=$(cache_dir)/artefacts/$name/$key
  if [[ ! -d $dest ]]; then with_lock "$name" build_artefact "$name" "$dest" "$@"; fi
  printf '%s\n' "$dest"
}

build_artefact() { # NAME DEST BUILDER…
  local name=$1 dest=$2 parent
  shift 2
  [[ -d $dest ]] && return # built by the run that held the lock before us
  parent=$(dirname "$dest")
  mkdir -p "$parent"
  rm -rf "$parent"/.unfinished.*
  local tmp
  tmp=$(mktemp -d "$parent/.unfinished.XXXXXX")
  logged "$name" "$@" "$tmp"
  mv -T "$tmp" "$dest"
}

require_programs

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first free port of a hundred. Start below the range of the kernel's outgoing connections: one of these may hold a port
# without listening on it.
free_port() { # FROM WHAT
  local port
  for ((port = $1; port < $1 + 100; port++)); do
    port_in_use "$port" || { echo "$port"; return; }
  done
  die "No free port from $1 on for $2; end what holds them and try again."
}

PASSED=0
# Prints one line per check; the script ends with their number in $PASSED.
passed() {
  PASSED=$((PASSED + 1))
  echo "ok  $*"
}
