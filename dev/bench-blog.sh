#!/usr/bin/env bash
# Measures the blog, Flaskr on gunicorn, nginx and a bare axum handler, and prints a table of ratios as Markdown.
# Usage: dev/bench-blog.sh
#
# All of them run on this machine and receive load over loopback, in several interleaved rounds. Flaskr comes from Flask's own
# source distribution, on the same MySQL as the blog. It takes about seven minutes.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

require_load_programs() {
  local missing=()
  have wrk || missing+=(wrk)
  have nginx || missing+=(nginx-light)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  ((${#missing[@]})) || return 0
  ((EUID == 0)) && have apt-get || die "The programs wrk, nginx and python3 with venv are needed; install ${missing[*]} and try again."
  step "Installing ${missing[*]}"
  logged apt-bench apt_install "${missing[@]}"
}

# A Python environment with Flask and gunicorn, and Flaskr with our db.py in it.
build_flaskr() { # DIRECTORY
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --requirement "$DEV_DIR/bench/requirements.txt"
  "$1/venv/bin/pip" download --quiet --no-deps --no-binary :all: --dest "$1/source" "$(grep '^flask==' "$DEV_DIR/bench/requirements.txt")"
  tar -xzf "$1"/source/flask-*.tar.gz -C "$1" --strip-components=3 --wildcards 'flask-*/examples/tutorial/flaskr'
  cp "$DEV_DIR/bench/db.py" "$1/flaskr/db.py"
}

build_programs() {
  local target
  cd "$ROOT_DIR"
  target=$(rustc -vV | sed -n 's/^host: //p')
  # With the flags of dev/images.sh, so nothing is compiled twice.
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target "$target" -p blog-app -p operator
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target "$target" -p e2e --example bench_blog --example bare_axum
}

require_rust
require_load_programs
use_cargo_target
step "Building"
logged bench-build build_programs
FLASKR=$(artefact flaskr "$(input_hash dev/bench dev/bench-blog.sh)" build_flaskr)
# Scripts in a virtual environment contain the directory of its creation, which has moved since.
python3 -m venv --upgrade "$FLASKR/venv" >/dev/null
sed -i "1s|.*|#!$FLASKR/venv/bin/python3|" "$FLASKR/venv/bin/gunicorn"
BENCH_MYSQL_URL=$("$DEV_DIR/mysql-test.sh" start)
BENCH_WORK=$(mktemp -d)
trap 'rm -rf "$BENCH_WORK"; "$DEV_DIR/mysql-test.sh" stop' EXIT
RELEASE=$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release
export BENCH_MYSQL_URL BENCH_WORK BENCH_BLOG=$RELEASE/blog-app BENCH_BARE=$RELEASE/examples/bare_axum
export BENCH_PYTHON=$FLASKR/venv/bin BENCH_FLASKR=$FLASKR
chmod 755 "$BENCH_WORK" # nginx's workers read from it
step "Measuring"
"$RELEASE/examples/bench_blog"
step "Done"
