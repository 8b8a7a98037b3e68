#!/usr/bin/env bash
# Takes screenshots of every page of the blog, in light, in dark and on a phone.
# Usage: dev/screenshots.sh [FOLDER]        default: docs/pictures
#
# Starts its own blog on an embedded database, fills it, and ends it afterwards.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

FOLDER=${1:-$ROOT_DIR/docs/pictures}
PORT=5081
use_cargo_target

wait_for_blog() {
  local attempt
  for ((attempt = 0; attempt < 100; attempt++)); do
    curl --silent --fail --noproxy '*' --output /dev/null "http://localhost:$PORT/hello" && return
    sleep 0.1
  done
  cat "$WORK/log" >&2
  die "The blog did not start; its log is above."
}

"$DEV_DIR/browser.sh"
cd "$ROOT_DIR"
cargo build --quiet --package blog-app --package e2e --example screenshots --bin blog-app
WORK=$(mktemp -d)
trap 'kill "$BLOG" 2>/dev/null; rm -rf "$WORK"' EXIT
BLOG_DATABASE_URL=sqlite:$WORK/flaskr.sqlite BLOG_LISTEN=127.0.0.1:$PORT BLOG_ADMIN_LISTEN=127.0.0.1:0 \
  BLOG_DRAIN_SECONDS=0 "$CARGO_TARGET_DIR/debug/blog-app" serve 2>"$WORK/log" &
BLOG=$!
wait_for_blog
mkdir -p "$FOLDER"
step "Taking pictures"
"$CARGO_TARGET_DIR/debug/examples/screenshots" "http://localhost:$PORT" "$FOLDER"
step "The pictures are in $FOLDER"
