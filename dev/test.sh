#!/usr/bin/env bash
# Runs all tests, the least powerful first, and counts the tests of each tier. `make test` runs this.
# Usage: dev/test.sh [TIER…]      quick api mysql charts logging cluster (default: all)
#        dev/test.sh --changed [COMMIT]
#
# --changed runs the tiers that the changes since COMMIT can affect, uncommitted ones included. COMMIT is the last one that
# the remote's default branch has, unless it is given.
#
#   quick    format, lints, unit and snapshot tests, the repository's rules, the fake API server, the blog on SQLite
#   api      the operator against a real kube-apiserver and etcd
#   mysql    the blog, and the container credential-sync in MySQL's pod, against a real MySQL; both dashboards with a real Prometheus
#   charts   the charts with Helm 3 and Helm 4 against the API server's schemas; the alerts with promtool
#   logging  fluentd's configuration on real log files, with pods on a real API server
#   cluster  `make up`, then faults, charts and a real browser on the kind cluster; E2E_LANES tests (3) at the same time,
#            and E2E_TIMES=FILE appends how long each took
# Nothing is skipped: what a tier needs is installed or built, or the tier fails.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

TIERS=(quick api mysql charts logging cluster)
LOGS=$(cache_dir)/logs
SUMMARY=()
mkdir -p "$LOGS"
cd "$ROOT_DIR"
# Clones share their builds.
use_cargo_target

# Adds up the numbers before a word in the last lines of test runners; no match is 0.
sum_of() { # WORD LOG
  awk -v word="$1" '{for (i = 2; i <= NF; i++) if ($i ~ "^" word "[,;]?$" && $(i - 1) ~ /^[0-9]+$/) sum += $(i - 1)} END {print sum + 0}' "$2"
}

# Runs a tier, shows its output, and counts what its test runners report. The tier is a separate process, since bash
# ignores `set -e` in a function whose status is tested.
tier() { # NAME
  local name=$1 log=$LOGS/test-$1.log started=$SECONDS passed skipped
  step "Tests: $name"
  "$DEV_DIR/test.sh" --body "$name" 2>&1 | tee "$log" || die "The tier $name failed; its output is above and in $log. Run it alone with: dev/test.sh $name"
  passed=$(sum_of passed "$log")
  skipped=$(sum_of ignored "$log")
  ((passed > 0)) || die "The tier $name ran no test; that is a failure. Its output is in $log."
  ((skipped == 0)) || die "The tier $name skipped $skipped tests; none may be skipped."
  SUMMARY+=("$(printf '%-8s %4d passed  %3d s' "$name" "$passed" $((SECONDS - started)))")
  TOTAL=$((${TOTAL:-0} + passed))
}

quick() {
  cargo fmt --all --check
  cargo clippy --workspace --all-targets --all-features --quiet -- --deny warnings
  cargo test --workspace --quiet
}

api() {
  local target
  # Each with its own server: the second one's lacks kinds that the first one's has.
  for target in apiserver late_kinds; do
    "$DEV_DIR/apiserver.sh" cargo test --package operator --features apiserver-tests --test "$target" --quiet
  done
}

mysql() {
  "$DEV_DIR/docker.sh"
  "$DEV_DIR/mysql-image.sh"
  local url status=0
  url=$("$DEV_DIR/mysql-test.sh" start)
  BLOG_TEST_MYSQL_URL=$url cargo test --package blog-app --features mysql-tests --test mysql --quiet || status=$?
  "$DEV_DIR/mysql-test.sh" stop
  ((status == 0)) || return "$status"
  cargo test --package operator --features mysql-tests --test credential_sync --quiet
  "$DEV_DIR/prometheus-test.sh"
}

charts() {
  "$DEV_DIR/apiserver.sh" "$DEV_DIR/charts-check.sh"
  "$DEV_DIR/prometheus-rules.sh"
}

logging() {
  have ruby || { step "Installing Ruby" && logged apt-ruby apt_install ruby; }
  "$DEV_DIR/apiserver.sh" "$DEV_DIR/logging-check.sh"
}

# Docker restarts containers of an aborted run, which then hold its ports and names.
remove_aborted() {
  docker ps --all --quiet --filter name=^e2e- | xargs -r docker rm --force --volumes >/dev/null
  docker network ls --quiet --filter name=^e2e- | xargs -r docker network rm >/dev/null
  docker volume ls --quiet --filter name=^e2e- | xargs -r docker volume rm >/dev/null
}

cluster() {
  "$DEV_DIR/browser.sh"
  "$DEV_DIR/up.sh"
  remove_aborted
  "$DEV_DIR/metrics-server.sh"
  "$DEV_DIR/traefik.sh"
  "$DEV_DIR/prometheus.sh"
  local bin axe crds
  bin=$("$DEV_DIR/tools.sh" kubectl kind helm helm4 docker-compose recommender)
  axe=$("$DEV_DIR/axe.sh")
  crds=$("$DEV_DIR/optional-crds.sh")
  # More threads than tests: the tests themselves decide which of them run together, and most of them wait.
  PATH=$bin:$PATH AXE_JS=$axe OPTIONAL_CRDS=$crds cargo test --package e2e --features cluster-tests --quiet -- --test-threads=128
}

if [[ ${1:-} == --body ]]; then
  "$2"
  exit
fi
# Committed, uncommitted and new files.
changed_files() { # COMMIT
  git diff --name-only "$1"
  git ls-files --others --exclude-standard
}

wanted=("$@")
if [[ ${1:-} == --changed ]]; then
  base=${2:-$(git merge-base HEAD origin/HEAD 2>/dev/null || git merge-base HEAD origin/main 2>/dev/null)} ||
    die "There is no remote to compare with; name a commit: dev/test.sh --changed COMMIT."
  git rev-parse --quiet --verify "$base^{commit}" >/dev/null || die "Unknown commit $base."
  mapfile -t wanted < <(changed_files "$base" | "$DEV_DIR/changed-tiers.sh")
  ((${#wanted[@]} > 0)) || { step "No file differs from $base"; exit; }
  step "Tiers that the changes since $base can affect: ${wanted[*]}"
fi
((${#wanted[@]} > 0)) || wanted=("${TIERS[@]}")
for name in "${wanted[@]}"; do
  [[ " ${TIERS[*]} " == *" $name "* ]] || die "Unknown tier $name; the tiers are: ${TIERS[*]}."
  tier "$name"
done
step "Passed tests by tier"
printf '%s\n' "${SUMMARY[@]}"
echo "$TOTAL passed, 0 failed"
