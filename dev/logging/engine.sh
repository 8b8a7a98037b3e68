# shellcheck shell=bash disable=SC2153,SC2154 # dev/logging-check.sh sources this and sets the names in capitals
# The same lines in OpenSearch, a fork of Elasticsearch 7.10 that stores, types and finds documents as it does. It checks that
# the index template is valid, its effect on documents, and that the queries of the dashboard and the page return results.

start_engine() {
  local libraries
  libraries=$("$DEV_DIR/opensearch.sh")
  ENGINE_PORT=$(free_port 15900 "OpenSearch")
  mkdir -p "$WORK/engine/config"
  java -Xmx512m -cp "$libraries/*" "$DEV_DIR/logging/opensearch/OneNode.java" "$WORK/engine" "$ENGINE_PORT" >>"$WORK/engine.log" 2>&1 &
  PID[engine]=$!
  within 60 engine GET /_cluster/health >/dev/null 2>&1 || die "OpenSearch doesn't answer: $(tail "$WORK/engine.log")"
  step "Documents go to OpenSearch ($(engine GET / | jq -r '"\(.version.number), Lucene \(.version.lucene_version)"'))"
}

engine() { # METHOD PATH [BODY]
  curl --silent --show-error --fail-with-body --max-time 30 --request "$1" --header 'content-type: application/json' \
    ${3:+--data-binary "$3"} "http://127.0.0.1:$ENGINE_PORT$2"
}

# Adapts what OpenSearch lacks: lifecycles, two later settings, and another name for a type.
as_opensearch_says_it() {
  jq 'del(.allow_auto_create, .template.settings["index.lifecycle.name"],
      .template.settings["index.mapping.total_fields.ignore_dynamic_beyond_limit"]) |
    walk(if type == "object" and .type == "flattened" then {type: "flat_object"} else . end)' "$WORK/setup/template.json"
}

# Translates the part of Kibana's query language that the chart and the page use.
as_lucene() { # KQL
  sed -E 's/ and / AND /g; s/ or / OR /g; s/\bnot /NOT /g; s/([a-z_.]+) ([<>]=?) ([0-9]+)/\1:\2\3/g' <<<"$1"
}

engine_search() { # LUCENE [AGGREGATIONS]
  local query=${1:-*}
  engine POST /fluentd/_refresh >/dev/null
  engine POST /fluentd/_search "$(jq -n --arg query "$query" --argjson aggs "${2:-null}" \
    '{query: {query_string: {query: $query}}, track_total_hits: true, size: 3} + (if $aggs then {aggs: $aggs} else {} end)')"
}

engine_count() { engine_search "$1" | jq .hits.total.value; } # LUCENE

engine_has() { [[ $(engine_count "$2" 2>/dev/null) == "$1" ]]; } # NUMBER LUCENE

