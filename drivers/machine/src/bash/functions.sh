
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

