#!/usr/bin/env bash
# Installs what building (`build`, the default) or testing (`test`) needs on a Debian machine.
# Does nothing, without the network, when everything is there. Root is needed only to install.
#
#   tests/packages.sh [build|test]
set -euo pipefail

# What building and running the product needs besides the Rust toolchain.
build_packages=(ca-certificates comerr-dev gcc libc6-dev libext2fs-dev make ntfs-3g-dev pkg-config)

# What judges the product in the tests, and what the boot test makes and starts its guests with.
test_packages=(
    attr b3sum btrfs-progs bzip2 cpio cryptsetup-bin debootstrap dosfstools e2fsprogs ewf-tools fdisk fuse3 g++ gddrescue gdisk gzip grub-common
    grub-efi-amd64-bin grub-pc-bin hyperfine ifupdown initramfs-tools-core jq kmod libarchive-tools libvirt-clients
    # libwin-hivex-perl and libhivex-bin edit registry hives, python3-libregf reads them, wimtools packs files as Windows does.
    libhivex-bin libnbd-bin nbdkit libwin-hivex-perl libxenmisc4.17 libxml2-utils lvm2 lz4 mdadm mtools netplan.io ntfs-3g ovmf parted partclone perl procps
    # wine runs what is left to the first start of Windows guests, xorriso makes discs of drivers.
    python3-cryptography python3-libregf python3-libvhdi python3-yaml shellcheck systemd time util-linux wimtools wine wine64 xfsprogs xorriso
    # The micro-VM's kernel, what makes thin pools for it, and what labels a guest's files.
    linux-image-amd64 policycoreutils thin-provisioning-tools
    # promtool judges the metrics of a batch.
    prometheus
    # What backs disks up into repositories.
    borgbackup restic
    # A server, and a file system on it, that are cut off with their network interface.
    iproute2 openssh-server sshfs
    # Servers and a proxy that the network checks are tried on.
    openssl python3 tinyproxy-bin
    # What packs and unpacks compressed images; bgzip is in tabix.
    lzop pbzip2 pigz pixz tabix xz-utils zstd
    # What signs reports, and what judges them.
    minisign openssh-client python3-html5lib python3-jsonschema
    # A batch engine that runs on one machine.
    munge slurm-client slurm-wlm-basic-plugins slurmctld slurmd
    python3-venv
)

# What the schemas of batch engines that cannot be run here are in. Python keeps them to themselves, in target/oracles.
python_packages=(kubernetes-validate==1.37.0 botocore==1.44.8)

# These come together from one suite: Debian 12's own qemu is too old, and mixing the two downgrades qemu-img.
qemu_packages=(qemu-system-x86 qemu-utils)
qemu_at_least=1:10

say() { printf 'packages: %s\n' "$*" >&2; }

installed() { # PACKAGE [LEAST_VERSION]
    local status version
    read -r status version < <(dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null || true) || true
    [[ ${status:-} == installed ]] && { [[ $# -lt 2 ]] || dpkg --compare-versions "$version" ge "$2"; }
}

missing_of() { # LEAST_VERSION|- PACKAGE... : those that are not there, a line each
    local least=$1 package
    shift
    for package in "$@"; do
        if [[ $least == - ]]; then installed "$package"; else installed "$package" "$least"; fi || echo "$package"
    done
}

# The sources entry of the machine's own Debian archive, for another suite of it: same address, same keys.
add_backports() { # SUITE
    local suite=$1 targets address signed_by
    # shellcheck disable=SC2016  # apt-get expands these
    targets=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)')
    if grep -q "^$suite " <<<"$targets"; then return; fi
    address=$(sed -n "s/^${suite%-backports} main //p" <<<"$targets" | sed -n 1p)
    [[ -n $address ]] || { say "no sources entry of ${suite%-backports} main to take the archive's address from"; exit 1; }
    signed_by=$(sed -n 's/^Signed-By:[[:space:]]*\(\/.*\)$/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    say "adding the suite $suite"
    {
        echo 'Types: deb'
        echo "URIs: $address"
        echo "Suites: $suite"
        echo 'Components: main'
        if [[ -n $signed_by ]]; then echo "Signed-By: $signed_by"; fi
    } >"/etc/apt/sources.list.d/$suite.sources"
}

install() { # APT_OPTION... PACKAGE...
    # The kernel is for VMs: nobody starts this machine with it, so it needs no initramfs.
    INITRD=No DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >&2
}

# A folder of Python's own with packages that Debian does not have.
install_oracles() {
    local folder
    folder=$(cd "$(dirname "$0")/.." && pwd)/target/oracles
    if [[ -e $folder/made && $(<"$folder/made") == "${python_packages[*]}" ]]; then return; fi
    say "making $folder"
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}" >&2
    echo "${python_packages[*]}" >"$folder/made"
}

main() {
    install_packages "$@"
    if [[ ${1:-build} == test ]]; then install_oracles; fi
}

install_packages() {
    local plain qemu=() suite='' codename
    case ${1:-build} in
    build) mapfile -t plain < <(missing_of - "${build_packages[@]}") ;;
    test)
        mapfile -t plain < <(missing_of - "${build_packages[@]}" "${test_packages[@]}")
        mapfile -t qemu < <(missing_of "$qemu_at_least" "${qemu_packages[@]}")
        ;;
    *)
        echo "usage: ${0##*/} [build|test]" >&2
        exit 2
        ;;
    esac
    if ((${#plain[@]} + ${#qemu[@]} == 0)); then return; fi
    say "missing: ${plain[*]} ${qemu[*]}"
    [[ $EUID -eq 0 ]] || { say "run this as root, or install them yourself"; exit 1; }

    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    if ((${#qemu[@]})) && [[ $codename == bookworm ]]; then
        suite=$codename-backports
        add_backports "$suite"
    fi
    # A source that has nothing to do with these packages may be out of reach: the installation decides.
    apt-get update -qq -o DPkg::Lock::Timeout=300 >&2 || say "apt-get update reported errors, trying to install all the same"
    # All qemu packages in one go, also those already there, so that they stay of one version.
    if ((${#qemu[@]})); then install ${suite:+-t "$suite"} "${qemu_packages[@]}"; fi
    if ((${#plain[@]})); then install "${plain[@]}"; fi
}

main "$@"
