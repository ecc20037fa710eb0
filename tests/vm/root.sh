#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the root disk of a stock Debian 12, its kernel and its initrd: root.sh DIR -> DIR/{root.img,vmlinuz,initrd}
set -euo pipefail
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The libraries are what Sallyport's binaries link; a package of ours would depend on them.
packages=linux-image-cloud-amd64,systemd-sysv,udev,iproute2,python3,procps
libraries=libuv1,libssl3,libseccomp2,libyaml-0-2,libsqlite3-0,libnghttp2-14,libc-ares2
mmdebstrap --mode=root --variant=minbase --include="$packages,$libraries" bookworm "$work/root.tar"
mkdir "$work/tree"
tar -xpf "$work/root.tar" -C "$work/tree" --numeric-owner
cp "$work"/tree/boot/vmlinuz-* "$out/vmlinuz"
cp "$work"/tree/boot/initrd.img-* "$out/initrd"
rm -rf "$work"/tree/boot/* "$work"/tree/var/cache/apt/archives/* "$work"/tree/usr/share/{doc,man,locale}
cat > "$work/tree/init.sh" <<'END'
#!/bin/sh
mount -t ext4 /dev/vdb /mnt
exec /mnt/init.sh
END
chmod 755 "$work/tree/init.sh"
mke2fs -q -t ext4 -d "$work/tree" "$out/root.img" 1500M
