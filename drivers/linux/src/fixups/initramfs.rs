//! initramfs: the target's storage drivers are in it, for every kernel.
//!
//! Facts: the kernel unpacks concatenated cpio archives (kernel documentation, "initramfs buffer format"), so drivers are
//! added behind what is there, with the guest's module indexes; udev in the image loads them by device alias. Hyper-V's
//! disks, those on the IDE controller too, need `hv_vmbus` and `hv_storvsc`: `ata_piix` leaves them alone
//! (`prefer_ms_hyperv`). An image made for one host (initramfs-tools MODULES=dep, dracut hostonly) holds EC2's drivers only.

use super::{built_in, initramfs_rebuild, lvm_filters};
use crate::kernel_config::{has, kernel_config};
use crate::kernels::{INITRAMFS_LIMIT, listing};
use crate::module_source::GuestModules;
use driver_core::{Applies, Context, Draft, Fixup, GuestTree, KernelFacts};
use driver_initramfs::{Listing, Maker, ModuleIndex, ModuleSource, ModuleState, Outcome, append};
use format_core::{Error, Result};
use std::collections::BTreeSet;
use std::rc::Rc;

pub(super) struct Initramfs;

impl Fixup for Initramfs {
    fn id(&self) -> &'static str {
        "linux-initramfs"
    }

    fn title(&self) -> &'static str {
        "the target's drivers are in the initramfs of every kernel"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let Some(kernel) = context.guest.kernels.first() else {
            return Ok(Applies::cannot(
                "no kernel was found in the guest",
                "mount /boot in the guest before exporting, or install a kernel",
            ));
        };
        if is_paravirtual(draft, kernel)? {
            return Ok(Applies::cannot(
                format!("kernel {} runs as a paravirtual guest of Xen only", kernel.version),
                "install the distribution's ordinary kernel and make it the default before exporting",
            ));
        }
        let target = context.target;
        let index = match load_index(draft.tree(), kernel) {
            Ok(index) => index,
            Err(why) => return Ok(Applies::cannot(why, "run depmod -a in the guest before exporting")),
        };
        let missing = missing(&index, &required(context));
        if !missing.is_empty() {
            return Ok(Applies::cannot(
                format!("kernel {} does not have {} at all", kernel.version, missing.join(", ")),
                "install the distribution's generic kernel before migrating (linux-image-amd64, linux-generic, kernel-modules-core)",
            ));
        }
        let modules = modules_only(&index, &required(context));
        let boot_critical: Vec<_> =
            modules.into_iter().filter(|module| *module != target.network_module).collect();
        if kernel.initramfs.is_none() && !boot_critical.is_empty() {
            return Ok(Applies::cannot(
                format!(
                    "kernel {} starts without an initramfs, and {} are modules",
                    kernel.version,
                    boot_critical.join(", ")
                ),
                "create an initramfs in the guest before exporting (update-initramfs -c -k VERSION, dracut --kver VERSION)",
            ));
        }
        Ok(Applies::Yes)
    }

    fn plan(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let mut done = BTreeSet::new();
        for (number, kernel) in context.guest.kernels.iter().enumerate() {
            let Some(path) = &kernel.initramfs else { continue };
            if number > 0 && is_paravirtual(draft, kernel)? {
                draft.note(format!("kernel {} will not start there: it runs below Xen only", kernel.version));
                continue;
            }
            if !done.insert(draft.tree().canonical(path, true)?) || facts_say_present(context, kernel) {
                continue;
            }
            if initramfs_rebuild::takes(context, draft, number, path)? {
                draft.note(format!("{path} is made anew by the guest's own tool"));
                continue;
            }
            match plan_one(context, draft, kernel, path)? {
                // Old kernels may lack drivers or be half removed: the one that starts must be right.
                Err(why) if number == 0 => {
                    return Err(Error::needs_person(format!("{path}: {why}")).hint(
                        "rebuild the initramfs in the guest before exporting (update-initramfs -u, dracut --force, or mkinitrd -f --with=MODULE IMAGE VERSION)",
                    ));
                }
                Err(why) => {
                    draft.note(format!("kernel {} will not start there: {path}: {why}", kernel.version))
                }
                Ok(()) => {}
            }
        }
        let started = context.guest.boot.kernel.as_deref();
        if let Some(name) = started.filter(|_| !context.guest.kernels.iter().any(|kernel| kernel.default)) {
            let version = name.split_once('-').map_or(name, |(_, version)| version);
            let lacking = built_in::lacking(draft, version, &required(context))?;
            if !lacking.is_empty() {
                return Err(Error::needs_person(format!(
                    "the boot loader starts {name}, which is the kernel of no folder in /lib/modules, and nothing says that \
                     it has {}",
                    lacking.join(", ")
                ))
                .hint("install that kernel's modules, or make another kernel the default, in the guest before exporting"));
            }
        }
        Ok(())
    }
}

