//! What Windows wants to finish at its next start.
//!
//! Source: Microsoft documents the markers in several places: Component Based Servicing\RebootPending and
//! WindowsUpdate\Auto Update\RebootRequired (Windows Update), PendingFileRenameOperations (MoveFileEx), `WinSxS\pending.xml` (servicing),
//! `SYSTEM\Setup` (sysprep, "OOBEInProgress", "SystemSetupInProgress"). virt-v2v checks the first three before it installs drivers.

use driver_core::GuestTree;
use driver_registry::Value;
use format_core::Result;

const VERSION: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion";

pub(crate) fn pending(tree: &GuestTree, set: &str, system_root: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut tell = |yes: bool, text: &str| found.extend(yes.then(|| text.to_owned()));
    let has = |key: &str| Ok::<_, format_core::Error>(tree.registry_key(key)?.is_some());
    tell(
        has(&format!(r"{VERSION}\Component Based Servicing\RebootPending"))?,
        "components wait for a restart",
    );
    tell(has(&format!(r"{VERSION}\WindowsUpdate\Auto Update\RebootRequired"))?, "updates wait for a restart");
    let manager = format!(r"SYSTEM\{set}\Control\Session Manager");
    let renames = tree.registry_value(&manager, "PendingFileRenameOperations")?;
    tell(renames.is_some_and(|value| value.data.len() > 4), "files wait to be replaced at the next start");
    let servicing = tree.metadata(&format!("{system_root}/WinSxS/pending.xml"))?;
    tell(servicing.is_some(), "servicing of components was begun and not ended (WinSxS\\pending.xml)");
    let setup = |name: &str| {
        Ok::<_, format_core::Error>(
            tree.registry_value(r"SYSTEM\Setup", name)?.as_ref().and_then(Value::as_u32),
        )
    };
    tell(setup("SystemSetupInProgress")? == Some(1), "Windows Setup was begun and not ended");
    tell(setup("OOBEInProgress")? == Some(1), "the system was generalised (sysprep) and asks for its set-up");
    Ok(found)
}
