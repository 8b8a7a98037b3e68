# shellcheck shell=bash disable=SC2153,SC2154 # dev/logging-check.sh sources this and sets the names in capitals
# Checks what the chart creates in Elasticsearch and Kibana: lifecycle, template, data view, dashboard, and the script that
# creates them.

setup_files() { # writes each file of the ConfigMap into $WORK/setup
  mkdir -p "$WORK/setup"
  local name
  "$BIN/helm" template logging "$ROOT_DIR/charts/logging" --namespace logging --show-only templates/setup.yaml |
    k create --dry-run=client --output json --filename - | jq 'select(.kind == "ConfigMap") | .data' >"$WORK/setup.json"
  for name in $(jq -r 'keys[]' "$WORK/setup.json"); do jq -r --arg name "$name" '.[$name]' "$WORK/setup.json" >"$WORK/setup/$name"; done
}

# Names of all fields of the documents that have arrived.
known_fields() {
  curl --silent --fail --get --data-urlencode 'query=*' "http://127.0.0.1:$SEARCH_PORT/select/logsql/field_names" | jq -r '.values[].value'
}

# A field, or a field inside it.
known() { grep -q -x -F -e "$1" "$WORK/known" || grep -q -F -e "$1." "$WORK/known"; }

check_fields() {
  local field number=0
  setup_files
  known_fields >"$WORK/known"
  template_fields >"$WORK/template-fields"
  dashboard_fields >"$WORK/dashboard-fields"
  for field in $(cat "$WORK/template-fields" "$WORK/dashboard-fields"); do
    known "$field" || die "Template or dashboard name the field $field, and no document has it."
  done
  number=$(wc -l <"$WORK/template-fields")
  ((number >= 20)) || die "Only $number fields were found in the template."
  passed "each of the $number fields that the index template names is in a document"
  number=$(wc -l <"$WORK/dashboard-fields")
  ((number >= 10)) || die "Only $number fields were found in the dashboard."
  for field in $(cat "$WORK/dashboard-fields"); do
    grep -q -x -F -e "$field" "$WORK/template-fields" || die "The dashboard names the field $field, whose type the template doesn't define."
  done
  passed "each of the $number fields that the dashboard and its searches name is in a document, and has a type in the template"
  if known no-such-field; then die "A missing field counts as known, so the two results before mean nothing."; fi
  passed "a field that isn't there would be noticed"
}

template_fields() {
  jq -r 'def names($prefix): to_entries[] | ($prefix + .key) as $name |
    if .value.properties then .value.properties | names($name + ".") else $name end;
    .template.mappings.properties | names("")' "$WORK/setup/template.json" | sort
}

dashboard_fields() {
  jq -r '.attributes | (.columns // [])[], (.visState // "{}" | fromjson | .aggs // [] | .[].params.field // empty),
    ((.kibanaSavedObjectMeta.searchSourceJSON // "{}") | fromjson | .query.query // "" | [scan("([@a-z_.]+) *:")] | .[][])' \
    "$WORK/setup/dashboard.ndjson" | sort -u
}

start_listener() { # REFUSALS
  LISTENER_PORT=$(free_port 15800 "the listener")
  "$DEV_DIR/logging/listener.rb" "$LISTENER_PORT" "$1" >>"$WORK/requests" &
  PID[listener]=$!
  within 10 eval "(exec 3<>/dev/tcp/127.0.0.1/$LISTENER_PORT) 2>/dev/null" || die "The listener hasn't started."
}

run_setup() {
  ELASTICSEARCH_URL=http://127.0.0.1:$LISTENER_PORT KIBANA_URL=http://127.0.0.1:$LISTENER_PORT \
    timeout 60 bash "$WORK/setup/setup.sh" >"$WORK/setup.log" 2>&1 || die "The setup failed: $(cat "$WORK/setup.log")"
}

taken() { jq -r 'select(.status == 200) | "\(.method) \(.path)"' "$WORK/requests"; }

check_references() {
  local known id
  known=$(jq -r '"\(.type)/\(.id)"' "$WORK/setup/dashboard.ndjson")
  for id in $(jq -r '.references[] | "\(.type)/\(.id)"' "$WORK/setup/dashboard.ndjson"); do
    grep -q -x -F -e "$id" <<<"$known" || die "The dashboard refers to $id, which isn't imported with it."
  done
  jq -s -e 'all(.[] | select(.type == "dashboard"); (.attributes.panelsJSON | fromjson | map("\(.panelIndex):\(.panelRefName)")) == (.references | map(.name)))' \
    "$WORK/setup/dashboard.ndjson" >/dev/null || die "Panels and references of the dashboard don't agree."
  passed "$(wc -l <<<"$known") saved objects refer to each other only"
}

check_setup() {
  local started=$SECONDS first wanted body
  check_references
  start_listener 2
  run_setup
  wanted=$'PUT /_ilm/policy/fluentd\nPUT /_index_template/fluentd\nPOST /api/saved_objects/_import?overwrite=true'
  [[ $(taken) == "$wanted" ]] || die "The setup sent other requests: $(taken)"
  ((SECONDS - started >= 3)) || die "The setup retried without waiting."
  passed "the setup waits for servers that aren't ready, longer each time, and then brings all"
  first=$(jq -c 'select(.status == 200) | .body | gsub("-{10,}[0-9a-zA-Z]+"; "boundary")' "$WORK/requests")
  jq -e -s 'map(select(.status == 200))[0:2] | all(.body | fromjson)' "$WORK/requests" >/dev/null || die "The setup sent invalid JSON."
  jq -e -s 'map(select(.status == 200)) | (.[1].body | fromjson) as $template | .[1].path == "/_index_template/fluentd" and
    $template.index_patterns == ["fluentd"] and $template.template.settings["index.lifecycle.name"] == (.[0].path | sub(".*/"; "")) and $template.allow_auto_create' \
    "$WORK/requests" >/dev/null || die "Template and lifecycle don't belong together."
  passed "lifecycle and template are JSON and belong together"
  body=$(jq -r -s 'map(select(.status == 200))[2] | select(.headers["kbn-xsrf"] != null) | .body' "$WORK/requests" | tr -d '\r')
  [[ $(grep '^{' <<<"$body") == "$(cat "$WORK/setup/dashboard.ndjson")" ]] || die "Kibana received other objects than those of the chart."
  passed "Kibana gets data view, searches and dashboard as a file"
  : >"$WORK/requests"
  run_setup
  [[ $(jq -c 'select(.status == 200) | .body | gsub("-{10,}[0-9a-zA-Z]+"; "boundary")' "$WORK/requests") == "$first" ]] || die "A second run sends other requests."
  passed "a second run brings the same again"
}
