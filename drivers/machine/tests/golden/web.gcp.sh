#!/usr/bin/env bash
# Uploads disks converted by rehome to Google Cloud and makes the instance. Needs the gcloud command line, logged in, and
# GNU tar. The disks lie beside this script and are only read. Everything is checked before anything is made; when a
# step fails, what was made stays, and the script says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
PROJECT=${PROJECT:-}
# Such as europe-west1-b.
ZONE=${ZONE:-}
# An existing Cloud Storage bucket for the uploads.
BUCKET=${BUCKET:-}
# Such as e2-standard-2; `gcloud compute machine-types list` lists them.
MACHINE_TYPE=${MACHINE_TYPE:-}
# Subnetworks, one for each network adapter, with spaces between them; each has to be of another network. Empty are those
# that were chosen when this script was written.
SUBNETWORKS=${SUBNETWORKS:-}
# Kind of the disks.
DISK_TYPE=${DISK_TYPE:-pd-balanced}
# Folder with room for the packed disks.
WORK_FOLDER=${WORK_FOLDER:-${TMPDIR:-/tmp}}

# ---- The machine. Every value is a single-quoted literal. ----
MACHINE='web'
NOTES='rehome: one line'
PROCESSORS='4'
MEMORY_MIB='4096'
FIRMWARE='UEFI'
FIRMWARE_REASON='the disk has this loader'
SECURE_BOOT='on'
TPM='off'
ARCHITECTURE='X86_64'
FEATURES='UEFI_COMPATIBLE'
DISK_FILES=(
    'web-0.raw'
    'web-1.raw'
)
DISK_MANIFESTS=(
    'web-0.raw.rehome.json'
    'web-1.raw.rehome.json'
)
DISK_LENGTHS=(
    '3145728'
    '4194304'
)
DISK_ROUNDED=(
    '1073741824'
    '1073741824'
)
DISK_NAMES=(
    'web-disk-0'
    'web-disk-1'
)
SOURCE_NETWORKS=(
    'VM Network'
    'backup & "storage"'
)
CHOSEN_SUBNETWORKS=(
    ''
    ''
)

