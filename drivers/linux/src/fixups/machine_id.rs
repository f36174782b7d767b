//! A new machine id, when the operator asks for one: for a copy that runs beside its original.
//!
//! Facts: systemd makes a new id where /etc/machine-id is empty (machine-id(5), "Initialization"); without the file, or with
//! `uninitialized` in it, it would also take the start for the first one and enable units by their presets again
//! (`ConditionFirstBoot=`), agents among them. D-Bus's copy is a link to it, or is made anew by `dbus-uuidgen --ensure`
//! when it is absent.

use crate::config_file::{exists, list, read};
use driver_core::{Applies, Context, Draft, Fixup};
use format_core::Result;

const MACHINE_ID: &str = "/etc/machine-id";
const DBUS: &str = "/var/lib/dbus/machine-id";

pub(super) struct MachineId;

impl Fixup for MachineId {
    fn id(&self) -> &'static str {
        "linux-machine-id"
    }

    fn title(&self) -> &'static str {
        "the machine gets a new id when it starts"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        if !context.wishes.identity.machine_id {
            return Ok(Applies::no("the machine keeps its id"));
        }
        let found = exists(draft, MACHINE_ID)? || exists(draft, DBUS)?;
        Ok(if found { Applies::Yes } else { Applies::no(format!("there is no {MACHINE_ID}")) })
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        let reason = "a new id is made at the next start";
        if read(draft, MACHINE_ID)?.is_some() {
            draft.write(MACHINE_ID, "", reason)?;
        }
        if draft.read_link(DBUS)?.is_none() && read(draft, DBUS)?.is_some() {
            draft.remove(DBUS, reason)?;
            if exists(draft, MACHINE_ID)? {
                draft.link(DBUS, MACHINE_ID, reason)?;
            }
        }
        if !list(draft, "/boot/loader/entries", ".conf")?.is_empty() {
            draft.note(
                "loader entries keep the old machine id in their names: kernel-install(8) uses the new one for later kernels"
                    .into(),
            );
        }
        Ok(())
    }
}
