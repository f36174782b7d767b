//! Signatures, with the programs that make them: what one side signs, the other accepts.

use crate::sample;
use convert_report::signature::{SignatureState, Trust, Verification, sign, verify};
use convert_report::{Evidence, FileState, Report};
use format_core::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder with a report that names a file, and SSH keys of two people.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::write(desk.path("manifest.json"), "{}").unwrap();
        desk.report();
        for name in ["anna", "eve"] {
            let key = desk.path(name);
            desk.tool(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key.to_str().unwrap()],
            );
        }
        let key = std::fs::read_to_string(desk.path("anna.pub")).unwrap();
        std::fs::write(desk.path("signers"), format!("anna@example.org namespaces=\"rehome-report\" {key}"))
            .unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn report(&self) {
        let mut job = sample::moved("web");
        job.evidence = vec![Evidence::of(self.0.path(), &self.path("manifest.json")).unwrap()];
        let json = Report::Job(Box::new(job)).to_json().unwrap();
        std::fs::write(self.path("report.json"), json).unwrap();
    }

    /// Runs a foreign program, which has to be there: without it nothing is tested.
    fn tool(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command.args(["60", program]).args(args).current_dir(self.0.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert_ne!(output.status.code(), Some(127), "{program} is missing, see tests/packages.sh");
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn sign(&self, key: &str) -> convert_report::signature::Signed {
        sign(&self.path("report.json"), &self.path(key), true).unwrap()
    }

    fn verify(&self, trust: Trust<'_>) -> Verification {
        verify(&self.path("report.json"), None, trust).unwrap()
    }

    fn spoil(&self, name: &str) {
        let mut bytes = std::fs::read(self.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(self.path(name), bytes).unwrap();
    }
}

#[test]
fn an_ssh_signature_is_good_for_those_who_are_named_and_for_openssh() {
    let desk = Desk::new();
    let signed = desk.sign("anna");
    assert_eq!(signed.signature, desk.path("report.json.sig"));
    let fingerprint = desk.tool("ssh-keygen", &["-l", "-f", "anna.pub"]);
    assert!(fingerprint.contains(signed.key.as_ref().unwrap()), "{fingerprint}");
    let (signers, key) = (desk.path("signers"), desk.path("anna.pub"));
    let found = desk.verify(Trust::Signers(&signers));
    assert!(found.ok && found.signer.as_deref() == Some("anna@example.org"), "{found:?}");
    assert_eq!(found.files[0].state, FileState::Same);
    let found = desk.verify(Trust::Key(&key));
    assert!(found.ok && found.signature == SignatureState::Good, "{found:?}");
    let line = "ssh-keygen -Y verify -n rehome-report -f signers -I anna@example.org -s report.json.sig < report.json";
    assert!(
        desk.tool("bash", &["-c", line]).starts_with("Good \"rehome-report\" signature for anna@example.org")
    );
}

#[test]
fn what_openssh_signed_is_accepted() {
    let desk = Desk::new();
    desk.tool("ssh-keygen", &["-q", "-Y", "sign", "-n", "rehome-report", "-f", "anna", "report.json"]);
    let signers = desk.path("signers");
    assert!(desk.verify(Trust::Signers(&signers)).ok);
    // For mail or for code, the same key signs with another purpose.
    std::fs::remove_file(desk.path("report.json.sig")).unwrap();
    desk.tool("ssh-keygen", &["-q", "-Y", "sign", "-n", "file", "-f", "anna", "report.json"]);
    for trust in [Trust::Signers(&signers), Trust::Nobody] {
        let found = desk.verify(trust);
        assert!(!found.ok && found.signature == SignatureState::Bad, "{found:?}");
    }
}

#[test]
fn a_report_that_somebody_else_signed_again_does_not_count() {
    let desk = Desk::new();
    desk.sign("anna");
    desk.spoil("manifest.json");
    desk.report();
    let (signers, key) = (desk.path("signers"), desk.path("anna.pub"));
    assert_eq!(desk.verify(Trust::Signers(&signers)).signature, SignatureState::Bad);
    desk.sign("eve");
    for trust in [Trust::Signers(&signers), Trust::Key(&key)] {
        let found = desk.verify(trust);
        assert!(
            !found.ok && found.signature == SignatureState::OtherSigner && found.files.is_empty(),
            "{found:?}"
        );
    }
    // Nobody asked whose it is: then it says so.
    let found = desk.verify(Trust::Nobody);
    assert!(found.ok && found.signature == SignatureState::IntegrityOnly && found.signer.is_none());
    let fingerprint = desk.tool("ssh-keygen", &["-l", "-f", "eve.pub"]);
    assert!(fingerprint.contains(found.key.as_ref().unwrap()) && found.says.contains("anyone"), "{found:?}");
}

#[test]
fn a_changed_byte_is_found_in_the_report_and_in_the_files_that_it_names() {
    let desk = Desk::new();
    desk.sign("anna");
    let signers = desk.path("signers");
    desk.spoil("manifest.json");
    let found = desk.verify(Trust::Signers(&signers));
    assert!(!found.ok && found.signature == SignatureState::Good, "{found:?}");
    assert_eq!(found.files[0].state, FileState::Changed);
    std::fs::remove_file(desk.path("manifest.json")).unwrap();
    assert_eq!(desk.verify(Trust::Signers(&signers)).files[0].state, FileState::Missing);
    desk.spoil("report.json");
    let found = desk.verify(Trust::Signers(&signers));
    assert!(!found.ok && found.signature == SignatureState::Bad && found.files.is_empty(), "{found:?}");
}

#[test]
fn a_minisign_signature_goes_both_ways() {
    let desk = Desk::new();
    desk.tool("minisign", &["-G", "-W", "-p", "m.pub", "-s", "m.key"]);
    desk.tool("minisign", &["-G", "-W", "-p", "other.pub", "-s", "other.key"]);
    let signed = desk.sign("m.key");
    assert_eq!(signed.signature, desk.path("report.json.minisig"));
    desk.tool("minisign", &["-V", "-p", "m.pub", "-m", "report.json"]);
    let (key, other, ssh) = (desk.path("m.pub"), desk.path("other.pub"), desk.path("anna.pub"));
    assert!(desk.verify(Trust::Key(&key)).ok);
    for named in [&other, &ssh] {
        let found = desk.verify(Trust::Key(named));
        assert!(!found.ok && found.signature == SignatureState::OtherSigner, "{found:?}");
    }
    assert_eq!(verify(&desk.path("report.json"), None, Trust::Nobody).unwrap_err().kind(), ErrorKind::Usage);
    // As minisign itself signs it, with and without a hash.
    desk.tool("minisign", &["-S", "-s", "m.key", "-m", "report.json"]);
    assert!(desk.verify(Trust::Key(&key)).ok);
    desk.spoil("report.json");
    assert_eq!(desk.verify(Trust::Key(&key)).signature, SignatureState::Bad);
}

#[test]
fn what_is_in_the_way_is_told_as_what_it_is() {
    let desk = Desk::new();
    let report = desk.path("report.json");
    let kind = |result: format_core::Result<Verification>| result.unwrap_err().kind();
    assert_eq!(kind(verify(&report, None, Trust::Nobody)), ErrorKind::SourceMissing);
    desk.sign("anna");
    assert_eq!(sign(&report, &desk.path("anna"), false).unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!(sign(&report, &desk.path("nobody"), true).unwrap_err().kind(), ErrorKind::SourceMissing);
    assert_eq!(sign(&report, &desk.path("manifest.json"), true).unwrap_err().kind(), ErrorKind::NeedsPerson);
    let missing = desk.path("none");
    assert_eq!(kind(verify(&report, None, Trust::Signers(&missing))), ErrorKind::SourceMissing);
    let no_key = desk.path("manifest.json");
    assert_eq!(kind(verify(&report, None, Trust::Key(&no_key))), ErrorKind::Usage);
    assert_eq!(kind(verify(&report, Some(&no_key), Trust::Nobody)), ErrorKind::Corrupt);
    assert_eq!(
        kind(verify(Path::new("/nonexistent/report.json"), None, Trust::Nobody)),
        ErrorKind::SourceMissing
    );
    std::fs::write(desk.path("report.json.minisig"), "x").unwrap();
    assert_eq!(kind(verify(&report, None, Trust::Nobody)), ErrorKind::Usage);
}
