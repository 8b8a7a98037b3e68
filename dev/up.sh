#!/usr/bin/env bash
# Creates a cluster with a blog from scratch. `make up` runs this.
# Usage: dev/up.sh
#
# Docker, tools, a three-node kind cluster, images, the operator by its Helm chart, the FlaskBlog of blog.yaml. Every step
# first checks whether it is done already, so running it again after an interruption or a change is cheap.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

CONFIG=$ROOT_DIR/kind-example-config.yaml
CONTEXT=kind-$(awk '$1 == "name:" {print $2; exit}' "$CONFIG")
PORT=$(awk '$1 == "hostPort:" {print $2; exit}' "$CONFIG")
OPERATOR_NAMESPACE=flaskblog-system
URL=http://localhost:$PORT

k() { kubectl --context "$CONTEXT" "$@"; }

# Prints the state for a first diagnosis. It runs before `die`, so nothing in it may fail.
show_state() { # NAMESPACE
  {
    echo
    k get fb,statefulset,deployment,pod,pvc --namespace "$1" --output wide 2>&1
    echo
    k get events --namespace "$1" --sort-by .lastTimestamp 2>&1 | tail -n 15
    echo
  } >&2 || true
}

install_operator() {
  step "Installing the operator"
  local log
  mkdir -p "$(cache_dir)/logs"
  log=$(cache_dir)/logs/helm.log
  if ! helm upgrade --install operator "$ROOT_DIR/charts/operator" --kube-context "$CONTEXT" \
    --namespace "$OPERATOR_NAMESPACE" --create-namespace --wait --timeout 3m >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    show_state "$OPERATOR_NAMESPACE"
    die "The operator was not installed; helm's message is above, and kubectl --context $CONTEXT logs -n $OPERATOR_NAMESPACE deploy --all-containers shows more."
  fi
}

# A tag stays the same while its content changes during development, so pods with the old content are replaced.
# This doesn't wait for them: helm and the wait for the blog do that.
restart_pods_of() { # IMAGE
  local namespace name images
  while read -r namespace name images; do
    [[ " $images " == *" $1 "* ]] || continue
    step "Restarting $namespace/$name for its new image"
    k rollout restart "deployment/$name" --namespace "$namespace" >/dev/null
  done < <(k get deployments --all-namespaces --output \
    'jsonpath={range .items[*]}{.metadata.namespace}{" "}{.metadata.name}{" "}{.spec.template.spec.containers[*].image}{"\n"}{end}')
}

apply_blog() {
  step "Applying blog.yaml and waiting for the blog to be ready"
  k apply --namespace default --filename "$ROOT_DIR/blog.yaml" >/dev/null
  if ! k wait --namespace default --for=condition=Ready fb/blog --timeout=5m >/dev/null; then
    show_state default
    die "The blog did not become ready within five minutes; kubectl --context $CONTEXT describe fb blog shows the reason."
  fi
}

check_url() {
  local attempt
  for ((attempt = 0; attempt < 30; attempt++)); do
    curl --silent --fail --noproxy "*" --output /dev/null --max-time 5 "$URL" && return
    sleep 1
  done
  show_state default
  die "The blog is ready, but $URL does not answer; see kubectl --context $CONTEXT get service blog and docker ps for the port."
}

require_rust
step "Checking Docker"
"$DEV_DIR/docker.sh"
step "Checking tools"
PATH=$("$DEV_DIR/tools.sh" --prefer-installed kind kubectl helm):$PATH
"$DEV_DIR/cluster.sh"
if ! "$DEV_DIR/registry.sh"; then "$DEV_DIR/mysql-image.sh"; fi # with a registry the nodes pull it themselves
fresh=$("$DEV_DIR/images.sh" --load)
for image in $fresh; do restart_pods_of "$image"; done
install_operator
apply_blog
check_url
step "The blog is at $URL"
{
  echo
  k get fb --namespace default
  cat <<END

Next:
  kubectl --context $CONTEXT describe fb blog                        what the operator did
  kubectl --context $CONTEXT get all,pvc -l app.kubernetes.io/instance=blog
  kubectl --context $CONTEXT port-forward svc/blog 5000:5000         the blog on port 5000
  make test                                                        all tests
  make down                                                        remove the cluster
END
} >&2
