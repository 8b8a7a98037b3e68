#!/usr/bin/env bash
# Measures the operator and a plain client that makes the same writes, and prints a table of ratios as Markdown.
# Usage: dev/bench-operator.sh [--blogs N] [--growth N] [--rounds N] [--quiet SECONDS]
#
#   --blogs N        FlaskBlogs per round (1000)
#   --growth N       FlaskBlogs of one more round, to measure growth (5000; 0 omits it)
#   --rounds N       number of rounds, of which the medians count (3)
#   --quiet SECONDS  period in which nothing may be written (60)
#
# Operator, client, API server and etcd run on this machine and share its processors. Slow results are no failure. A missing
# object is one, and so is a write although nothing changed. It takes about ten minutes without --growth, and half an hour
# with it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

build_programs() {
  local target
  cd "$ROOT_DIR"
  target=$(rustc -vV | sed -n 's/^host: //p')
  # With the flags of dev/images.sh, so nothing is compiled twice.
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target "$target" -p blog-app -p operator
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target "$target" -p operator --example bench_operator
}

require_rust
use_cargo_target
step "Building"
logged bench-build build_programs
BENCH_WORK=$(mktemp -d)
trap 'rm -rf "$BENCH_WORK"' EXIT
RELEASE=$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release
# Copies: another clone's build may replace the programs meanwhile, and restarts would then measure those.
cp "$RELEASE/operator" "$RELEASE/examples/bench_operator" "$BENCH_WORK/"
export BENCH_WORK BENCH_OPERATOR=$BENCH_WORK/operator BENCH_RULES=$ROOT_DIR/charts/operator/files/rules.yaml
step "Measuring"
status=0
"$DEV_DIR/apiserver.sh" "$BENCH_WORK/bench_operator" "$@" || status=$?
if ((status != 0)); then
  [[ ! -s $BENCH_WORK/operator.log ]] || tail -n 20 "$BENCH_WORK/operator.log" >&2
  die "The benchmark failed (exit code $status); the end of the operator's log is above."
fi
step "Done"
