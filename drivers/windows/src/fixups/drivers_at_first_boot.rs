//! Driver packages are installed by Windows itself, at its first start.
//!
//! What was written into the registry for the disk that Windows starts from is not a whole installation, and other devices (network, memory
//! balloon) have nothing yet. Microsoft, "PnPUtil command syntax" and "PnPUtil return values": `/add-driver … /install` is there from
//! Windows 10 1607 (build 14393) on, `-i -a` before; one INF at a time tells what became of it; 0 is done, 259 means that no device wants the
//! package or that a better driver is there, 3010 that Windows must restart. As virt-v2v does, the step waits for a restart that
//! Windows wants already (servicing, updates, files to be replaced: pnputil fails meanwhile) — for one, because some software always
//! wants another.
//!
//! On Windows 7 and Server 2008 R2 a package that Microsoft did not sign makes Windows ask whether its publisher is trusted, and
//! nobody sees that question (not verified). So a package whose installation did not come to an end is not tried again, and at the
//! next start the steps behind it are run.

use crate::added_driver::is_plain;
use crate::fixups::first_boot::{FOLDER, FOLDER_IN_GUEST, RESTART, RESTART_AND_AGAIN, plan_file, plan_step};
use driver_core::{Applies, Context, Draft, DriverPackage, Fixup, PackageFile, TEXT_LIMIT};
use format_core::{Error, Result};

/// The first build with `pnputil /add-driver`.
const WINDOWS_10_1607: u32 = 14393;
const REASON: &str = "Windows installs the driver at its first start";
/// What says that Windows wants to be restarted.
const MARKERS: [&str; 3] = [
    r#""HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending""#,
    r#""HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired""#,
    r#""HKLM\SYSTEM\CurrentControlSet\Control\Session Manager" /v PendingFileRenameOperations"#,
];

pub(super) struct DriversAtFirstBoot;

impl Fixup for DriversAtFirstBoot {
    fn id(&self) -> &'static str {
        "windows-driver-packages"
    }

    fn title(&self) -> &'static str {
        "driver packages are installed at the first start"
    }

    fn applies(&self, context: &Context<'_>, _: &Draft<'_>) -> Result<Applies> {
        Ok(match (&context.guest.windows, context.wishes.drivers.is_empty()) {
            (None, _) => Applies::no("no Windows"),
            (_, true) => Applies::no("no driver package was given"),
            _ => Applies::Yes,
        })
    }

    fn by_hand(&self) -> Option<&'static str> {
        Some("install the driver packages in the running guest")
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let Some(windows) = &context.guest.windows else { return Ok(()) };
        let mut installed = Vec::new();
        for (package, folder) in with_folders(&context.wishes.drivers)? {
            for file in &package.files {
                plan_content(draft, &format!("{FOLDER}/drivers/{folder}"), file)?;
            }
            installed.push(format!(r"{folder}\{}", package.inf));
        }
        plan_step(draft, "10-drivers", &script(&installed, windows.build), REASON)
    }
}

/// Every package with a folder of its own, which is called like its INF.
///
/// # Errors
/// `NeedsPerson` for a name that means something to cmd.exe.
fn with_folders(packages: &[DriverPackage]) -> Result<Vec<(&DriverPackage, String)>> {
    let mut found: Vec<(&DriverPackage, String)> = Vec::new();
    for package in packages {
        let files = package.files.iter().map(|file| file.name.as_str());
        if let Some(name) = files.chain([package.inf.as_str()]).find(|name| !is_plain(name)) {
            return Err(Error::needs_person(format!(
                "driver package {}: file name {name:?}",
                package.source
            ))
            .hint("install this package in the running guest, and leave it out here"));
        }
        let (stem, _) = package.inf.rsplit_once('.').unwrap_or((&package.inf, ""));
        let stem = stem.to_ascii_lowercase();
        let same = found.iter().filter(|(other, _)| other.inf.eq_ignore_ascii_case(&package.inf)).count();
        let folder = if same == 0 { stem } else { format!("{stem}.{}", same + 1) };
        found.push((package, folder));
    }
    Ok(found)
}

fn plan_content(draft: &mut Draft<'_>, folder: &str, file: &PackageFile) -> Result<()> {
    let path = format!("{folder}/{}", file.name.replace('\\', "/"));
    let size = file.content.len() as u64;
    if size > TEXT_LIMIT && draft.read(&path, size)?.as_deref() == Some(&file.content[..]) {
        return Ok(());
    }
    // Nobody looks at the content in an overview.
    let content = if draft.is_outline() { Vec::new() } else { file.content.to_vec() };
    plan_file(draft, &path, content, REASON)
}

