//! mdadm.conf(5): which names the guest gives its arrays.

/// An `ARRAY` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrayLine {
    /// As it stands there: `/dev/md0`, `/dev/md/root`, `md0`, `root`.
    pub device: String,
    /// `UUID=`
    pub uuid: Option<String>,
    /// `name=`
    pub name: Option<String>,
}

impl ArrayLine {
    /// The device's names: `/dev/md/0` and `/dev/md0` are the same.
    #[must_use]
    pub fn devices(&self) -> Vec<String> {
        let name = self.device.strip_prefix("/dev/").unwrap_or(&self.device);
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match (name.strip_prefix("md/"), name.strip_prefix("md")) {
            (Some(inner), _) if is_number(inner) => {
                vec![format!("/dev/md/{inner}"), format!("/dev/md{inner}")]
            }
            (Some(inner), _) => vec![format!("/dev/md/{inner}")],
            (None, Some(number)) if is_number(number) => {
                vec![format!("/dev/md{number}"), format!("/dev/md/{number}")]
            }
            _ if self.device.starts_with("/dev/") => vec![self.device.clone()],
            _ => vec![format!("/dev/md/{name}")],
        }
    }
}

/// Reads the `ARRAY` lines with a device. A line that begins with a blank goes on with the one before.
#[must_use]
pub fn read_mdadm_conf(text: &str) -> Vec<ArrayLine> {
    let mut found = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let goes_on = line.starts_with([' ', '\t']);
        let mut words = line.split_whitespace();
        if !goes_on && !line.is_empty() {
            // A keyword may be shortened to three letters.
            let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
            open = keyword.len() >= 3 && "array".starts_with(&keyword);
            if open {
                found.push(ArrayLine::default());
            }
        }
        let Some(array) = found.last_mut().filter(|_| open) else { continue };
        for word in words {
            match word.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("uuid") => array.uuid = Some(value.to_owned()),
                Some((key, value)) if key.eq_ignore_ascii_case("name") => array.name = Some(value.to_owned()),
                Some(_) => {}
                None if array.device.is_empty() => array.device = word.to_owned(),
                None => {}
            }
        }
    }
    found.retain(|array: &ArrayLine| {
        !array.device.is_empty() && !matches!(array.device.as_str(), "<ignore>" | "<none>")
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_lines_are_read_and_others_are_not() {
        let text = "# ARRAY /dev/md9 UUID=9\nDEVICE partitions\n\tARRAY\nARRAY /dev/md0 metadata=1.2\n  UUID=a:b name=h:0 # c\n\
                    MAILADDR root\narr /dev/md/root uuid=c:d\nARRAY <ignore> UUID=e\nARRAY UUID=f\nARRAY home name=h:home";
        let found = read_mdadm_conf(text);
        let devices: Vec<_> = found.iter().map(ArrayLine::devices).collect();
        let expected: [&[&str]; 3] = [&["/dev/md0", "/dev/md/0"], &["/dev/md/root"], &["/dev/md/home"]];
        assert_eq!(devices, expected);
        assert_eq!((found[0].uuid.as_deref(), found[0].name.as_deref()), (Some("a:b"), Some("h:0")));
        assert_eq!(found[1].uuid.as_deref(), Some("c:d"));
        assert!(read_mdadm_conf("").is_empty());
    }
}
