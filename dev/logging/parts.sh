# shellcheck shell=bash disable=SC2153 # dev/logging-check.sh sources this and sets the names in capitals
# Parts of dev/logging-check.sh: log files, the programs around fluentd, and queries to the search server.

k() { "$BIN/kubectl" --kubeconfig "$API_TEST_KUBECONFIG" "$@"; }

stop() { # NAME
  if [[ -n ${PID[$1]:-} ]]; then
    kill "${PID[$1]}" 2>/dev/null || true
    wait "${PID[$1]}" 2>/dev/null || true
    unset "PID[$1]"
  fi
}

finish() {
  local name
  for name in "${!PID[@]}"; do stop "$name"; done
  if have docker; then docker rm --force --volumes "flaskblog-logging-$$" >/dev/null 2>&1 || true; fi
  rm -rf "$WORK"
}

within() { # SECONDS COMMAND…
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.3
  done
}

# ---- log files

# As containerd writes them: lines of more than 16 KiB in parts.
cri() { # STREAM
  TZ=UTC ruby -e '
    STDIN.binmode.each_line(chomp: true) do |line|
      parts = line.empty? ? [""] : line.scan(/.{1,16384}/mn)
      parts.each_with_index do |part, index|
        puts [Time.now.utc.strftime("%FT%T.%NZ"), ARGV[0], index + 1 == parts.size ? "F" : "P", part].join(" ")
      end
    end' "$1"
}

# The kubelet's name for the log of a container.
file_of() { # NAMESPACE POD CONTAINER
  printf '%s_%s_%s-%s.log\n' "$2" "$1" "$3" "$(sha256sum <<<"$1/$2/$3" | cut -c1-64)"
}

# The pods have no node, so nothing runs; their labels are those that the operator sets.
write_api_objects() {
  step "Creating pods"
  local rendered=$WORK/rendered.yaml
  printf 'apiVersion: flaskblog.dev/v1alpha1\nkind: FlaskBlog\nmetadata: {name: diary, namespace: press}\nspec: {}\n' >"$WORK/blog.yaml"
  build_programs
  "$TARGET/operator" render --filename "$WORK/blog.yaml" >"$rendered"
  k apply --server-side --filename "$ROOT_DIR/crds/" >/dev/null
  k wait --for=condition=Established crd/flaskblogs.flaskblog.dev --timeout=30s >/dev/null
  local namespace
  for namespace in press flaskblog-system; do k create namespace "$namespace" >/dev/null; done
  k create --dry-run=client --output json --filename "$rendered" | jq -s '[.[] | if .kind == "List" then .items[] else . end]' >"$WORK/rendered.json"
  pod press diary-1 blog "$(labels_of Deployment)"
  pod press diary-mysql-0 mysql "$(labels_of StatefulSet)" credential-sync
  pod press stranger-1 web '{"app": "stranger"}'
  pod flaskblog-system operator-1 operator "$("$BIN/helm" template operator "$ROOT_DIR/charts/operator" --show-only templates/deployment.yaml |
    k create --dry-run=client --output json --filename - | jq -c .spec.template.metadata.labels)"
  mkdir "$WORK/account"
  jq -n -r --argjson config "$(k config view --raw --output json)" '$config.users[0].user.token' >"$WORK/account/token"
  API_SERVER=$(k config view --output 'jsonpath={.clusters[0].cluster.server}')
  openssl s_client -showcerts -connect "${API_SERVER#https://}" </dev/null 2>/dev/null | sed -n '/BEGIN/,/END/p' >"$WORK/account/ca.crt"
}

build_programs() {
  step "Building the blog and the operator"
  (cd "$ROOT_DIR" && cargo build --quiet --package blog-app --package operator)
  TARGET=${CARGO_TARGET_DIR:-$ROOT_DIR/target}/debug
}

labels_of() { # KIND
  jq -c --arg kind "$1" '.[] | select(.kind == $kind) | .spec.template.metadata.labels' "$WORK/rendered.json"
}

