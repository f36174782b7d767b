#!/usr/bin/env bash
# A child of a batch, as much of one as the batch sees: ends with its batch, writes through a partial file, notes what it
# publishes, stops when asked to.
#
#   fake.sh copy SECONDS OUTPUT | fails CODE OUTPUT | twice CODE OUTPUT | crashes OUTPUT | env OUTPUT   with --force behind the first word
set -euo pipefail
if [[ -z ${FAKE_INNER:-} ]]; then
    FAKE_INNER=1 exec setpriv --pdeathsig KILL "$BASH" "$0" "$@"
fi
[[ $PPID == "$REHOME_PARENT" ]] || exit 75
verb=$1 force=no
shift
if [[ $1 == --force ]]; then
    force=yes
    shift
fi
argument=$1 output=${*: -1}
echo "$verb $force" >>"$output.starts"

error() { # CODE MESSAGE
    printf '{"error":{"kind":"fake","exit_code":%d,"message":"%s","offset":null,"hint":"look"}}\n' "$1" "$2"
    exit "$1"
}
publish() {
    local lease=$REHOME_LEASE time
    time=$(stat -c %.9Y "$output.partial")
    [[ -e $lease ]] || error 75 'another run has taken over'
    stat -c "{\"ino\":%i,\"size\":%s,\"modified\":[${time%.*},$((10#${time#*.}))]}" "$output.partial" >>"${lease%.*}.published"
    mv "$output.partial" "$output"
}

case $verb in
    copy)
        if [[ -e $output && $force == no ]]; then error 73 "$output already exists"; fi
        trap 'error 75 interrupted' TERM
        echo '{"event":"begin","stage":"copy","bytes":0,"total":100,"seconds":0}' >&2
        echo "of $output" >"$output.partial"
        sleep "$argument" &
        wait $!
        echo '{"event":"end","stage":"copy","bytes":100,"total":100,"seconds":1}' >&2
        publish
        # The moment that a kill makes awkward: the file has its name, and the batch does not know.
        sleep 0.02
        echo '{"data_bytes":100,"digest":"abc","warnings":[]}'
        ;;
    fails) error "$argument" 'as it was told' ;;
    twice)
        if [[ $(wc -l <"$output.starts") -le 2 ]]; then error "$argument" 'not yet'; fi
        echo x >"$output.partial"
        publish
        echo '{}'
        ;;
    crashes)
        echo 'error: about to crash' >&2
        kill -SEGV $$
        ;;
    env)
        echo "fresh $REHOME_LEASE_FRESH" >"$output.partial"
        publish
        echo '{}'
        ;;
esac
