#!/usr/bin/env bash
# Checks the charts with Helm 3 and Helm 4: lint, rendering, and every rendered object against the schemas of a real
# API server, the CRD's included. Run it as: dev/apiserver.sh dev/charts-check.sh
# Usage: dev/charts-check.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"
[[ -n ${API_TEST_KUBECONFIG:-} ]] || die "API_TEST_KUBECONFIG is not set: run dev/apiserver.sh dev/charts-check.sh."

BIN=$("$DEV_DIR/tools.sh" kubectl helm helm4 kubeconform)
have jq || die "jq is missing; install it and try again."
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

k() { "$BIN/kubectl" --kubeconfig "$API_TEST_KUBECONFIG" "$@"; }

# kubeconform needs one JSON schema per kind; the API server publishes them together.
fetch_schemas() {
  k apply --server-side --filename "$ROOT_DIR/crds/" >/dev/null
  k apply --server-side --filename "$OPTIONAL_CRDS" >/dev/null
  k wait --for=condition=Established crd/flaskblogs.flaskblog.dev --timeout=30s >/dev/null
  local attempt
  for ((attempt = 0; attempt < 60; attempt++)); do
    k get --raw /openapi/v2 >"$WORK/openapi.json"
    jq -e '.definitions | keys | (any(test("FlaskBlog$")) and any(test("PrometheusRule$")) and any(test("ServiceMonitor$")))' "$WORK/openapi.json" >/dev/null && break
    sleep 0.5
  done
  # A quantity or a port may be a number or a string; the published schema declares a quantity as a string.
  jq '{definitions: (.definitions
        | .["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
        | .["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"type": ["string", "integer"]}
        | walk(if type == "object" and (.properties | type) == "object" and (has("additionalProperties") | not)
               then .additionalProperties = false else . end))}' \
    "$WORK/openapi.json" >"$WORK/definitions.json"
  local name kind
  while IFS=$'\t' read -r name kind; do
    jq -n --arg name "$name" '{"$ref": "definitions.json#/definitions/\($name)"}' >"$WORK/$kind.json"
  done < <(jq -r '.definitions | to_entries[] | select(.value["x-kubernetes-group-version-kind"]) |
    .key as $key | .value["x-kubernetes-group-version-kind"][] |
    [$key, ([.kind, (.group | split(".")[0] // ""), .version] | map(select(. != "")) | join("-") | ascii_downcase)] | @tsv' \
    "$WORK/openapi.json")
}

check_rendering() { # HELM CHART NAME [OPTION…]
  local helm=$1 chart=$2 name=$3
  shift 3
  "$BIN/$helm" template release "$ROOT_DIR/charts/$chart" --namespace press "$@" >"$WORK/rendered.yaml"
  "$BIN/kubeconform" -strict -summary -schema-location "$WORK/{{.ResourceKind}}{{.KindSuffix}}.json" \
    "$WORK/rendered.yaml" >"$WORK/report" || { cat "$WORK/report" >&2; die "$helm template charts/$chart ($name) isn't valid against the API server's schemas."; }
  passed "$helm template charts/$chart ($name): $(cat "$WORK/report")"
}

# Invalid values must be refused, which proves that the check can fail.
check_refused() { # HELM CHART OPTION…
  local helm=$1 chart=$2
  shift 2
  if "$BIN/$helm" template release "$ROOT_DIR/charts/$chart" "$@" >/dev/null 2>&1; then
    die "$helm template charts/$chart $* should have been refused by values.schema.json."
  fi
  passed "$helm refuses charts/$chart $*"
}

check_schema_can_fail() {
  printf 'apiVersion: flaskblog.dev/v1alpha1\nkind: FlaskBlog\nmetadata: {name: x}\nspec: {replica: 2}\n' >"$WORK/wrong.yaml"
  if "$BIN/kubeconform" -strict -schema-location "$WORK/{{.ResourceKind}}{{.KindSuffix}}.json" "$WORK/wrong.yaml" >/dev/null; then
    die "kubeconform accepted a FlaskBlog with an unknown field, so its other results mean nothing."
  fi
  passed "kubeconform refuses an unknown field"
}

# Sends the objects to a real API server, with its defaults and admission; $WORK/report has a line for each object.
ask_server() { # NAMESPACE FILE WHAT
  k create namespace "$1" --dry-run=client --output yaml | k apply --filename - >/dev/null 2>&1
  k apply --server-side --dry-run=server --validate=strict --filename "$2" >"$WORK/report" ||
    die "The API server refuses $3; its message is above."
}

check_overlay() { # NAME
  local file=$WORK/overlay.yaml
  k kustomize "$ROOT_DIR/deploy/kustomize/overlays/$1" >"$file"
  ask_server flask-blog "$file" "deploy/kustomize/overlays/$1"
  (($(wc -l <"$WORK/report") >= 9)) || die "deploy/kustomize/overlays/$1 holds only $(wc -l <"$WORK/report") objects."
  passed "kubectl apply -k deploy/kustomize/overlays/$1: $(wc -l <"$WORK/report") objects"
}

# Alerts link to the place where the runbooks are published, and to an existing page.
check_runbooks() {
  local page pages
  pages=$("$BIN/helm" template release "$ROOT_DIR/charts/operator" --set monitoring.prometheusRule=true \
    --set monitoring.runbooks=https://example.org/runbooks/ | sed -n 's|.*runbook_url: https://example.org/runbooks/||p')
  (($(wc -l <<<"$pages") >= 2)) || die "The alerts of charts/operator name $(wc -l <<<"$pages") runbooks."
  for page in $pages; do
    [[ -f $ROOT_DIR/docs/runbooks/$page ]] || die "An alert of charts/operator names docs/runbooks/$page, which doesn't exist."
  done
  passed "charts/operator: every alert leads to a runbook"
}

# The objects that were rendered last.
check_server_side() { # HELM CHART NAME
  ask_server press "$WORK/rendered.yaml" "what $1 renders of charts/$2 ($3)"
  passed "the API server takes what $1 renders of charts/$2 ($3): $(wc -l <"$WORK/report") objects"
}

# The API server enforces a namespace's Pod Security level only on pods, so this requests a pod of each workload.
check_pod_security() { # HELM
  local level
  "$BIN/$1" template logging "$ROOT_DIR/charts/logging" --namespace press >"$WORK/rendered.yaml"
  k create --dry-run=client --output json --filename "$WORK/rendered.yaml" | jq -s '[.[] | if .kind == "List" then .items[] else . end |
    select(.spec.template.spec != null) | {apiVersion: "v1", kind: "Pod", metadata: {name: .metadata.name, namespace: "press"},
    spec: (.spec.template.spec | del(.serviceAccountName) | .containers |= map(.volumeMounts = [.volumeMounts[]? | select(.name != "data")]))}]' >"$WORK/pods.json"
  (($(jq length "$WORK/pods.json") == 4)) || die "charts/logging has $(jq length "$WORK/pods.json") workloads instead of 4."
  k label namespace press --overwrite pod-security.kubernetes.io/enforce=restricted >/dev/null
  for level in elasticsearch kibana setup; do
    jq --arg name "logging-$level" '.[] | select(.metadata.name | startswith($name))' "$WORK/pods.json" | k create --dry-run=server --filename - >/dev/null ||
      die "The pod of logging-$level doesn't fit the Pod Security level restricted."
  done
  passed "$1: the pods of Elasticsearch, Kibana and the setup fit the Pod Security level restricted"
  if jq '.[] | select(.metadata.name == "logging-fluentd")' "$WORK/pods.json" | k create --dry-run=server --filename - >/dev/null 2>&1; then
    die "The pod of fluentd fits the level restricted, so the docs are wrong."
  fi
  k label namespace press --overwrite pod-security.kubernetes.io/enforce=privileged >/dev/null
  jq '.[] | select(.metadata.name == "logging-fluentd")' "$WORK/pods.json" | k create --dry-run=server --filename - >/dev/null ||
    die "The API server refuses the pod of fluentd in a namespace for privileged pods."
  passed "$1: that of fluentd needs the level privileged, as documented, and is accepted with it"
  k label namespace press pod-security.kubernetes.io/enforce- >/dev/null
}

fetch_schemas
check_schema_can_fail
check_overlay kind
check_overlay production
for helm in helm helm4; do
  for chart in operator flask-blog logging; do
    "$BIN/$helm" lint --strict "$ROOT_DIR/charts/$chart" >"$WORK/lint" 2>&1 || { cat "$WORK/lint" >&2; die "$helm lint charts/$chart failed."; }
    passed "$helm lint --strict charts/$chart"
    check_rendering "$helm" "$chart" defaults
    check_server_side "$helm" "$chart" defaults
    [[ $chart == logging ]] || check_refused "$helm" "$chart" --set replicas=-1
    check_refused "$helm" "$chart" --set unknown=1
  done
  check_rendering "$helm" operator namespaced --set 'watchNamespaces={a,b}' --set crds.enabled=false --set replicas=2
  check_rendering "$helm" operator everything --set crds.keep=false --set "image.digest=sha256:$(printf '0%.0s' {1..64})" \
    --set podLabels.a=b --set podAnnotations.a=b --set nodeSelector.a=b --set priorityClassName=high \
    --set monitoring.serviceMonitor=true --set monitoring.prometheusRule=true --set monitoring.dashboard=true \
    --set monitoring.labels.release=p --set 'imagePullSecrets[0].name=pull' --set 'tolerations[0].operator=Exists' --set serviceAccount.annotations.a=b
  check_rendering "$helm" flask-blog everything --set image=a:b --set service.nodePort=30500 --set resources.limits.memory=1Gi \
    --set database.storage.storageClassName=fast --set database.resources.limits.memory=1Gi --set deletionPolicy=Delete \
    --set registration=Closed --set markup=Markdown --set ingress.host=a.example.org --set networkPolicy.enabled=false \
    --set podTemplate.labels.a=b --set autoscaling.maxReplicas=4 --set rotation.passwordDays=90 --set database.recommendResources=true --set-string database.config.max_connections=200 \
    --set monitoring.serviceMonitor=true --set monitoring.dashboard=true --set suspend=true --set hibernate=true --set rolloutPolicy=Manual
  check_rendering "$helm" logging everything --set fluentd.allPods=true --set 'fluentd.paths={/var/log/containers/a*.log,/var/log/containers/b*.log}' \
    --set fluentd.bufferBytes=2147483648 --set fluentd.priorityClassName=high --set fluentd.nodeSelector.a=b --set elasticsearch.port=9201 \
    --set elasticsearch.storage.storageClassName=fast --set elasticsearch.nodeSelector.a=b --set 'kibana.tolerations[0].operator=Exists' \
    --set index.name=blogs --set index.retentionDays=3 --set 'imagePullSecrets[0].name=pull'
  check_server_side "$helm" logging everything
  grep -q 'total_limit_size 2147483648$' "$WORK/rendered.yaml" || die "$helm writes a large number into fluentd's configuration in another way than fluentd reads it."
  passed "$helm writes large numbers as fluentd reads them"
  check_rendering "$helm" logging elsewhere --set elasticsearch.enabled=false --set elasticsearch.host=search.example.org --set kibana.enabled=false \
    --set networkPolicy.enabled=false
  check_server_side "$helm" logging elsewhere
  check_refused "$helm" logging --set elasticsearch.enabled=false
  check_refused "$helm" logging --set index.name=Blogs
  check_pod_security "$helm"
  check_rendering "$helm" flask-blog external --set database.external.host=db --set database.external.credentialsSecret=s
done
check_runbooks
echo "$PASSED passed, 0 failed"
