//! Every mistake is told with its place and a way out.

use crate::{parse, resolve};
use convert_job_file::{Fault, Notation};

fn fault(notation: Notation, content: &str) -> Fault {
    resolve(notation, content).map(|_| ()).expect_err(content)
}

/// Line and column of the fault, its sentence, and the next step.
fn told(fault: &Fault) -> (usize, usize, String, String) {
    let place = fault.place.as_ref().unwrap_or_else(|| panic!("{fault} has no place"));
    (place.line, place.column, fault.to_string(), fault.error().hint_text().unwrap_or_default().to_owned())
}

#[test]
fn mistakes_in_toml_have_their_places() {
    let head = "version = 1\n[[job]]\n";
    let job = "to = \"kvm\"\nsource = \"a.vmdk\"\n";
    let mut wrong = Vec::new();
    for (content, line, column, message, hint) in [
        ("version = 1\n[[job]]\nsource = \"a\n", 3, 12, "invalid basic string", ""),
        ("version = 2\n", 1, 11, "version 2", "version 1"),
        ("[[job]]\n", 1, 1, "\"version\" is missing", "version = 1"),
        ("version = 1\n", 1, 1, "no job", "[[job]]"),
        (
            &format!("{head}{job}firmwre = \"uefi\"\n"),
            5,
            1,
            "unknown field \"firmwre\"",
            "did you mean \"firmware\"",
        ),
        (&format!("{head}{job}network-map = \"a=b\"\n"), 5, 1, "network-map", "did you mean \"network_map\""),
        (&format!("{head}{job}zzzzzz = 1\n"), 5, 1, "zzzzzz", "possible are id"),
        (
            &format!("{head}{job}  firmware = \"efi\"\n"),
            5,
            14,
            "unknown word \"efi\"",
            "did you mean \"uefi\"",
        ),
        (&format!("{head}{job}trim = 1\n"), 5, 8, "a number, but wanted is a boolean", ""),
        (&format!("{head}{job}wave = \"one\"\n"), 5, 8, "text, but wanted is", ""),
        (&format!("{head}{job}wave = -1\n"), 5, 8, "wanted is", ""),
        (&format!("{head}{job}wave = 100001\n"), 5, 8, "at most 100000", ""),
        (&format!("{head}{job}at = 2026-11-30\n"), 5, 6, "no field takes a date", ""),
        (&format!("{head}{job}rate_limit = \"fast\"\n"), 5, 14, "a size", ""),
        (&format!("{head}{job}machine = [\"a\", 3]\n"), 5, 17, "a number, but wanted is", ""),
        (&format!("{head}{job}id = \"a/b\"\n"), 5, 6, "\"a/b\" has characters", "letters"),
        (&format!("{head}{job}id = \"-x\"\n"), 5, 6, "begins with", "letters"),
        (&format!("{head}{job}title = \"${{NOT_SET}}\"\n"), 5, 9, "NOT_SET is not set", ":-default"),
        (&format!("{head}{job}title = \"5 $\"\n"), 5, 9, "a dollar stands alone", "$$"),
        (&format!("{head}{job}target_format = \"raw\"\n"), 5, 17, "is for a conversion", "kind"),
        (&format!("{head}{job}boot_test_timeout = 5\n"), 5, 21, "without boot_test", "boot_test = true"),
        (&format!("{head}{job}mac = \"random\"\n"), 5, 7, "\"random\"", "00:50"),
        (&format!("{head}{job}static_ip = \"eth0=192.0.2.10\"\n"), 5, 13, "no address", "192.0.2.10/24"),
        (&format!("{head}{job}verify = false\n"), 5, 10, "always verified", ""),
        (&format!("{head}{job}isolate = {{ how = \"network-down\" }}\n"), 5, 11, "no interface", "eth1"),
        (
            &format!("{head}source = \"a.raw\"\n"),
            3,
            10,
            "nothing says what the image becomes",
            "target_format",
        ),
        (&format!("{head}kind = \"migrate\"\nsource = \"a.raw\"\n"), 3, 8, "no target platform", "hyperv"),
        (
            &format!("{head}source = [\"a\", \"b\"]\ntarget_format = \"raw\"\n"),
            3,
            10,
            "one source",
            "each image",
        ),
        (&format!("{head}source = \"a\"\ntarget = \"../x.raw\"\n"), 4, 10, "no name of a file", "output"),
        (
            &format!("{head}source = \"a\"\ntarget = \"x.raw\"\noptions = [\"a=b,c\"]\n"),
            5,
            11,
            "cannot be an option",
            "",
        ),
        (
            &format!("{head}source = \"a\"\ntarget = \"x.raw\"\non_read_error = \"skip\"\n"),
            5,
            17,
            "\"skip\"",
            "retry=N",
        ),
        (
            "version = 1\n[defaults]\nid = \"x\"\n[[job]]\nsource = \"a\"\n",
            3,
            1,
            "cannot be the same",
            "each",
        ),
        (
            "version = 1\n[batch]\nisolate = { how = \"burn\" }\n[[job]]\nsource = \"a\"\n",
            3,
            19,
            "burn",
            "unmount",
        ),
        (&format!("{head}{job}{head}", head = "[[job]]\n", job = job), 1, 1, "version", ""),
    ] {
        let fault = fault(Notation::Toml, content);
        let (l, c, text, next) = told(&fault);
        let is_right = (l, c) == (line, column) && text.contains(message) && next.contains(hint);
        if !is_right || !text.starts_with(&format!("jobs.toml:{line}:{column}: ")) {
            wrong.push(format!("{content}\nwanted {line}:{column} {message}\n{text}\n{next}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mistakes_in_yaml_have_their_places() {
    let head = "version: 1\njob:\n - to: kvm\n   source: a.vmdk\n";
    let mut wrong = Vec::new();
    for (content, line, column, message) in [
        (format!("{head}   firmwre: uefi\n"), 5, 4, "unknown field"),
        (format!("{head}   # ä€𝄞\n   wave: soon\n"), 6, 10, "text, but wanted is"),
        (format!("{head}   wave: [1\n"), 6, 1, ""),
        (format!("{head}   wave: *none\n"), 5, 10, ""),
        (format!("{head}   to: kvm\n"), 5, 4, "twice"),
        (format!("{head}   title: !secret x\n"), 5, 11, "tags"),
        (format!("{head}---\nversion: 1\n"), 5, 1, "second document"),
        ("# nothing\n".to_owned(), 2, 1, "empty"),
        ("- 1\n".to_owned(), 1, 1, "a job file is a table, not a list"),
        ("version: &a [*a]\n".to_owned(), 1, 14, "an alias stands inside"),
    ] {
        let fault = fault(Notation::Yaml, &content);
        let (l, c, text, _) = told(&fault);
        if (l, c) != (line, column) || !text.contains(message) {
            wrong.push(format!("{content}\nwanted {line}:{column} {message}\n{text}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_caret_shows_the_place() {
    let content = "version = 1\n[[job]]\n\tsource\t= 7 # ö\n";
    let place = fault(Notation::Toml, content).place.unwrap();
    assert_eq!(place.excerpt, "3 |  source = 7 # ö\n  |           ^");
    let content = "version = 1\n[[job]]\nsource = \"\u{202e}a\"\nto = 3\n".replace("to = 3", "  \u{1b} = 1");
    let shown = fault(Notation::Toml, &content).place.unwrap().excerpt;
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    let long = format!("version = 1\n[[job]]\nsource = [{}7]\n", "\"xxxxxxxxxxxxxxxx\", ".repeat(500));
    let place = fault(Notation::Toml, &long).place.unwrap();
    assert!(place.excerpt.len() < 500 && place.excerpt.contains('…'), "{}", place.excerpt);
    assert_eq!(place.column, 10_011);
}

#[test]
fn secrets_are_refused_and_not_shown() {
    let secret = "hunter2-Zq9";
    for line in [
        format!("password = \"{secret}\""),
        format!("key = \"{secret}\""),
        format!("luks_passphrase = \"{secret}\""),
        format!("api-token = \"{secret}\""),
        format!("source = \"https://me:{secret}@host/disk.raw\""),
        format!("key_file = \"-----BEGIN OPENSSH PRIVATE KEY----- {secret}\""),
        format!("title = '''-----BEGIN PRIVATE KEY-----\n{secret}'''"),
        format!("options = [\"encrypt.password={secret}\"]"),
        format!("options = {{ encrypt-passphrase = \"{secret}\" }}"),
    ] {
        let content = format!("version = 1\n[[job]]\nto = \"kvm\"\n{line}\n");
        let fault = fault(Notation::Toml, &content);
        let place = fault.place.clone().unwrap();
        let all = format!("{fault} {fault:?} {}", place.excerpt);
        assert!(!all.contains(secret), "{all}");
        assert!(fault.to_string().contains("secret"), "{fault}");
        assert!(fault.error().hint_text().unwrap().contains("key_file"), "{fault}");
    }
    let variable = "version = 1\n[[job]]\nto = \"kvm\"\nsource = \"${DB_PASSWORD}\"\n";
    assert!(fault(Notation::Toml, variable).to_string().contains("DB_PASSWORD looks like a secret"));
    // Files with secrets are what is wanted, and networks may be called anything.
    let fine = "version = 1\n[[job]]\nto = \"kvm\"\nsource = \"a\"\nkey_file = \"${ROOT}/key\"\nnetwork_map = { token = \"secret\" }\n";
    assert!(parse(Notation::Toml, fine).is_ok());
}

#[test]
fn the_folder_is_no_job_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, kind) in [
        ("none.toml", None, "source-missing"),
        ("jobs.txt", Some(&b"version = 1"[..]), "usage"),
        ("bad.toml", Some(b"version = 1\n\xff"), "corrupt"),
    ] {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let fault = convert_job_file::JobFile::read(&path, None).unwrap_err();
        assert_eq!(fault.error().kind().name(), kind, "{fault}");
        assert!(fault.place.is_none());
    }
}
