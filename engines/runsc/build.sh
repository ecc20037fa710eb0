#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the pinned runsc: build.sh OUT  ->  OUT/runsc. Same sources and flags give the same bytes.
set -euo pipefail
out=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")"
version=go-20260905
package=gvisor.dev/gvisor/runsc
CGO_ENABLED=0 go build -v -mod=readonly -trimpath -buildvcs=false \
	-ldflags "-s -w -buildid= -X $package/version.version=$version" -o "$out/runsc" "$package"
built=$("$out/runsc" --version)
[[ $built == "runsc version $version"$'\n'* ]] || { echo "build.sh: built something else: $built" >&2; exit 1; }
