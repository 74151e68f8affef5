#!/bin/bash
# PID 1 of one machine of the test cluster: machine.sh NAME ROLE FOLDER [ACCOUNTING]
#
# Started by machines.py in fresh mount, network, hostname, ipc and pid namespaces. Killing this
# process is pulling the plug: the kernel kills everything in the pid namespace with it.
set -u
name=$1 role=$2 folder=$3 accounting=${4:-}
run=$folder/run log=$folder/log

fail() {
  echo "machine $name: $*" >&2
  exit 1
}

# 1. Say which process this is. /proc is still the host's, so the number is the host's too; the
#    inode of the namespace tells us from a later process with the same number. Before all else,
#    or a `down` that comes now would miss us.
if [ ! -e "$run/$name.pid" ]; then
  read -r host_pid _ </proc/self/stat
  echo "$host_pid $(readlink /proc/self/ns/pid)" >"$run/$name.pid.new"
  mv "$run/$name.pid.new" "$run/$name.pid" || fail "no folder $run any more"
  # 2. Move into our own cgroups and take a namespace rooted there.
  if [ -e "$run/$name.cgroups" ]; then
    while IFS= read -r group; do
      echo $$ >"$group/cgroup.procs" || fail "may not enter $group"
    done <"$run/$name.cgroups"
    exec unshare --cgroup bash "$0" "$@"
  fi
fi
hostname "$name"

# 3. The file system. Read-only first: from here on nothing can be made on the host by mistake.
mount --make-rprivate /
mount --bind "$folder" "$folder"
mount -o remount,bind,ro / || fail "cannot make the root file system read-only"
mount -t proc proc /proc
if [ -e "$run/$name.cgroups" ]; then
  while IFS= read -r group; do group=${group#/sys/fs/cgroup/}; echo "${group%%/*}"; done \
    <"$run/$name.cgroups" >"$run/$name.hierarchies"
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  while IFS= read -r hierarchy; do
    options=$hierarchy
    [ "$hierarchy" = systemd ] && options=none,name=systemd
    mkdir "/sys/fs/cgroup/$hierarchy"
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$hierarchy" || fail "no $hierarchy cgroup"
    for part in ${hierarchy//,/ }; do
      [ -e "/sys/fs/cgroup/$part" ] || ln -s "$hierarchy" "/sys/fs/cgroup/$part"
    done
  done <"$run/$name.hierarchies"
fi

# What will be bound is put aside first, because the mounts below cover where it is now.
stash=$folder/stash count=0
mount -t tmpfs tmpfs "$stash"
put_aside() {
  if [ -d "$1" ]; then mkdir "$2"; else : >"$2"; fi
  mount --bind "$1" "$2" || fail "cannot see $1"
}
while IFS=$'\t' read -r verb first _; do
  count=$((count + 1))
  [ "$verb" = bind ] && put_aside "$first" "$stash/$count"
done <"$run/$name.views"
count=0
while IFS=$'\t' read -r verb first second mode; do
  count=$((count + 1))
  case $verb in
    tmpfs)
      mkdir -p "$second" && mount -t tmpfs -o "mode=$first" tmpfs "$second" ;;
    link)
      mkdir -p "${second%/*}" && ln -s "$first" "$second" ;;
    bind)
      if [ -d "$stash/$count" ]; then
        mkdir -p "$second"
      else
        mkdir -p "${second%/*}" && : >>"$second"
      fi &&
      mount --move "$stash/$count" "$second" &&
      mount -o "remount,bind,$mode" "$second" ;;
  esac || fail "cannot do: $verb $first $second"
done <"$run/$name.views"
umount "$stash"
mkdir -p /run/munge /run/slurm /run/sshd /run/mysqld /run/lock /run/user

# 4. Wait for the word that the network is wired. End of file: whoever started us has died.
# A new network namespace inherits the host's setting, and the controller must not be a router.
echo 0 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
read -r _ || fail "nobody wired this machine"
exec </dev/null

# 5. The daemons of the role.
wait_port() {
  for _ in $(seq 600); do
    (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null && return
    sleep .05
  done
  fail "nothing listens on $1:$2"
}

start_database() {
  # in memory: on a busy disk the fsync calls of a new database take a minute
  local data=/run/mysqld/data as_mysql=(setpriv --reuid=mysql --regid=mysql --init-groups)
  chown mysql:mysql /run/mysqld
  "${as_mysql[@]}" mariadb-install-db --no-defaults --datadir=$data --skip-test-db \
    --auth-root-authentication-method=normal >"$log/mariadb-install.log" 2>&1 ||
    fail "mariadb-install-db failed"
  # --skip-grant-tables: nothing but this machine's own socket leads here
  "${as_mysql[@]}" mariadbd --no-defaults --datadir=$data --skip-networking \
    --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/pid --skip-grant-tables \
    --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-lock-wait-timeout=900 \
    --innodb-flush-log-at-trx-commit=0 --skip-log-bin --performance-schema=OFF \
    --max-connections=40 >"$log/mariadbd.log" 2>&1 &
  for _ in $(seq 600); do
    mariadb-admin --no-defaults -S /run/mysqld/mysqld.sock ping >/dev/null 2>&1 && return
    sleep .05
  done
  fail "mariadbd does not answer"
}

munged --force --key-file=/etc/slurm/munge.key --socket=/run/munge/munge.socket.2 \
  --pid-file=/run/munge/munged.pid --log-file="$log/munged.$name.log" \
  --seed-file=/run/munge/seed --num-threads=2 || fail "munged did not start"
case $role in
  ctl)
    if [ -n "$accounting" ]; then
      start_database
      slurmdbd || fail "slurmdbd did not start"
      wait_port 10.77.0.1 6819
    fi
    slurmctld || fail "slurmctld did not start"
    wait_port 10.77.0.1 6817 ;;
  node)
    mkdir -p "$folder/spool/$name"
    slurmd -N "$name" || fail "slurmd did not start" ;;
  login)
    /usr/sbin/sshd -f /etc/ssh/sshd_config -E "$log/sshd.log" || fail "sshd did not start" ;;
esac
: >"$run/$name.up"

# 6. Reap orphans until somebody pulls the plug: bash does that as long as it waits.
trap 'exit 0' TERM
while :; do
  sleep 1000 &
  wait $!
done
