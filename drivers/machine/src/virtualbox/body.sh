# ---- Checks. Nothing is changed before all of them have passed. ----
tool VBoxManage
# What is said now goes before what was chosen when this script was written.
connection() { # NETWORK: sets `network` to the words of VBoxManage
    case $1 in
    nat) network=(nat) ;;
    none) network=(null) ;;
    bridged:?*) network=(bridged bridgeadapter "${1#*:}") ;;
    intnet:?*) network=(intnet intnet "${1#*:}") ;;
    hostonly:?*) network=(hostonly hostonlyadapter "${1#*:}") ;;
    *) die "NETWORK is $1, possible are nat, none, bridged:INTERFACE, intnet:NAME and hostonly:INTERFACE" ;;
    esac
}
if ! all_given "${NETWORKS[@]}"; then
    filled NETWORK 'nat, none, bridged:INTERFACE, intnet:NAME or hostonly:INTERFACE'
fi
for index in "${!NETWORKS[@]}"; do
    connection "${NETWORK:-${NETWORKS[index]}}"
done
check_files
# Types that this version does not know are left for the next best one.
known=$(VBoxManage list ostypes)
for os_type in "${OS_TYPES[@]}"; do
    if grep -q "^ID: *$os_type\$" <<<"$known"; then
        break
    fi
done
if VBoxManage showvminfo "$MACHINE" >/dev/null 2>&1; then
    die "a machine with this name exists already: $MACHINE"
fi

# ---- Changes. ----
made=
undo() {
    [[ -n $made ]] || return 0
    say "not finished: the half-made machine is unregistered again, its disks stay: $MACHINE"
    # Without --delete: that would delete the disks.
    VBoxManage unregistervm "$MACHINE" >/dev/null || say "that failed: unregister $MACHINE by hand"
    say 'its settings file stays as well, remove it before the next attempt'
}
trap undo EXIT

say "making $MACHINE: $PROCESSORS processors, $MEMORY_MIB MiB, firmware $FIRMWARE ($FIRMWARE_REASON)"
run VBoxManage createvm --name "$MACHINE" --ostype "$os_type" --register
made=yes
run VBoxManage modifyvm "$MACHINE" --description "$NOTES"
run VBoxManage modifyvm "$MACHINE" --cpus "$PROCESSORS" --memory "$MEMORY_MIB" --ioapic on --firmware "$FIRMWARE" \
    --chipset "$CHIPSET" --rtcuseutc "$UTC" --graphicscontroller vmsvga --vram 16 \
    --boot1 disk --boot2 none --boot3 none --boot4 none
if [[ -n $UUID ]]; then
    run VBoxManage modifyvm "$MACHINE" --hardwareuuid "$UUID"
fi
if [[ -n $TPM ]]; then
    run VBoxManage modifyvm "$MACHINE" --tpm-type "$TPM"
fi
if [[ $SECURE_BOOT == on ]]; then
    run VBoxManage modifynvram "$MACHINE" inituefivarstore
    run VBoxManage modifynvram "$MACHINE" enrollmssignatures
    run VBoxManage modifynvram "$MACHINE" enrollorclpk
    run VBoxManage modifynvram "$MACHINE" secureboot --enable
fi

run VBoxManage storagectl "$MACHINE" --name Disks "${CONTROLLER[@]}" --bootable on
for index in "${!DISK_FILES[@]}"; do
    run VBoxManage storageattach "$MACHINE" --storagectl Disks --port "${DISK_PORTS[index]}" \
        --device "${DISK_DEVICES[index]}" --type hdd --medium "$here/${DISK_FILES[index]}"
done

for index in "${!MACS[@]}"; do
    slot=$((index + 1))
    say "adapter $slot: network of the source: ${SOURCE_NETWORKS[index]:-none}"
    connection "${NETWORK:-${NETWORKS[index]}}"
    settings=("--nic$slot" "${network[0]}" "--nictype$slot" "$NIC_TYPE")
    if ((${#network[@]} > 1)); then
        settings+=("--${network[1]}$slot" "${network[2]}")
    fi
    if [[ -n ${MACS[index]} ]]; then
        settings+=("--macaddress$slot" "${MACS[index]}")
    fi
    run VBoxManage modifyvm "$MACHINE" "${settings[@]}"
done
if ((${#MACS[@]} == 0)); then
    # A new machine has one adapter.
    run VBoxManage modifyvm "$MACHINE" --nic1 none
fi

made=
say "done. Next: check the settings, take a snapshot if you want a way back, and start $MACHINE"
