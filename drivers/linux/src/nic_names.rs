//! Names of network interfaces in configuration text.
//!
//! Predictable names come from the firmware's or the bus's numbering (systemd.net-naming-scheme(7)): `ens5` is EC2's,
//! `enX0` Xen's. Devices on Hyper-V's VMBus have neither, so they keep the kernel's `eth0`.

use driver_core::{Context, Platform};

/// Whether it is the name of a wired interface, as opposed to a bridge, a tunnel, a container's end.
pub(crate) fn is_wired(name: &str) -> bool {
    let numbered = |prefix: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let predictable = ["ens", "eno", "enp", "enP", "enX", "enx", "env"];
    name.len() <= 15
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
        && (predictable.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len())
            || numbered("eth")
            || numbered("em"))
}

/// `line` with each whole word that `renames` has as old replaced, all at once. `ens5.10` and `ens5:1` contain the word
/// `ens5`, `ens55` does not.
pub(crate) fn replace_words(line: &str, renames: &[(String, String)]) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut out = String::with_capacity(line.len() + 8);
    let mut rest = line;
    while let Some(start) = rest.find(in_word) {
        let (before, word) = rest.split_at(start);
        let (word, after) = word.split_at(word.find(|c| !in_word(c)).unwrap_or(word.len()));
        out += before;
        out += renames.iter().find(|(old, _)| old == word).map_or(word, |(_, new)| new.as_str());
        rest = after;
    }
    out + rest
}

/// Frames of EC2's and Google's networks: where the new one carries 1500 bytes, large packets vanish.
const JUMBO: [&str; 2] = ["9001", "8896"];

/// What every network of the target carries.
pub(crate) fn usual_mtu(target: Platform) -> &'static str {
    if target == Platform::Gcp { "1460" } else { "1500" }
}

/// The line with a jumbo MTU of the source's cloud made the target's, `None` for other lines.
pub(crate) fn plain_mtu(line: &str, context: &Context<'_>) -> Option<String> {
    let target = context.target.platform;
    if target == Platform::Aws {
        return None;
    }
    let mtu = usual_mtu(target);
    let text = line.trim_start();
    if context.wishes.network.keep_mtu
        || text.starts_with(['#', ';'])
        || !text.to_ascii_lowercase().contains("mtu")
    {
        return None;
    }
    let renames = JUMBO.map(|jumbo| (jumbo.to_owned(), mtu.to_owned()));
    Some(replace_words(line, &renames)).filter(|new| new != line)
}

/// What ethtool(8) calls the driver of a module, which is what `Driver=` and netplan's `driver` mean; the first is the one to write.
pub(crate) fn driver_names(module: &str) -> Vec<&str> {
    match module {
        "xen_netfront" | "xen-netfront" => vec!["vif", "xen_netfront", "xen-netfront"],
        "gve" => vec!["gve", "gvnic"],
        other => vec![other],
    }
}

/// A shell pattern with `*` only, as netplan and systemd use them for names; other patterns fit nothing.
pub(crate) fn fits_pattern(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, "")) => name.starts_with(start),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver_core::{Guest, Wishes};

    #[test]
    fn wired_names_are_told_from_others() {
        for name in ["eth0", "ens5", "enX0", "enp0s5", "eno1", "em1"] {
            assert!(is_wired(name), "{name}");
        }
        for name in
            ["lo", "br0", "bond0", "docker0", "eth", "ens", "ens5.10", "ethernets", "wg0", "", "enough-"]
        {
            assert!(!is_wired(name), "{name}");
        }
    }

    #[test]
    fn jumbo_frames_become_plain_ones() {
        let (guest, target) = (Guest::default(), driver_targets::GENERATION_1);
        let context = Context::new(&guest, &target);
        for (text, expected) in [
            ("\tmtu 9001", Some("\tmtu 1500")),
            ("MTU=9001", Some("MTU=1500")),
            ("      mtu: 9001 # x", Some("      mtu: 1500 # x")),
            ("MTUBytes=8896", Some("MTUBytes=1500")),
            ("# mtu 9001", None),
            ("mtu 1500", None),
            ("port 9001", None),
            ("", None),
        ] {
            assert_eq!(plain_mtu(text, &context).as_deref(), expected, "{text}");
        }
        let mut wishes = Wishes::NONE;
        wishes.network.keep_mtu = true;
        assert_eq!(plain_mtu("mtu 9001", &Context { wishes: &wishes, ..context }), None);
    }

    #[test]
    fn words_are_replaced_whole_and_all_at_once() {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect::<Vec<_>>()
        };
        let one = pairs(&[("ens5", "eth0")]);
        assert_eq!(replace_words("iface ens5 inet", &one), "iface eth0 inet");
        assert_eq!(
            replace_words("ens5 ens55 xens5 ens5.10 ens5:1 [ens5]", &one),
            "eth0 ens55 xens5 eth0.10 eth0:1 [eth0]"
        );
        assert_eq!(replace_words("", &one), "");
        assert_eq!(
            replace_words("eth0 \u{fffd}eth1", &pairs(&[("eth0", "eth1"), ("eth1", "eth0")])),
            "eth1 \u{fffd}eth0"
        );
        assert!(fits_pattern("e*", "eth0") && fits_pattern("eth0", "eth0") && !fits_pattern("en*", "eth0"));
    }
}
