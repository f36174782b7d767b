//! What was decided about the network adapters of the target machine.

use crate::error::shown;
use crate::validate::plain_text_fault;
use crate::{Machine, MachineError};

/// What the operator decided about one network adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdapterChoice {
    /// Network, switch, bridge or subnet that it is connected to, in the target's own words. Without one, the name at the
    /// source is all that is known.
    pub network: Option<String>,
    /// The machine's address of this adapter was chosen for the target: it is not the source's.
    pub new_mac: bool,
}

/// The network chosen for the adapter with this index.
pub(crate) fn network(choices: &[AdapterChoice], index: usize) -> Option<&str> {
    choices.get(index)?.network.as_deref()
}

/// The chosen networks of all adapters, empty where none was chosen.
pub(crate) fn networks<'a>(machine: &Machine, choices: &'a [AdapterChoice]) -> Vec<&'a str> {
    (0..machine.nics.len()).map(|index| network(choices, index).unwrap_or_default()).collect()
}

/// Whether the address of the adapter with this index was chosen for the target.
pub(crate) fn has_new_mac(choices: &[AdapterChoice], index: usize) -> bool {
    choices.get(index).is_some_and(|choice| choice.new_mac)
}

/// Whether an adapter has the address of the source.
pub(crate) fn keeps_a_mac(machine: &Machine, choices: &[AdapterChoice]) -> bool {
    let mut nics = machine.nics.iter().enumerate();
    nics.any(|(index, nic)| nic.mac.is_some() && !has_new_mac(choices, index))
}

/// How many adapters are connected to nothing that is known.
pub(crate) fn without_network(machine: &Machine, choices: &[AdapterChoice]) -> usize {
    let nics = machine.nics.iter().enumerate();
    nics.filter(|(index, nic)| nic.network.is_none() && network(choices, *index).is_none()).count()
}

/// Refuses chosen networks that `what` cannot have; `fault` says why.
///
/// # Errors
/// [`MachineError::Network`].
pub(crate) fn check(
    choices: &[AdapterChoice],
    what: &'static str,
    fault: fn(&str) -> Option<&'static str>,
) -> Result<(), MachineError> {
    for name in choices.iter().filter_map(|choice| choice.network.as_deref()) {
        let found = match plain_text_fault(name) {
            None if name.trim().is_empty() => Some("is empty".to_owned()),
            None => fault(name).map(|fault| format!("{} {fault}", shown(name))),
            found => found,
        };
        if let Some(fault) = found {
            return Err(MachineError::Network { what, reason: format!("the network {fault}") });
        }
    }
    Ok(())
}

/// Names of network interfaces in Linux, without what other languages have as signs of their own.
pub(crate) fn is_interface(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    // A dash in front would be an option to the programs that get the name.
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins && name.len() <= 15 && name.bytes().all(plain)
}
