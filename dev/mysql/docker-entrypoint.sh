#!/usr/bin/env bash
# Entrypoint of the stand-in for the official mysql image, written from that image's documented contract:
#   MYSQL_ROOT_PASSWORD | MYSQL_ALLOW_EMPTY_PASSWORD | MYSQL_RANDOM_ROOT_PASSWORD   one is required for an empty data directory
#   MYSQL_ROOT_HOST (%), MYSQL_DATABASE, MYSQL_USER with MYSQL_PASSWORD, MYSQL_ONETIME_PASSWORD, MYSQL_INITDB_SKIP_TZINFO
#   NAME_FILE instead of NAME reads the value from a file (all of the above but the yes/no ones)
#   /docker-entrypoint-initdb.d/*.sh, *.sql, *.sql.gz, *.sql.xz, *.sql.zst run once, in name order; arguments go to mysqld
#
# No password is ever on a command line: statements go through standard input, the client's password through a pipe.
set -euo pipefail
shopt -s nullglob

note() { printf '%s [entrypoint] %s\n' "$(date -u +%FT%TZ)" "$*" >&2; }
fail() {
  note "ERROR: $*"
  exit 1
}

# NAME from NAME_FILE, or as it is, or the default.
from_file() { # NAME [DEFAULT]
  local name=$1 file=$1_FILE value=${2:-}
  [[ -z ${!name:-} || -z ${!file:-} ]] || fail "Both $name and $file are set, but they exclude each other."
  if [[ -n ${!name:-} ]]; then value=${!name}; elif [[ -n ${!file:-} ]]; then value=$(<"${!file}"); fi
  export "$name=$value"
  unset "$file"
}

read_environment() {
  from_file MYSQL_ROOT_HOST '%'
  from_file MYSQL_DATABASE
  from_file MYSQL_USER
  from_file MYSQL_PASSWORD
  from_file MYSQL_ROOT_PASSWORD
}

check_environment() {
  [[ -n $MYSQL_ROOT_PASSWORD || -n ${MYSQL_ALLOW_EMPTY_PASSWORD:-} || -n ${MYSQL_RANDOM_ROOT_PASSWORD:-} ]] ||
    fail "The database is uninitialised and no password option is set: set one of MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD."
  [[ $MYSQL_USER != root ]] || fail 'MYSQL_USER="root" is refused: root exists already, set MYSQL_ROOT_PASSWORD for it.'
  if [[ -n $MYSQL_USER && -z $MYSQL_PASSWORD ]]; then fail "MYSQL_USER is set without MYSQL_PASSWORD, so the user can't be created."; fi
  if [[ -z $MYSQL_USER && -n $MYSQL_PASSWORD ]]; then note "Warning: MYSQL_PASSWORD without MYSQL_USER has no effect."; fi
}

# The value of a setting after configuration files and arguments; this also refuses a broken configuration early.
setting() { # NAME ARGUMENTS…
  local name=$1 output
  shift
  output=$(mysqld "$@" --verbose --help --log-bin-index="$(mktemp -u)" 2>&1) || {
    printf '%s\n' "$output" | grep -E 'ERROR' >&2 || true
    fail "mysqld refuses its configuration."
  }
  awk -v name="$name" '/^-+ -+$/ {table = 1} table && $1 == name {print $2; exit}' <<<"$output"
}

