#!/bin/sh
# Runs a command as if it had a small machine of its own: private mount, pid, network, UTS, IPC and
# cgroup namespaces, its own runtime state directories, and no right to power anything off.
#
#   isolate.sh NAME child|init COMMAND [ARGUMENT…]
#
# NAME     of the cgroup, made below this process's own in every hierarchy and removed at the end
# child    the command is the child of PID 1, as the agent is of a guest's init
# init     the command is PID 1 itself
#
# Exits with the command's code. Ended by SIGTERM, or when the process that started it dies, it
# takes everything in the namespaces with it.
set -eu

# One line per hierarchy: "<directory of our own cgroup in it>".
own_cgroups() {
    while IFS=: read -r _ controllers path; do
        if [ -z "$controllers" ]; then
            mount=$(awk '$(NF-2) == "cgroup2" { print $4, $5; exit }' /proc/self/mountinfo)
        else
            mount=$(awk -v want="${controllers#name=}" '
                $(NF-2) == "cgroup" {
                    n = split($NF, options, ","); have = ""
                    for (i = 1; i <= n; i++) {
                        sub(/^name=/, "", options[i])
                        if (options[i] == want || index("," want ",", "," options[i] ",")) have = 1
                    }
                    if (have) { print $4, $5; exit }
                }' /proc/self/mountinfo)
        fi
        [ -n "$mount" ] || continue
        root=${mount%% *}
        [ "$root" = / ] && root=
        echo "${mount#* }${path#"$root"}"
    done </proc/self/cgroup
}

outer() {
    name=$1
    directories=$(own_cgroups)
    # The shell gives a background command /dev/null as its stdin unless told otherwise.
    exec 3<&0
    setpriv --pdeathsig KILL sh "$0" --enter "$@" <&3 3<&- &
    child=$!
    trap 'kill -KILL $child 2>/dev/null || :' TERM INT HUP
    code=0
    wait $child || code=$?
    while kill -0 $child 2>/dev/null; do wait $child || code=$?; done
    for directory in $directories; do
        # What the command left below is not removed here: finding it is the census's business.
        find "$directory/$name" -depth -type d -exec rmdir {} + 2>/dev/null || :
    done
    exit $code
}

enter() {
    name=$1
    for directory in $(own_cgroups); do
        mkdir "$directory/$name"
        if [ -e "$directory/cpuset.cpus" ] && [ -e "$directory/cpuset.mem_hardwall" ]; then
            # A new cpuset is empty and takes no process before it is told its share.
            cat "$directory/cpuset.cpus" >"$directory/$name/cpuset.cpus"
            cat "$directory/cpuset.mems" >"$directory/$name/cpuset.mems"
            echo 1 >"$directory/$name/cgroup.clone_children"
        fi
        echo $$ >"$directory/$name/cgroup.procs"
    done
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --mount-proc \
        --propagation private -- sh "$0" --inside "$@"
}

inside() {
    name=$1
    mode=$2
    shift 2
    # Mounted anew, a hierarchy shows the namespace's root as its root.
    awk '$(NF-2) ~ /^cgroup2?$/ { print $5, $(NF-2), $NF }' /proc/self/mountinfo |
        while read -r directory type options; do
            umount "$directory"
            if [ "$type" = cgroup2 ]; then
                mount -t cgroup2 cgroup2 "$directory"
                # A cgroup that gives controllers to its children holds no process itself.
                if grep -q memory "$directory/cgroup.controllers"; then
                    mkdir "$directory/agent"
                    while read -r pid; do echo "$pid" >"$directory/agent/cgroup.procs"; done \
                        <"$directory/cgroup.procs" 2>/dev/null || :
                    echo $$ >"$directory/agent/cgroup.procs"
                fi
            else
                mount -t cgroup -o "${options#rw,}" cgroup "$directory"
            fi
        done
    mount -t tmpfs -o mode=755 tmpfs /run
    # What an agent is made to do to the machine's own files must fail: only /tmp can be written.
    mount --bind /tmp /tmp
    mount -o remount,bind,ro /
    # A sysfs of this network namespace, with the hierarchies put back on it.
    mkdir /run/hierarchies
    mount --move /sys/fs/cgroup /run/hierarchies
    mount -t sysfs sysfs /sys
    mount --move /run/hierarchies /sys/fs/cgroup
    rmdir /run/hierarchies
    ! command -v ip >/dev/null || ip link set lo up
    if [ "$mode" = init ]; then
        exec setpriv --bounding-set -sys_boot --inh-caps -sys_boot "$@"
    fi
    code=0
    setpriv --bounding-set -sys_boot --inh-caps -sys_boot "$@" || code=$?
    exit $code
}

case $1 in
--enter) shift && enter "$@" ;;
--inside) shift && inside "$@" ;;
*) outer "$@" ;;
esac