pod() { # NAMESPACE NAME CONTAINER LABELS [CONTAINER]
  jq -n --arg namespace "$1" --arg name "$2" --arg container "$3" --argjson labels "$4" --arg second "${5:-}" '
    {apiVersion: "v1", kind: "Pod", metadata: {namespace: $namespace, name: $name, labels: $labels},
     spec: {nodeName: "node-1", containers: [$container, $second | select(. != "") | {name: ., image: "example:1"}]}}' |
    k create --filename - >/dev/null
  # As a kubelet would report it.
  k patch --namespace "$1" pod "$2" --subresource status --type merge --patch "$(jq -n --arg name "$3" '
    {status: {phase: "Running", podIP: "10.244.0.7", containerStatuses: [{name: $name, image: "example:1", imageID: "sha256:1",
     containerID: "containerd://1", ready: true, restartCount: 0}]}}')" >/dev/null
}

write_lines() {
  step "Writing log files with real lines"
  BLOG_FILE=$(file_of press diary-1 blog)
  blog_lines
  operator_lines
  mysql_lines
  local huge
  {
    cat "$WORK/blog.log"
    printf '%s\n' 'not JSON: {' '{"never closed' '[]' '42'
    printf '{"timestamp":"the day before yesterday","level":"INFO","message":"without a time"}\n'
    printf 'no UTF-8: \377\n'
    jq -n -c '{timestamp: "2026-01-01T00:00:00.5Z", level: "ERROR", message: "request", request_id: "long-1", error: ("x" * 40000)}'
    printf 'h%s\n' "$(head -c 3000000 /dev/zero | tr '\0' u | sed 's/^u/uge/')"
    printf '{"timestamp":"2026-01-01T00:00:01Z","level":"INFO","message":"request","request_id":"after-the-huge-one"}\n'
    printf '{"timestamp":"2026-01-01T00:00:03Z","level":"WARN","message":"request","request_id":"odd-1","since":"2026-01-01","status":"fine","client":"nobody","latency_ms":"long"}\n'
    printf '{"timestamp":"2026-01-01T00:00:04.000000002Z","level":"ERROR","message":"request","request_id":"failed-1","status":503,"client":"10.1.2.3","latency_ms":2.5}\n'
  } | cri stderr >"$LOGS/$BLOG_FILE"
  printf 'broken by the runtime\n' >>"$LOGS/$BLOG_FILE"
  cri stderr <"$WORK/operator.log" >"$LOGS/$(file_of flaskblog-system operator-1 operator)"
  cri stderr <"$WORK/mysql.log" >"$LOGS/$(file_of press diary-mysql-0 mysql)"
  printf '2026-01-01T00:00:02Z credential-sync: root has its new password\n' | cri stdout >"$LOGS/$(file_of press diary-mysql-0 credential-sync)"
  printf '%s\n' 'another program writes' '{"level":"loud","status":"fine"}' | cri stdout >"$LOGS/$(file_of press stranger-1 web)"
  printf 'who am I\n' | cri stdout >"$LOGS/$(file_of press gone-1 web)"
}

blog_lines() {
  local port admin
  port=$(free_port 15500 "the blog")
  admin=$(free_port $((port + 1)) "the blog")
  BLOG_DRAIN_SECONDS=0 "$TARGET/blog-app" serve --listen "127.0.0.1:$port" --admin-listen "127.0.0.1:$admin" \
    --database-url "sqlite:$WORK/blog.db" 2>"$WORK/blog.log" &
  PID[blog]=$!
  within 20 curl --silent --fail --output /dev/null --header 'x-request-id: check-1' "http://127.0.0.1:$port/" ||
    die "The blog doesn't answer; its log: $(cat "$WORK/blog.log")"
  curl --silent --output /dev/null "http://127.0.0.1:$port/no-such-page"
  curl --silent --output /dev/null --data 'username=a&password=b' "http://127.0.0.1:$port/auth/login"
  stop blog
}

operator_lines() {
  k apply --filename "$WORK/blog.yaml" >/dev/null
  KUBECONFIG=$API_TEST_KUBECONFIG POD_NAMESPACE=flaskblog-system "$TARGET/operator" run --log info,kube_client=warn,operator=debug 2>"$WORK/operator.log" &
  PID[operator]=$!
  within 30 grep -q '"object.ref"' "$WORK/operator.log" || die "The operator logs nothing about its blog: $(cat "$WORK/operator.log")"
  stop operator
}

