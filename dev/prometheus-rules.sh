#!/usr/bin/env bash
# Checks every alert with promtool: that Prometheus accepts it, and that it fires when it should and not otherwise
# (dev/prometheus/tests). The operator's alerts come from its rendered chart, a blog's from dev/prometheus/rules, which is
# generated.
# Usage: dev/prometheus-rules.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

BIN=$("$DEV_DIR/tools.sh" helm promtool)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

cp "$DEV_DIR/prometheus/rules/blog.yaml" "$WORK/blog.rules.yaml"
"$BIN/helm" template operator "$ROOT_DIR/charts/operator" --set monitoring.prometheusRule=true \
  --show-only templates/monitoring.yaml | sed -n '/^spec:/,/^---/{/^spec:/d;/^---/d;s/^  //p}' >"$WORK/operator.rules.yaml"
cp "$DEV_DIR"/prometheus/tests/*.yaml "$WORK/"

# An alert without a test for firing would pass by never firing.
check_tested() { # NAME
  local alert
  while read -r alert; do
    awk -v name="alertname: $alert\$" '$0 ~ name {found = 1} found && /exp_labels/ {ok = 1; exit} END {exit !ok}' "$WORK/$1.yaml" ||
      die "dev/prometheus/tests/$1.yaml doesn't test that the alert $alert fires."
    passed "$alert is tested to come"
  done < <(sed -n 's/.*alert: //p' "$WORK/$1.rules.yaml")
}

for name in blog operator; do
  "$BIN/promtool" check rules --lint=all --lint-fatal "$WORK/$name.rules.yaml" >"$WORK/report" 2>&1 ||
    { cat "$WORK/report" >&2; die "promtool refuses the alerts of the $name."; }
  passed "promtool check rules: $name"
  check_tested "$name"
  "$BIN/promtool" test rules "$WORK/$name.yaml" >"$WORK/report" 2>&1 ||
    { cat "$WORK/report" >&2; die "The alerts of the $name fire wrongly, or not at all."; }
  passed "promtool test rules: $name, $(grep -c '^  - name' "$WORK/$name.yaml") cases"
  # A test that can't fail proves nothing: with inverted comparisons it must fail.
  sed 's/ == / != /; s/ > / < /; s/ < / > /' "$WORK/$name.rules.yaml" >"$WORK/$name.turned"
  mv "$WORK/$name.turned" "$WORK/$name.rules.yaml"
  if "$BIN/promtool" test rules "$WORK/$name.yaml" >/dev/null 2>&1; then
    die "The tests of the alerts of the $name pass with inverted rules too."
  fi
  passed "promtool test rules refuses turned alerts of the $name"
done
echo "$PASSED passed, 0 failed"
