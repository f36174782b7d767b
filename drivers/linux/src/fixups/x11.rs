//! X.org: a configuration that names a hypervisor's display driver names the kernel's instead.
//!
//! Facts: `Driver` in a `Section "Device"` of xorg.conf chooses the display driver (xorg.conf(5)); without the hardware the server does not
//! start. `modesetting` serves every display that the kernel has a driver for (modesetting(4)). Input sections (`vmmouse`, `vboxmouse`)
//! fall back by themselves. Drivers of real cards are left.

use crate::config_file::{Line, edit_lines, list, read};
use driver_core::Platform::{self, Kvm, Proxmox, VirtualBox, Vmware};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

/// Display drivers, and the platforms that have what they drive.
const DRIVERS: [(&str, &[Platform]); 4] = [
    ("vmware", &[Vmware, VirtualBox]),
    ("vboxvideo", &[VirtualBox]),
    ("qxl", &[Kvm, Proxmox]),
    ("prlvideo", &[]),
];

pub(super) struct X11;

impl Fixup for X11 {
    fn id(&self) -> &'static str {
        "linux-x11"
    }

    fn title(&self) -> &'static str {
        "X.org does not ask for the source's display"
    }

    fn applies(&self, _: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let found = !files(draft)?.is_empty();
        Ok(if found { Applies::Yes } else { Applies::no("X.org is not configured by hand") })
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        for path in files(draft)? {
            let Some(content) = read(draft, &path)? else { continue };
            let mut device = false;
            let new = edit_lines(&content, |line| edit(line, &mut device, context.target.platform));
            draft.write(&path, new, "the target has another display")?;
        }
        Ok(())
    }
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>> {
    let mut files = list(draft, "/etc/X11", "xorg.conf")?;
    files.extend(list(draft, "/etc/X11/xorg.conf.d", ".conf")?);
    Ok(files)
}

/// `device` says whether the line is in a `Section "Device"`.
fn edit(line: &str, device: &mut bool, target: Platform) -> Line {
    let mut words = line.split_whitespace();
    let (Some(key), value) = (words.next(), words.next().unwrap_or_default()) else { return Line::Keep };
    if key.eq_ignore_ascii_case("Section") || key.eq_ignore_ascii_case("EndSection") {
        *device = value.trim_matches('"').eq_ignore_ascii_case("Device");
        return Line::Keep;
    }
    let name = value.trim_matches('"');
    let foreign = DRIVERS.iter().any(|(driver, platforms)| *driver == name && !platforms.contains(&target));
    match *device && key.eq_ignore_ascii_case("Driver") && foreign {
        true => Line::Replace(line.replacen(name, "modesetting", 1)),
        false => Line::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_display_drivers_of_other_platforms_change() {
        let text = b"Section \"InputDevice\"\n  Driver \"vmware\"\nEndSection\nSection \"Device\"\n  Identifier \"vmware\"\n  Driver      \"vmware\"\nEndSection\nDriver \"vmware\"\n";
        let edited = |target| {
            let mut device = false;
            String::from_utf8(edit_lines(text, |line| edit(line, &mut device, target))).unwrap()
        };
        let expected =
            String::from_utf8_lossy(text).replace("Driver      \"vmware\"", "Driver      \"modesetting\"");
        assert_eq!(edited(Platform::HyperV), expected);
        assert_eq!(edited(Vmware).as_bytes(), text);
    }
}
