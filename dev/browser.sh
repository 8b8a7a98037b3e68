#!/usr/bin/env bash
# Installs the browser and its driver for the browser tests if they are missing: Chromium and chromedriver.
# Usage: dev/browser.sh
#
# Existing ones are used. As root on a machine with apt they are installed from its packages.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
help_if_asked "$@"

have chromium && have chromedriver && exit 0
have apt-get || die "chromium and chromedriver are needed for the browser tests and this machine has no apt; install both and try again."
((EUID == 0)) || die "chromium and chromedriver are needed for the browser tests: run apt-get install chromium chromium-driver as root, and try again."
step "Installing Chromium for the browser tests"
logged apt-chromium apt_install chromium chromium-driver fonts-dejavu-core
