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
