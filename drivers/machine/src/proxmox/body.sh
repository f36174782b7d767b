
# ---- Arguments. ----
storage=local-lvm
vmid=''
bridge=''
map_networks=()
map_bridges=()
new_macs=0
cpu=host
start=0
dry_run=0

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
value_of() { # OPTION COUNT: there is a value behind the option
    [[ $2 -ge 2 ]] || fail "$1 needs a value"
}
while (($#)); do
    case $1 in
    --storage) value_of "$1" $#; storage=$2; shift 2 ;;
    --vmid) value_of "$1" $#; vmid=$2; shift 2 ;;
    --bridge) value_of "$1" $#; bridge=$2; shift 2 ;;
    --bridge-of)
        value_of "$1" $#
        [[ $2 == ?*=* ]] || fail '--bridge-of takes NETWORK=NAME'
        map_networks+=("${2%=*}")
        map_bridges+=("${2##*=}")
        shift 2
        ;;
    --new-macs) new_macs=1; shift ;;
    --cpu) value_of "$1" $#; cpu=$2; shift 2 ;;
    --start) start=1; shift ;;
    --dry-run) dry_run=1; shift ;;
    *) fail "unknown argument: $1" ;;
    esac
done

# ---- Checks. Nothing is changed before all of them have passed. ----
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
for tool in qm perl; do
    command -v "$tool" >/dev/null || fail "$tool is not installed: this is no Proxmox VE host"
done
name_pattern='^[A-Za-z][A-Za-z0-9._-]*$'
bridge_pattern='^[A-Za-z][A-Za-z0-9_.-]{0,14}$'
cpu_pattern='^[A-Za-z0-9][A-Za-z0-9._-]*$'
[[ $storage =~ $name_pattern ]] || fail "this is no name of a storage: $storage"
[[ $cpu =~ $cpu_pattern ]] || fail "this is no processor type: $cpu"
for name in "${bridge:-vmbr0}" "${map_bridges[@]}"; do
    [[ $name =~ $bridge_pattern ]] || fail "this is no name of a bridge: $name"
done
if [[ -z $vmid ]]; then
    vmid=$(pvesh get /cluster/nextid)
fi
[[ $vmid =~ ^[1-9][0-9]{2,8}$ ]] || fail "this is no number of a virtual machine: $vmid"
if qm config "$vmid" >/dev/null 2>&1; then
    fail "a virtual machine with the number $vmid exists already"
fi
for network in "${map_networks[@]}"; do
    known=0
    for other in "${nic_networks[@]}"; do
        [[ $network == "$other" ]] && known=1
    done
    ((known)) || fail "--bridge-of names a network that no adapter had: $network"
done
for index in "${!disk_files[@]}"; do
    file=$here/${disk_files[index]}
    manifest=$here/${disk_manifests[index]}
    [[ -f $file ]] || fail "disk file not found: $file"
    [[ -f $manifest ]] || fail "manifest not found: $manifest. Without it nothing shows that the disk is whole."
    recorded=$(perl -MJSON::PP -0777 -ne 'my $s = decode_json($_)->{image}{file_size}; print $s if defined $s' <"$manifest")
    actual=$(stat -c %s -- "$file")
    [[ -z $recorded || $recorded == "$actual" ]] ||
        fail "$file has $actual bytes, its manifest says $recorded: the copy is not whole."
done

# ---- Changes. ----
run() {
    if ((dry_run)); then
        printf '%q ' "$@"
        printf '\n'
    else
        "$@"
    fi
}
made=0
clean_up() {
    local status=$?
    if ((status != 0 && made)); then
        if qm destroy "$vmid" --purge >/dev/null; then
            say "Not finished: the half-made virtual machine $vmid was destroyed again, the image files were kept." >&2
        else
            say "Not finished, and the half-made virtual machine $vmid could not be destroyed." >&2
        fi
    fi
}
trap clean_up EXIT

create=(qm create "$vmid" --name "$vm_name" --description "$description" --memory "$memory_mib"
    --sockets "$sockets" --cores "$cores" --cpu "$cpu" --bios "$bios" --machine "$machine" --ostype "$ostype"
    --localtime "$localtime" --serial0 socket --vga std --onboot 0)
# Without one Proxmox makes its own.
if [[ -n $uuid ]]; then
    create+=(--smbios1 "uuid=$uuid")
fi
if [[ -n $scsihw ]]; then
    create+=(--scsihw "$scsihw")
fi
if [[ $bios == ovmf ]]; then
    create+=(--efidisk0 "$storage:1,efitype=4m,pre-enrolled-keys=$enrolled_keys")
fi
if [[ -n $tpm_version ]]; then
    create+=(--tpmstate0 "$storage:1,version=$tpm_version")
fi
for index in "${!nic_macs[@]}"; do
    # What is said now goes before what was chosen when this script was written.
    target=${bridge:-${nic_bridges[index]:-vmbr0}}
    for number in "${!map_networks[@]}"; do
        if [[ ${map_networks[number]} == "${nic_networks[index]}" ]]; then
            target=${map_bridges[number]}
        fi
    done
    adapter=$nic_model
    if ((!new_macs)) && [[ -n ${nic_macs[index]} ]]; then
        adapter+=",macaddr=${nic_macs[index]}"
    fi
    create+=("--net$index" "model=$adapter,bridge=$target")
done
run "${create[@]}"
((dry_run)) || made=1

for index in "${!disk_files[@]}"; do
    run qm importdisk "$vmid" "$here/${disk_files[index]}" "$storage"
    volume="$storage:imported-$index"
    if ((!dry_run)); then
        # The copy is the only volume that is not attached.
        volume=$(qm config "$vmid" | sed -n 's/^unused0: //p')
        [[ -n $volume ]] || fail "the imported disk is not among the unattached ones: ${disk_files[index]}"
    fi
    run qm set "$vmid" "--${disk_keys[index]}" "$volume"
done
run qm set "$vmid" --boot "order=${disk_keys[0]}"

# ---- Report. ----
made=0
if ((dry_run)); then
    say 'Nothing was changed. All checks passed.'
    exit 0
fi
say "Made virtual machine $vmid, $vm_name"
say "  firmware $bios: $firmware_reason"
for index in "${!nic_macs[@]}"; do
    say "  net$index: source network ${nic_networks[index]}, MAC ${nic_macs[index]}"
done
if ((start)); then
    qm start "$vmid"
    say 'Started. Next: watch the guest in its console until it shows a login prompt.'
else
    say 'Next: check the settings, and start it with qm start.'
fi
