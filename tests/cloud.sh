#!/usr/bin/env bash
# Tries remote sources and targets against other people's servers on the loopback: moto (S3, EBS, EC2) and azurite (page blobs).
# Installs them into target/oracles/cloud where they are not there yet: some minutes and 700 MB, so this is no part of tests/packages.sh.
#
#   tests/cloud.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/oracles/cloud
moto_version=5.2.5
azurite_version=3.35.0

say() { printf 'cloud: %s\n' "$*" >&2; }

install() {
    mkdir -p "$tools"
    if ! "$tools/venv/bin/python" -c "import moto, flask, boto3" 2>/dev/null; then
        say "installing moto $moto_version"
        python3 -m venv "$tools/venv"
        timeout 1800 "$tools/venv/bin/python" -m pip install --quiet "moto[server,s3,ebs,ec2]==$moto_version"
    fi
    if ! [[ -e $tools/node_modules/azurite/dist/src/azurite.js ]]; then
        say "installing azurite $azurite_version"
        timeout 1800 npm install --silent --no-fund --no-audit --prefix "$tools" "azurite@$azurite_version"
    fi
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

started=()
work=$(mktemp -d)
stop() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap stop EXIT

listens() { # PORT
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.2
    done
    say "nothing listens on port $1"
    cat "$work"/*.log >&2
    exit 1
}

install
moto=$(free_port)
"$tools/venv/bin/python" -m moto.server -H 127.0.0.1 -p "$moto" >"$work/moto.log" 2>&1 &
started+=($!)
azurite=$(free_port)
node "$tools/node_modules/azurite/dist/src/azurite.js" --silent --location "$work/azurite" --blobHost 127.0.0.1 --blobPort "$azurite" \
    --queuePort "$(free_port)" --tablePort "$(free_port)" --skipApiVersionCheck --disableTelemetry >"$work/azurite.log" 2>&1 &
started+=($!)
listens "$moto"
listens "$azurite"

export REHOME_TEST_MOTO=http://127.0.0.1:$moto REHOME_TEST_AZURITE=http://127.0.0.1:$azurite/devstoreaccount1
export REHOME_TEST_PYTHON=$tools/venv/bin/python
cd "$root"
timeout 900 cargo nextest run --workspace -E 'package(convert-cloud)' --run-ignored only --no-fail-fast "$@"

# A machine of EC2 goes to Hyper-V: its disk from a snapshot, its description from the service, in one command.
say "a machine of EC2"
cargo build --quiet --workspace --bins
export AWS_ENDPOINT_URL=$REHOME_TEST_MOTO AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1
qemu-img convert -O raw samples/ec2-debian.vmdk "$work/disk.raw"
read -r snapshot instance < <("$REHOME_TEST_PYTHON" convert/cloud/tests/cloud/upload.py "$REHOME_TEST_MOTO" "$work/disk.raw")
timeout 300 target/debug/rehome convert "ebs://$snapshot" "$work/down.raw"
cmp "$work/disk.raw" "$work/down.raw"
timeout 300 target/debug/rehome migrate "ebs://$snapshot" --machine "ec2://$instance" --to hyperv --out "$work/vm" >"$work/migrate.txt"
timeout 300 target/debug/rehome verify "$work/vm/$instance.vhdx"
say "all passed"
