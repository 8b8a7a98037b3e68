#!/usr/bin/env bash
# Draws the panels of the dashboards with data of the panels' test: with readers, and a MySQL that is killed.
# Usage: dev/panels.sh [FOLDER]        default: docs/pictures
#
# Layout, queries and legends are those of the dashboards, the values a real Prometheus' results. uPlot, which Grafana also
# uses, draws the lines, and Chromium the picture. It takes four minutes, most of them for the test.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

FOLDER=${1:-$ROOT_DIR/docs/pictures}
UPLOT=1.6.32

# The placeholders are comments, so that the page is valid without data too.
page() { # DATA
  awk -v style="$PARTS/uPlot.min.css" -v code="$PARTS/uPlot.iife.min.js" -v data="$1" '
    function put(mark, file,    at, line) {
      at = index($0, mark)
      printf "%s", substr($0, 1, at - 1)
      while ((getline line < file) > 0) print line
      $0 = substr($0, at + length(mark))
    }
    index($0, "/*STYLE*/") {put("/*STYLE*/", style)}
    index($0, "/*CODE*/") {put("/*CODE*/", code)}
    index($0, "/*DATA*/") {put("/*DATA*/", data)}
    {print}' "$DEV_DIR/panels/page.html"
}

picture() { # NAME HEIGHT
  [[ -s $WORK/$1.json ]] || die "The test has written no data for $1."
  page "$WORK/$1.json" >"$WORK/$1.html"
  timeout 60 chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$WORK/profile" --window-size="1200,$2" \
    --screenshot="$WORK/$1.png" "file://$WORK/$1.html" >"$WORK/chromium.log" 2>&1 || die "Chromium failed: $(tail "$WORK/chromium.log")"
  [[ -s $WORK/$1.png ]] || die "Chromium made no picture of $1; check $DEV_DIR/panels/page.html."
  mv "$WORK/$1.png" "$FOLDER/panels-$1.png"
}

"$DEV_DIR/browser.sh"
require_npm uPlot
PARTS=$(artefact uplot "$UPLOT" npm_files "uplot@$UPLOT" package/dist/uPlot.iife.min.js package/dist/uPlot.min.css)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
step "Running the test of the panels"
PANELS_TO=$WORK "$DEV_DIR/prometheus-test.sh"
mkdir -p "$FOLDER"
step "Drawing"
picture blog 1600
picture operator 1000
step "The pictures are $FOLDER/panels-blog.png and $FOLDER/panels-operator.png"
