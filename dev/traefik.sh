#!/usr/bin/env bash
# Installs Traefik in the kind cluster, as a real ingress controller for `ingress` and for routes of the Gateway API.
# Usage: dev/traefik.sh
#
# dev/tools.sh builds the program, its manifests are in dev/traefik. It listens on ports 80 and 443 of the control plane's
# address, as an ingress controller of a real cluster does. The kinds of the Gateway API are those of the module that this
# Traefik was built with.
. "$(dirname "${BASH_SOURCE[0]}")/addons.sh"
help_if_asked "$@"

gateway_api() { # prints the directory of its CustomResourceDefinitions
  local module
  module=$(cd "$DEV_DIR/go-tools/traefik" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off go mod download -json sigs.k8s.io/gateway-api) ||
    die "The module of the Gateway API can't be fetched: $module"
  printf '%s/config/crd/standard\n' "$(awk -F'"' '$2 == "Dir" {print $4}' <<<"$module")"
}

# A host without a route; only Traefik answers with 404.
answers() {
  local address
  address=$(k get node "$NODE" --output 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
  [[ $(curl --silent --noproxy "*" --max-time 5 "http://$address/" --header 'Host: nobody.example.org') == '404 page not found' ]]
}

bring_image traefik
step "Installing Traefik"
crds=$(gateway_api)
# Server-side, since the larger ones exceed the limit of kubectl's annotation.
logged traefik k apply --server-side --force-conflicts --filename "$crds"
install_program traefik traefik
within_a_minute answers ||
  die "Traefik runs but doesn't answer at port 80 of the node $NODE; see kubectl --context kind-$CLUSTER logs -n traefik deploy/traefik."
