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
