#!/usr/bin/env bash
# Uploads disks converted by rehome to Amazon EC2, imports each as a snapshot, and registers an image (AMI) of them. Needs
# the AWS command line with credentials, and the service role of VM Import/Export. The disks lie beside this script and
# are only read. Everything is checked before anything is made; when a step fails, what was made stays, and the script
# says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
# Such as eu-central-1.
REGION=${REGION:-}
# An existing S3 bucket in that region, and the folder in it.
BUCKET=${BUCKET:-}
PREFIX=${PREFIX:-rehome}
# The service role of VM Import/Export.
ROLE_NAME=${ROLE_NAME:-vmimport}
VOLUME_TYPE=${VOLUME_TYPE:-gp3}
# Seconds between two looks at an import.
POLL_SECONDS=${POLL_SECONDS:-15}

# ---- The machine. Every value is a single-quoted literal. ----
IMAGE_NAME='web'
DESCRIPTION='rehome: one line'
PROCESSORS='4'
MEMORY_MIB='4096'
BOOT_MODE='uefi'
FIRMWARE_REASON='the disk has this loader'
ARCHITECTURE='x86_64'
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
DISK_KEYS=(
    'web-disk-0.raw'
    'web-disk-1.raw'
)
DISK_FORMATS=(
    'RAW'
    'RAW'
)
SOURCE_NETWORKS=(
    'VM Network'
    'backup & "storage"'
)
CHOSEN_SUBNETS=(
    ''
    ''
)
TPM='off'
DISK_DEVICES=(
    '/dev/sda1'
    '/dev/sdf'
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
filled REGION 'such as eu-central-1'
filled BUCKET 'an existing S3 bucket'
[[ $REGION =~ ^[a-z0-9-]+$ ]] || die "REGION is $REGION, which is no region"
[[ $BUCKET =~ ^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$ ]] || die "BUCKET is $BUCKET, which is no name of a bucket"
[[ $PREFIX =~ ^[A-Za-z0-9._/-]+$ ]] || die "PREFIX is $PREFIX, possible are letters, digits and . _ / -"
[[ $ROLE_NAME =~ ^[A-Za-z0-9_+=,.@-]+$ ]] || die "ROLE_NAME is $ROLE_NAME, which is no role"
[[ $VOLUME_TYPE =~ ^[a-z0-9]+$ ]] || die "VOLUME_TYPE is $VOLUME_TYPE, which is no kind of volume"
[[ $POLL_SECONDS =~ ^[0-9]{1,4}$ ]] || die "POLL_SECONDS is $POLL_SECONDS, expected a number of seconds"
tool aws
check_files
aws s3api head-bucket --region "$REGION" --bucket "$BUCKET" >/dev/null || die "there is no bucket $BUCKET, or no access"
found=$(aws ec2 describe-images --region "$REGION" --owners self --filters "Name=name,Values=$IMAGE_NAME" \
    --query 'length(Images)' --output text)
[[ $found == 0 ]] || die "an image with this name exists already: $IMAGE_NAME"

# Waits for the import of one disk and prints the id of its snapshot.
snapshot_of() { # TASK
    local line status snapshot message
    while :; do
        line=$(aws ec2 describe-import-snapshot-tasks --region "$REGION" --import-task-ids "$1" --output text \
            --query 'ImportSnapshotTasks[0].SnapshotTaskDetail.[Status,SnapshotId,StatusMessage]')
        IFS=$'\t' read -r status snapshot message <<<"$line"
        case $status in
        completed)
            printf '%s\n' "$snapshot"
            return
            ;;
        active | pending | None) say "  $1: $status ${message:-}" ;;
        *) die "import $1 ended as $status: ${message:-}" ;;
        esac
        sleep "$POLL_SECONDS"
    done
}

# ---- Changes. ----
say "making the image $IMAGE_NAME: boot mode $BOOT_MODE ($FIRMWARE_REASON)"
mappings=()
for index in "${!DISK_FILES[@]}"; do
    key=$PREFIX/${DISK_KEYS[index]}
    run aws s3 cp "$here/${DISK_FILES[index]}" "s3://$BUCKET/$key" --region "$REGION" --only-show-errors
    task=$(run aws ec2 import-snapshot --region "$REGION" --role-name "$ROLE_NAME" --description "$IMAGE_NAME disk $index" \
        --disk-container "Format=${DISK_FORMATS[index]},UserBucket={S3Bucket=$BUCKET,S3Key=$key}" \
        --query ImportTaskId --output text)
    [[ $task == import-snap-* ]] || die "EC2 gave no import task, but: $task"
    say "importing ${DISK_FILES[index]} as $task"
    snapshot=$(snapshot_of "$task")
    [[ $snapshot == snap-* ]] || die "EC2 gave no snapshot, but: $snapshot"
    mappings+=("DeviceName=${DISK_DEVICES[index]},Ebs={SnapshotId=$snapshot,VolumeType=$VOLUME_TYPE,DeleteOnTermination=false}")
done

settings=()
if [[ $TPM == on ]]; then
    settings+=(--tpm-support v2.0)
fi
image=$(run aws ec2 register-image --region "$REGION" --name "$IMAGE_NAME" --description "$DESCRIPTION" \
    --architecture "$ARCHITECTURE" --virtualization-type hvm "${settings[@]}" --boot-mode "$BOOT_MODE" --ena-support \
    --root-device-name "${DISK_DEVICES[0]}" --block-device-mappings "${mappings[@]}" --query ImageId --output text)
for index in "${!SOURCE_NETWORKS[@]}"; do
    say "adapter $((index + 1)): network of the source: ${SOURCE_NETWORKS[index]:-none}, subnet: ${CHOSEN_SUBNETS[index]:-not chosen}"
done
say "done: $image. Next: start an instance with at least $PROCESSORS processors and $MEMORY_MIB MiB:"
say "aws ec2 run-instances --region $REGION --image-id $image --instance-type TYPE --subnet-id ${CHOSEN_SUBNETS[0]:-SUBNET}"
say "then delete the uploads below s3://$BUCKET/$PREFIX"
printf '%s\n' "$image"
