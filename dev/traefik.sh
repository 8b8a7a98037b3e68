#!/usr/bin/env bash
# Installs Traefik in the kind cluster, as a real ingress controller for `ingress` and for routes of the Gateway API.
# Usage: dev/traefik.sh
#
# The program is built by dev/tools.sh, its manifests are in dev/traefik. It answers on ports 80 and 443 of the control
# plane's address, as visitors of a real cluster would come. The kinds of the Gateway API are those of the module that this
# Traefik was built with.
. "$(dirname "${BASH_SOURCE[0]}")/addons.sh"
help_if_asked "$@"

gateway_api() { # prints the directory of its CustomResourceDefinitions
  local module
  module=$(cd "$DEV_DIR/go-tools/traefik" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off go mod download -json sigs.k8s.io/gateway-api) ||
    die "The module of the Gateway API can't be had: $module"
  printf '%s/config/crd/standard\n' "$(awk -F'"' '$2 == "Dir" {print $4}' <<<"$module")"
}

# A host that nobody has asked for; only Traefik answers so.
answers() {
  local address
  address=$(k get node "$NODE" --output 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
  [[ $(curl --silent --noproxy "*" --max-time 5 "http://$address/" --header 'Host: nobody.example.org') == '404 page not found' ]]
}

bring_image traefik
step "Installing Traefik"
crds=$(gateway_api)
# By the server, since the larger ones don't fit into kubectl's own annotation.
logged traefik k apply --server-side --force-conflicts --filename "$crds"
install_program traefik traefik
within_a_minute answers ||
  die "Traefik runs but doesn't answer at port 80 of the node $NODE; see kubectl --context kind-$CLUSTER logs -n traefik deploy/traefik."
