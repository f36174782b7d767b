//! Is the destination what it should be before the first byte, and out of reach after the last?
//!
//! ```text
//!  before   Isolator::enter   what a run before took out of reach comes back: link up, volume mounted as it was
//!           Destination::check   PATH_NOT_FOUND (-403), or the place with its volume, marker and free space
//!  …        the caller writes
//!  after    Isolator::leave   unmount | eject | network-down, and a look that it is so
//! ```
//!
//! - `rule` is the question; `marker` the file that `rehome destination init` writes; `drift` says where a volume went that an
//!   automounter put elsewhere.
//! - `isolation` is the order of steps, `record` what is remembered of them, durable before the first: after a kill at any place,
//!   `enter` brings back what is missing, and `leave` goes on.
//! - `unmount`, `remount`, `holders`; `eject`; `interface`, `network` are the steps.
//! - `mounts`, `volume`, `host`, `program`, `escapes` are how the host is asked. No shell is used, and names of mounts are taken for hostile.
//!
//! What is never done: a lazy unmount, unmounting what the host runs from or what others are mounted on, mounting with fewer
//! restrictions than before, taking the default route down unasked.
//!
//! Against what it helps: programs that write to every file they reach, as ransomware does. What runs as root can mount a volume
//! or take a link up again, so an unmounted disk in the same machine is the weakest, an ejected one the strongest of the three.
//!
//! Tried with loop devices, veth pairs and file systems of this kernel; ejecting with a simulated sysfs, NetworkManager with a stand-in.

mod drift;
mod eject;
mod escapes;
mod holders;
mod host;
mod interface;
mod isolation;
mod marker;
mod mounts;
mod network;
mod program;
mod record;
mod remount;
mod rule;
mod unmount;
mod volume;

pub use escapes::shell_word;
pub use host::Host;
pub use isolation::{Entered, Isolation, Isolator, Left};
pub use marker::{MARKER, Marker, init};
pub use record::state_folder;
pub use rule::{CODE, Destination, Device, Place, Required};
pub use volume::{Volume, VolumeKind};
