#!/bin/sh
# Runs init as PID 1 of namespaces of its own, on a root file system of its own, without any right
# over the machine: the user namespace maps root to an ordinary user, so that a mount of the
# machine's, its sysctls, its clock, its devices and its power are out of reach whatever init does.
#
#   init-lab.sh NAME DIRECTORY INIT [ARGUMENT…]
#
# NAME                of the cgroup, made below this process's own in every hierarchy; whoever
#                     called removes it when the last process in it is gone
# DIRECTORY/root      is copied to a tmpfs that becomes /
# DIRECTORY/console   a FIFO, becomes /dev/console
# DIRECTORY/host      is seen as /host, for the host's sockets
# DIRECTORY/prepare   a script run with the new root as its argument before init is started
#
# Exits with init's code. Ended by SIGTERM it takes everything in the namespaces with it.
set -eu

# Nobody's on this machine.
uid=1000000
without=-sys_boot,-sys_module,-sys_time,-sys_rawio,-syslog,-mknod

# One line per hierarchy: the directory of our own cgroup in it.
own_cgroups() {
    while IFS=: read -r _ controllers path; do
        mount=$(awk -v want="${controllers#name=}" '
            want == "" && $(NF-2) == "cgroup2" { print $5; exit }
            want != "" && $(NF-2) == "cgroup" {
                n = split($NF, options, ",")
                for (i = 1; i <= n; i++) {
                    sub(/^name=/, "", options[i])
                    if (options[i] == want || index(want, options[i] ",") == 1) { print $5; exit }
                }
            }' /proc/self/mountinfo)
        [ -z "$mount" ] || echo "${mount}${path%/}"
    done </proc/self/cgroup
}

enter_cgroup() {
    mkdir "$1"
    if [ -e "$1/cpuset.mem_hardwall" ]; then
        # A new cpuset is empty and takes no process before it is told its share.
        cat "${1%/*}/cpuset.cpus" >"$1/cpuset.cpus"
        cat "${1%/*}/cpuset.mems" >"$1/cpuset.mems"
        echo 1 >"$1/cgroup.clone_children"
    fi
    echo $$ >"$1/cgroup.procs"
    chown "$uid:$uid" "$1" "$1"/cgroup.*
}

outer() {
    setpriv --pdeathsig KILL sh "$0" --enter "$@" </dev/null &
    child=$!
    trap 'kill -KILL $child 2>/dev/null || :' TERM INT HUP
    code=0
    wait $child || code=$?
    while kill -0 $child 2>/dev/null; do wait $child || code=$?; done
    exit $code
}

# The map can only be written from outside, so somebody holds the user namespace meanwhile.
enter() {
    name=$1
    directory=$2
    for cgroup in $(own_cgroups); do enter_cgroup "$cgroup/$name"; done
    mkfifo "$directory/held"
    setpriv --pdeathsig KILL unshare --user sh -c 'echo held; exec sleep infinity' >"$directory/held" &
    holder=$!
    read -r _ <"$directory/held"
    rm "$directory/held"
    echo "0 $uid 65536" >/proc/$holder/uid_map
    echo "0 $uid 65536" >/proc/$holder/gid_map
    exec 3</proc/$holder/ns/user
    kill -KILL $holder
    wait $holder 2>/dev/null || :
    exec nsenter --user=/proc/self/fd/3 --setuid 0 --setgid 0 -- \
        setpriv --pdeathsig KILL \
        unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private -- \
        setpriv --bounding-set $without --inh-caps $without sh "$0" --inside "$@"
}

inside() {
    exec 3<&-
    directory=$2
    shift 2
    [ $$ = 1 ] || { echo "init-lab.sh: not PID 1 of a namespace" >&2; exit 99; }
    new=$directory/mount
    mount -t tmpfs -o mode=755 initramfs "$new"
    cp -R -P -p "$directory/root/." "$new"
    mkdir -p "$new/dev" "$new/proc" "$new/sys" "$new/old" "$new/host"
    # Mounted before the machine's are out of sight: the kernel allows them no later.
    mount -t proc proc "$new/proc"
    mount -t sysfs sysfs "$new/sys"
    # What is mounted already init leaves alone.
    mount -t tmpfs -o mode=755 dev "$new/dev"
    for device in null zero full urandom; do
        : >"$new/dev/$device"
        mount --bind "/dev/$device" "$new/dev/$device"
    done
    : >"$new/dev/random"
    : >"$new/dev/console"
    mount --bind "$directory/console" "$new/dev/console"
    mount --bind "$directory/host" "$new/host"
    [ ! -x "$directory/prepare" ] || "$directory/prepare" "$new"
    cd "$new"
    pivot_root . old
    # From here on programs are those of the new root.
    exec chroot . /bin/sh -c 'umount -l /old && rmdir /old && exec "$@"' sh "$@"
}

case $1 in
--enter) shift && enter "$@" ;;
--inside) shift && inside "$@" ;;
*) outer "$@" ;;
esac
