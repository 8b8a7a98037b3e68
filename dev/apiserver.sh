#!/usr/bin/env bash
# Runs a command against its own real kube-apiserver and etcd, without any node, and ends both afterwards.
# Usage: dev/apiserver.sh COMMAND [ARGUMENT…]
#
# The command finds the server through API_TEST_KUBECONFIG (an administrator's; never the user's own kubeconfig), the programs
# through KUBE_BIN_DIR, and the CRDs that a cluster may lack through OPTIONAL_CRDS. The data is in a temporary directory; both
# servers listen on loopback only.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"
[[ $# -gt 0 ]] || die "No command was given; see dev/apiserver.sh --help."

BIN=$("$DEV_DIR/tools.sh" kube-apiserver etcd kubectl)
WORK=$(mktemp -d)
PIDS=()

finish() {
  ((${#PIDS[@]} == 0)) || kill "${PIDS[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$WORK"
}
trap finish EXIT
trap 'exit 130' INT TERM

start_etcd() {
  local client peer
  client=$(free_port 32379 "etcd")
  peer=$(free_port $((client + 1)) "etcd")
  ETCD=http://127.0.0.1:$client
  "$BIN/etcd" --data-dir "$WORK/etcd" --listen-client-urls "$ETCD" --advertise-client-urls "$ETCD" --log-level error \
    --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
    --initial-cluster "default=http://127.0.0.1:$peer" --unsafe-no-fsync >"$WORK/etcd.log" 2>&1 &
  PIDS+=($!)
}

start_apiserver() {
  PORT=$(free_port 26443 "the test API server")
  TOKEN=$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')
  (umask 077 && echo "$TOKEN,admin,admin,system:masters" >"$WORK/tokens.csv")
  openssl genrsa -out "$WORK/service-account.key" 2048 2>/dev/null
  "$BIN/kube-apiserver" --etcd-servers "$ETCD" --secure-port "$PORT" --bind-address 127.0.0.1 \
    --advertise-address 127.0.0.1 --cert-dir "$WORK/certs" --token-auth-file "$WORK/tokens.csv" \
    --authorization-mode RBAC --service-account-issuer https://test.invalid \
    --service-account-key-file "$WORK/service-account.key" --service-account-signing-key-file "$WORK/service-account.key" \
    --service-cluster-ip-range 10.0.0.0/16 --disable-admission-plugins ServiceAccount \
    --enable-priority-and-fairness=false >"$WORK/apiserver.log" 2>&1 &
  PIDS+=($!)
}

write_kubeconfig() {
  (umask 077 && cat >"$WORK/kubeconfig" <<END
{apiVersion: v1, kind: Config, current-context: test,
 clusters: [{name: test, cluster: {server: "https://127.0.0.1:$PORT", insecure-skip-tls-verify: true}}],
 users: [{name: admin, user: {token: "$TOKEN"}}],
 contexts: [{name: test, context: {cluster: test, user: admin, namespace: default}}]}
END
  )
}

wait_until_ready() {
  local attempt
  for ((attempt = 0; attempt < 120; attempt++)); do
    "$BIN/kubectl" --kubeconfig "$WORK/kubeconfig" get --raw /readyz >/dev/null 2>&1 && return
    sleep 0.5
  done
  tail -n 20 "$WORK/apiserver.log" "$WORK/etcd.log" >&2
  die "The test API server did not become ready within 60 s; the ends of its logs are above."
}

# Two concurrent runs would find the same ports free.
mkdir -p "$(cache_dir)/locks"
exec 9>"$(cache_dir)/locks/apiserver"
flock -w 300 9 || die "Another run has been starting a test API server for five minutes; end it and try again."
start_etcd 9>&-
start_apiserver 9>&-
write_kubeconfig
wait_until_ready
exec 9>&-
OPTIONAL_CRDS=$("$DEV_DIR/optional-crds.sh")
API_TEST_KUBECONFIG=$WORK/kubeconfig KUBE_BIN_DIR=$BIN OPTIONAL_CRDS=$OPTIONAL_CRDS "$@"