/// A kernel of the time before one kernel ran everywhere: RHEL 5's `el5xen`, SUSE's `-xen` up to SLES 12. No target starts
/// machines without firmware.
fn is_paravirtual(draft: &Draft<'_>, kernel: &KernelFacts) -> Result<bool> {
    if kernel.version.ends_with("-xen") || kernel.version.ends_with("el5xen") {
        return Ok(true);
    }
    let config = kernel_config(draft, &kernel.version)?;
    Ok(has(&config, "CONFIG_X86_XEN") || has(&config, "CONFIG_X86_64_XEN"))
}

/// Modules that must be there when the kernel looks for its root.
pub(super) fn required<'a>(context: &Context<'a>) -> Vec<&'a str> {
    let extra = context.extra_modules.iter().map(String::as_str);
    distinct(context.target.boot_modules.iter().copied().chain(extra))
}

/// Each module once, in order; `-` and `_` are the same in module names.
pub(super) fn distinct<'a>(modules: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    modules.filter(|module| seen.insert(module.replace('-', "_"))).collect()
}

pub(super) fn load_index(tree: &GuestTree, kernel: &KernelFacts) -> Result<Rc<ModuleIndex>, String> {
    GuestModules::new(tree, &kernel.version).index().map_err(|e| e.to_string())
}

/// Those of `modules` that are loadable, neither built in nor missing.
pub(super) fn modules_only<'a>(index: &ModuleIndex, modules: &[&'a str]) -> Vec<&'a str> {
    let loadable = |module: &&str| matches!(index.state(module), ModuleState::Module(_));
    modules.iter().copied().filter(loadable).collect()
}

fn missing<'a>(index: &ModuleIndex, modules: &[&'a str]) -> Vec<&'a str> {
    modules.iter().copied().filter(|module| index.state(module) == ModuleState::Missing).collect()
}

/// Inspection has just read this image: no need to read it again when nothing is missing.
fn facts_say_present(context: &Context<'_>, kernel: &KernelFacts) -> bool {
    if lvm_filters::concerns(context.guest) {
        return false;
    }
    let present = |module: &&str| {
        let name = module.replace('-', "_");
        kernel.drivers.iter().any(|driver| driver.module == name && driver.in_initramfs)
    };
    required(context).iter().all(present)
}

