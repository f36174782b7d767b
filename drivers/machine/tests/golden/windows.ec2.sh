#!/usr/bin/env bash
# Uploads disks of a Windows machine converted by rehome to Amazon EC2, where VM Import/Export makes an image (AMI) of them:
# it puts Amazon's drivers into its copy and decides about the licence, neither of which an image has that is registered
# from snapshots. Needs the AWS command line with credentials, and the service role of VM Import/Export. The disks lie
# beside this script and are only read. Everything is checked before anything is made; when a step fails, what was made
# stays, and the script says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
# Such as eu-central-1.
REGION=${REGION:-}
# An existing S3 bucket in that region, and the folder in it.
BUCKET=${BUCKET:-}
PREFIX=${PREFIX:-rehome}
# AWS: Amazon's licence in the place of the source's, paid by the hour, for Windows Server. BYOL: the licence of the source,
# which has to allow that.
LICENSE_TYPE=${LICENSE_TYPE:-}
# The service role of VM Import/Export.
ROLE_NAME=${ROLE_NAME:-vmimport}
# Seconds between two looks at an import.
POLL_SECONDS=${POLL_SECONDS:-15}

# ---- The machine. Every value is a single-quoted literal. ----
IMAGE_NAME='machine-dc'
DESCRIPTION='rehome: one line'
PROCESSORS='4'
MEMORY_MIB='4096'
BOOT_MODE='uefi'
FIRMWARE_REASON='the disk has this loader'
ARCHITECTURE='x86_64'
DISK_FILES=(
    'web-0.vmdk'
    'web-1.vmdk'
)
DISK_MANIFESTS=(
    'web-0.vmdk.rehome.json'
    'web-1.vmdk.rehome.json'
)
DISK_LENGTHS=(
    ''
    ''
)
DISK_KEYS=(
    'machine-dc-disk-0.vmdk'
    'machine-dc-disk-1.vmdk'
)
DISK_FORMATS=(
    'VMDK'
    'VMDK'
)
SOURCE_NETWORKS=(
    'VM Network'
    'backup & "storage"'
)
CHOSEN_SUBNETS=(
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
filled REGION 'such as eu-central-1'
filled BUCKET 'an existing S3 bucket'
filled LICENSE_TYPE 'AWS or BYOL'
[[ $REGION =~ ^[a-z0-9-]+$ ]] || die "REGION is $REGION, which is no region"
[[ $BUCKET =~ ^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$ ]] || die "BUCKET is $BUCKET, which is no name of a bucket"
[[ $PREFIX =~ ^[A-Za-z0-9._/-]+$ ]] || die "PREFIX is $PREFIX, possible are letters, digits and . _ / -"
[[ $ROLE_NAME =~ ^[A-Za-z0-9_+=,.@-]+$ ]] || die "ROLE_NAME is $ROLE_NAME, which is no role"
[[ $POLL_SECONDS =~ ^[0-9]{1,4}$ ]] || die "POLL_SECONDS is $POLL_SECONDS, expected a number of seconds"
[[ $LICENSE_TYPE == AWS || $LICENSE_TYPE == BYOL ]] || die "LICENSE_TYPE is $LICENSE_TYPE, possible are AWS and BYOL"
tool aws
check_files
aws s3api head-bucket --region "$REGION" --bucket "$BUCKET" >/dev/null || die "there is no bucket $BUCKET, or no access"

# Waits for the import and prints the id of the image.
image_of() { # TASK
    local line status image message
    while :; do
        line=$(aws ec2 describe-import-image-tasks --region "$REGION" --import-task-ids "$1" --output text \
            --query 'ImportImageTasks[0].[Status,ImageId,StatusMessage]')
        IFS=$'\t' read -r status image message <<<"$line"
        case $status in
        completed)
            printf '%s\n' "$image"
            return
            ;;
        deleting | deleted) die "import $1 ended as $status: ${message:-}" ;;
        *) say "  $1: $status ${message:-}" ;;
        esac
        sleep "$POLL_SECONDS"
    done
}

# ---- Changes. ----
say "importing $IMAGE_NAME: boot mode $BOOT_MODE ($FIRMWARE_REASON), licence $LICENSE_TYPE"
containers=()
for index in "${!DISK_FILES[@]}"; do
    key=$PREFIX/${DISK_KEYS[index]}
    run aws s3 cp "$here/${DISK_FILES[index]}" "s3://$BUCKET/$key" --region "$REGION" --only-show-errors
    containers+=("Description=disk-$index,Format=${DISK_FORMATS[index]},UserBucket={S3Bucket=$BUCKET,S3Key=$key}")
done
task=$(run aws ec2 import-image --region "$REGION" --role-name "$ROLE_NAME" --description "$DESCRIPTION" \
    --platform Windows --architecture "$ARCHITECTURE" --boot-mode "$BOOT_MODE" --license-type "$LICENSE_TYPE" \
    --disk-containers "${containers[@]}" --query ImportTaskId --output text)
[[ $task == import-ami-* ]] || die "EC2 gave no import task, but: $task"
say "importing as $task"
image=$(image_of "$task")
[[ $image == ami-* ]] || die "EC2 gave no image, but: $image"
run aws ec2 create-tags --region "$REGION" --resources "$image" --tags "Key=Name,Value=$IMAGE_NAME"
for index in "${!SOURCE_NETWORKS[@]}"; do
    say "adapter $((index + 1)): network of the source: ${SOURCE_NETWORKS[index]:-none}, subnet: ${CHOSEN_SUBNETS[index]:-not chosen}"
done
say "done: $image. Next: start an instance with at least $PROCESSORS processors and $MEMORY_MIB MiB:"
say "aws ec2 run-instances --region $REGION --image-id $image --instance-type TYPE --subnet-id ${CHOSEN_SUBNETS[0]:-SUBNET}"
say "then delete the uploads below s3://$BUCKET/$PREFIX"
printf '%s\n' "$image"
