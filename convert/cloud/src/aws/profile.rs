//! The files that AWS's command line keeps: `~/.aws/credentials` and `~/.aws/config`.

use super::credentials::Credentials;
use crate::Environment;
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

/// More than such a file has, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The keys of the profile, if the files have it.
///
/// # Errors
/// `NeedsPerson` where the profile gets its keys in a way that is not done here, `Usage` where a named profile is nowhere.
pub(super) fn credentials(environment: &Environment) -> Result<Option<Credentials>> {
    let named = environment.get("AWS_PROFILE");
    let found = settings(environment)?;
    let Some(found) = found else {
        return match named {
            Some(name) => Err(Error::usage(format!(
                "AWS_PROFILE names the profile {name:?}, which neither the credentials file nor the config file of AWS has"
            ))),
            None => Ok(None),
        };
    };
    let get = |name: &str| found.get(name).cloned();
    if let (Some(id), Some(secret)) = (get("aws_access_key_id"), get("aws_secret_access_key")) {
        return Credentials::new(id, secret, get("aws_session_token")).map(Some);
    }
    let other = [
        "role_arn",
        "sso_session",
        "sso_start_url",
        "credential_process",
        "web_identity_token_file",
        "login_session",
    ];
    match other.into_iter().find(|name| found.contains_key(*name)) {
        Some(how) => Err(Error::needs_person(format!(
            "the profile of AWS gets its keys by {how}, which is not done here"
        ))
        .hint("eval \"$(aws configure export-credentials --format env)\"")),
        None => Ok(None),
    }
}

/// The region of the profile.
pub(super) fn region(environment: &Environment) -> Result<Option<String>> {
    Ok(settings(environment)?.and_then(|found| found.get("region").cloned()))
}

/// What both files say of the profile; the credentials file counts first.
fn settings(environment: &Environment) -> Result<Option<BTreeMap<String, String>>> {
    let profile = environment.get("AWS_PROFILE").unwrap_or_else(|| "default".into());
    let home = environment.get("HOME").map(PathBuf::from);
    let path = |variable: &str, name: &str| {
        environment.get(variable).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".aws").join(name)))
    };
    let mut found = None;
    for (path, prefix) in [
        (path("AWS_CONFIG_FILE", "config"), "profile "),
        (path("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ""),
    ] {
        let Some(text) = path.map(read).transpose()?.flatten() else { continue };
        if let Some(section) = section(&text, &profile, prefix) {
            found.get_or_insert_with(BTreeMap::new).extend(section);
        }
    }
    Ok(found)
}

fn read(path: PathBuf) -> Result<Option<String>> {
    let failed = |e| Error::io(format!("cannot read {}", path.display()), e);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(failed(e)),
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// The lines of one section: `[name]`, or `[profile name]`. Nested lines are left out.
fn section(text: &str, profile: &str, prefix: &str) -> Option<BTreeMap<String, String>> {
    let (mut found, mut is_inside) = (None::<BTreeMap<String, String>>, false);
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            let name = header.split(']').next().unwrap_or_default().trim();
            // The default profile has no prefix, or may have.
            let name = name.strip_prefix(prefix).map_or(name, str::trim);
            is_inside = name == profile;
            if is_inside {
                found.get_or_insert_default();
            }
            continue;
        }
        if line.starts_with([' ', '\t', '#', ';']) || !is_inside {
            continue;
        }
        if let (Some((name, value)), Some(found)) = (line.split_once('='), found.as_mut()) {
            found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_that_is_named_counts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        let put =
            |name: &str, text: &str| std::fs::write(folder.path().join(".aws").join(name), text).unwrap();
        put(
            "credentials",
            "[default]\naws_access_key_id=A\naws_secret_access_key = B\n\n[two]\naws_access_key_id=C\naws_secret_access_key=D=\naws_session_token=E\n",
        );
        put(
            "config",
            "# c\n[default]\nregion = eu-north-1\n[profile two]\nregion=us-west-2\ns3 =\n  region = no\n[profile sso]\nsso_session = x\n",
        );
        let home = folder.path().to_str().unwrap();
        let found = |profile: Option<&str>| {
            let mut variables = vec![("HOME", home)];
            variables.extend(profile.map(|profile| ("AWS_PROFILE", profile)));
            let environment = Environment::only(variables);
            (credentials(&environment), region(&environment).unwrap())
        };
        let (one, region) = found(None);
        let one = one.unwrap().unwrap();
        assert_eq!((one.id.as_str(), one.secret.as_str(), region.as_deref()), ("A", "B", Some("eu-north-1")));
        let (two, region) = found(Some("two"));
        let two = two.unwrap().unwrap();
        assert_eq!(
            (two.secret.as_str(), two.token.unwrap().as_str(), region.as_deref()),
            ("D=", "E", Some("us-west-2"))
        );
        assert_eq!(found(Some("sso")).0.err().unwrap().kind(), format_core::ErrorKind::NeedsPerson);
        assert_eq!(found(Some("none")).0.err().unwrap().kind(), format_core::ErrorKind::Usage);
        assert!(credentials(&Environment::only([("HOME", "/nowhere")])).unwrap().is_none());
    }
}
