#!/usr/bin/env bash
# Runs fluentd's configuration of charts/logging on real log files, with pods on a real API server, and checks what arrives.
# Run it as: dev/apiserver.sh dev/logging-check.sh
# Usage: dev/logging-check.sh
#
# The lines are those of this project's own programs and of MySQL, in files as containerd writes them. They are sent to a search
# server with Elasticsearch's bulk protocol (VictoriaLogs, built by dev/tools.sh). Then they are sent to one that stores them as
# Elasticsearch does (OpenSearch, fetched by dev/opensearch.sh). FLUENTD selects a fluentd with the chart's plugins, else one on
# PATH is used. Without either, dev/logging/fluentd.rb interprets the same configuration.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$DEV_DIR/logging/parts.sh"
. "$DEV_DIR/logging/setup.sh"
. "$DEV_DIR/logging/engine.sh"
help_if_asked "$@"
[[ -n ${API_TEST_KUBECONFIG:-} ]] || die "API_TEST_KUBECONFIG is not set: run dev/apiserver.sh dev/logging-check.sh."
for program in jq ruby; do have "$program" || die "$program is missing; install it and try again."; done

BIN=$("$DEV_DIR/tools.sh" kubectl helm victoria-logs)
WORK=$(mktemp -d)
LOGS=$WORK/var/log/containers
TIME='."@timestamp" | sub("0*[+]00:00$"; "Z")'
declare -A PID=()
trap finish EXIT
mkdir -p "$LOGS" "$WORK/state"

check_blog() {
  local line document time
  find_one 'request_id:="check-1"'
  document=$FOUND
  line=$(grep check-1 "$WORK/blog.log")
  equal "$document" .method GET && equal "$document" .route / && equal "$document" .status 200 && equal "$document" .level INFO
  equal "$document" .source blog && equal "$document" .flaskblog diary && equal "$document" '."kubernetes.namespace_name"' press
  equal "$document" '."kubernetes.pod_name"' diary-1 && equal "$document" '."kubernetes.container_name"' blog
  equal "$document" '."kubernetes.host"' node-1 && equal "$document" .message request
  passed "a blog's request is found by its id, with method, route, status, level, namespace, pod and FlaskBlog"
  time=$(jq -r .timestamp <<<"$line")
  equal "$document" "$TIME" "$(jq -r '.timestamp | sub("0*Z$"; "Z")' <<<"$line")"
  passed "its time is the line's own, $time, not that of the file"
}

check_operator() {
  find_some "source:=operator message:=starting" 1
  equal "$(head -n 1 <<<"$FOUND")" '."kubernetes.namespace_name"' flaskblog-system
  find_some "source:=operator flaskblog:=diary span.object.ref:*" 1
  equal "$(head -n 1 <<<"$FOUND")" .flaskblog diary
  passed "the operator's lines have fields, and the name of the FlaskBlog that they are about"
}

check_mysql() {
  find_one 'source:=mysql code:="MY-010931"'
  equal "$FOUND" .level INFO && equal "$FOUND" .subsystem Server && equal "$FOUND" .flaskblog diary
  jq -e '.message | contains("ready for connections")' <<<"$FOUND" >/dev/null || die "MySQL's text is missing in $FOUND"
  equal "$FOUND" "$TIME" "$(grep -F MY-010931 "$WORK/mysql.log" | tail -n 1 | cut -d' ' -f1 | sed 's/0*Z$/Z/')"
  find_some 'source:=mysql level:=WARN code:*' 1
  find_some 'source:=mysql subsystem:=Entrypoint level:=INFO' 1
  passed "MySQL's lines have time, level, code, part and text: $(count 'source:=mysql code:*') of them, and those of its image's start"
}

check_unusual_lines() {
  find_one 'message:="not JSON: {"'
  equal "$FOUND" .source blog && equal "$FOUND" .flaskblog diary
  passed "a line that isn't JSON is kept as text"
  find_one 'message:="{\"never closed"'
  find_one 'message:="[]"'
  find_one 'message:="42"'
  find_one 'message:~"^no UTF-8: "'
  passed "one that only begins like JSON is, too, and so are a list, a number and what isn't UTF-8"
  find_one 'message:="without a time"'
  equal "$FOUND" .level INFO
  passed "a line whose time can't be read has the time of the file"
  find_one 'request_id:="long-1"'
  equal "$FOUND" '.error | length' 40000
  passed "a line that the runtime cut into parts is one record again"
  find_one 'request_id:="after-the-huge-one"'
  (($(query 'message:~"^(huge|u{100})"' | jq -s 'map(.message | length) | add') == 3000003)) || die "The huge line didn't arrive whole, in pieces."
  passed "a line of 3 MB arrives in pieces and holds up nothing"
  find_one 'message:="broken by the runtime"'
  passed "a line that isn't in the runtime's format is kept as text"
}

check_whose() {
  find_one 'message:="who am I"'
  equal "$FOUND" .source unknown
  passed "lines of a pod that the API server doesn't know are kept"
  (($(count 'message:="another program writes"') == 0)) || die "A line of another program has arrived, though allPods is false."
  passed "lines of other pods aren't"
}

# More than a chunk, while the search server is down and fluentd itself is ended too.
check_away() {
  local number
  stop search
  for ((number = 0; number < 500; number++)); do printf '{"timestamp":"2026-01-01T00:00:00.%06dZ","level":"INFO","message":"away","request_id":"away-%d"}\n' "$number" "$number"; done |
    cri stderr >>"$LOGS/$BLOG_FILE"
  within 30 read_whole "$BLOG_FILE" || die "fluentd doesn't read while the search server is away; its log is $WORK/fluentd.log."
  sleep 3
  stop fluentd
  start_fluentd
  sleep 2
  start_search
  within 60 found_exactly 500 'message:=away' || die "$(count 'message:=away') of 500 lines arrived after the search server was away."
  passed "of 500 lines written while the search server was away and fluentd was ended, 500 arrive, each once"
  (($(count 'request_id:="check-1"') == 1)) || die "Lines from before were sent twice."
  passed "what had arrived before isn't sent again"
}

check_all_pods() {
  stop fluentd
  rm -rf "$WORK/state"
  mkdir "$WORK/state"
  start_fluentd --set fluentd.allPods=true
  find_one 'message:="{\"level\":\"loud\",\"status\":\"fine\"}"'
  equal "$FOUND" .source other && equal "$FOUND" .level null && equal "$FOUND" '."kubernetes.pod_name"' stranger-1
  passed "with allPods other pods' lines are kept too, unparsed"
}

write_api_objects
write_lines
start_search
start_fluentd
check_blog
check_operator
check_mysql
check_unusual_lines
check_whose
check_fields
check_away
check_all_pods
check_engine
check_setup
echo "$PASSED passed, 0 failed"
