#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of the test machine: mounts what an init mounts, brings the built tree to its place, runs the test, powers off.
# See: boot.sh, tests/system/test_vm.py. /mnt is the payload: init.sh, inside.py, build-dir (a path), build/, cache/.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
ip link set lo up
hostname sallyport-vm
# The tree lies where it was built, so that paths inside it hold.
build=$(cat /mnt/build-dir)
mkdir -p "$build" /var/cache/sallyport
mount --bind /mnt/build "$build"
mount --bind /mnt/cache /var/cache/sallyport
chmod 700 /root
cd /root
echo "VM kernel $(uname -r), LSMs $(cat /sys/kernel/security/lsm), controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
if python3 /mnt/inside.py "$build" < /dev/null > /tmp/inside.log 2>&1; then
	sed 's/^/VM   /' /tmp/inside.log
	echo "VM PASS"
else
	sed 's/^/VM   /' /tmp/inside.log
	echo "VM FAIL"
fi
sync
echo o > /proc/sysrq-trigger
# The disk is gone with the power, so nothing but the shell itself can wait.
while :; do :; done