# ---- Functions. ----
say() { printf '%s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Shows a command as it can be typed, then runs it.
run() {
    printf '+' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
    "$@"
}

filled() { # NAME WHAT
    [[ -n ${!1} ]] || die "$1 is empty: set it at the top of this script or in the environment ($2)"
}

all_given() { # VALUES: none is empty
    local value
    for value in "$@"; do
        [[ -n $value ]] || return 1
    done
}

tool() { # COMMAND
    command -v "$1" >/dev/null || die "$1 is not installed"
}

# Older ones take an empty array for an unset variable.
((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || die "this is bash $BASH_VERSION, 4.4 or later is needed"

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

# The disks lie whole beside this script, with the manifests that show it.
check_files() {
    local index file length
    for index in "${!DISK_FILES[@]}"; do
        file=$here/${DISK_FILES[index]}
        [[ -f $file ]] || die "disk file not found: $file"
        [[ -f $here/${DISK_MANIFESTS[index]} ]] ||
            die "manifest not found: $here/${DISK_MANIFESTS[index]}. Without it nothing shows that the disk is whole"
        length=${DISK_LENGTHS[index]}
        [[ -z $length || $(wc -c <"$file") -eq $length ]] || die "$file has not $length bytes: the copy is not whole"
    done
}

# ---- Checks. Nothing is made before all of them have passed. ----
filled PROJECT 'the id of a project'
filled ZONE 'such as europe-west1-b'
filled BUCKET 'an existing Cloud Storage bucket'
filled MACHINE_TYPE "at least $PROCESSORS processors and $MEMORY_MIB MiB"
if ! all_given "${CHOSEN_SUBNETWORKS[@]}"; then
    filled SUBNETWORKS "${#SOURCE_NETWORKS[@]} subnetworks"
fi
filled DISK_TYPE 'such as pd-balanced'
[[ $BUCKET =~ ^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$ ]] || die "BUCKET is $BUCKET, which is no name of a bucket"
[[ -d $WORK_FOLDER ]] || die "there is no folder $WORK_FOLDER"
tool gcloud
tool tar
tool gzip
subnetworks=("${CHOSEN_SUBNETWORKS[@]}")
if [[ -n $SUBNETWORKS ]]; then
    read -r -a subnetworks <<<"$SUBNETWORKS"
fi
for index in "${!SOURCE_NETWORKS[@]}"; do
    say "adapter $((index + 1)): network of the source: ${SOURCE_NETWORKS[index]:-none}"
done
((${#subnetworks[@]} == ${#SOURCE_NETWORKS[@]})) ||
    die "SUBNETWORKS has ${#subnetworks[@]} entries, the machine has ${#SOURCE_NETWORKS[@]} adapters"
check_files
gcloud storage buckets describe "gs://$BUCKET" >/dev/null || die "there is no bucket $BUCKET, or no login"
if gcloud compute instances describe "$MACHINE" --project="$PROJECT" --zone="$ZONE" >/dev/null 2>&1; then
    die "an instance with this name exists already: $MACHINE"
fi
for disk in "${DISK_NAMES[@]}"; do
    if gcloud compute images describe "$disk" --project="$PROJECT" >/dev/null 2>&1; then
        die "an image with this name exists already: $disk"
    fi
done

# ---- Changes. ----
say "making $MACHINE: firmware $FIRMWARE ($FIRMWARE_REASON)"
work=$(mktemp -d -- "$WORK_FOLDER/rehome-gcp.XXXXXXXX")
trap 'rm -rf -- "$work"' EXIT
for index in "${!DISK_FILES[@]}"; do
    disk=${DISK_NAMES[index]}
    file=$here/${DISK_FILES[index]}
    # The archive holds one file, disk.raw, of a whole number of GiB.
    if ((DISK_LENGTHS[index] == DISK_ROUNDED[index])); then
        ln -s -- "$file" "$work/disk.raw"
    else
        say "disk $disk grows from ${DISK_LENGTHS[index]} to ${DISK_ROUNDED[index]} bytes by zeros at its end"
        cp --sparse=always --reflink=auto -- "$file" "$work/disk.raw"
        truncate --size="${DISK_ROUNDED[index]}" -- "$work/disk.raw"
    fi
    say "packing ${DISK_FILES[index]}"
    run tar --format=oldgnu --sparse --dereference --gzip -cf "$work/$disk.tar.gz" -C "$work" disk.raw
    rm -- "$work/disk.raw"
    run gcloud storage cp "$work/$disk.tar.gz" "gs://$BUCKET/$disk.tar.gz" --project="$PROJECT"
    rm -- "$work/$disk.tar.gz"
    settings=(--source-uri="gs://$BUCKET/$disk.tar.gz" --architecture="$ARCHITECTURE")
    if ((index == 0)) && [[ -n $FEATURES ]]; then
        settings+=(--guest-os-features="$FEATURES")
    fi
    run gcloud compute images create "$disk" --project="$PROJECT" "${settings[@]}"
    run gcloud compute disks create "$disk" --project="$PROJECT" --zone="$ZONE" --type="$DISK_TYPE" --image="$disk" \
        --image-project="$PROJECT"
done

settings=(--description="$NOTES")
for index in "${!DISK_NAMES[@]}"; do
    boot=no
    if ((index == 0)); then
        boot=yes
    fi
    settings+=(--disk="name=${DISK_NAMES[index]},boot=$boot,auto-delete=no")
done
for subnetwork in "${subnetworks[@]}"; do
    settings+=(--network-interface="subnet=$subnetwork,no-address")
done
if [[ $SECURE_BOOT == on ]]; then
    settings+=(--shielded-secure-boot --shielded-vtpm)
elif [[ $TPM == on ]]; then
    settings+=(--shielded-vtpm)
fi
run gcloud compute instances create "$MACHINE" --project="$PROJECT" --zone="$ZONE" --machine-type="$MACHINE_TYPE" \
    "${settings[@]}"
say "done. The instance runs. Next: watch it with gcloud compute instances get-serial-port-output $MACHINE, then delete"
say "the uploads: gs://$BUCKET/${DISK_NAMES[0]}.tar.gz and so on"
