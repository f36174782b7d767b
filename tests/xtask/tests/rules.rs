//! The house rules: this tree keeps them, and a tree that breaks one is caught with its place.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use xtask::{project_root, rules};

#[test]
fn this_tree_keeps_the_house_rules() {
    let violations = rules::check(&project_root()).unwrap();
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A small tree that keeps every rule.
fn good_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "formats/core/Cargo.toml", "[package]\nname = \"format-core\"\n");
    put(
        root,
        "formats/a/Cargo.toml",
        "[package]\nname = \"format-a\"\n[dependencies]\nformat-core.workspace = true\n",
    );
    put(root, "formats/a/SPEC.md", "# a\n");
    put(root, "formats/a/src/lib.rs", "pub static FORMAT: Format = Format::NONE;\n");
    put(root, "formats/all/src/lib.rs", "&[&format_a::FORMAT]\n");
    put(root, "tests/fuzz/targets/a.rs", "");
    for folder in ["drivers/fs_ext_sys", "drivers/fs_ntfs_sys"] {
        put(root, &format!("{folder}/src/lib.rs"), concat!("uns", "afe { call() }\n"));
    }
    dir
}

fn found(root: &Path) -> Vec<String> {
    rules::check(root).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn each_broken_rule_is_found_at_its_place() {
    assert_eq!(found(good_tree().path()), Vec::<String>::new());
    let long = "//\n".repeat(451);
    let left_over = format!("\n// {}{}: later\n", "TO", "DO");
    let sees_convert = "[package]\nname = \"driver-x\"\n\n[dependencies]\nconvert-engine.workspace = true\n";
    let cases: [(&str, &str, &str); 8] = [
        (
            "drivers/x/Cargo.toml",
            sees_convert,
            "drivers/x/Cargo.toml:5: drivers/x must not see convert/engine",
        ),
        ("drivers/x/src/lib.rs", concat!("\nfn f() { uns", "afe { g() } }\n"), "drivers/x/src/lib.rs:2: "),
        ("drivers/x/src/lib.rs", &left_over, "drivers/x/src/lib.rs:2: "),
        ("convert/x/src/lib.rs", &long, "convert/x/src/lib.rs:451: 451 lines"),
        ("convert/x/src/utils.rs", "", "convert/x/src/utils.rs:1: the name utils"),
        ("convert/x/src/helpers/a.rs", "", "convert/x/src/helpers/a.rs:1: the name helpers"),
        ("formats/a/src/lib.rs", "", "formats/a/src/lib.rs:1: a format room exports"),
        ("formats/all/src/lib.rs", "&[]\n", "formats/all/src/lib.rs:1: &format_a::FORMAT is not in"),
    ];
    for (path, text, expected) in cases {
        let dir = good_tree();
        put(dir.path(), "convert/engine/Cargo.toml", "[package]\nname = \"convert-engine\"\n");
        put(dir.path(), path, text);
        let found = found(dir.path());
        assert!(found.len() == 1 && found[0].starts_with(expected), "{path}: {found:?}");
    }
    for path in ["formats/a/SPEC.md", "formats/a/src/lib.rs", "tests/fuzz/targets/a.rs"] {
        let dir = good_tree();
        fs::remove_file(dir.path().join(path)).unwrap();
        let found = found(dir.path());
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("{path}:1: a format room needs")),
            "{found:?}"
        );
    }
}

#[test]
fn tests_at_the_end_of_a_file_comments_and_strings_do_not_count() {
    let dir = good_tree();
    let code = "//\n".repeat(450);
    put(dir.path(), "convert/x/src/lib.rs", &format!("{code}#[cfg(test)]\n{code}"));
    put(dir.path(), "convert/x/tests/long.rs", &code.repeat(2));
    put(dir.path(), "convert/x/src/a.rs", concat!("// uns", "afe\nlet incompat_unsafe = \"uns", "afe\";\n"));
    put(dir.path(), "tests/fuzz/target/utils.rs", concat!("uns", "afe"));
    assert_eq!(found(dir.path()), Vec::<String>::new());
}

#[test]
fn every_foreign_dependency_has_its_reason() {
    let dir = good_tree();
    let manifest = "[workspace.dependencies]\na = { path = \"a\" }\nb = \"1\"\nc = { version = \"1\" }\n[x]\nd = \"1\"\n";
    put(dir.path(), "Cargo.toml", manifest);
    put(dir.path(), "deny.toml", "#   b: somebody; something\n#   c: nobody\n#   e: somebody; something\n");
    assert_eq!(
        found(dir.path()),
        [
            "Cargo.toml:4: deny.toml says nothing about c: who maintains it, and what it is for",
            "deny.toml:3: e is no dependency of the workspace"
        ]
    );
}
