# ---- Checks. Nothing is made before all of them have passed. ----
filled RESOURCE_GROUP 'an existing resource group'
filled LOCATION 'its region'
filled VM_SIZE "at least $PROCESSORS processors and $MEMORY_MIB MiB"
if ! all_given "${CHOSEN_SUBNETS[@]}"; then
    filled SUBNET_IDS "${#NICS[@]} resource ids of subnets"
fi
filled DISK_SKU 'such as StandardSSD_LRS'
[[ $UPLOAD_SECONDS =~ ^[0-9]{2,7}$ ]] || die "UPLOAD_SECONDS is $UPLOAD_SECONDS, expected a number of seconds"
tool az
tool azcopy
subnets=("${CHOSEN_SUBNETS[@]}")
if [[ -n $SUBNET_IDS ]]; then
    read -r -a subnets <<<"$SUBNET_IDS"
fi
for index in "${!NICS[@]}"; do
    say "adapter ${NICS[index]}: network of the source: ${SOURCE_NETWORKS[index]:-none}"
done
((${#subnets[@]} == ${#NICS[@]})) || die "SUBNET_IDS has ${#subnets[@]} entries, the machine has ${#NICS[@]} adapters"
check_files
az group show --name "$RESOURCE_GROUP" --output none || die "there is no resource group $RESOURCE_GROUP, or no login"
if az vm show --resource-group "$RESOURCE_GROUP" --name "$MACHINE" --output none 2>/dev/null; then
    die "a virtual machine with this name exists already: $MACHINE"
fi
for disk in "${DISK_NAMES[@]}"; do
    if az disk show --resource-group "$RESOURCE_GROUP" --name "$disk" --output none 2>/dev/null; then
        die "a disk with this name exists already: $disk"
    fi
done

# ---- Changes. ----
say "making $MACHINE: generation $GENERATION ($FIRMWARE_REASON)"
open_disk=
revoke() {
    [[ -n $open_disk ]] || return 0
    say "not finished while uploading $open_disk; its upload is closed"
    az disk revoke-access --resource-group "$RESOURCE_GROUP" --name "$open_disk" || true
}
trap revoke EXIT
for index in "${!DISK_FILES[@]}"; do
    disk=${DISK_NAMES[index]}
    settings=()
    if ((index == 0)); then
        settings=(--os-type "$OS_TYPE" --hyper-v-generation "$GENERATION" --architecture "$ARCHITECTURE")
        if [[ $SECURE_BOOT == on || $TPM == on ]]; then
            settings+=(--security-type TrustedLaunch)
        fi
    fi
    run az disk create --resource-group "$RESOURCE_GROUP" --location "$LOCATION" --name "$disk" --sku "$DISK_SKU" \
        --upload-type Upload --upload-size-bytes "${DISK_LENGTHS[index]}" "${settings[@]}" --output none
    open_disk=$disk
    # The address holds a secret: it is not shown.
    say "uploading ${DISK_FILES[index]} to $disk"
    address=$(az disk grant-access --resource-group "$RESOURCE_GROUP" --name "$disk" --access-level Write \
        --duration-in-seconds "$UPLOAD_SECONDS" --query 'accessSas || accessSAS' --output tsv)
    [[ -n $address ]] || die "Azure gave no address to upload $disk to"
    azcopy copy "$here/${DISK_FILES[index]}" "$address" --blob-type PageBlob
    run az disk revoke-access --resource-group "$RESOURCE_GROUP" --name "$disk" --output none
    open_disk=
done

for index in "${!NICS[@]}"; do
    run az network nic create --resource-group "$RESOURCE_GROUP" --location "$LOCATION" --name "${NICS[index]}" \
        --subnet "${subnets[index]}" --output none
done

settings=()
if ((${#DISK_NAMES[@]} > 1)); then
    settings+=(--attach-data-disks "${DISK_NAMES[@]:1}")
fi
if [[ $SECURE_BOOT == on ]]; then
    settings+=(--security-type TrustedLaunch --enable-secure-boot true --enable-vtpm true)
elif [[ $TPM == on ]]; then
    settings+=(--security-type TrustedLaunch --enable-secure-boot false --enable-vtpm true)
fi
run az vm create --resource-group "$RESOURCE_GROUP" --location "$LOCATION" --name "$MACHINE" --size "$VM_SIZE" \
    --os-type "$OS_TYPE" --attach-os-disk "${DISK_NAMES[0]}" --nics "${NICS[@]}" "${settings[@]}" --output none
say "done. The machine runs. Next: watch it with az serial-console connect --resource-group $RESOURCE_GROUP --name $MACHINE"
