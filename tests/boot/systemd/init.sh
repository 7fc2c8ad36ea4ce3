#!/bin/sh
# First program in namespaces of its own (mounts, processes, names, control groups): the host's files below a writable
# layer, a /dev of a few nodes, a /sys and /proc/sys that nothing can be set in; then systemd, which is told so.
set -eu
work=$1 files=$2 python=$3
mount --make-rprivate /
mkdir -p "$work/tree"
mount -t tmpfs -o size=512m tree "$work/tree"
mkdir "$work/tree/over" "$work/tree/work" "$work/tree/merged"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/tree/over,workdir=$work/tree/work" "$work/tree/merged"
root=$work/tree/merged
cp -r "$files/." "$root/"
rm -f "$root/.dockerenv"
mkdir -p "$root/opt/python" "$root/.old"
mount --bind "$python" "$root/opt/python"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs run "$root/run"
touch "$root/console"
mount --bind "$work/console.txt" "$root/console"
chroot "$root" /sbin/ldconfig
chroot "$root" /bin/systemd-sysusers
cd "$root"
pivot_root . .old
umount -l /.old
exec env -i container=hatidata-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=story.target --log-target=null --show-status=no
