#!/usr/bin/env bash
# Prints the directory with OpenSearch's libraries, for dev/logging-check.sh.
# Usage: dev/opensearch.sh
#
# Fetched once from Maven Central, with pinned versions and checksums of dev/logging/opensearch, and kept in the cache. It needs a JDK.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

POM=dev/logging/opensearch/pom.xml
SUMS=dev/logging/opensearch/SHA256SUMS
COPY=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies

fetch_libraries() { # DIRECTORY
  mvn --batch-mode --quiet --file "$ROOT_DIR/$POM" "$COPY" -DoutputDirectory="$1"
  cd "$1"
  sha256sum --check --strict --quiet "$ROOT_DIR/$SUMS"
}

if ! have mvn || ! have javac; then
  ((EUID == 0)) && have apt-get || die "Maven and a JDK are needed to run OpenSearch in the tests of the logs; install them and try again."
  step "Installing Maven and a JDK"
  logged apt-maven apt_install maven default-jdk-headless
fi
artefact opensearch "$(input_hash "$POM" "$SUMS")" fetch_libraries
