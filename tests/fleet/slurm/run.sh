#!/usr/bin/env bash
# Sixty conversions on a real Slurm of two nodes, of which one is killed and one is stopped with its task alive. Every job must end exactly
# once, and be right.
#
#   tests/fleet/slurm/run.sh REHOME [DIR]        as root; the packages are those of tests/packages.sh test
#
# What is done to it:
#   jobs 10, 20, 30, 40 and 50   the program ends with 75 at the first attempt: it is requeued by Slurm
#   job 13                       the source is cut off: it fails for good, with 65
#   job 29                       the source is missing: it fails for good, with 66
#   node n1                      slurmd, slurmstepd and the task are killed (-9): the task runs again elsewhere
#   node n2                      slurmd is stopped (-STOP) while its task goes on: Slurm begins the task a second time
set -euo pipefail

[[ $EUID -eq 0 ]] || { echo "run.sh: Slurm's daemons want to be started as root" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
rehome=$(readlink -f -- "$1")
dir=${2:-$(mktemp -d /tmp/rehome-fleet.XXXXXX)}
mkdir -p "$dir"/{in,out,tasks}
chmod 755 "$dir"
jobs=60
# Job 5 goes on while its node is stopped, job 4 runs when its node is killed.
slow=(4 5)

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
failures=0
wrong() { printf 'WRONG: %s\n' "$*"; failures=$((failures + 1)); }

make_sources() {
    local job image
    for ((job = 0; job < jobs; job++)); do
        image=$dir/in/$job.raw
        # Some data, a hole, some more data.
        head -c $(((job % 7 + 1) * 300000)) /dev/urandom >"$image"
        truncate -s $((24 << 20)) "$image"
        head -c 1000000 /dev/urandom >>"$image"
        truncate -s $((26 << 20)) "$image"
    done
    for job in "${slow[@]}"; do head -c $((40 << 20)) /dev/urandom >"$dir/in/$job.raw"; done
    timeout 60 qemu-img convert -f raw -O qcow2 "$dir/in/13.raw" "$dir/in/13.qcow2"
    truncate -s 400000 "$dir/in/13.qcow2"
    rm "$dir/in/29.raw"
}

write_jobs() {
    local job
    printf 'version = 1\n[batch]\nname = "fleet"\noutput = "out"\njobs = 8\nretries = 0\n[defaults]\nformat = "raw"\ntarget_format = "qcow2"\nverify = true\n'
    for ((job = 0; job < jobs; job++)); do
        printf '[[job]]\nid = "vm-%02d"\n' "$job"
        case $job in
        13) printf 'source = "in/13.qcow2"\nformat = "qcow2"\n' ;;
        4 | 5) printf 'source = "in/%d.raw"\nrate_limit = "1M"\n' "$job" ;;
        *) printf 'source = "in/%d.raw"\n' "$job" ;;
        esac
    done
}

# Stands before the program on every node: writes down who runs where, and fails where it shall.
write_program() {
    cat <<EOF
#!/usr/bin/env bash
task=\$SLURM_ARRAY_TASK_ID
printf '%s %s %s %s\n' "\$(date +%s.%N)" "\$\$" "\$SLURMD_NODENAME" "\${SLURM_RESTART_COUNT:-0}" >>"$dir/tasks/\$task"
case \$task in
10 | 20 | 30 | 40 | 50) ((\${SLURM_RESTART_COUNT:-0} > 0)) || exit 75 ;;
esac
exec "$rehome" "\$@"
EOF
}

# Where the task runs, and its pid: of the last time that it was begun.
task_pid() { awk 'END { print $2 }' "$dir/tasks/$1"; }
task_node() { awk 'END { print $3 }' "$dir/tasks/$1"; }

wait_for_task() { # TASK
    local tries
    for ((tries = 0; tries < 240; tries++)); do
        if [[ -s $dir/tasks/$1 ]] && kill -0 "$(task_pid "$1")" 2>/dev/null; then return; fi
        if ((tries % 10 == 9)); then "$here/kick.sh"; fi
        sleep 0.5
    done
    echo "run.sh: task $1 did not begin" >&2
    exit 1
}

# The pids from the task up to its slurmstepd.
ancestors() { # PID
    local pid=$1 parent
    while [[ -r /proc/$pid/status ]]; do
        echo "$pid"
        if [[ $(</proc/"$pid"/comm) == slurmstepd ]]; then return; fi
        parent=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")
        ((parent > 1)) || return
        pid=$parent
    done
}

descendants() { # PID
    local child
    # A process that is gone has none.
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null || true); do
        echo "$child"
        descendants "$child"
    done
}

