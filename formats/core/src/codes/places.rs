//! Where things are written, over which network, and on which host.

use super::{Code, Stage, active_image, codes};
use crate::ErrorKind;

codes! { LIST;
    DESTINATION = "RH-DESTINATION", Destination, Write,
        "the target cannot be made at this place",
        "look at the message: another name, another folder, or another file system";
    DESTINATION_MISSING = "RH-DESTINATION-MISSING", Destination, Destination,
        "the folder of the target is not there",
        "create the folder first, or mount its volume",
        [active_image("-403", Some("PATH_NOT_FOUND"))];
    DESTINATION_NOT_MOUNTED = "RH-DESTINATION-NOT-MOUNTED", Destination, Destination,
        "the folder is there, but the volume that belongs on it is not mounted: the run would fill the disk below",
        "mount the volume, then run the job again",
        [active_image("-403", Some("PATH_NOT_FOUND"))];
    DESTINATION_EXISTS = "RH-DESTINATION-EXISTS", Destination, Write,
        "a file of that name is there already, and nothing is replaced unasked",
        "choose another name, or --force to replace it";
    DESTINATION_READ_ONLY = "RH-DESTINATION-READ-ONLY", Destination, Write,
        "the file system of the target is mounted read-only, perhaps after an error",
        "look at the kernel's log, then mount it writable";
    DESTINATION_FILE_SIZE = "RH-DESTINATION-FILE-SIZE", Destination, Write,
        "the file system or a limit of the process does not take a file of this size",
        "write to another file system (FAT takes 4 GiB), split the image, or raise ulimit -f";
    DESTINATION_FULL = "RH-DESTINATION-FULL", Temporary, Write,
        "the target's file system or a quota is full",
        "make room, then run the same command again; rehome measure tells how much an image needs";
    DESTINATION_LOCKED = "RH-DESTINATION-LOCKED", Temporary, Write,
        "another run writes the same target",
        "wait for it to end, then run the command again";
    DESTINATION_GONE = "RH-DESTINATION-GONE", Temporary, Destination,
        "the destination's volume went away during the run",
        "look at cable, power and kernel log, mount it again and run the job again";
    DESTINATION_DEVICE = "RH-DESTINATION-DEVICE", Destination, Write,
        "the device is too small, holds the source, or is no block device",
        "name another device: lsblk shows their sizes";
    ISOLATION_FAILED = "RH-ISOLATION-FAILED", NeedsPerson, Destination,
        "the job is done, but its destination could not be taken away (unmounted, ejected, link down) as asked",
        "see what still uses it (fuser -vm DIR), then take it away by hand";
    PERMISSION = "RH-PERMISSION", Denied, Open,
        "the system refused access: owner, mode, or a security policy",
        "run it as the user who may, or change the file's owner or mode";
    DENIED = "RH-DENIED", Denied, Open,
        "something forbids this access",
        "the message names what; allow it only if you trust the image";
    HOST_QEMU = "RH-HOST-QEMU", NeedsPerson, BootTest,
        "QEMU is not installed, or does not do here what is needed",
        "install it (Debian: qemu-system-x86); rehome doctor shows what else is missing";
    HOST_FIRMWARE = "RH-HOST-FIRMWARE", NeedsPerson, BootTest,
        "there is no UEFI firmware for QEMU on this host",
        "install it (Debian, Ubuntu: ovmf; Fedora, RHEL: edk2-ovmf)";
    HOST_KERNEL = "RH-HOST-KERNEL", NeedsPerson, Plan,
        "there is no kernel with modules that the micro-VM can start, or it may not be read",
        "install one (Debian: linux-image-amd64), or name one with --kernel and --kernel-modules";
    HOST_KVM = "RH-HOST-KVM", NeedsPerson, BootTest,
        "KVM was asked for, and does not work on this machine",
        "become a member of the group kvm, switch virtualisation on in the firmware, or leave it to emulation";
    HOST_MEMORY = "RH-HOST-MEMORY", Temporary, Copy,
        "the system gives no memory or threads any more",
        "end other work, or use fewer with --threads; then run the command again";
    HOST_MISSING = "RH-HOST-MISSING", Unsupported, Request,
        "this host lacks something that was required of it",
        "rehome doctor says for every missing line how to get it";
    NET_NAME = "RH-NET-NAME", Temporary, Network,
        "the name of the endpoint or proxy has no address",
        "look at /etc/resolv.conf and at the spelling: getent hosts NAME";
    NET_CONNECT = "RH-NET-CONNECT", Temporary, Network,
        "nothing answers at the address, or something on the way drops it",
        "look whether the service runs, and at firewalls on the way; behind a proxy set HTTPS_PROXY",
        [active_image("-701", None)];
    NET_TLS = "RH-NET-TLS", Temporary, Network,
        "the TLS handshake fails: no common version or cipher, or the other side speaks no TLS",
        "rehome needs TLS 1.2 or 1.3: look at what the server offers with openssl s_client -connect HOST:PORT";
    NET_CERTIFICATE = "RH-NET-CERTIFICATE", Denied, Network,
        "the certificate is expired, for another name, or not signed by an authority that this host trusts",
        "renew it, or put the site's authority into the system's store (update-ca-certificates), or set SSL_CERT_FILE";
    NET_PROXY = "RH-NET-PROXY", Temporary, Network,
        "the proxy cannot be reached, or refuses to connect to the endpoint",
        "look at HTTPS_PROXY and NO_PROXY: the output says which variable was used";
    NET_PROXY_LOGIN = "RH-NET-PROXY-LOGIN", Denied, Network,
        "the proxy wants a name and password (407)",
        "put them into the proxy's URL: http://USER:PASSWORD@PROXY:PORT";
    NET_HTTP = "RH-NET-HTTP", Temporary, Network,
        "a connection stands, but no answer in HTTP comes back in time",
        "look what listens on the port: curl -v URL";
}
