#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The pinned Wasmtime as a static library with its headers, kept in a cache outside the tree.
#   build.sh run|compiler          build it if the cache has it not, print its folder
#   build.sh run|compiler OUT      and link it into OUT for Meson: libwasmtime_KIND.a, include_KIND/, wasmtime_KIND.h
#   build.sh --have run|compiler   exit 0 when the cache has it
# run has no compiler; what `compiler` serialises, `run` loads.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
have=false
[[ ${1-} == --have ]] && { have=true; shift; }
kind=${1-} out=${2-}
case $kind in
run) features=() ;;
compiler) features=(--features compiler) ;;
*) echo "usage: build.sh [--have] run|compiler [OUT]" >&2; exit 2 ;;
esac

cache=/var/cache/sallyport
((EUID == 0)) || cache=${XDG_CACHE_HOME:-$HOME/.cache}/sallyport
hash=$(cd "$here" && { sha256sum Cargo.toml Cargo.lock build.rs build.sh src/lib.rs; echo "$kind"; } | sha256sum | cut -c 1-32)
dir=$cache/$hash
if $have; then
	[[ -e $dir/.complete ]]
	exit
fi

# build TO: like the other engines, without paths of this machine in it.
build() {
	local target=$1/target
	export SALLYPORT_WASMTIME_INCLUDE=$1/include CARGO_TARGET_DIR=$target
	export RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$here=wasmtime"
	(cd "$here" && nice cargo build --locked --release "${features[@]}") >&2
	mv "$target/release/libwasmtime.a" "$1/"
	rm -rf "$target"
	[[ -e $1/include/wasmtime/conf.h ]]
}

if [[ ! -e $dir/.complete ]]; then
	mkdir -p "$cache"
	exec {lock}>"$cache/.lock-$hash"
	flock -n "$lock" || { echo "another build of it is under way, waiting" >&2; flock "$lock"; }
	if [[ ! -e $dir/.complete ]]; then
		rm -rf "$cache/.new-$hash" "$dir"
		mkdir -m 755 "$cache/.new-$hash"
		build "$cache/.new-$hash"
		touch "$cache/.new-$hash/.complete"
		chmod -R go=rX,u+w "$cache/.new-$hash"
		mv -T "$cache/.new-$hash" "$dir"
	fi
	exec {lock}>&-
fi

if [[ -z $out ]]; then
	echo "$dir"
	exit
fi
ln -sfn "$dir/include" "$out/include_$kind"
ln -sfn "$dir/libwasmtime.a" "$out/libwasmtime_$kind.a"
printf '#include <wasmtime.h>\n' >"$out/wasmtime_$kind.h"
