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