/// Plans one image. The inner error says why that image cannot be extended.
fn plan_one(
    context: &Context<'_>,
    draft: &mut Draft<'_>,
    kernel: &KernelFacts,
    path: &str,
) -> Result<Result<(), String>> {
    let tree = draft.tree();
    let listed = listing(tree, path)?;
    let listing = match &*listed {
        Ok(listing) => listing,
        Err(why) => return Ok(Err(why.clone())),
    };
    // Whether a script of nash has a place for more modules is known when it was written.
    if draft.is_outline() && listing.builder().maker != Maker::Nash {
        return match survey(context, tree, kernel, listing) {
            Ok(None) => Ok(Ok(())),
            Ok(Some(bytes)) => super::initramfs_fit::outline(draft, kernel, path, listing, bytes),
            Err(why) => Ok(Err(why)),
        };
    }
    let Some(image) = tree.read_file(path, INITRAMFS_LIMIT)? else { return Ok(Err("it is no file".into())) };
    let outcome = match extend(context, tree, kernel, listing, &image) {
        Ok(outcome) => outcome,
        Err(why) => return Ok(Err(why)),
    };
    let names: Vec<_> = outcome.modules.iter().map(|module| file_stem(&module.path)).collect();
    let mut what = Vec::new();
    if !names.is_empty() {
        what.push(format!("drivers for {}: {}", context.target.name, names.join(", ")));
    }
    if outcome.files.iter().any(|file| file.path == lvm_filters::LOCAL) {
        what.push(format!("LVM looks at all disks there ({})", lvm_filters::LOCAL));
    }
    let reason = what.join("; ");
    super::initramfs_fit::place(draft, kernel, path, listing, image, outcome.plan, &reason)
}

/// What the image of one kernel needs on this target.
struct Needs<'a> {
    required: Vec<&'a str>,
    helpful: Vec<&'a str>,
    lvm: Option<(&'static str, Vec<u8>)>,
}

impl<'a> Needs<'a> {
    fn of(
        context: &Context<'a>,
        tree: &GuestTree,
        kernel: &KernelFacts,
        listing: &Listing,
    ) -> Result<Self, String> {
        let index = load_index(tree, kernel)?;
        let required = required(context);
        let missing = missing(&index, &required);
        if !missing.is_empty() {
            return Err(format!("kernel {} does not have {} at all", kernel.version, missing.join(", ")));
        }
        Ok(Self {
            required,
            helpful: modules_only(&index, context.target.helpful_modules),
            lvm: lvm_filters::initramfs_file(context.guest, context.target, listing)?,
        })
    }

    fn files(&self) -> Vec<(&str, &[u8])> {
        self.lvm.iter().map(|(path, content)| (*path, content.as_slice())).collect()
    }
}

/// Bytes of the modules that [`extend`] would add, `None` when the image stays as it is.
fn survey(
    context: &Context<'_>,
    tree: &GuestTree,
    kernel: &KernelFacts,
    listing: &Listing,
) -> Result<Option<u64>, String> {
    let needs = Needs::of(context, tree, kernel, listing)?;
    let source = GuestModules::new(tree, &kernel.version);
    let files = needs.files();
    let request =
        append::Request { version: &kernel.version, wanted: &needs.required, load_early: &[], files: &files };
    let Some(modules) = append::survey(listing, &source, &request).map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let mut bytes = 0_u64;
    for module in modules {
        bytes = bytes.saturating_add(source.size(&module).map_err(|e| format!("{module}: {e}"))?);
    }
    Ok(Some(bytes))
}

fn extend(
    context: &Context<'_>,
    tree: &GuestTree,
    kernel: &KernelFacts,
    listing: &Listing,
    image: &[u8],
) -> Result<Outcome, String> {
    let needs = Needs::of(context, tree, kernel, listing)?;
    let source = GuestModules::new(tree, &kernel.version);
    let files = needs.files();
    let plan = |wanted: &[&str]| {
        let request = append::Request { version: &kernel.version, wanted, load_early: &[], files: &files };
        append::plan(image, listing, &source, &request).map_err(|e| e.to_string())
    };
    let outcome = plan(&needs.required)?;
    // What is there for LVM alone is no reason to add drivers that only help.
    let drivers_are_there =
        outcome.modules.is_empty() && outcome.files.iter().all(|file| file.path == lvm_filters::LOCAL);
    if drivers_are_there || needs.helpful.is_empty() {
        return Ok(outcome);
    }
    plan(&distinct(needs.required.iter().chain(&needs.helpful).copied()))
}

fn file_stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}
