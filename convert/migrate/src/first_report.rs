//! The report as it is when everything is decided and nothing done.

use crate::choose::Choice;
use crate::definition::Definition;
use crate::editor::EditorReport;
use crate::inspect::Inspection;
use crate::plan::{left_out_text, obstacles};
use crate::report::{ChainFile, DiskReport, EditReport, MigrateReport};
use crate::run::MigrateRequest;
use crate::windows;
use driver_core::{GroupFacts, GroupKind, Plan};
use format_core::OpenedImage;

pub(crate) fn first_report(
    request: &MigrateRequest,
    sources: &[OpenedImage],
    inspection: &Inspection,
    choice: &Choice,
    plan: &Plan,
    definition: &Definition,
    machine: driver_machine::Machine,
) -> MigrateReport {
    let disk = |(source, file): (&OpenedImage, &String)| DiskReport {
        source: source
            .chain
            .iter()
            .map(|link| ChainFile {
                path: link.path.clone(),
                format: link.format.name,
                file_size: link.file_size,
            })
            .collect(),
        virtual_size: source.disk.virtual_size(),
        wrapped: None,
        file: file.clone(),
        format: choice.definition.image_format,
        digest: None,
        source_digest: None,
        data_bytes: None,
        file_size: None,
        differing_blocks: None,
        changed: Vec::new(),
    };
    let image_warnings = sources.iter().flat_map(|source| &source.warnings);
    let image_warnings = image_warnings
        .map(|warning| driver_machine::Warning { code: warning.code, message: warning.message.clone() });
    let left_out = plan
        .left_out()
        .map(|fixup| driver_machine::Warning { code: "left-out", message: left_out_text(fixup) });
    let group_warnings = inspection.guest.groups.iter().flat_map(|group| {
        group.warnings.iter().map(|warning| driver_machine::Warning {
            code: "volume-group",
            message: format!("{} ({}): {warning}", group.name, group.layout),
        })
    });
    let is_open = |group: &GroupFacts| group.kind == GroupKind::Luks && group.obstacle.is_none();
    let decrypted = inspection.guest.groups.iter().any(is_open).then(|| driver_machine::Warning {
        code: "decrypted-copies",
        message: "an encrypted volume was opened: the folder for undoing and the report hold what was changed in it, not encrypted"
            .into(),
    });
    // Without a tree they are what blocks.
    let unseen = inspection
        .guest
        .obstacles
        .iter()
        .filter(|_| inspection.tree.is_some())
        .map(|text| driver_machine::Warning { code: "not-looked-at", message: text.clone() });
    MigrateReport {
        tool: concat!("rehome ", env!("CARGO_PKG_VERSION")),
        outcome: "planned",
        obstacles: obstacles(inspection, plan),
        choice: choice.clone(),
        guest: inspection.guest.clone(),
        editor: EditorReport::native(Vec::new()),
        replays: inspection.replays.clone(),
        fixups: plan.fixups.clone(),
        edits: plan.edits.iter().map(EditReport::of).collect(),
        machine,
        adapters: Vec::new(),
        disks: sources.iter().zip(&definition.disk_files).map(disk).collect(),
        warnings: image_warnings
            .chain(definition.warnings.iter().cloned())
            .chain(left_out)
            .chain(windows::not_confirmed(&inspection.guest, choice.target))
            .chain(group_warnings)
            .chain(decrypted)
            .chain(unseen)
            .collect(),
        package: None,
        files: Vec::new(),
        out: request.out.clone(),
        boot_test: None,
        sandbox: convert_sandbox::state(),
        next_step: "run the same command without --dry-run".into(),
    }
}
