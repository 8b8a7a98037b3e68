# Creates lifecycle, template, data view and dashboard in Elasticsearch and Kibana. Every step is idempotent, so the script
# can run at any time. It waits for servers that aren't ready yet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Retries until it succeeds. The delay doubles after each failure, up to half a minute. A refusal (4xx) is printed each
# time: most are temporary while a server starts, and the Job's deadline ends the others.
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
