//! SELinux: files whose label is not known are labelled by the guest before it starts for good.
//!
//! Facts: a new file gets the label of its folder from the editor of ext2, ext3 and ext4; XFS is only overwritten in place, and
//! labels stay. The micro-VM gives them the label of their folder, and then runs the guest's own setfiles. On every other file system new files have none, and an enforcing policy forbids to use them. /.autorelabel makes
//! the guest label everything once, and restart (selinux(8), fixfiles(8)).

use crate::config_file::{exists, read_small};
use driver_core::{Applies, Context, Draft, Fixup, Ownership};
use format_core::Result;

const CONFIG: &str = "/etc/selinux/config";
const MARK: &str = "/.autorelabel";
/// Their editors give labels, or make no new files.
const LABELLED: [&str; 4] = ["ext2", "ext3", "ext4", "xfs"];

pub(super) struct Selinux;

impl Fixup for Selinux {
    fn id(&self) -> &'static str {
        "linux-selinux"
    }

    fn title(&self) -> &'static str {
        "the guest labels files anew when it starts"
    }

    fn applies(&self, context: &Context<'_>, draft: &Draft<'_>) -> Result<Applies> {
        let config = read_small(draft, CONFIG)?;
        let mode = config.lines().filter_map(|line| line.trim().strip_prefix("SELINUX=")).next_back();
        if mode.map(str::trim) != Some("enforcing") {
            return Ok(Applies::no("SELinux does not enforce anything"));
        }
        if draft.can_run() {
            return Ok(Applies::no("new files are labelled by the editor"));
        }
        let root = context.guest.mounts.iter().find(|mount| mount.point == "/");
        Ok(match root {
            Some(root) if LABELLED.contains(&root.kind.as_str()) => {
                Applies::no("new files have the label of their folder")
            }
            _ => Applies::Yes,
        })
    }

    fn plan(&self, _: &Context<'_>, draft: &mut Draft<'_>) -> Result<()> {
        if exists(draft, MARK)? {
            return Ok(());
        }
        draft.create(MARK, "", Ownership::ROOT_FILE, "labels of new files are not known")
    }
}
