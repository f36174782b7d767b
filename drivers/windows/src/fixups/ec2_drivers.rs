//! To Amazon EC2: a Windows without Amazon's network driver cannot be reached there.
//!
//! Source: Amazon, "Required drivers for Nitro-based instances": NVMe and ENA have to be installed before. Windows' own stornvme drives the
//! disks as well (Windows 8.1 and later); for ENA there is nothing in Windows.

use crate::storage::is_installed;
use driver_core::{Applies, Context, Draft, Fixup, Platform};
use format_core::Result;

pub(super) struct Ec2Drivers;

impl Fixup for Ec2Drivers {
    fn id(&self) -> &'static str {
        "windows-ec2-drivers"
    }

    fn title(&self) -> &'static str {
        "see that Amazon's network driver is installed"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(windows) = &context.guest.windows else { return Ok(Applies::no("it is not Windows")) };
        if context.target.platform != Platform::Aws {
            return Ok(Applies::no("the target is not Amazon EC2"));
        }
        let package = context.wishes.drivers.iter().any(|package| package.service("ena").is_some());
        if package || is_installed(draft, windows, "ena")? {
            return Ok(Applies::Yes);
        }
        Ok(Applies::cannot(
            "the driver of EC2's network adapters (ENA) is not installed: the instance could not be reached",
            "install Amazon's ENA and NVMe drivers in the running guest first, or let EC2 do it: aws ec2 import-image",
        ))
    }

    fn plan(&self, _: &Context<'_>, _: &mut Draft<'_>) -> Result<()> {
        Ok(())
    }
}
