//! The table of formats in README.md, from the formats themselves.

use crate::about;
use format_core::Format;
use std::path::Path;

const BEGIN: &str = "<!-- formats -->";
const END: &str = "<!-- /formats -->";

/// Writes the table between its markers.
///
/// # Errors
/// No README.md, or no markers in it.
pub fn write(root: &Path) -> Result<(), String> {
    let path = root.join("README.md");
    let text = std::fs::read_to_string(&path).map_err(about(&path))?;
    let new = with_table(&text, &table(format_all::FORMATS)).map_err(about(&path))?;
    if new == text { Ok(()) } else { std::fs::write(&path, new).map_err(about(&path)) }
}

/// Fails when [`write()`] would change something.
///
/// # Errors
/// The table is stale; no README.md, or no markers in it.
pub fn check(root: &Path) -> Result<(), String> {
    let path = root.join("README.md");
    let text = std::fs::read_to_string(&path).map_err(about(&path))?;
    let new = with_table(&text, &table(format_all::FORMATS)).map_err(about(&path))?;
    if new == text {
        Ok(())
    } else {
        Err(format!("{}: the table of formats is stale: run `cargo xtask readme`", path.display()))
    }
}

/// `text` with `table` between the markers.
fn with_table(text: &str, table: &str) -> Result<String, String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("there is no line {BEGIN} with {END} behind it"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn table(formats: &[&Format]) -> String {
    let mut text = String::from(
        "| format | extensions | read | write | write a difference | check | what | `-o` |\n|---|---|---|---|---|---|---|---|\n",
    );
    for format in formats {
        let yes = |able: bool| if able { "yes" } else { "–" };
        let code = |words: &mut dyn Iterator<Item = &str>| {
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ")
        };
        let cells = [
            code(&mut std::iter::once(format.name).chain(format.aliases.iter().copied())),
            code(&mut format.extensions.iter().copied()),
            yes(format.open_layer.is_some()).to_owned(),
            yes(format.create.is_some()).to_owned(),
            yes(format.can_differ).to_owned(),
            yes(format.check.is_some()).to_owned(),
            format.description.replace('|', "\\|"),
            code(&mut format.create_options.iter().map(|option| option.key)),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_what_is_between_the_markers_only() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = with_table(&text, "| t |\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\n| t |\n{END}\nb\n"));
        assert_eq!(with_table(&new, "| t |\n").unwrap(), new);
        for bad in ["", BEGIN, END, "<!-- /formats --><!-- formats -->"] {
            assert!(with_table(bad, "").unwrap_err().contains("there is no line"), "{bad}");
        }
    }

    #[test]
    fn every_format_has_a_row_with_as_many_cells() {
        let table = table(format_all::FORMATS);
        assert_eq!(table.lines().count(), format_all::FORMATS.len() + 2);
        for line in table.lines() {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 9, "{line}");
        }
    }

    #[test]
    fn stale_is_noticed_and_written_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path()).unwrap_err().contains("README.md"));
        std::fs::write(dir.path().join("README.md"), format!("x\n{BEGIN}\n{END}\n")).unwrap();
        assert!(check(dir.path()).unwrap_err().contains("cargo xtask readme"));
        write(dir.path()).unwrap();
        check(dir.path()).unwrap();
    }
}
