//! How a kernel was built.

use crate::config_file::read_small;
use driver_core::Draft;
use format_core::{Error, Result};
use std::rc::Rc;

/// The configuration of the kernel with this version, empty where the guest does not have it. Distributions keep it in
/// /boot/config-VERSION or in the module folder; no fixup changes it.
pub(crate) fn kernel_config(draft: &Draft<'_>, version: &str) -> Result<Rc<String>> {
    draft.tree().remember(&format!("configuration of {version}"), String::len, || {
        let mut config = String::new();
        for path in [format!("/boot/config-{version}"), format!("/lib/modules/{version}/config")] {
            config.push_str(&read_small(draft, &path)?);
            config.push('\n');
        }
        Ok::<_, Error>(config)
    })
}

/// Whether `option`, such as `CONFIG_XEN_PVH`, is part of the kernel.
pub(crate) fn has(config: &str, option: &str) -> bool {
    let value = |line: &str| line.trim().strip_prefix(option)?.strip_prefix('=').map(str::to_owned);
    config.lines().filter_map(value).any(|value| value == "y")
}
