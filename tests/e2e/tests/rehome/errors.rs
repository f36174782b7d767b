//! What goes wrong is said plainly, with the exit code that a batch engine needs.

use crate::bench::{Bench, MIB};

/// stderr of a failed run.
#[track_caller]
fn said(bench: &Bench, code: i32, args: &[&str]) -> String {
    let run = bench.rehome(args).ends(code);
    assert_eq!(run.stdout, "", "errors belong to stderr");
    run.stderr
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    bench
}

#[test]
fn the_request_is_wrong() {
    let bench = bench();
    let unknown = said(&bench, 2, &["convert", "-f", "cow", "disk.raw", "x.qcow2"]);
    assert!(unknown.starts_with("error: unknown format \"cow\": known are raw, qcow2, vmdk, "), "{unknown}");
    assert_eq!(
        said(&bench, 2, &["convert", "disk.raw", "x.unknown"]),
        "error: the name x.unknown does not say which format to write\n\nhint: name the format with -O, for example -O qcow2\n"
    );
    let unknown = said(&bench, 2, &["convert", "-o", "size=1", "disk.raw", "x.qcow2"]);
    assert!(unknown.starts_with("error: write x.qcow2: qcow2 has no option \"size\": it has "), "{unknown}");
    assert!(unknown.contains(", cluster_size, "), "{unknown}");
    assert_eq!(
        said(&bench, 2, &["convert", "-o", "compressed,compressed=off", "disk.raw", "x.qcow2"]),
        "error: -o compressed is given twice\n"
    );
    for value in [
        "cluster_size=3",
        "cluster_size=99999999999999999999",
        "cluster_size=-1",
        "compat=9",
        "compressed=maybe",
    ] {
        let text = said(&bench, 2, &["convert", "-o", value, "disk.raw", "x.qcow2"]);
        assert!(text.starts_with("error: write x.qcow2: "), "{value}: {text}");
    }
    for args in [
        &[][..],
        &["convert"],
        &["frobnicate"],
        &["--threads", "0", "formats"],
        &["--threads", "65", "formats"],
    ] {
        bench.rehome(args).ends(2);
    }
    assert_eq!(bench.names(), ["disk.raw"]);
}

#[test]
fn the_source_is_missing_or_is_no_image() {
    let bench = bench();
    assert_eq!(
        said(&bench, 66, &["convert", "nope.raw", "x.qcow2"]),
        "error: cannot open nope.raw: No such file or directory (os error 2)\n"
    );
    std::fs::create_dir(bench.path("folder")).unwrap();
    bench.tool("coreutils", "mkfifo", &["pipe"]);
    for name in ["folder", "pipe", "/dev/zero", "/dev/null"] {
        let run = bench.rehome(&["convert", "-f", "raw", name, "x.qcow2"]);
        assert!(matches!(run.code, Some(2 | 69)), "{name}: {run:?}");
    }
    assert_eq!(bench.names(), ["disk.raw", "folder", "pipe"]);
}

#[test]
fn the_destination_is_not_there() {
    let bench = bench();
    assert_eq!(
        said(&bench, 73, &["convert", "disk.raw", "no/x.qcow2"]),
        "error: write no/x.qcow2: cannot create no/x.qcow2.partial: No such file or directory (os error 2)\n\n\
         hint: create the folder first, or mount its volume\n"
    );
    bench.write("taken.qcow2", "");
    assert_eq!(
        said(&bench, 73, &["convert", "disk.raw", "taken.qcow2"]),
        "error: write taken.qcow2: taken.qcow2 already exists\n\nhint: choose another name, or --force to replace it\n"
    );
}

#[test]
fn raw_is_not_guessed_when_the_bytes_say_otherwise() {
    let bench = bench();
    bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(0);
    std::fs::rename(bench.path("disk.qcow2"), bench.path("evil.raw")).unwrap();
    assert_eq!(
        said(&bench, 2, &["inspect", "evil.raw"]),
        "error: open evil.raw: the file is named like a raw disk but starts like qcow2\n\n\
         hint: name the format: -f qcow2 if the file is one, -f raw if it is a disk on which somebody wrote that\n"
    );
    let as_raw = bench.rehome(&["digest", "-f", "raw", "evil.raw", "--output", "json"]).ends(0).json();
    assert_eq!(as_raw["virtual_size"], bench.read("evil.raw").len());
    let as_qcow2 = bench.rehome(&["digest", "-f", "qcow2", "evil.raw", "--output", "json"]).ends(0).json();
    assert_eq!(as_qcow2["virtual_size"], MIB);
}

