//! What consoles and screens say, and what it means. The table is data; the first place in a text that a rule fits decides.

use crate::report::Verdict;
use format_core::{Error, Result};
use regex::Regex;

/// What a text means.
pub(crate) struct Rule {
    /// Stable name in reports.
    pub(crate) id: &'static str,
    pub(crate) verdict: Verdict,
    /// Whether it decides at once. Else it does when nothing comes after it: a loader that misses a file may go on without.
    pub(crate) is_final: bool,
    /// For people.
    pub(crate) about: &'static str,
    pattern: &'static str,
}

const PASSED: Rule = Rule {
    id: "login-prompt",
    verdict: Verdict::Passed,
    is_final: true,
    about: "the guest asks for a login",
    // A message of the kernel may follow on the same line; a letter of a screen may not have been read.
    pattern: r"(?m)^[\w.\u{fffd}-]+ login: *(?:\[ *\d+\.\d+\].*)?$",
};

const FAILED: Rule = Rule { verdict: Verdict::Failed, ..PASSED };
const MAYBE: Rule = Rule { is_final: false, ..FAILED };

/// The name of the rule that says nothing of the guest.
pub(crate) const EMULATED_TIMER: &str = "emulated-timer";
/// The name of the rule for machines that KVM gave up; QEMU says so, not the guest.
pub(crate) const KVM_FAULT: &str = "kvm-fault";
/// The name of the rule for guests that only their owner can start.
const PASSPHRASE: &str = "passphrase";

/// Sources of the texts: Linux (init/do_mounts.c, kernel/panic.c), initramfs-tools, dracut, mkinitcpio, Alpine's mkinitfs, systemd, GRUB 2,
/// SeaBIOS (boot.c), edk2 (BdsDxe, Shell), and Microsoft's documentation of boot manager, stop codes and Emergency Management Services.
pub(crate) static RULES: [Rule; 29] = [
    PASSED,
    Rule {
        id: "multi-user",
        about: "systemd reached its target",
        pattern: r"Reached target .*(?:Multi-User System|Graphical Interface|multi-user\.target|graphical\.target).*",
        ..PASSED
    },
    Rule {
        id: "windows-sac",
        about: "Windows offers its special administration console",
        pattern: r"EVENT: The CMD command is now available.*",
        ..PASSED
    },
    Rule {
        id: "no-root-device",
        about: "the kernel found no root file system",
        pattern: r"VFS: (?:Cannot open root device|Unable to mount root fs).*",
        ..FAILED
    },
    // Ahead of panics: Linux' check of the timer counts ticks in real time (arch/x86/kernel/apic/io_apic.c), in which a loaded host
    // emulates too few.
    Rule {
        id: EMULATED_TIMER,
        verdict: Verdict::Undecided,
        about: "the host was too busy to emulate the machine's timer; test again when it has less to do",
        pattern: r"Kernel panic - not syncing: IO-APIC \+ timer doesn't work.*",
        ..FAILED
    },
    Rule {
        id: PASSPHRASE,
        verdict: Verdict::Undecided,
        about: "the guest waits for the passphrase of an encrypted volume, which nobody types here",
        pattern: r"Please (?:unlock disk|enter passphrase for disk) .*",
        ..MAYBE
    },
    Rule {
        id: "kernel-panic",
        about: "the kernel gave up",
        pattern: r"Kernel panic - not syncing.*",
        ..FAILED
    },
    Rule {
        id: "initramfs-no-root",
        about: "the initramfs found no root file system",
        pattern: r"ALERT! .* does not exist.*|ERROR: (?:device '.*' not found|Failed to mount '.*' on real root).*|Mounting root failed.*",
        ..FAILED
    },
    Rule {
        id: "initramfs-shell",
        about: "the initramfs ended in a shell",
        pattern: r"\(initramfs\) *|You are now being dropped into an emergency shell.*|initramfs emergency recovery shell launched.*",
        ..FAILED
    },
    Rule {
        id: "dracut-shell",
        about: "dracut found no root file system",
        pattern: r"dracut-initqueue.*Warning: Could not boot.*|Entering emergency mode.*|dracut:/#|Warning: /dev/.* does not exist.*",
        ..FAILED
    },
    Rule {
        id: "emergency-mode",
        about: "systemd ended in emergency mode",
        pattern: r"You are in (?:emergency|rescue) mode.*|Welcome to emergency mode.*|Give root password for maintenance.*|Cannot open access to console, the root account is locked.*|Reached target .*(?:Emergency Mode|emergency\.target).*",
        ..FAILED
    },
    Rule {
        id: "grub-rescue",
        about: "GRUB did not find its own files",
        pattern: r"grub rescue> *",
        ..FAILED
    },
    Rule {
        id: "grub-prompt",
        about: "GRUB has no menu and waits for commands",
        pattern: r"Minimal BASH-like line editing is supported.*|(?m)^grub> *$",
        ..FAILED
    },
    Rule {
        id: "grub-error",
        about: "GRUB did not find what it should start",
        pattern: r"error: (?:no such (?:device|partition|disk)|unknown filesystem|(?:file|disk) .*not found|symbol .*not found|you need to load the kernel first|invalid (?:magic number|signature)|couldn't find a valid).*",
        ..MAYBE
    },
    Rule {
        id: "syslinux-error",
        about: "SYSLINUX did not find what it should start",
        pattern: r"Could not find kernel image.*|No DEFAULT or UI configuration directive found.*|Failed to load ldlinux\.c32.*",
        ..MAYBE
    },
    Rule {
        id: "no-bootable-device",
        about: "the BIOS found nothing to start",
        pattern: r"No bootable device\.?.*",
        ..FAILED
    },
    Rule {
        id: "not-bootable",
        about: "the disk cannot be started from",
        pattern: r"Boot failed: (?:not a bootable disk|could not read the boot disk).*",
        ..MAYBE
    },
    Rule {
        id: "boot-code",
        about: "the boot code of the disk found no system",
        pattern: r"Missing operating system.*|Operating system not found.*|Invalid partition table.*|Error loading operating system.*|Non-[Ss]ystem disk.*|(?:BOOTMGR|NTLDR) is (?:missing|compressed).*|A disk read error occurred.*",
        ..MAYBE
    },
    Rule {
        id: "uefi-no-option",
        about: "UEFI found nothing to start",
        pattern: r"BdsDxe: No bootable option or device was found.*",
        ..FAILED
    },
    Rule {
        id: "uefi-shell",
        about: "UEFI found nothing to start, and offers its shell",
        pattern: r"UEFI Interactive Shell.*|Shell> *",
        ..FAILED
    },
    Rule {
        id: "uefi-failed",
        about: "UEFI could not start the loader",
        pattern: r"BdsDxe: failed to (?:load|start) .*",
        ..MAYBE
    },
    Rule {
        id: "inaccessible-boot-device",
        about: "Windows has no driver for its disk",
        pattern: r"INACCESSIBLE_BOOT_DEVICE.*|STOP: 0x0000007[Bb].*",
        ..FAILED
    },
    Rule {
        id: "windows-stop",
        about: "Windows stopped",
        pattern: r"STOP: 0x[0-9A-Fa-f]{8}.*|A problem has been detected and Windows has been shut down.*|Your (?:PC|device) ran into a problem.*",
        ..FAILED
    },
    Rule {
        id: "windows-boot-manager",
        about: "the boot manager of Windows cannot start it",
        pattern: r"Windows failed to start.*|Your (?:PC|PC/Device|device) (?:couldn't start properly|needs to be repaired).*|Status: 0x[cC]0[0-9A-Fa-f]{6}.*|Windows Error Recovery.*",
        ..FAILED
    },
    Rule {
        id: "blue-screen",
        about: "the screen is a blue one of Windows",
        // No text: how much of the screen has one blue.
        pattern: "",
        ..MAYBE
    },
    Rule {
        id: KVM_FAULT,
        verdict: Verdict::Undecided,
        about: "KVM of this host cannot run the machine",
        pattern: "",
        ..FAILED
    },
    Rule { id: "reboot-loop", about: "the guest starts over again and again", pattern: "", ..FAILED },
    Rule { id: "shut-down", about: "the guest switched itself off", pattern: "", ..FAILED },
    Rule {
        id: "no-driver",
        about: "the guest cannot start from the target's controller; nothing was started",
        pattern: "",
        ..FAILED
    },
];

