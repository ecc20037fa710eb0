#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# example_tools.sh DIR: the tools of examples/tools, built into DIR/NAME/. ./dev runs it, once for each state of them.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
tools=$here/../../examples/tools
out=$1
rust_version=1.63.0+dfsg1-2

debs() {
	apt-get -q -o APT::Sandbox::User=root download "rustc=$rust_version" "libstd-rust-1.63=$rust_version" \
		"libstd-rust-dev=$rust_version" "libstd-rust-dev-wasm32=$rust_version"
}

# Debian's Rust has a standard library for WASI, but must not stand beside a newer rustc: it is only unpacked.
# Its archive's digests are apt's business.
rust() {
	local dir=$out/rust
	mkdir -p "$dir/debs"
	(cd "$dir/debs" && { debs || { apt-get update && debs; }; })
	for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
	LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu make -C "$tools/text-stats" OUT="$out/text-stats" \
		RUSTC="$dir/root/usr/bin/rustc" RUSTFLAGS="--sysroot $dir/root/usr"
	rm -rf "$dir" "$out"/text-stats/{vendor,libtinyjson.rlib}
}

make -C "$tools/units" OUT="$out/units"
make -C "$tools/csv-summary" OUT="$out/csv-summary"
make -C "$tools/dates" OUT="$out/dates"
rm -rf "$out"/dates/{node_modules,assembly,package.json,package-lock.json,.npmrc}
rust
for name in units csv-summary dates text-stats; do
	[[ -s $out/$name/tool.wasm && -s $out/$name/tool.json ]]
done
