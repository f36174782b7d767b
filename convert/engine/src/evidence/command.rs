//! A command line that can be kept.

/// What stands where a secret was.
const LEFT_OUT: &str = "(left out)";

/// The arguments without what nobody but the operator may know: values of the options in `secret`, which are written
/// with their dashes, and passwords in addresses. Names of key files are no secrets.
#[must_use]
pub fn without_secrets(arguments: &[String], secret: &[&str]) -> Vec<String> {
    let mut kept = Vec::with_capacity(arguments.len());
    let mut is_value = false;
    for argument in arguments {
        if std::mem::take(&mut is_value) {
            kept.push(LEFT_OUT.to_owned());
            continue;
        }
        is_value = secret.contains(&argument.as_str());
        let option = argument.split_once('=').filter(|(option, _)| secret.contains(option));
        kept.push(match option {
            Some((option, _)) => format!("{option}={LEFT_OUT}"),
            None => without_password(argument),
        });
    }
    kept
}

/// `scheme://user:password@host` without the password.
fn without_password(argument: &str) -> String {
    let address = || {
        let start = argument.find("://")? + 3;
        let rest = argument.get(start..)?;
        let authority = rest.get(..rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
        let at = authority.rfind('@')?;
        let user = authority.get(..at)?.split_once(':')?.0;
        Some(format!("{}{user}:{LEFT_OUT}{}", argument.get(..start)?, rest.get(at..)?))
    };
    address().unwrap_or_else(|| argument.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_nothing_else() {
        let arguments = [
            "rehome",
            "convert",
            "--password",
            "hunter2",
            "--password=hunter2",
            "--key-file",
            "key",
            "a.E01",
            "ssh://root:hunter2@host/dev/sda",
            "https://u:a@b:c@host:8080/x?y=u:z@w",
            "ssh://root@host/x",
            "o=1:2@3",
        ]
        .map(str::to_owned);
        let kept = without_secrets(&arguments, &["--password"]);
        let expected = [
            "rehome",
            "convert",
            "--password",
            "(left out)",
            "--password=(left out)",
            "--key-file",
            "key",
            "a.E01",
            "ssh://root:(left out)@host/dev/sda",
            "https://u:(left out)@host:8080/x?y=u:z@w",
            "ssh://root@host/x",
            "o=1:2@3",
        ];
        assert_eq!(kept, expected);
    }
}