/// Rules that are no text, by their names.
pub(crate) fn named(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// The rules, ready to be looked for.
pub(crate) struct Finder(Vec<(&'static Rule, Regex)>);

/// A rule that fits, where, and its line.
pub(crate) struct Found {
    pub(crate) rule: &'static Rule,
    pub(crate) line: String,
    /// Where it ends in the text, in bytes.
    pub(crate) end: usize,
}

/// Characters of a line in reports.
const LONGEST_LINE: usize = 300;

impl Finder {
    /// # Errors
    /// `Contract` when a pattern is none.
    pub(crate) fn new() -> Result<Self> {
        let with_text = RULES.iter().filter(|rule| !rule.pattern.is_empty());
        let ready = with_text.map(|rule| match Regex::new(rule.pattern) {
            Ok(pattern) => Ok((rule, pattern)),
            Err(error) => Err(Error::contract(format!("the pattern of {}", rule.id)).with_source(error)),
        });
        Ok(Self(ready.collect::<Result<_>>()?))
    }

    /// The first place in `text` where a rule fits. Where more may come, a rule that is about the rest of a line waits for its end: it
    /// could be another's.
    pub(crate) fn first(&self, text: &str, is_whole: bool) -> Option<Found> {
        let hits = self.0.iter().filter_map(|(rule, pattern)| Some((*rule, pattern.find(text)?)));
        let hits =
            hits.filter(|(rule, hit)| is_whole || hit.end() < text.len() || !rule.pattern.ends_with(".*"));
        let (rule, hit) = hits.min_by_key(|(_, hit)| hit.start())?;
        let line: String = hit.as_str().trim().chars().take(LONGEST_LINE).collect();
        Some(Found { rule, line, end: hit.end() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn says(text: &str, id: Option<&str>) {
        let found = Finder::new().unwrap().first(text, true);
        assert_eq!(found.map(|found| found.rule.id), id, "{text}");
    }

    #[test]
    fn real_consoles_are_understood() {
        for (text, id) in [
            ("\nDebian GNU/Linux 12 ip-10-0-1-23 ttyS0\n\nip-10-0-1-23 login: ", "login-prompt"),
            ("web01.example.org login:", "login-prompt"),
            ("Debian GNU/Linux 12 web tty1\n\nip-1\u{fffd} login:\n\n", "login-prompt"),
            ("ip-10-0-1-23 login: [   40.123456] random: crng init done\n", "login-prompt"),
            ("[\u{1b}OK  ] Reached target Multi-User System.\n", "multi-user"),
            ("[  OK  ] Reached target multi-user.target - Multi-User System.\n", "multi-user"),
            (
                "[    1.7] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug",
                "emulated-timer",
            ),
            (
                "[    3.8] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
                "kernel-panic",
            ),
            (
                "[    2.1] VFS: Cannot open root device \"xvda1\" or unknown-block(0,0): error -6\n[    2.2] Kernel panic - not syncing: VFS: Unable to mount root fs",
                "no-root-device",
            ),
            (
                "ALERT!  UUID=5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11 does not exist.  Dropping to a shell!\n(initramfs) ",
                "initramfs-no-root",
            ),
            ("\n(initramfs) ", "initramfs-shell"),
            ("[  190.1] dracut-initqueue[337]: Warning: Could not boot.\n", "dracut-shell"),
            (
                "Warning: /dev/mapper/rl-root does not exist\n\nGenerating \"/run/initramfs/rdsosreport.txt\"",
                "dracut-shell",
            ),
            ("You are in emergency mode. After logging in, type \"journalctl -xb\"", "emergency-mode"),
            ("error: no such device: 5f1c0c1e-6d3a.\nEntering rescue mode...\ngrub rescue> ", "grub-error"),
            ("Entering rescue mode...\ngrub rescue> ", "grub-rescue"),
            (
                "GNU GRUB  version 2.06\n\n   Minimal BASH-like line editing is supported. For the first word,",
                "grub-prompt",
            ),
            (
                "Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nNo bootable device.\n",
                "not-bootable",
            ),
            ("No bootable device.", "no-bootable-device"),
            ("Booting from Hard Disk...\nBOOTMGR is missing\nPress Ctrl+Alt+Del to restart", "boot-code"),
            ("BdsDxe: No bootable option or device was found.", "uefi-no-option"),
            ("UEFI Interactive Shell v2.2\nEDK II", "uefi-shell"),
            (
                "BdsDxe: failed to load Boot0001 \"UEFI QEMU NVMe Ctrl\" from PciRoot(0x0): Not Found",
                "uefi-failed",
            ),
            ("*** STOP: 0x0000007B (0xFFFFF880009A98E8,0xFFFFFFFFC0000034)", "inaccessible-boot-device"),
            ("*** STOP: 0x00000050 (0xFFFFF880009A98E8,0xFFFFFFFFC0000034)", "windows-stop"),
            ("Windows failed to start. A recent hardware or software change", "windows-boot-manager"),
            ("EVENT: The CMD command is now available.\r\nSAC>", "windows-sac"),
            ("\nPlease unlock disk unlocked: ", "passphrase"),
            ("\r\nPlease enter passphrase for disk QEMU (luks-1)::", "passphrase"),
        ] {
            says(text, Some(id));
        }
    }

    #[test]
    fn what_a_healthy_boot_says_is_no_failure_and_no_end() {
        for text in [
            "Loading Linux 6.1.0-28-amd64 ...\nLoading initial ramdisk ...",
            "BdsDxe: loading Boot0002 \"UEFI QEMU HARDDISK\" from PciRoot(0x0)\nBdsDxe: starting Boot0002",
            "[    0.0] Command line: BOOT_IMAGE=/boot/vmlinuz root=UUID=x ro console=ttyS0 panic=30",
            "Last failed login: Mon Nov 29 from 10.0.0.1 on ssh:notty",
            "         Starting systemd-logind.service - User Login Management...",
            "[  OK  ] Reached target getty.target - Login Prompts.",
            "[  OK  ] Reached target basic.target - Basic System.",
            "[    1.0] Unknown kernel command line parameters \"BOOT_IMAGE=/boot/vmlinuz\"",
            "Begin: Running /scripts/local-premount ... done.",
            "login:",
        ] {
            says(text, None);
        }
    }

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        let ids: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        let open = RULES.iter().filter(|rule| rule.verdict == Verdict::Undecided);
        assert_eq!(open.map(|rule| rule.id).collect::<Vec<_>>(), [EMULATED_TIMER, PASSPHRASE, KVM_FAULT]);
        // Only what a login or the system itself says is success.
        let passed: Vec<_> =
            RULES.iter().filter(|rule| rule.verdict == Verdict::Passed).map(|r| r.id).collect();
        assert_eq!(passed, ["login-prompt", "multi-user", "windows-sac"]);
    }
}
