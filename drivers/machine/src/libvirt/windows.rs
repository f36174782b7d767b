//! What a domain says for a guest that is Windows.
//!
//! Facts: libvirt, "Domain XML format", "Hypervisor features" and "Time keeping"; QEMU, "Hyper-V Enlightenments". The
//! values are those that virt-install and virt-manager give a machine with Windows: `relaxed`, `vapic` and `spinlocks` are
//! used by every release since Vista. The identifier is one of osinfo-db's.

use crate::{Architecture, Clock, Machine, windows};

/// Enlightenments, as children of `features`.
const HYPERV: &str = "    \
<hyperv>
      <relaxed state='on'/>
      <vapic state='on'/>
      <spinlocks state='on' retries='8191'/>
    </hyperv>
";

/// Missed ticks of the clock are made good, and the enlightened clock is there.
const TIMERS: &str = "    \
<timer name='rtc' tickpolicy='catchup'/>
    <timer name='pit' tickpolicy='delay'/>
    <timer name='hpet' present='no'/>
    <timer name='hypervclock' present='yes'/>
";

/// Only x86 has enlightenments under KVM.
fn is_enlightened(machine: &Machine) -> bool {
    windows::is_windows(machine) && machine.architecture != Architecture::Arm64
}

/// The release, for tools that show it and choose by it.
pub(super) fn metadata(machine: &Machine) -> Option<String> {
    let release = windows::release(machine)?;
    let id = format!("{}{}", windows::LIBOSINFO, release.libosinfo);
    Some(format!(
        "  <metadata>\n    <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\n      \
         <libosinfo:os id='{id}'/>\n    </libosinfo:libosinfo>\n  </metadata>"
    ))
}

/// Children of `features`.
pub(super) fn features(machine: &Machine) -> &'static str {
    if is_enlightened(machine) { HYPERV } else { "" }
}

/// The clock, with or without its timers.
pub(super) fn clock(machine: &Machine) -> String {
    let offset = if machine.clock == Clock::Local { "localtime" } else { "utc" };
    if is_enlightened(machine) {
        format!("  <clock offset='{offset}'>\n{TIMERS}  </clock>")
    } else {
        format!("  <clock offset='{offset}'/>")
    }
}
