//! Which control sets a fixup edits.

use driver_core::Context;

/// All that Windows may start with: a guest that falls back to its last good one must start on the new platform, too.
pub(crate) fn edited_sets<'a>(context: &Context<'a>) -> &'a [String] {
    context.guest.windows.as_ref().map_or(&[], |windows| &windows.control_sets)
}
