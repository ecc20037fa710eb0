#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots a stock Debian 12 with files of ours and runs one script in it: boot.sh ROOT_DIR PAYLOAD_TREE
# PAYLOAD_TREE becomes a disk, mounted at /mnt; its init.sh is process 1. The console goes to stdout.
# Emulation only: nested KVM hangs on many machines. The root disk itself is not changed.
set -euo pipefail
root=$1 payload=$2
work=$(mktemp -d)
qemu=
trap 'rm -rf "$work"; [[ -z $qemu ]] || kill -9 "$qemu" 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM
mib=$(($(du -sm "$payload" | cut -f1) + 64))
mke2fs -q -t ext4 -m 0 -d "$payload" "$work/payload.img" "${mib}M" >/dev/null
qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 2048 -smp 2 -nodefaults -nographic -no-reboot -serial stdio \
	-kernel "$root/vmlinuz" -initrd "$root/initrd" \
	-append "root=/dev/vda rw console=ttyS0 quiet panic=-1 init=/init.sh" \
	-drive "file=$root/root.img,if=virtio,format=raw,snapshot=on" \
	-drive "file=$work/payload.img,if=virtio,format=raw" </dev/null &
qemu=$!
wait $qemu
