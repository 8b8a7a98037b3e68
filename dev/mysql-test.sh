#!/usr/bin/env bash
# A temporary MySQL for tests: data in memory, on a port of this machine's loopback only.
# Usage: dev/mysql-test.sh start   starts it if it doesn't run, waits until it accepts connections, prints its URL
#        dev/mysql-test.sh ca      prints the certificate (PEM) of the CA that has issued its own
#        dev/mysql-test.sh stop    removes it with all its data
#
# `start` prints only mysql://root:PASSWORD@127.0.0.1:PORT on stdout (no database: each test creates its own).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

NAME=flaskblog-test-mysql

# The password stays the same for the life of the container; only its owner can read it.
new_password() {
  (umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$PASSWORD_FILE")
}

# Docker reads the password from this script's environment, so it is on no command line. Durability is switched off, since the
# data is in memory anyway. It uses the machine's own loopback, since Docker's proxy for published ports takes as much CPU
# time as a small query.
run_container() {
  local port
  new_password
  port=$(free_port 23306 "the test database")
  echo "$port" >"$PORT_FILE"
  MYSQL_ROOT_PASSWORD=$(<"$PASSWORD_FILE") docker run --detach --name "$NAME" --env MYSQL_ROOT_PASSWORD --network host \
    --tmpfs /var/lib/mysql:rw,size=2g,uid=999,gid=999,mode=0700 mysql:9.7 --port="$port" --bind-address=127.0.0.1 --mysqlx=OFF \
    --innodb-flush-log-at-trx-commit=0 --sync-binlog=0 --skip-log-bin --max-connections=500
}

client() { # runs in the container; the password is in that container's environment
  docker exec --env "PORT=$(<"$PORT_FILE")" "$NAME" bash -c \
    'MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --protocol=tcp -h127.0.0.1 -P$PORT -uroot -e "SELECT 1"' >/dev/null 2>&1
}

wait_until_ready() {
  local attempt
  for ((attempt = 0; attempt < 300; attempt++)); do
    if client; then return; fi
    [[ $(docker inspect --format '{{.State.Running}}' "$NAME") == true ]] || break
    sleep 0.2
  done
  docker logs --tail 30 "$NAME" >&2
  die "The test database did not come up; its log is above (docker logs $NAME)."
}

start() {
  "$DEV_DIR/docker.sh"
  "$DEV_DIR/mysql-image.sh"
  if [[ $(docker inspect --format '{{.State.Running}}' "$NAME" 2>/dev/null) != true || ! -s $PASSWORD_FILE || ! -s $PORT_FILE ]]; then
    docker rm --force --volumes "$NAME" >/dev/null 2>&1 || true # stopped with its daemon: its data was in memory
    step "Starting the test database"
    logged mysql-test run_container
  fi
  wait_until_ready
}

PASSWORD_FILE=$(cache_dir)/test-mysql-password
PORT_FILE=$(cache_dir)/test-mysql-port
case ${1:-} in
  start)
    with_lock mysql-test start
    printf 'mysql://root:%s@127.0.0.1:%s\n' "$(<"$PASSWORD_FILE")" "$(<"$PORT_FILE")"
    ;;
  ca) docker exec "$NAME" cat /var/lib/mysql/ca.pem ;;
  stop)
    if have docker; then docker rm --force --volumes "$NAME" >/dev/null 2>&1 || true; fi
    rm -f "$PASSWORD_FILE" "$PORT_FILE"
    ;;
  *) die "usage: dev/mysql-test.sh start|ca|stop" ;;
esac
