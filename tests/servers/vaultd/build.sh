#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Vault of the tests: build.sh OUT  ->  OUT/vaultd. Never `go mod tidy` here: it would pull in all of Vault.
set -euo pipefail
out=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")"
CGO_ENABLED=0 go build -v -mod=readonly -trimpath -buildvcs=false -ldflags "-s -w" -o "$out/vaultd" .
