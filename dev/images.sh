#!/usr/bin/env bash
# Builds the blog's and the operator's images from the local sources.
# Usage: dev/images.sh [--load]
#
# Static binaries on an empty image, built by this machine's own Rust, so no registry is needed. With a registry, `docker build
# -f blog-app/Dockerfile .` gives the same. Nothing is built if no source changed. --load also loads them and the database's
# image on the cluster's nodes that lack them, and prints the name of each image that was loaded.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

CLUSTER=$(awk '$1 == "name:" {print $2; exit}' "$ROOT_DIR/kind-example-config.yaml")
# The blog's image is loaded on every node that runs one of its replicas. The operator's, which also has a Kubernetes client
# and creates certificates, is loaded on one node. The design allows 20 MiB; these limits detect growth.
MAX_MIB_BLOG=17
MAX_MIB_OPERATOR=17

workspace_version() { awk '/^\[workspace.package\]/ {found = 1} found && $1 == "version" {gsub(/"/, "", $3); print $3; exit}' "$ROOT_DIR/Cargo.toml"; }

cargo_build() {
  cd "$ROOT_DIR"
  # An explicit target keeps the flag away from build scripts and procedural macros, which can't be static.
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target "$TARGET" -p blog-app -p operator
}

certificates() {
  local file
  for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [[ -s $file ]]; then echo "$file"; return; fi
  done
  die "This machine has no CA certificates to put into the images; install ca-certificates and try again."
}

build_image() { # PROGRAM DEFAULT-COMMAND
  local context
  context=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory, now
  trap "rm -rf ${context@Q}" RETURN
  install -D -m 0755 "$CARGO_TARGET_DIR/$TARGET/release/$1" "$context/files/$1"
  # The blog trusts the certificates that its settings name; only the operator reads the system's.
  if [[ $1 == operator ]]; then install -D -m 0644 "$(certificates)" "$context/files/etc/ssl/certs/ca-certificates.crt"; fi
  # For health checks that call curl, as the original's does; the program itself implements them.
  if [[ $1 == blog-app ]]; then mkdir "$context/files/bin" && ln -s /blog-app "$context/files/bin/curl" && ln -s /blog-app "$context/files/bin/sh"; fi
  # Equal file times give equal layers, and so equal images, for equal content.
  find "$context/files" -exec touch --no-dereference --date=@0 {} +
  local health=
  if [[ $1 == blog-app ]]; then health='HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["/blog-app", "check-ready"]'; fi
  cat >"$context/Dockerfile" <<END
FROM scratch
COPY files/ /
USER 65532:65532
$health
ENTRYPOINT ["/$1"]
CMD ["$2"]
END
  docker build --quiet --tag "flaskblog/$1:$VERSION" "$context"
}

check_size() { # IMAGE
  local size limit=$MAX_MIB_BLOG
  [[ $1 != */operator:* ]] || limit=$MAX_MIB_OPERATOR
  size=$(docker image inspect --format '{{.Size}}' "$1")
  ((size <= limit * 1024 * 1024)) || die "The image $1 has $((size / 1024)) KiB, more than the $limit MiB that are allowed; find what made the binary grow."
  step "$1 has $((size / 1024)) KiB"
}

# Beside the image, not as a label in it: an image whose content didn't change keeps its id, and no pod is restarted.
stamp() { printf '%s/image-%s.inputs\n' "$(cache_dir)" "$(tr /: -- <<<"$1")"; }

inputs_and_id() { printf '%s %s\n' "$KEY" "$(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null)"; }

up_to_date() { [[ -f $(stamp "$1") && $(<"$(stamp "$1")") == "$(inputs_and_id "$1")" ]]; } # IMAGE

build() {
  local blog=flaskblog/blog-app:$VERSION operator=flaskblog/operator:$VERSION
  if up_to_date "$blog" && up_to_date "$operator"; then return; fi
  require_rust
  TARGET=$(rustc -vV | sed -n 's/^host: //p')
  use_cargo_target
  step "Compiling the blog and the operator"
  logged cargo-build cargo_build
  logged image-blog-app build_image blog-app serve
  logged image-operator build_image operator run
  check_size "$blog"
  check_size "$operator"
  inputs_and_id "$blog" >"$(stamp "$blog")"
  inputs_and_id "$operator" >"$(stamp "$operator")"
}

# The nodes whose containerd lacks IMAGE with exactly the content that Docker has.
nodes_without() { # IMAGE
  local image=$1 name=$1 id node
  [[ $name == */* ]] || name=library/$name
  id=$(docker image inspect --format '{{.Id}}' "$image")
  for node in $(kind get nodes --name "$CLUSTER" 2>/dev/null); do
    # containerd lists an image under its tag and under its id; both lines carry the digest.
    docker exec "$node" ctr -n k8s.io images ls 2>/dev/null | awk -v tag="docker.io/$name" -v id="$id" '
      $1 == tag {by_tag = $3} $1 == id {by_id = $3}
      END {exit !(by_tag != "" && (by_tag == by_id || by_tag == id))}' || echo "$node"
  done
}

load() { # IMAGE
  local nodes
  nodes=$(nodes_without "$1" | paste -sd ,)
  if [[ -z $nodes ]]; then return; fi
  step "Loading $1 into the cluster"
  logged kind-load kind load docker-image "$1" --name "$CLUSTER" --nodes "$nodes"
  printf '%s\n' "$1"
}

"$DEV_DIR/docker.sh"
VERSION=$(workspace_version)
# The images contain no tests or examples.
KEY=$(input_hash Cargo.toml Cargo.lock operator/{Cargo.toml,api,src} blog-app/{Cargo.toml,migrations,src,static,templates} dev/images.sh)
with_lock images build
if [[ ${1:-} == --load ]]; then
  BIN=$("$DEV_DIR/tools.sh" --prefer-installed kind)
  PATH=$BIN:$PATH
  [[ -n $(kind get nodes --name "$CLUSTER" 2>/dev/null) ]] || die "No cluster exists to load the images into; run make up."
  load "flaskblog/blog-app:$VERSION"
  load "flaskblog/operator:$VERSION"
  # Only an image that was built here; each node pulls the published one itself.
  if [[ -n $(docker images --quiet --filter reference=mysql:9.7 --filter label=dev.flaskblog.inputs) ]]; then load mysql:9.7; fi
fi