kill_node_of() { # TASK
    local pid node victims
    pid=$(task_pid "$1")
    node=$(task_node "$1")
    # Of the node: all tasks that were begun on it and are still there, with what stands above and below them.
    victims=$(cat "$dir/slurmd-$node.pid")
    local file
    for file in "$dir"/tasks/*; do
        [[ $(awk 'END { print $3 }' "$file") == "$node" ]] || continue
        pid=$(awk 'END { print $2 }' "$file")
        kill -0 "$pid" 2>/dev/null || continue
        victims+=" $(ancestors "$pid" | tr '\n' ' ') $(descendants "$pid" | tr '\n' ' ')"
    done
    say "node $node is killed: $(wc -w <<<"$victims") processes"
    # shellcheck disable=SC2086  # a list
    kill -9 $victims 2>/dev/null || true
    killed=$node
}

unfinished() { timeout 30 squeue --noheader --array --format='%i %t' | grep -vc ' \(SE\|RH\)$' || true; }

begin() {
    eval "$("$here/up.sh" "$dir" 2)"
    trap '"$here/down.sh" "$dir"' EXIT
    say "two nodes are up"
    cd "$dir"
    "$rehome" batch emit slurm jobs.toml --program "$dir/program" --cpus 1 --memory 256 >jobs.sh
    bash -n jobs.sh
    bash jobs.sh
}

disturb() {
    wait_for_task "${slow[0]}"
    sleep 3
    kill_node_of "${slow[0]}"
    # It comes back when Slurm has noticed.
    sleep 15
    slurmd -f "$SLURM_CONF" -N "$killed"
    wait_for_task "${slow[1]}"
    stopped=$(task_node "${slow[1]}")
    first=$(task_pid "${slow[1]}")
    begins=$(wc -l <"$dir/tasks/${slow[1]}")
    kill -STOP "$(cat "$dir/slurmd-$stopped.pid")"
    say "node $stopped is stopped, its task ${slow[1]} goes on as $first"
}

finish() {
    local tries
    for ((tries = 0; tries < 240; tries++)); do
        "$here/kick.sh"
        if [[ -z ${twice:-} ]] && (($(wc -l <"$dir/tasks/${slow[1]}") > begins)); then
            twice=0
            if kill -0 "$first" 2>/dev/null; then say "task ${slow[1]} was begun a second time while the first lives"; twice=1; fi
        fi
        if ((tries == 90)); then kill -CONT "$(cat "$dir/slurmd-$stopped.pid")" 2>/dev/null || true; fi
        if [[ $(unfinished) == 0 ]]; then break; fi
        sleep 2
    done
    say "$(unfinished) tasks are left"
}

judge() {
    local job id state expected code ends
    for ((job = 0; job < jobs; job++)); do
        id=$(printf 'vm-%02d' "$job")
        state=$(jq -r .state "out/.rehome-batch/jobs/$id.json" 2>/dev/null || echo none)
        code=$(jq -r .exit_code "out/.rehome-batch/jobs/$id.json" 2>/dev/null || echo none)
        case $job in
        13) expected="failed 65" ;;
        29) expected="failed 66" ;;
        *) expected="done 0" ;;
        esac
        [[ "$state $code" == "$expected" ]] || wrong "$id is $state $code, and not $expected"
        ends=$(cat out/.rehome-batch/events*.ndjson | jq -r --arg id "$id" 'select(.job == $id and (.event == "job-done" or .event == "job-failed")) | .event' | wc -l)
        [[ $ends == 1 ]] || wrong "$id ended $ends times"
        [[ $expected == "done 0" ]] || { [[ ! -e out/$id/$id.qcow2 ]] || wrong "$id failed and has an image"; continue; }
        timeout 120 "$rehome" verify "out/$id/$id.qcow2" >/dev/null || wrong "$id does not verify"
        timeout 120 qemu-img compare -f raw -F qcow2 "in/$job.raw" "out/$id/$id.qcow2" >/dev/null || wrong "$id is not its source"
        timeout 60 qemu-img check -q "out/$id/$id.qcow2" || wrong "$id is not whole"
    done
    for job in 10 20 30 40 50 "${slow[0]}"; do
        # The first time may have been on the node that was killed, before the task wrote anything.
        (($(awk 'END { print $4 }' "$dir/tasks/$job") >= 1)) || wrong "task $job was not begun again"
    done
    [[ ${twice:-0} == 1 ]] || wrong "no task ran twice at once: the split was not tested"
    local left
    left=$(find out -name '*.partial*' -o -name '*.unfinished' | head)
    [[ -z $left ]] || wrong "left behind: $left"
}

make_sources
write_jobs >"$dir/jobs.toml"
write_program >"$dir/program"
chmod 755 "$dir/program"
say "60 sources in $dir"
begin
disturb
finish
judge
if ((failures > 0)); then
    say "$failures faults; what happened is in $dir"
    exit 1
fi
say "every job ended exactly once, right and verified"
rm -rf -- "$dir/in" "$dir/out"