fn script(packages: &[String], build: u32) -> String {
    let drivers = format!(r"{FOLDER_IN_GUEST}\drivers");
    let mut text = "@echo off\n\
         rem Written by rehome: installs the driver packages that were given for the new place.\n\
         setlocal EnableExtensions DisableDelayedExpansion\n\
         set \"result=0\"\n\
         set \"pending=\"\n"
        .to_owned();
    for marker in MARKERS {
        text += &format!("reg.exe query {marker} >nul 2>&1\nif not errorlevel 1 set \"pending=1\"\n");
    }
    text += &format!(
        "if not defined pending goto install\n\
         if exist \"{drivers}\\waited\" goto install\n\
         echo Windows wants to restart before drivers can be installed\n\
         echo once>\"{drivers}\\waited\"\n\
         exit {RESTART_AND_AGAIN}\n\
         \n\
         :install\n"
    );
    for package in packages {
        text += &format!("call :package \"{package}\"\n");
    }
    let install = match build {
        WINDOWS_10_1607.. => format!(r#"pnputil.exe /add-driver "{drivers}\%~1" /install"#),
        _ => format!(r#"pnputil.exe -i -a "{drivers}\%~1""#),
    };
    text + &format!(
        "exit %result%\n\
         \n\
         :package\n\
         if exist \"{drivers}\\%~1.begun\" echo %~1 was begun at an earlier start and did not end: left to a person\n\
         if exist \"{drivers}\\%~1.begun\" exit /b 0\n\
         echo begun>\"{drivers}\\%~1.begun\"\n\
         {install}\n\
         set \"code=%errorlevel%\"\n\
         echo %~1: pnputil ended with %code%\n\
         del \"{drivers}\\%~1.begun\"\n\
         if \"%code%\"==\"0\" exit /b 0\n\
         if \"%code%\"==\"259\" exit /b 0\n\
         if \"%code%\"==\"3010\" set \"result={RESTART}\"\n\
         if \"%code%\"==\"3010\" exit /b 0\n\
         if \"%result%\"==\"0\" set \"result=1\"\n\
         exit /b 0\n"
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::phony::{Phony, carried_out, plan};
    use driver_core::{DriverDate, GuestTree, Wishes};
    use std::sync::Arc;

    pub(crate) fn package(inf: &str, files: &[(&str, usize)]) -> DriverPackage {
        let files = files.iter().map(|(name, size)| PackageFile {
            name: (*name).to_owned(),
            target: None,
            content: Arc::from(vec![7; *size]),
        });
        DriverPackage {
            inf: inf.to_owned(),
            source: "a/folder".into(),
            provider: String::new(),
            class: String::new(),
            class_guid: String::new(),
            date: DriverDate::default(),
            version: [0; 4],
            catalog: None,
            services: Vec::new(),
            devices: Vec::new(),
            files: files.collect(),
            notes: Vec::new(),
        }
    }

    fn wishes(drivers: Vec<DriverPackage>) -> Wishes {
        Wishes { drivers, ..Wishes::default() }
    }

    fn text(tree: &GuestTree) -> String {
        let path = "/Windows/rehome/firstboot/10-drivers.cmd";
        String::from_utf8(tree.read_file(path, 1 << 20).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn packages_lie_in_folders_of_their_own_and_are_installed_one_by_one() {
        let large = usize::try_from(TEXT_LIMIT).unwrap() + 1;
        let given = wishes(vec![
            package("NetKVM.inf", &[("NetKVM.inf", 3), ("netkvm.sys", large), (r"x64\a.dll", 4)]),
            package("netkvm.INF", &[("netkvm.INF", 3)]),
        ]);
        let (tree, _) = carried_out(Phony::windows_2016(), "kvm-uefi", &given, &DriversAtFirstBoot);
        let size =
            |path: &str| tree.metadata(&format!("/Windows/rehome/drivers/{path}")).unwrap().unwrap().size;
        assert_eq!(size("netkvm/netkvm.sys"), large as u64);
        assert_eq!((size("netkvm/x64/a.dll"), size("netkvm.2/netkvm.INF")), (4, 3));
        let text = text(&tree);
        for line in [
            r#"call :package "netkvm\NetKVM.inf""#,
            r#"call :package "netkvm.2\netkvm.INF""#,
            r#"pnputil.exe /add-driver "%SystemRoot%\rehome\drivers\%~1" /install"#,
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn older_versions_have_other_switches() {
        let given = wishes(vec![package("a.inf", &[("a.inf", 3)])]);
        let (tree, _) = carried_out(Phony::windows_2008_r2(), "kvm-bios", &given, &DriversAtFirstBoot);
        assert!(text(&tree).contains(r#"pnputil.exe -i -a "%SystemRoot%\rehome\drivers\%~1""#));
    }

    #[test]
    fn names_that_mean_something_to_a_batch_file_or_lead_elsewhere_need_a_person() {
        for name in [
            "a&b.inf",
            "%PATH%.inf",
            r"..\a.inf",
            r"\a.inf",
            "a b.inf",
            "ä.inf",
            "a.",
            "",
            "a/b.inf",
            "C:a.inf",
        ] {
            let (tree, guest) = Phony::windows_2016().build();
            for given in [package(name, &[]), package("a.inf", &[(name, 1)])] {
                let planned = plan(&tree, &guest, "kvm-uefi", &wishes(vec![given]), &DriversAtFirstBoot);
                assert!(planned.obstacles().next().is_some(), "{name}");
            }
        }
    }

    #[test]
    fn without_a_package_nothing_is_planned() {
        let (tree, guest) = Phony::windows_2016().build();
        let planned = plan(&tree, &guest, "kvm-uefi", &Wishes::NONE, &DriversAtFirstBoot);
        assert!(planned.edits.is_empty());
    }
}
