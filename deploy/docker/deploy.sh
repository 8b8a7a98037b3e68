#!/usr/bin/env bash
# Deploys a blog with its MySQL by Docker alone: a network, a database, the schema, the blog.
# Usage: deploy/docker/deploy.sh [OPTION…]
#
#   --network NAME        the network, and the name of this deployment (flask-blog)
#   --mysql IMAGE         image of MySQL (mysql:9.7)
#   --blog IMAGE          image of the blog (flaskblog/blog-app:0.1.0); --flask is the same
#   --build               build the blog's image from the sources first
#   --port PORT           port of the blog on this machine (5000)
#   --password-file FILE  root's password for a new database (default: a random one)
#   --prune               remove containers and network; volume and passwords stay, and the next run uses them
#   --prune --data        also remove volume and passwords
#
# Examples:
#   deploy/docker/deploy.sh
#   deploy/docker/deploy.sh --network press --port 8080
#   deploy/docker/deploy.sh --network press --prune
#
# Run it again after a change: it replaces the containers and keeps the data. Passwords are created once, in files that only
# you can reach, in ~/.local/share/flaskblog/NAME. No password is on a command line or in a container's settings.
set -euo pipefail

NETWORK=flask-blog
MYSQL_IMAGE=mysql:9.7
BLOG_IMAGE=flaskblog/blog-app:0.1.0
PORT=5000
PASSWORD_SOURCE=
ACTION=deploy
WITH_DATA=false
BUILD=false
ROOT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LABEL=dev.flaskblog.deployment
STARTED=$SECONDS

say() { printf '[%2d:%02d] %s\n' $(((SECONDS - STARTED) / 60)) $(((SECONDS - STARTED) % 60)) "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

usage() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

wrong() {
  printf 'error: %s\nSee %s --help\n' "$1" "$0" >&2
  exit 2
}

read_options() {
  while (($#)); do
    case $1 in
      -h | --help) usage; exit 0 ;;
      --prune) ACTION=prune ;;
      --data) WITH_DATA=true ;;
      --build) BUILD=true ;;
      --password | --password=*)
        wrong 'a password on a command line is seen by everybody on this machine; write it to a file and name that with --password-file'
        ;;
      --network | --mysql | --blog | --flask | --port | --password-file)
        (($# > 1)) || wrong "$1 needs a value"
        set_option "$1" "$2"
        shift
        ;;
      *) wrong "unknown option $1" ;;
    esac
    shift
  done
  [[ $NETWORK =~ ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$ ]] || wrong "--network takes letters, digits, _, . and -"
  [[ $PORT =~ ^[0-9]+$ ]] && ((PORT > 0 && PORT < 65536)) || wrong '--port takes a number up to 65535'
  [[ $WITH_DATA == false || $ACTION == prune ]] || wrong '--data goes with --prune'
}

set_option() {
  case $1 in
    --network) NETWORK=$2 ;;
    --mysql) MYSQL_IMAGE=$2 ;;
    --blog | --flask) BLOG_IMAGE=$2 ;;
    --port) PORT=$2 ;;
    --password-file) PASSWORD_SOURCE=$2 ;;
  esac
}

exists() { docker "$1" inspect "$2" >/dev/null 2>&1; } # KIND NAME

# Whether the object belongs to this deployment. Nothing else is ever replaced or removed.
ours() { # KIND NAME
  local path=.Labels
  [[ $1 != container ]] || path=.Config.Labels
  [[ $(docker "$1" inspect --format "{{index $path \"$LABEL\"}}" "$2") == "$NETWORK" ]]
}

check_free() { # KIND NAME
  ! exists "$1" "$2" || ours "$1" "$2" ||
    die "The $1 $2 exists but this deployment didn't make it; remove or rename it, or choose another --network."
}

random() { LC_ALL=C tr -dc A-Za-z0-9 < <(head -c 4096 /dev/urandom) | head -c 40; }

# The files are readable by all, since the programs in the containers have their own users. The directory above them is
# accessible only to its owner.
make_secrets() {
  local name
  if exists volume "$VOLUME" && [[ ! -s $SECRETS/root-password ]]; then
    die "The volume $VOLUME exists, but its passwords aren't in $SECRETS; restore them, or delete the data with --prune --data."
  fi
  install -d -m 0700 "$SECRETS"
  for name in root-password password session-key; do
    [[ -s $SECRETS/$name ]] || random >"$SECRETS/$name"
    chmod 0644 "$SECRETS/$name"
  done
  if [[ -n $PASSWORD_SOURCE ]] && ! exists volume "$VOLUME"; then
    [[ -s $PASSWORD_SOURCE ]] || die "The file $PASSWORD_SOURCE is empty."
    cat "$PASSWORD_SOURCE" >"$SECRETS/root-password"
  fi
}

secret() { printf 'type=bind,source=%s,target=/run/secrets/%s,readonly' "$SECRETS/$1" "$1"; }