#[test]
fn a_corrupt_header_is_65() {
    let bench = bench();
    for format in ["qcow2", "vhdx", "vmdk"] {
        let name = format!("disk.{format}");
        bench.qemu_img(&["convert", "-f", "raw", "-O", format, "disk.raw", &name]);
        let whole = bench.read(&name);
        let start: Vec<_> = whole[..700].to_vec();
        bench.write(&name, start);
        let text = said(&bench, 65, &["inspect", &name]);
        assert!(text.starts_with(&format!("error: open disk.{format}: ")), "{text}");
        assert!(text.contains(&format!(" {format}: ")), "it says who speaks: {text}");
    }
    bench.write("disk.qcow2", "QFI\u{fb}");
    said(&bench, 65, &["convert", "disk.qcow2", "x.raw"]);
    bench.write("disk.qcow2", "");
    assert_eq!(
        said(&bench, 65, &["convert", "disk.qcow2", "x.raw"]),
        "error: open disk.qcow2: the file is named like qcow2 but is no qcow2 image\n\n\
         hint: if it is a raw disk, say so with -f raw\n"
    );
}

#[test]
fn an_encrypted_image_needs_a_person() {
    let bench = Bench::new();
    let secret = ["create", "-q", "--object", "secret,id=s,data=geheim", "-f", "qcow2"];
    let options = ["-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "disk.qcow2", "4M"];
    bench.qemu_img(&[&secret[..], &options[..]].concat());
    let wanted = "error: open disk.qcow2: qcow2: the image is encrypted with LUKS, and there is no key\n\n\
                  hint: give the passphrase with --key-file FILE\n";
    assert_eq!(said(&bench, 78, &["convert", "disk.qcow2", "x.raw"]), wanted);
    assert_eq!(said(&bench, 78, &["inspect", "disk.qcow2"]), wanted);
}

#[test]
fn a_parent_outside_the_folder_needs_leave() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("images")).unwrap();
    std::fs::create_dir(bench.path("bases")).unwrap();
    bench.disk("bases/base.raw", 2 * MIB, &[(0, MIB)]);
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
    bench.qemu_img(&[&create[..], &["../bases/base.raw", "images/top.qcow2"]].concat());
    let text = said(&bench, 77, &["convert", "images/top.qcow2", "x.raw"]);
    assert!(text.contains("the image refers to \"../bases/base.raw\", outside its own folder"), "{text}");
    assert!(text.contains("--allow-parent"), "the hint names the way: {text}");
    bench.rehome(&["convert", "--allow-parent", "bases", "images/top.qcow2", "x.raw"]).ends(0);
    assert_eq!(bench.read("x.raw"), bench.read("bases/base.raw"));
    bench.rehome(&["compare", "--allow-parent", "bases", "images/top.qcow2", "x.raw"]).ends(0);

    for name in ["/etc/passwd", "json:{\"driver\":\"raw\"}", "nbd://localhost:1/x", "images/../../x"] {
        bench.qemu_img(&[
            "create",
            "-q",
            "-u",
            "-f",
            "qcow2",
            "-F",
            "raw",
            "-b",
            name,
            "images/evil.qcow2",
            "1M",
        ]);
        let text = said(&bench, 77, &["convert", "images/evil.qcow2", "y.raw"]);
        assert!(text.contains("refers to"), "{text}");
    }
    std::os::unix::fs::symlink("/etc/passwd", bench.path("images/link.raw")).unwrap();
    bench.qemu_img(&[
        "create",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-F",
        "raw",
        "-b",
        "link.raw",
        "images/evil.qcow2",
        "1M",
    ]);
    said(&bench, 77, &["convert", "images/evil.qcow2", "y.raw"]);
    assert!(!bench.path("y.raw").exists());
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let bench = bench();
    for (code, kind, args) in [
        (2, "usage", &["convert", "-f", "cow", "disk.raw", "x.qcow2"][..]),
        (66, "source-missing", &["inspect", "nope"]),
        (66, "source-missing", &["compare", "disk.raw", "nope"]),
        (66, "source-missing", &["digest", "nope"]),
        (66, "source-missing", &["verify", "disk.raw"]),
        (73, "destination", &["convert", "disk.raw", "no/x.raw"]),
        (78, "needs-person", &["migrate", "disk.raw", "--to", "hyperv", "--out", "vm"]),
    ] {
        let run = bench.rehome(&[&["--output", "json"], args].concat()).ends(code);
        let json = run.json();
        assert_eq!((&json["error"]["kind"], &json["error"]["exit_code"]), (&kind.into(), &code.into()));
        let message = json["error"]["message"].as_str().unwrap();
        assert!(run.stderr.starts_with(&format!("error: {message}\n")), "{run:?}");
        assert!(!message.ends_with('.') && message.starts_with(|c: char| !c.is_uppercase()), "{message}");
    }
}

#[test]
fn a_manifest_that_cannot_be_written_is_told_before_the_copy() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 5000)]);
    std::fs::create_dir(bench.path("copy.qcow2.rehome.json")).unwrap();
    let run = bench.rehome(&["convert", "disk.raw", "copy.qcow2"]).ends(73);
    assert!(run.stderr.contains("copy.qcow2.rehome.json is in the way"), "{run:?}");
    assert!(!bench.path("copy.qcow2").exists());
    std::fs::remove_dir(bench.path("copy.qcow2.rehome.json")).unwrap();
    bench.rehome(&["convert", "disk.raw", "copy.qcow2"]).ends(0);
    bench.rehome(&["verify", "copy.qcow2"]).ends(0);
}
