//! The man pages: one for the program and one for each subcommand, as roff.

#![allow(clippy::unwrap_used)]

use std::fs;
use xtask::man;

#[test]
fn each_subcommand_has_a_page_that_names_its_options() {
    let dir = tempfile::tempdir().unwrap();
    let pages = man::write(rehome_cli::command(), &dir.path().join("man")).unwrap();
    let page = |name: &str| fs::read_to_string(dir.path().join("man").join(format!("{name}.1"))).unwrap();
    assert_eq!(fs::read_dir(dir.path().join("man")).unwrap().count(), pages);
    assert!(page("rehome").contains("rehome\\-migrate(1)"));
    for subcommand in rehome_cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let text = page(&format!("rehome-{}", subcommand.get_name()));
        assert!(text.contains(".TH ") && text.contains(".SH SYNOPSIS"), "{text}");
        for option in subcommand.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(text.contains(&option.replace('-', "\\-")), "{}: {option}", subcommand.get_name());
        }
    }
}
