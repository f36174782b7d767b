//! Sources, and guests in them.

use super::{Code, Stage, active_image, codes};
use crate::ErrorKind;

codes! { LIST;
    SOURCE_MISSING = "RH-SOURCE-MISSING", SourceMissing, Open,
        "a file that the run reads is not there: the image itself, a part of it, or a chunk that its backup names",
        "look at the path, and whether the volume on which it lies is mounted";
    SOURCE_CORRUPT = "RH-SOURCE-CORRUPT", Corrupt, Open,
        "the image contradicts itself",
        "copy it again and compare checksums; rehome check tells what is wrong, rehome check --repair NEW saves what can be read";
    SOURCE_CUT_OFF = "RH-SOURCE-CUT-OFF", Corrupt, Open,
        "the file ends before the place where its own tables say that data lie",
        "compare its size with the original's and copy it again";
    SOURCE_CHECKSUM = "RH-SOURCE-CHECKSUM", Corrupt, Copy,
        "a checksum that the image or backup holds is not that of its bytes",
        "copy it again; --ignore-checksum reads on past the checksums of headers, and the data may then be wrong";
    SOURCE_CHANGED = "RH-SOURCE-CHANGED", Temporary, Copy,
        "the source was written while it was read",
        "shut the machine that uses it down or take a snapshot, and run the command again";
    PARENT_MISSING = "RH-PARENT-MISSING", SourceMissing, Open,
        "a parent of the image is not where the image says, and nothing else there is the same file",
        "put it beside the image, or name it with --parent or its folder with --allow-parent";
    PARENT_WRONG = "RH-PARENT-WRONG", Corrupt, Open,
        "the file that has the parent's name is another image, or was changed after the difference was made",
        "find the right one: rehome chain shows what each image expects";
    IN_USE = "RH-IN-USE", Temporary, Open,
        "another program has the file or device open, mounted or locked",
        "stop the machine, backup or mount that uses it, then run the command again";
    DEVICE_FAILING = "RH-DEVICE-FAILING", Io, Copy,
        "the system could not read or write a place of a disk: the device or what lies between fails",
        "look at the kernel's log; read what can be read with --on-read-error retry=3 --mapfile FILE",
        [active_image("-311", None)];
    IO = "RH-IO", Io, Copy,
        "the system reported an error while reading or writing",
        "look at the kernel's log and at the network share, then run the same command again: it goes on where it can";
    FORMAT_CLOSED = "RH-FORMAT-CLOSED", Unsupported, Open,
        "the format is recognised, but its maker publishes no description",
        "export the disk with the maker's own program: the message says how";
    FORMAT_UNCLEAR = "RH-FORMAT-UNCLEAR", Usage, Open,
        "name and bytes of the file do not agree on its format",
        "name the format with -f; only you know what the file is";
    VERSION_UNSUPPORTED = "RH-VERSION-UNSUPPORTED", Unsupported, Open,
        "the image has a version or a feature that came after this program or was never common",
        "convert it with the program that made it into an older version, or look for a newer rehome";
    UNSUPPORTED = "RH-UNSUPPORTED", Unsupported, Open,
        "what was asked for is valid, and rehome does not do it",
        "follow the hint of the message, if there is one; else convert with another program first";
    LIMIT = "RH-LIMIT", Limit, Open,
        "a number in the image is beyond what is sane to follow or to hold in memory",
        "if the image is genuine, report it with the support bundle";
    KEY_MISSING = "RH-KEY-MISSING", NeedsPerson, Open,
        "the image, backup or volume is encrypted and no key was given",
        "give the passphrase or key with --key-file FILE";
    KEY_WRONG = "RH-KEY-WRONG", NeedsPerson, Open,
        "none of the given keys opens it",
        "check the key file: every byte counts, also a newline at its end";
    ENCRYPTED = "RH-ENCRYPTED", NeedsPerson, Open,
        "it is encrypted in a way that cannot be opened here: bound to a TPM, to another product, or to the guest itself",
        "decrypt it where it was made (BitLocker: manage-bde -off C:), then export it again";
    GATE_DENIED = "RH-GATE-DENIED", Denied, Open,
        "the image names a file outside of its own folder, which images from strangers must not read",
        "if you trust the image, allow the folder with --allow-parent DIR";
    GUEST_UNKNOWN = "RH-GUEST-UNKNOWN", NeedsPerson, Inspect,
        "no installed system that rehome knows was found on the disks",
        "give all disks of the machine, the boot disk first; or copy it unchanged with rehome convert";
    GUEST_HIBERNATED = "RH-GUEST-HIBERNATED", NeedsPerson, Inspect,
        "the guest is hibernated or was shut down with Fast Startup: its file system is not in a state to be changed",
        "start it and shut it down fully (Windows: shutdown /s /t 0), then export it again";
    GUEST_UNCLEAN = "RH-GUEST-UNCLEAN", NeedsPerson, Inspect,
        "a file system, registry or array of the guest was not closed cleanly, and cannot be put right here",
        "start the guest, let it repair itself, shut it down and export it again";
    GUEST_DRIVERS = "RH-GUEST-DRIVERS", NeedsPerson, Plan,
        "the guest has no driver for the disk controller, network adapter or console of the target",
        "choose another --disk-bus, give a folder of drivers (Windows), or install them in the running guest before";
    GUEST_SPACE = "RH-GUEST-SPACE", NeedsPerson, Plan,
        "the guest's file system has no room for what must be added",
        "free some MiB in the guest (old kernels, package caches), then export it again";
    GUEST_LOCKED_FILES = "RH-GUEST-LOCKED-FILES", NeedsPerson, Plan,
        "a file or folder that must be changed is encrypted by the guest itself",
        "make the change in the running guest, then export it again";
    PLAN_BLOCKED = "RH-PLAN-BLOCKED", NeedsPerson, Plan,
        "something without which the guest does not start on the target cannot be mended from outside",
        "rehome migrate --dry-run lists every obstacle with its next step";
}