sql_string() { # inside single quotes
  local text=${1//\\/\\\\}
  printf '%s' "${text//\'/\'\'}"
}

sql_name() { printf '%s' "${1//\`/\`\`}"; } # inside backquotes

option_file() { # the root password for a client, as an option file
  local value=${ROOT_PASSWORD_NOW//\\/\\\\}
  printf '[client]\npassword="%s"\n' "${value//\"/\\\"}"
}

client() { mysql --defaults-extra-file=<(option_file) --protocol=socket --socket="$SOCKET" -uroot -hlocalhost --comments "$@"; }

# Called `docker_process_sql` by scripts in initdb.d that are written for the official image.
docker_process_sql() {
  if [[ -n $MYSQL_DATABASE ]]; then set -- --database="$MYSQL_DATABASE" "$@"; fi
  client "$@"
}

start_temporary_server() {
  local attempt
  mysqld "$@" --skip-networking --mysqlx=OFF --socket="$SOCKET" &
  TEMPORARY=$!
  for ((attempt = 0; attempt < 300; attempt++)); do
    mysqladmin --protocol=socket --socket="$SOCKET" -uroot ping >/dev/null 2>&1 && return
    kill -0 "$TEMPORARY" 2>/dev/null || fail "The temporary server ended; its log is above."
    sleep 0.2
  done
  fail "The temporary server did not start within a minute."
}

stop_temporary_server() {
  kill -TERM "$TEMPORARY"
  wait "$TEMPORARY" || fail "The temporary server did not stop cleanly."
}

set_root_password() {
  if [[ -n ${MYSQL_RANDOM_ROOT_PASSWORD:-} ]]; then
    MYSQL_ROOT_PASSWORD=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
    export MYSQL_ROOT_PASSWORD
    note "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
  fi
  local password host
  password=$(sql_string "$MYSQL_ROOT_PASSWORD")
  host=$(sql_string "$MYSQL_ROOT_HOST")
  {
    echo "SET @@SESSION.SQL_LOG_BIN=0; SET @@SESSION.SQL_MODE=REPLACE(@@SESSION.SQL_MODE, 'NO_BACKSLASH_ESCAPES', '');"
    if [[ $MYSQL_ROOT_HOST != localhost ]]; then
      echo "CREATE USER 'root'@'$host' IDENTIFIED BY '$password'; GRANT ALL ON *.* TO 'root'@'$host' WITH GRANT OPTION;"
    fi
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$password'; GRANT ALL ON *.* TO 'root'@'localhost' WITH GRANT OPTION;"
    echo "DROP DATABASE IF EXISTS test;"
  } | client --database=mysql
  ROOT_PASSWORD_NOW=$MYSQL_ROOT_PASSWORD
}

create_database_and_user() {
  local database user
  database=$(sql_name "$MYSQL_DATABASE")
  user=$(sql_string "$MYSQL_USER")
  {
    if [[ -n $MYSQL_DATABASE ]]; then echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"; fi
    if [[ -n $MYSQL_USER ]]; then echo "CREATE USER '$user'@'%' IDENTIFIED BY '$(sql_string "$MYSQL_PASSWORD")';"; fi
    if [[ -n $MYSQL_USER && -n $MYSQL_DATABASE ]]; then
      # _ and % are wildcards in the database name of a GRANT
      database=${database//_/\\_}
      echo "GRANT ALL ON \`${database//%/\\%}\`.* TO '$user'@'%';"
    fi
  } | client --database=mysql
}

run_initdb_scripts() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    note "Running $file"
    # shellcheck disable=SC1090 # scripts that aren't executable are sourced, as in the official image
    case $file in
      *.sh) if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) docker_process_sql <"$file" ;;
      *.sql.gz) gzip -dc "$file" | docker_process_sql ;;
      *.sql.xz) xz -dc "$file" | docker_process_sql ;;
      *.sql.zst) zstd -dc "$file" | docker_process_sql ;;
      *) note "Ignoring $file" ;;
    esac
  done
}

initialise() { # mysqld and its arguments, without the program's name
  check_environment
  note "Initialising the database"
  mysqld "$@" --initialize-insecure --autocommit=1
  ROOT_PASSWORD_NOW=
  start_temporary_server "$@"
  if [[ -z ${MYSQL_INITDB_SKIP_TZINFO:-} ]]; then
    mysql_tzinfo_to_sql /usr/share/zoneinfo 2>/dev/null | client --database=mysql
  fi
  set_root_password
  create_database_and_user
  run_initdb_scripts
  if [[ -n ${MYSQL_ONETIME_PASSWORD:-} ]]; then
    echo "ALTER USER 'root'@'$(sql_string "$MYSQL_ROOT_HOST")' PASSWORD EXPIRE;" | client
  fi
  stop_temporary_server
  note "MySQL init process done. Ready for start up."
}

prepare_as_root() {
  mkdir -p "$DATADIR" "$(dirname "$SOCKET")"
  chown mysql:mysql "$DATADIR" "$(dirname "$SOCKET")"
  find "$DATADIR" ! -user mysql -exec chown mysql:mysql {} +
}

if [[ ${1:-} == -* ]]; then set -- mysqld "$@"; fi
if [[ ${1:-} != mysqld ]]; then exec "$@"; fi
for argument in "$@"; do
  case $argument in --help | -\? | --print-defaults | --version | -V) exec "$@" ;; esac
done
shift
DATADIR=$(setting datadir "$@")
DATADIR=${DATADIR%/}
SOCKET=$(setting socket "$@")
if ((EUID == 0)); then
  prepare_as_root
  exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" mysqld "$@"
fi
read_environment
if [[ ! -d $DATADIR/mysql ]]; then initialise "$@"; fi
exec mysqld "$@"
