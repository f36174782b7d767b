//! Which Windows it is.
//!
//! Source: `SOFTWARE\Microsoft\Windows NT\CurrentVersion`: CurrentMajorVersionNumber and CurrentMinorVersionNumber exist from Windows 10
//! on, where CurrentVersion stays at 6.3; Windows 11 keeps "Windows 10" in ProductName and is told by its build (Microsoft,
//! "Windows 11 release information": 22000 and later).

use driver_core::{GuestTree, OsFacts, WindowsFacts};
use driver_registry::Value;
use format_core::Result;

const CURRENT_VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
/// The first build of Windows 11.
const WINDOWS_11: u32 = 22000;

/// Fills in version, build, edition and installation; gives the facts that all systems have.
pub(crate) fn version(tree: &GuestTree, set: &str, facts: &mut WindowsFacts) -> Result<OsFacts> {
    let value = |name: &str| tree.registry_value(CURRENT_VERSION, name);
    let text = |name: &str| Ok::<_, format_core::Error>(value(name)?.as_ref().and_then(Value::as_str));
    let number = |name: &str| Ok::<_, format_core::Error>(value(name)?.as_ref().and_then(Value::as_u32));
    let major = number("CurrentMajorVersionNumber")?;
    let minor = number("CurrentMinorVersionNumber")?;
    let spelled = text("CurrentVersion")?.unwrap_or_default();
    facts.version = match (major, minor) {
        (Some(major), Some(minor)) => (major, minor),
        _ => parse_version(&spelled),
    };
    let build = text("CurrentBuildNumber")?.or(text("CurrentBuild")?);
    facts.build = build.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    facts.revision = number("UBR")?;
    facts.edition = text("EditionID")?;
    facts.installation = text("InstallationType")?;
    let product = text("ProductName")?.unwrap_or_else(|| "Windows".into());
    let version = format!("{}.{}.{}", facts.version.0, facts.version.1, facts.build);
    let environment = format!(r"SYSTEM\{set}\Control\Session Manager\Environment");
    let arch = tree.registry_value(&environment, "PROCESSOR_ARCHITECTURE")?;
    let arch = arch.as_ref().and_then(Value::as_str).map(|arch| arch_name(&arch));
    Ok(OsFacts {
        family: "windows".into(),
        id: "windows".into(),
        version,
        name: product_name(&product, facts),
        arch,
        known_by: r"SOFTWARE\Microsoft\Windows NT\CurrentVersion".into(),
        ..OsFacts::default()
    })
}

fn product_name(product: &str, facts: &WindowsFacts) -> String {
    let is_11 = facts.build >= WINDOWS_11 && !facts.is_server();
    if is_11 { product.replacen("Windows 10", "Windows 11", 1) } else { product.to_owned() }
}

fn parse_version(text: &str) -> (u32, u32) {
    let mut parts = text.trim().split('.').map(|part| part.parse().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The names that other guests' architectures have.
fn arch_name(arch: &str) -> String {
    match arch.to_ascii_uppercase().as_str() {
        "AMD64" => "x86_64".into(),
        "X86" => "i686".into(),
        "ARM64" => "aarch64".into(),
        other => other.to_ascii_lowercase(),
    }
}
