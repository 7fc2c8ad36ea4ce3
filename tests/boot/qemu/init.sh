#!/bin/busybox sh
# First program of the emulated machine: modules, the host's files read-only under a writable layer, then the guest's story.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" || echo "no module $module"; done < /modules/order
mkdir -p /lower /upper /merged
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /lower || echo "no host files"
mount -t tmpfs -o size=256m upper /upper
mkdir -p /upper/over /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/over,workdir=/upper/work overlay /merged || echo "no overlay"
for folder in proc sys dev; do mount -o bind /$folder /merged/$folder; done
mount -t tmpfs run /merged/run
mkdir -p /merged/dev/shm
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
. /guest.env
chroot /merged "$GUEST_PYTHON" "$GUEST_PROGRAM"
echo "GUEST-ENDED $?"
poweroff -f
