//! Addresses in the place of a source's path: what `rehome --help` lists under addresses. They are no paths, so nothing is joined to them.

use std::path::Path;

/// The schemes of addresses that can be sources, lower case.
pub const ADDRESS_SCHEMES: [&str; 11] =
    ["nbd", "nbds", "nbd+unix", "nbds+unix", "ssh", "https", "http", "ebs", "s3", "azblob", "gs"];
/// What stands before the absolute path of a file that holds an address with a secret.
const IN_FILE: &str = "@/";

/// Whether a source is an address, or names the file of one.
pub(crate) fn is_address(source: &Path) -> bool {
    let is_known = |text: &str| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        scheme.is_some_and(|scheme| ADDRESS_SCHEMES.contains(&scheme.as_str())) || text.starts_with(IN_FILE)
    };
    source.to_str().is_some_and(is_known)
}

/// What jobs that ask the same server have in common: `ssh://web`; a bucket, an account.
pub(crate) fn server(address: &str) -> &str {
    let Some((scheme, rest)) = address.split_once("://") else { return address };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    address.get(..scheme.len() + 3 + end).unwrap_or(address)
}

/// What a job is called after: a file without its extension, or the host and its disk; without what follows `?`.
pub(crate) fn name(address: &str) -> String {
    let plain = address.split(['?', '#']).next().unwrap_or(address);
    let rest = plain.split_once("://").map_or(plain, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    match (last.rsplit_once('.'), host.is_empty(), last.is_empty()) {
        (Some((stem, _)), ..) => stem.to_owned(),
        (None, true, _) => last.to_owned(),
        (None, false, true) => host.to_owned(),
        // A disk is called alike on every machine.
        (None, false, false) => format!("{host}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for address in [
            "nbd://a/b",
            "NBD+UNIX:///x?socket=/s",
            "ssh://root@web/dev/sda",
            "ebs://snap-1",
            "@/etc/address",
        ] {
            assert!(is_address(Path::new(address)), "{address}");
        }
        for path in ["a.vmdk", "/nbd:/x", "file://a", "./ssh://x", "@a", "a@/b", "://"] {
            assert!(!is_address(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn names_and_servers_are_those_of_the_address() {
        for (address, expected, at) in [
            ("ssh://root@web.example:22/dev/sda", "web.example:22-sda", "ssh://root@web.example:22"),
            ("nbd://host/", "host", "nbd://host"),
            ("nbd+unix:///export?socket=/run/s", "export", "nbd+unix://"),
            ("https://esx/folder/web/web-flat.vmdk?dcPath=DC&dsName=ds", "web-flat", "https://esx"),
            ("s3://bucket/a/b.qcow2", "b", "s3://bucket"),
            ("ebs://snap-0123?region=eu-west-1", "snap-0123", "ebs://snap-0123"),
            ("@/root/web.address", "web", "@/root/web.address"),
        ] {
            assert_eq!((name(address).as_str(), server(address)), (expected, at), "{address}");
        }
    }
}
