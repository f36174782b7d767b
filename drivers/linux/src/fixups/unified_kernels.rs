//! Unified kernel images: refused where one of them starts.
//!
//! Facts: `\EFI\Linux\*.efi` on the EFI system partition or the extended boot partition holds kernel, initramfs and kernel
//! arguments in one PE file, often signed (The UAPI Group, Boot Loader Specification, type 2; Unified Kernel Image). Nothing
//! can be appended to its initramfs from outside, and changed bytes break the signature. systemd-boot offers it beside
//! the entries of type 1 and starts what `default` in loader.conf fits; GRUB does not look for it.

use crate::config_file::{list, read_small};
use crate::offers::matches;
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const ROOTS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

pub(super) struct UnifiedKernels;

impl Fixup for UnifiedKernels {
    fn id(&self) -> &'static str {
        "linux-unified-kernels"
    }

    fn title(&self) -> &'static str {
        "no unified kernel image starts"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let mut images = Vec::new();
        for root in ROOTS {
            let files = list(draft, &format!("{root}/EFI/Linux"), "")?;
            images.extend(files.into_iter().filter(|path| path.to_ascii_lowercase().ends_with(".efi")));
        }
        let Some(first) = images.first() else { return Ok(Applies::no("there is no unified kernel image")) };
        match context.guest.boot.loader.as_deref() {
            Some("systemd-boot") if !starts_entry(draft)? => {}
            None => {}
            Some(loader) => return Ok(Applies::no(format!("{loader} starts another kernel than {first}"))),
        }
        Ok(Applies::cannot(
            format!("{first} may be what starts: its initramfs and arguments cannot be changed from outside"),
            "rebuild it in the guest with all drivers (dracut --no-hostonly) and move it away from EFI/Linux for the \
             migration, or name an entry of /loader/entries as default in loader.conf",
        ))
    }

    fn plan(&self, _: &Context<'_>, _: &mut Draft<'_>) -> Result<()> {
        Ok(())
    }
}

/// Whether loader.conf names an entry of type 1.
fn starts_entry(draft: &Draft<'_>) -> Result<bool> {
    for root in ROOTS {
        let settings = read_small(draft, &format!("{root}/loader/loader.conf"))?;
        let pattern = settings.lines().find_map(|line| Some(line.trim().strip_prefix("default")?.trim()));
        let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else { continue };
        for root in ROOTS {
            let entries = list(draft, &format!("{root}/loader/entries"), ".conf")?;
            let images = list(draft, &format!("{root}/EFI/Linux"), "")?;
            let fits = |path: &String| {
                let name = path.rsplit('/').next().unwrap_or(path);
                let id = name.strip_suffix(".conf").unwrap_or(name);
                matches(pattern.as_bytes(), name.as_bytes()) || matches(pattern.as_bytes(), id.as_bytes())
            };
            if images.iter().any(fits) {
                return Ok(false);
            }
            if entries.iter().any(fits) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