run_mysql() {
  docker run --detach --name "$MYSQL" --label "$LABEL=$NETWORK" --network "$NETWORK" --restart unless-stopped \
    --mount "type=volume,source=$VOLUME,target=/var/lib/mysql" \
    --mount "$(secret root-password)" --mount "$(secret password)" \
    --env MYSQL_ROOT_PASSWORD_FILE=/run/secrets/root-password --env MYSQL_ROOT_HOST=localhost --env MYSQL_DATABASE=flaskr \
    --env MYSQL_USER=flaskr --env MYSQL_PASSWORD_FILE=/run/secrets/password \
    --health-cmd 'mysqladmin ping --protocol=tcp --host=127.0.0.1 --user=probe --silent' --health-interval 2s \
    --health-start-period 120s --health-retries 3 "$MYSQL_IMAGE" >/dev/null
}

blog() { # docker run OPTION… -- COMMAND
  local options=()
  while [[ $1 != -- ]]; do options+=("$1"); shift; done
  shift
  docker run --label "$LABEL=$NETWORK" --network "$NETWORK" --read-only --cap-drop ALL --security-opt no-new-privileges \
    --mount "$(secret password)" --mount "$(secret session-key)" \
    --env "BLOG_DATABASE_HOST=$MYSQL" --env BLOG_DATABASE_NAME=flaskr --env BLOG_DATABASE_USER=flaskr \
    --env BLOG_DATABASE_PASSWORD_FILE=/run/secrets/password --env BLOG_SESSION_KEY_FILE=/run/secrets/session-key \
    "${options[@]}" "$BLOG_IMAGE" "$@"
}

wait_healthy() { # CONTAINER
  local attempt state
  for ((attempt = 0; attempt < 600; attempt++)); do
    state=$(docker inspect --format '{{.State.Status}} {{.State.Health.Status}}' "$1" 2>/dev/null || true)
    [[ $state != 'running healthy' ]] || return 0
    [[ $state != exited* && $state != dead* ]] || break
    sleep 0.3
  done
  docker logs --tail 20 "$1" >&2 || true
  die "$1 did not become healthy; the end of its log is above."
}

# Only containers of this deployment, with a clean shutdown, so that MySQL starts without a recovery.
remove() { # CONTAINER
  if exists container "$1" && ours container "$1"; then
    docker stop --time 60 "$1" >/dev/null
    docker rm --force "$1" >/dev/null
  fi
}

deploy() {
  if $BUILD; then
    say "Building $BLOG_IMAGE"
    docker build --file "$ROOT_DIR/blog-app/Dockerfile" --tag "$BLOG_IMAGE" "$ROOT_DIR" >&2
  fi
  check_free network "$NETWORK"
  check_free volume "$VOLUME"
  make_secrets
  if ! exists network "$NETWORK"; then docker network create --label "$LABEL=$NETWORK" "$NETWORK" >/dev/null; fi
  if ! exists volume "$VOLUME"; then docker volume create --label "$LABEL=$NETWORK" "$VOLUME" >/dev/null; fi
  say "Starting MySQL ($MYSQL)"
  check_free container "$MYSQL"
  remove "$MYSQL"
  run_mysql
  wait_healthy "$MYSQL"
  say "Migrating the schema"
  blog --rm -- migrate
  say "Starting the blog ($BLOG)"
  check_free container "$BLOG"
  remove "$BLOG"
  blog --detach --name "$BLOG" --restart unless-stopped --publish "$PORT:5000" -- serve >/dev/null
  wait_healthy "$BLOG"
  say "The blog is on http://localhost:$PORT"
}

prune() {
  remove "$BLOG"
  remove "$MYSQL"
  if exists network "$NETWORK" && ours network "$NETWORK"; then docker network rm "$NETWORK" >/dev/null; fi
  if ! $WITH_DATA; then
    say "Removed containers and network; the data is in the volume $VOLUME, the passwords in $SECRETS"
    return
  fi
  if exists volume "$VOLUME" && ours volume "$VOLUME"; then docker volume rm "$VOLUME" >/dev/null; fi
  rm -rf "${SECRETS:?}"
  say "Removed containers, network, data and passwords"
}

read_options "$@"
command -v docker >/dev/null || die "This needs Docker (https://docs.docker.com/engine/install)."
docker info >/dev/null 2>&1 || die "No Docker daemon answers; start it and try again."
# The original's names, for the deployment with the original's name.
MYSQL=mysql-flaskr
BLOG=flask-app
VOLUME=mysql-data
if [[ $NETWORK != flask-blog ]]; then MYSQL=$NETWORK-mysql BLOG=$NETWORK-blog VOLUME=$NETWORK-mysql-data; fi
SECRETS=${XDG_DATA_HOME:-$HOME/.local/share}/flaskblog/$NETWORK
"$ACTION"
