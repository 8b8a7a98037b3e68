#!/usr/bin/env bash
# Measures the operator beside a plain client that makes just the same writes, and prints a table of ratios as Markdown.
# Usage: dev/bench-operator.sh [--blogs N] [--growth N] [--rounds N] [--quiet SECONDS]
#
#   --blogs N        FlaskBlogs in a round (1000)
#   --growth N       FlaskBlogs of one more round, to see what grows (5000; 0 leaves it out)
#   --rounds N       rounds, of which the medians count (3)
#   --quiet SECONDS  in which nothing may be written (60)
#
# Operator, client, API server and etcd run on this machine and share its processors. Slow figures are no failure; a
# missing object is one, and so is a write where there was nothing to do. It takes about ten minutes without --growth, and
# half an hour with it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

build_programs() {
  local target
  cd "$ROOT_DIR"
  target=$(rustc -vV | sed -n 's/^host: //p')
  # As the image's: dev/images.sh builds the same, so nothing is compiled twice.
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
# Copies, as another build of whatever clone may replace the programs meanwhile, and restarts would then measure that one.
cp "$RELEASE/operator" "$RELEASE/examples/bench_operator" "$BENCH_WORK/"
export BENCH_WORK BENCH_OPERATOR=$BENCH_WORK/operator BENCH_RULES=$ROOT_DIR/charts/operator/files/rules.yaml
step "Measuring"
status=0
"$DEV_DIR/apiserver.sh" "$BENCH_WORK/bench_operator" "$@" || status=$?
if ((status != 0)); then
  [[ ! -s $BENCH_WORK/operator.log ]] || tail -n 20 "$BENCH_WORK/operator.log" >&2
  die "Something couldn't be measured, or was wrong (exit code $status); the end of the operator's log is above."
fi
step "Done"
