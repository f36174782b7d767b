#!/usr/bin/env bash
# Stands in for Proxmox's qm: writes down what it was called with and keeps a configuration, one key a line.
set -euo pipefail
printf '%s\0' "$#" "$@" >>"$QM_STATE/calls"
if [[ ${QM_FAIL:-} == "$1" ]]; then
    exit 5
fi
config=$QM_STATE/$2.conf
set_keys() {
    while (($#)); do
        key=${1#--}
        case $key in
        description) printf '#%s\n' "${2//%/%25}" >>"$config" ;;
        *)
            sed -i "/^$key: /d" "$config"
            printf '%s: %s\n' "$key" "$2" >>"$config"
            # A volume that is attached is unused no more.
            if [[ $(sed -n 's/^unused0: //p' "$config") == "$2" ]]; then
                sed -i '/^unused0: /d' "$config"
            fi
            ;;
        esac
        shift 2
    done
}
case $1 in
config) [[ -f $config ]] && cat "$config" ;;
create)
    : >"$config"
    set_keys "${@:3}"
    ;;
importdisk)
    [[ -f $3 ]]
    count=$(grep -c "vm-$2-disk-" "$config" || true)
    printf 'unused0: %s:vm-%s-disk-%s\n' "$4" "$2" "$((count + 7))" >>"$config"
    ;;
set) set_keys "${@:3}" ;;
destroy) rm "$config" ;;
start) [[ -f $config ]] ;;
*) exit 9 ;;
esac
