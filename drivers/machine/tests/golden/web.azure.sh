#!/usr/bin/env bash
# Uploads disks converted by rehome to Azure and makes the virtual machine. Needs the Azure command line, logged in
# (az login), and azcopy. The disks lie beside this script and are only read. Everything is checked before anything is
# made; when a step fails, what was made stays in the resource group, and the script says what it was doing.
set -euo pipefail

# ---- Fill these in, or set them in the environment. ----
# An existing resource group, and its region, such as westeurope.
RESOURCE_GROUP=${RESOURCE_GROUP:-}
LOCATION=${LOCATION:-}
# Size of the machine, such as Standard_D2s_v5; `az vm list-sizes --location REGION` lists them.
VM_SIZE=${VM_SIZE:-}
# Resource ids of subnets, one for each network adapter, with spaces between them. Empty are those that were chosen when
# this script was written.
SUBNET_IDS=${SUBNET_IDS:-}
# Kind of the managed disks.
DISK_SKU=${DISK_SKU:-StandardSSD_LRS}
# How long an upload may take.
UPLOAD_SECONDS=${UPLOAD_SECONDS:-86400}

# ---- The machine. Every value is a single-quoted literal. ----
MACHINE='web'
PROCESSORS='4'
MEMORY_MIB='4096'
GENERATION='V2'
FIRMWARE_REASON='the disk has this loader'
SECURE_BOOT='on'
OS_TYPE='Linux'
TPM='off'
ARCHITECTURE='x64'
DISK_FILES=(
    'web-0.vhd'
    'web-1.vhd'
)
DISK_MANIFESTS=(
    'web-0.vhd.rehome.json'
    'web-1.vhd.rehome.json'
)
DISK_LENGTHS=(
    '3146240'
    '4194816'
)
DISK_NAMES=(
    'web-os'
    'web-data-1'
)
NICS=(
    'web-nic-1'
    'web-nic-2'
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