mysql_lines() {
  "$DEV_DIR/docker.sh"
  "$DEV_DIR/mysql-image.sh"
  docker run --detach --name "flaskblog-logging-$$" --env MYSQL_RANDOM_ROOT_PASSWORD=yes --network none --tmpfs /var/lib/mysql:uid=999,gid=999,mode=0700 \
    mysql:9.7 >/dev/null
  # The temporary server of the first start runs only the image's own script, and reports port 0.
  within 90 mysql_is_ready || die "MySQL didn't come up: $(tail -n 5 "$WORK/mysql.log")"
  # The image's entrypoint prints a random password once; that line isn't mysqld's.
  sed -i '/PASSWORD/d' "$WORK/mysql.log"
  # Only the lines of the second start, so that each code occurs once; before them one as the published image writes it.
  sed -i '1,/mysqld: Shutdown complete/{/mysqld: Shutdown complete/!d}' "$WORK/mysql.log"
  sed -i '1i 2026-01-01 00:00:03+00:00 [Note] [Entrypoint]: MySQL init process done. Ready for start up.' "$WORK/mysql.log"
}

mysql_is_ready() {
  docker logs "flaskblog-logging-$$" >"$WORK/mysql.log" 2>&1
  grep -q 'ready for connections.*port: 3306' "$WORK/mysql.log"
}

# ---- other programs

start_search() {
  SEARCH_PORT=${SEARCH_PORT:-$(free_port 15700 "the search server")}
  "$BIN/victoria-logs" -storageDataPath "$WORK/search" -httpListenAddr "127.0.0.1:$SEARCH_PORT" -retentionPeriod 100y -insert.maxLineSizeBytes 1MiB \
    >>"$WORK/search.log" 2>&1 &
  PID[search]=$!
  within 20 curl --silent --fail --output /dev/null "http://127.0.0.1:$SEARCH_PORT/health" || die "The search server doesn't answer: $(tail "$WORK/search.log")"
}

rendered_configuration() { # [HELM-OPTION…]
  "$BIN/helm" template logging "$ROOT_DIR/charts/logging" --namespace logging --show-only templates/fluentd.yaml \
    --set "fluentd.paths={$LOGS/*.log}" --set "fluentd.stateDirectory=$WORK/state" --set "fluentd.serviceAccountDirectory=$WORK/account" \
    --set elasticsearch.host=127.0.0.1 --set "elasticsearch.port=$SEARCH_PORT" --set elasticsearch.path=/insert/elasticsearch \
    --set fluentd.flushSeconds=1 --set fluentd.retryMaxSeconds=2 "$@" |
    k create --dry-run=client --output json --filename - | jq -r 'select(.kind == "ConfigMap") | .data["fluent.conf"]'
}

start_fluentd() { # [HELM-OPTION…]
  local program=${FLUENTD:-$(command -v fluentd || echo "$DEV_DIR/logging/fluentd.rb")}
  (($# == 0)) && [[ -s $WORK/fluent.conf ]] || rendered_configuration "$@" >"$WORK/fluent.conf"
  [[ ${PROGRAM:-} == "$program" ]] || step "The configuration is run by $(basename "$program") ($("$program" --version))"
  PROGRAM=$program
  KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=${API_SERVER##*:} \
    "$program" --config "$WORK/fluent.conf" >>"$WORK/fluentd.log" 2>&1 &
  PID[fluentd]=$!
}

# in_tail's own record: path, offset and inode, the numbers in hexadecimal.
read_whole() { # FILE
  local offset
  offset=$(awk -v path="$LOGS/$1" '$1 == path {print $2}' "$WORK/state/positions" | tail -n 1)
  [[ -n $offset ]] && ((16#$offset == $(stat --format %s "$LOGS/$1")))
}

# ---- queries

query() { # LOGSQL
  curl --silent --show-error --fail --get --data-urlencode "query=$1" "http://127.0.0.1:$SEARCH_PORT/select/logsql/query" || true
}

count() { query "$1" | wc -l; }

found_exactly() { (($(count "$2") == $1)); } # NUMBER LOGSQL
found_at_least() { (($(count "$2") >= $1)); } # NUMBER LOGSQL

find_some() { # LOGSQL MINIMUM
  within 30 found_at_least "$2" "$1" || { tail -n 20 "$WORK/fluentd.log" >&2; die "Nothing was found by $1; the end of fluentd's log is above."; }
  FOUND=$(query "$1")
}

find_one() { # LOGSQL
  find_some "$1" 1
  [[ $(wc -l <<<"$FOUND") == 1 ]] || die "More than one record was found by $1."
}

equal() { # DOCUMENT JQ-PATH WANTED
  local found
  found=$(jq -r "$2" <<<"$1")
  [[ $found == "$3" ]] || die "$2 is $found instead of $3 in $1"
}