# Everything was read, and no buffer holds anything.
all_is_sent() {
  local file
  for file in "$LOGS"/*.log; do read_whole "$(basename "$file")" 2>/dev/null || return; done
  [[ -z $(find "$WORK/state/buffer" -type f -size +0) ]]
}

send_all() { # as if nothing had been read yet
  stop fluentd
  rm -rf "$WORK/state"
  mkdir "$WORK/state"
  start_fluentd --set "elasticsearch.port=$ENGINE_PORT" --set elasticsearch.path=
  within 60 all_is_sent || die "fluentd hasn't sent everything; its log: $(tail "$WORK/fluentd.log") and the engine's: $(tail "$WORK/engine.log")"
}

check_template() {
  engine PUT /_index_template/fluentd "$(as_opensearch_says_it)" >"$WORK/answer" || die "OpenSearch refuses the index template: $(cat "$WORK/answer")"
  passed "a search engine takes the index template, but for the lifecycle and two settings that OpenSearch lacks"
}

check_documents() {
  local all document
  send_all
  engine_has 500 'message:away' || die "$(engine_count 'message:away') of 500 lines arrived in OpenSearch."
  all=$(engine_count '*')
  document=$(engine_search 'request_id:"check-1"' | jq -c '.hits.hits | if length == 1 then .[0]._source else error("not one") end')
  equal "$document" .method GET && equal "$document" .status 200 && equal "$document" .flaskblog diary
  passed "it has all $all documents, and finds a request by its id"
  engine_has "$(grep -c '"blog.name"' "$WORK/operator.log")" 'source:operator AND _exists_:blog.name' || die "Lines of the operator about changes are missing."
  engine_has "$(wc -l <"$WORK/operator.log")" 'source:operator' || die "Lines of the operator are missing: $(engine_count source:operator) of $(wc -l <"$WORK/operator.log")."
  passed "all lines of the operator are there, those for debugging included"
  send_all
  # A line that isn't in the runtime's format gets the time at which it was read, and so another id.
  [[ $(engine_count '*') == $((all + 1)) ]] || die "Lines that were sent twice are stored twice: $(engine_count '*') instead of $((all + 1))."
  engine_has 2 'message:"broken by the runtime"' || die "A line other than the one without a time is stored twice."
  passed "sent all again, it still has each once, but for the one line that has no time"
}

# Fields and their types in an index, those of objects with their full path.
mapped() {
  engine GET /fluentd/_mapping | jq -r '.[].mappings.properties | def names($prefix): to_entries[] | ($prefix + .key) as $name |
    if .value.properties then .value.properties | names($name + ".") else "\($name) \(.value.type)" end; names("")' | sort -u
}

check_types() {
  local others odd
  mapped >"$WORK/mapped"
  others=$(awk 'NR == FNR {named[$1]; next} !($1 in named)' "$WORK/template-fields" "$WORK/mapped")
  grep -q -x 'since keyword' <<<"$others" || die "An unknown field with a date isn't a keyword: $others"
  odd=$(grep -v -E ' (keyword|long|float|boolean)$' <<<"$others" || true)
  [[ -z $odd ]] || die "The index template should name a type for: $odd"
  passed "the other fields of documents are words and numbers: $(cut -d' ' -f1 <<<"$others" | paste -sd ' ')"
  engine_has 1 'request_id:"odd-1" AND _ignored:status AND _ignored:client AND _ignored:latency_ms' || die "The line with a status that is no number is missing: $(engine_search 'request_id:"odd-1"')"
  engine_has 1 '_exists_:_ignored' || die "More than that is ignored: $(engine_search '_exists_:_ignored' | jq -c .hits.hits)"
  passed "a line with a status, a client and a time that are none is kept, without being found by them, and no other lacks any"
  engine_has 1 'request_id:"failed-1" AND client:"10.0.0.0/8" AND latency_ms:[2 TO 3] AND @timestamp:["2026-01-01T00:00:04.000000001Z" TO "2026-01-01T00:00:04.000000003Z"]' ||
    die "Addresses, times or durations aren't found by their ranges: $(engine_search 'request_id:"failed-1"')"
  passed "addresses are found by their network, durations and times by their range, to the nanosecond"
}

# One aggregation of Kibana, the bucket around the metric, as a query of the engine.
aggregations() { # VISUALIZATION
  jq '.attributes.visState | fromjson | .aggs | (map(select(.schema == "metric"))[0]) as $metric |
    (if $metric.type == "count" then {} else {metric: {($metric.type): {field: $metric.params.field}}} end) as $inner |
    reduce (map(select(.schema != "metric")) | reverse[]) as $bucket ($inner; {buckets: ({aggs: .} +
      if $bucket.type == "date_histogram" then {date_histogram: {field: $bucket.params.field, fixed_interval: "1h", min_doc_count: 1}}
      else {($bucket.type): {field: $bucket.params.field, size: $bucket.params.size}} end)})' <<<"$1"
}

check_dashboard() {
  local object query found number=0
  while read -r object; do
    query=$(as_lucene "$(jq -r '.attributes.kibanaSavedObjectMeta.searchSourceJSON | fromjson | .query.query' <<<"$object")")
    if [[ $(jq -r .type <<<"$object") == visualization ]]; then
      found=$(engine_search "$query" "$(aggregations "$object")" | jq '[.aggregations.buckets.buckets[].buckets.buckets[] | select((.metric | not) or .metric.value != null)] | length')
    else
      found=$(engine_count "$query")
    fi
    ((found > 0)) || die "$(jq -r .id <<<"$object") shows nothing; its query is $query"
    number=$((number + 1))
  done < <(jq -c 'select(.type == "visualization" or .type == "search")' "$WORK/setup/dashboard.ndjson")
  ((number == 6)) || die "$number panels were found in the dashboard instead of 6."
  passed "each of the $number panels of the dashboard shows something"
}

# The queries that docs/logging.md and the notes of the charts recommend for Kibana.
searches() {
  sed -n '/^| to find/,/^$/s/^| [^|]* | `\([^`]*\)`.*/\1/p' "$ROOT_DIR/docs/logging.md"
  sed -n '/Try in the search field/,/{{/s/^     //p' "$ROOT_DIR/charts/logging/templates/NOTES.txt"
  sed -n 's/^`\(flaskblog: [^`]*\)`.*/\1/p' "$ROOT_DIR/charts/flask-blog/templates/NOTES.txt"
}

check_searches() {
  local query number=0
  while read -r query; do
    query=$(sed 's/flaskblog: blog/flaskblog: diary/; s/{{ $name }}/diary/; s/{{ $ns }}/press/; s/"…"\|"THE ID.*"/"check-1"/' <<<"$query")
    (($(engine_count "$(as_lucene "$query")") > 0)) || die "The documented query $query returns nothing."
    number=$((number + 1))
  done < <(searches)
  ((number == 9)) || die "$number searches were found in the page and the notes instead of 9."
  passed "each of the $number searches of docs/logging.md and of the charts' notes finds something"
}

check_rollover() {
  local all
  all=$(engine_count '*')
  engine POST /fluentd/_rollover >/dev/null || die "The data stream can't begin another index."
  printf '{"timestamp":"2026-01-01T00:00:05Z","level":"INFO","message":"request","request_id":"after-the-rollover"}\n' | cri stderr >>"$LOGS/$BLOG_FILE"
  within 30 engine_has 1 'request_id:"after-the-rollover"' || die "Nothing arrives after the data stream has begun another index."
  engine_has $((all + 1)) '*' || die "Documents were lost or doubled when the data stream began another index: $(engine_count '*') instead of $((all + 1))."
  [[ $(engine GET /fluentd/_mapping | jq length) == 2 ]] || die "The data stream has no second index."
  passed "with another index begun, as the lifecycle does each day, all goes on and old documents are found"
}

check_engine() {
  start_engine
  check_template
  check_documents
  check_types
  check_dashboard
  check_searches
  check_rollover
}
