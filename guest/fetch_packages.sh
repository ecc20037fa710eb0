#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fetches the package set of the sandbox image: fetch_packages.sh DIR  ->  DIR/debs/*.deb, DIR/wheels/*.whl
# Debian packages are the current ones of bookworm (apt checks their signatures); wheels are those of the hash lock.
# A package set is kept: build_image.py makes the same image from it, byte for byte, each time.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out/debs" "$out/wheels"

names=$(grep -v '^#' "$here/packages.list" | paste -sd,)
mmdebstrap --variant=extract --mode=root --include="$names" \
	--skip=essential/unlink,cleanup/apt --aptopt='APT::Install-Recommends "false"' \
	bookworm "$work/root"
mv "$work"/root/var/cache/apt/archives/*.deb "$out/debs/"

/usr/bin/python3 -m venv "$work/venv"
"$work/venv/bin/pip" download --disable-pip-version-check --no-cache-dir --progress-bar off \
	--require-hashes --only-binary=:all: --no-deps -d "$out/wheels" -r "$here/requirements.lock"
