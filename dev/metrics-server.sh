#!/usr/bin/env bash
# Installs a metrics server in the kind cluster, which `autoscaling` needs, and waits until it has metrics.
# Usage: dev/metrics-server.sh
#
# The program is built by dev/tools.sh, its manifests are in dev/metrics-server.
. "$(dirname "${BASH_SOURCE[0]}")/addons.sh"
help_if_asked "$@"

# Uses the route of the API server, which keeps its open connections. One of them may have been opened to an address that
# doesn't lead to the server yet. Some networks answer on every address.
is_reached() {
  local address
  address=$(k get service metrics-server --namespace kube-system --output 'jsonpath={.spec.clusterIP}')
  [[ $(timeout 10 docker exec "$NODE" curl --silent --insecure --noproxy "*" --max-time 5 "https://$address/readyz") == ok ]]
}

has_figures() { [[ $(k top nodes --no-headers 2>/dev/null | wc -l) -gt 0 ]]; }

bring_image metrics-server
step "Installing the metrics server"
install_program metrics-server kube-system
within_a_minute is_reached || die "The metrics server runs but its Service doesn't lead to it; see $(cache_dir)/logs/metrics-server.log."
logged metrics-server k apply --filename "$DEV_DIR/metrics-server/api-service.yaml"
within_a_minute has_figures ||
  die "The metrics server runs but has no metrics after a minute; see kubectl --context kind-$CLUSTER logs -n kube-system deploy/metrics-server."
