#!/usr/bin/env bash
# slurm.sh start FOLDER | stop FOLDER: a Slurm cluster of two nodes with accounting on this machine.
# Debian's slurm-wlm, slurmdbd, mariadb-server and munge, as root, on loopback, without services.
# It writes links into /etc/slurm, as the nested srun of a job knows no other place; stop takes them
# away and ends exactly the processes that start noted in FOLDER/pids.
set -euo pipefail
action=${1:?start or stop}
mkdir -p "${2:?folder}"
folder=$(realpath "$2")
port=${PORT:-17100}
host=$(hostname -s)

note() { echo "$1 $2" >> "$folder/pids"; }

until_true() { # for a minute
  local end=$((SECONDS + 60))
  while [ $SECONDS -lt $end ]; do
    "$@" > /dev/null 2>&1 && return 0
    sleep 0.5
  done
  echo "not so after a minute: $*" >&2
  tail -qn 2 "$folder"/log/*.out >&2
  return 1
}

all_idle() { [ "$(sinfo -h -N -p main -t idle -o %N | wc -l)" = 2 ]; }
answers() { mariadb --no-defaults -uroot -S "$folder/run/db.sock" -e 'select 1'; }
is_up() { scontrol ping | grep -q 'is UP'; }
no_jobs() { [ -z "$(squeue -h)" ]; }

start() {
  mkdir -p "$folder"/{etc,log,run,state,db,spool} /etc/slurm
  chmod 755 "$folder"
  : > "$folder/pids"
  for file in slurm.conf gres.conf cgroup.conf; do
    if [ -e /etc/slurm/$file ] || [ -L /etc/slurm/$file ]; then
      echo "/etc/slurm/$file is somebody's" >&2
      exit 1
    fi
  done

  dd if=/dev/urandom of="$folder/etc/munge.key" bs=1024 count=1 status=none
  chmod 400 "$folder/etc/munge.key"
  munged --force --foreground --socket="$folder/run/munge" --key-file="$folder/etc/munge.key" \
    --pid-file="$folder/run/munged.pid" --log-file="$folder/log/munged.log" \
    --seed-file="$folder/run/munge.seed" > "$folder/log/munged.out" 2>&1 &
  note munged $!

  mariadb-install-db --no-defaults --user=root --datadir="$folder/db" \
    --auth-root-authentication-method=normal --skip-test-db > "$folder/log/install-db.log" 2>&1
  mariadbd --no-defaults --user=root --datadir="$folder/db" --socket="$folder/run/db.sock" \
    --pid-file="$folder/run/db.pid" --bind-address=127.0.0.1 --port=$((port + 6)) \
    --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
    --innodb-flush-log-at-trx-commit=0 --performance-schema=OFF > "$folder/log/mariadb.log" 2>&1 &
  note mariadbd $!
  until_true answers
  mariadb --no-defaults -uroot -S "$folder/run/db.sock" -e "create database slurm;
    create user slurm@'%' identified by 'slurm'; create user slurm@localhost identified by 'slurm';
    grant all on slurm.* to slurm@'%'; grant all on slurm.* to slurm@localhost;"

  cat > "$folder/etc/slurmdbd.conf" << END
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 5))
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 6))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/run/slurmdbd.pid
END
  chmod 600 "$folder/etc/slurmdbd.conf"
  cat > "$folder/etc/slurm.conf" << END
ClusterName=mini
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
SlurmctldTimeout=30
InactiveLimit=0
KillWait=10
MinJobAge=300
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 5))
AccountingStoragePass=$folder/run/munge
AccountingStorageTRES=gres/gpu
GresTypes=gpu
JobRequeue=1
SchedulerParameters=sched_interval=2,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 11))-$((port + 12)) CPUs=2 RealMemory=9000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=n[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
END
  echo "NodeName=n[1-2] Name=gpu File=/dev/null" > "$folder/etc/gres.conf" # a GPU without hardware
  echo "CgroupPlugin=cgroup/v1" > "$folder/etc/cgroup.conf"
  for file in slurm.conf gres.conf cgroup.conf; do
    ln -s "$folder/etc/$file" /etc/slurm/$file
  done

  export SLURM_CONF="$folder/etc/slurm.conf"
  slurmdbd -D > "$folder/log/slurmdbd.out" 2>&1 &
  note slurmdbd $!
  until_true timeout 10 sacctmgr -n show cluster # it would wait for a daemon that has ended
  sacctmgr -i -Q add cluster mini > /dev/null 2>&1 || true
  sacctmgr -i -Q add account lab Description=lab Organization=lab > /dev/null 2>&1 || true
  sacctmgr -i -Q add user root Account=lab AdminLevel=Admin > /dev/null 2>&1 || true
  slurmctld -c -D > "$folder/log/slurmctld.out" 2>&1 &
  note slurmctld $!
  until_true is_up
  for node in n1 n2; do
    slurmd -D -N $node > "$folder/log/slurmd-$node.out" 2>&1 &
    note slurmd-$node $!
  done
  until_true all_idle
}

stop() {
  export SLURM_CONF="$folder/etc/slurm.conf"
  if [ -e "$SLURM_CONF" ] && is_up 2> /dev/null; then # jobs would outlive their slurmd
    scancel --me
    until_true no_jobs || true
  fi
  [ ! -e "$folder/pids" ] || tac "$folder/pids" | while read -r name pid; do
    if [ -e "/proc/$pid" ] && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -q "${name%%-*}"; then
      kill -TERM "$pid"
      for _ in $(seq 60); do
        grep -q '^State:.[^Z]' "/proc/$pid/status" 2> /dev/null || break
        sleep 0.5
      done
      if grep -q '^State:.[^Z]' "/proc/$pid/status" 2> /dev/null; then kill -KILL "$pid"; fi
    fi
  done
  for file in slurm.conf gres.conf cgroup.conf; do
    case "$(readlink /etc/slurm/$file)" in "$folder"/*) rm /etc/slurm/$file ;; esac
  done
}

$action
