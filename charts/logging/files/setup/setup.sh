# Brings lifecycle, template, data view and dashboard to Elasticsearch and Kibana. Every step writes the same again, so it can
# be run at any time; what isn't there yet is waited for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Tries until it is done, twice as long after each failure and half a minute at most. A refusal (4xx) is told each time:
# most pass by themselves while a server starts, and the Job's deadline ends the others.
persist() { # DESCRIPTION CURL-ARGUMENT…
  local what=$1 pause=1
  shift
  until curl --silent --show-error --fail-with-body --max-time 60 "$@"; do
    echo " (not yet: $what)"
    sleep "$pause"
    pause=$((pause * 2 < 30 ? pause * 2 : 30))
  done
  echo " $what"
}

put() { # PATH FILE
  persist "$1" --request PUT --header 'Content-Type: application/json' --data-binary "@$2" "$ELASTICSEARCH_URL/$1"
}

put _ilm/policy/{{ .Values.index.name }} lifecycle.json
put _index_template/{{ .Values.index.name }} template.json
if [[ -n ${KIBANA_URL:-} ]]; then
  persist 'data view and dashboard' --header 'kbn-xsrf: setup' --form file=@dashboard.ndjson \
    "$KIBANA_URL/api/saved_objects/_import?overwrite=true"
fi
