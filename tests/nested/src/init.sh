#!/bin/busybox sh
# PID 1 of the nested machine. Loads the modules, makes the host's tree the root with an overlay whose changes
# stay in memory, runs /job and prints how it ended. Never returns: any end is a reset, which ends QEMU.
/bin/busybox --install -s /bin
export PATH=/bin
fail() {
	echo "caisson-nested: $1"
	reboot -f
}
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for word in $(cat /proc/cmdline); do
	case $word in
	nested.limit=*) limit=${word#*=} ;;
	nested.time=*) time=${word#*=} ;;
	nested.marker=*) marker=${word#*=} ;;
	nested.init=*) init=${word#*=} ;;
	esac
done
for module in $(cat /modules/order); do
	insmod "/modules/$module.ko" || fail "cannot load $module"
done
date -s "@$time" >/dev/null

mount -t virtiofs -o ro host /lower || fail "cannot mount the host's tree"
mount -t tmpfs -o size=75% memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/lower,upperdir=/memory/upper,workdir=/memory/work root /new ||
	fail "cannot mount the overlay"
for directory in proc sys dev; do
	mount --move /$directory /new/$directory
done
# Not on the overlay: these are where tests make overlays, sockets and device nodes.
for directory in run tmp var/tmp; do
	mount -t tmpfs -o mode=1777 tmpfs /new/$directory
done
chmod 755 /new/run
mkdir /new/run/nested
cp /bin/busybox /job /new/run/nested/
cd /new
mkdir -p dev/shm dev/pts dev/mqueue
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o ptmxmode=0666 devpts dev/pts
mount -t mqueue mqueue dev/mqueue
if [ -z "$init" ]; then
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	for controller in $(cat sys/fs/cgroup/cgroup.controllers); do
		echo "+$controller" >sys/fs/cgroup/cgroup.subtree_control
	done
fi
results=$(sed -n 's/^# results: //p' /job)
if [ -n "$results" ]; then
	mkdir -p "./$results"
	mount -t virtiofs results "./$results" || fail "cannot mount the results"
fi
cat >run/nested/main <<'X'
b=/run/nested/busybox
$b ip link set lo up
$b echo "$marker start"
$b timeout -s KILL "$limit" /bin/sh /run/nested/job </dev/null
status=$?
$b echo "$marker exit $status"
$b reboot -f
X
export marker limit
# A real root and not a chroot: user namespaces are refused in a chroot.
if [ "$init" = systemd ]; then
	mkdir -p run/systemd/system
	cat >run/systemd/system/nested.service <<-X
		[Unit]
		DefaultDependencies=no
		[Service]
		Type=oneshot
		TimeoutStartSec=infinity
		Environment=marker=$marker limit=$limit
		ExecStart=/run/nested/busybox sh /run/nested/main
		StandardOutput=tty
		TTYPath=/dev/console
	X
	# The host's own units and settings are not the machine's.
	rm -rf etc/systemd
	# Nor is a mark by which systemd would think that it is in a container.
	rm -f .dockerenv
	mount --move . /
	exec chroot . /lib/systemd/systemd --unit=nested.service
fi
mount --move . /
exec chroot . /run/nested/busybox sh /run/nested/main
