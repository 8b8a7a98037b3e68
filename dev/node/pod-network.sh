#!/usr/bin/env bash
# Runs on every node. Gives pods their network: a point-to-point link per pod with an address from the node's range, and a
# route to every other node's range by that node's address. It runs for the node's life, so a node that was restarted, and
# perhaps came back with another address, is reachable again within seconds. NetworkPolicy is not enforced.
set -euo pipefail

KUBECONFIG=/etc/kubernetes/kubelet.conf
CERTIFICATE=/var/lib/kubelet/pki/kubelet-client-current.pem
CONFLIST=/etc/cni/net.d/10-flaskblog.conflist

nodes() { # name, pod range and address of each node, as far as they are known
  local server
  server=$(awk '$1 == "server:" {print $2}' "$KUBECONFIG")
  curl --silent --fail --max-time 5 --cacert /etc/kubernetes/pki/ca.crt --cert "$CERTIFICATE" "$server/api/v1/nodes" |
    jq -r '.items[] | select(.spec.podCIDR) | [.metadata.name, .spec.podCIDR,
      (.status.addresses[] | select(.type == "InternalIP" and (.address | contains(":") | not)).address)] | @tsv'
}

write_conflist() { # RANGE
  local temporary=$CONFLIST.new
  mkdir -p "$(dirname "$CONFLIST")"
  cat >"$temporary" <<END
{
  "cniVersion": "0.3.1",
  "name": "flaskblog",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "mtu": $(cat /sys/class/net/eth0/mtu),
      "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "$1"}]]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
  if cmp -s "$temporary" "$CONFLIST"; then rm "$temporary"; else mv "$temporary" "$CONFLIST"; fi
}

# An address of a Service that nobody has translated leads nowhere. While a node starts, before kube-proxy has written its
# rules, a network that answers on every address would be taken for the Service, by a connection that may be kept for ever.
refuse_unknown_services() {
  local all chain rule
  all=$(awk '$1 == "serviceSubnet:" {gsub(/"/, ""); print $2; exit}' /kind/kubeadm.conf)
  for chain in OUTPUT FORWARD; do
    rule=("$chain" --destination "${all:-10.96.0.0/16}" --protocol tcp --jump REJECT --reject-with tcp-reset)
    iptables -w -C "${rule[@]}" 2>/dev/null || iptables -w -A "${rule[@]}"
  done
}

# Traffic that leaves the cluster gets the node's address; between pods, addresses stay as they are.
masquerade() { # RANGE
  local all rule
  all=$(awk '$1 == "podSubnet:" {gsub(/"/, ""); print $2; exit}' /kind/kubeadm.conf)
  rule=(POSTROUTING --source "$1" ! --destination "${all:-10.244.0.0/16}" --jump MASQUERADE)
  iptables -w -t nat -C "${rule[@]}" 2>/dev/null || iptables -w -t nat -A "${rule[@]}"
}

update() {
  local name range address list
  list=$(nodes) || return 1
  [[ -n $list ]] || return 1
  while read -r name range address; do
    if [[ $name == "$(hostname)" ]]; then
      masquerade "$range"
      write_conflist "$range"
    else
      ip route replace "$range" via "$address"
    fi
  done <<<"$list"
}

refuse_unknown_services
# Often while the cluster comes up, then rarely: a node joins or moves seldom. A failure keeps what is there.
for ((round = 0; ; round++)); do
  if [[ -s $KUBECONFIG && -s $CERTIFICATE ]]; then update || true; fi
  if ((round < 120)); then sleep 1; else sleep 5; fi
done
