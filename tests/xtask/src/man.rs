//! Man pages from the command line's own description.

use crate::about;
use clap_mangen::Man;
use std::io::{self, Write};
use std::path::Path;

/// Writes a page for the command and one for each subcommand into `dir`. Returns how many there are.
///
/// # Errors
/// What the file system says.
pub fn write(command: clap::Command, dir: &Path) -> Result<usize, String> {
    std::fs::create_dir_all(dir).map_err(about(dir))?;
    // The help command would become a page that says nothing.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let subcommands = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
    let mut pages: Vec<_> = subcommands.cloned().collect();
    let source = format!("{} {}", command.get_name(), command.get_version().unwrap_or_default());
    pages.push(command);
    for page in &pages {
        let man = Man::new(page.clone()).source(&source);
        let path = dir.join(man.get_filename());
        let text = render(page, &man).map_err(about(&path))?;
        std::fs::write(&path, text).map_err(about(&path))?;
    }
    Ok(pages.len())
}

/// What [`Man::render`] does, but for the text behind the options: it gets headings and keeps its lines.
fn render(command: &clap::Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let behind = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    for paragraph in behind.iter().flat_map(|behind| behind.split("\n\n")) {
        write_paragraph(&mut text, paragraph.trim_end())?;
    }
    Ok(text)
}

/// `Heading: text` becomes a section. Indented lines are an example: they stay lines.
fn write_paragraph(text: &mut Vec<u8>, paragraph: &str) -> io::Result<()> {
    let body = match paragraph.split_once(':') {
        Some((heading, body)) if heading.chars().all(|c| c.is_alphabetic() || c == ' ') => {
            writeln!(text, ".SH \"{}\"", heading.trim().to_uppercase())?;
            body
        }
        _ => {
            writeln!(text, ".PP")?;
            paragraph
        }
    };
    let lines: Vec<_> = body.lines().filter(|line| !line.trim().is_empty()).collect();
    let is_example = body.lines().any(|line| line.starts_with("  "));
    let indent = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    if is_example {
        writeln!(text, ".nf")?;
    }
    for line in lines {
        writeln!(text, "{}", escape(line.get(indent..).unwrap_or(line)))?;
    }
    if is_example {
        writeln!(text, ".fi")?;
    }
    Ok(())
}

/// Plain text for roff: hyphens that can be copied, and no line that is taken for a request.
fn escape(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_behind_the_options_becomes_sections() {
        let command = clap::Command::new("x")
            .after_help("Examples:\n  x --a   b\n   y\n\n.dot: \\n\n\nExit codes:\n0; 1");
        let page = String::from_utf8(render(&command, &Man::new(command.clone())).unwrap()).unwrap();
        let expected =
            ".SH \"EXAMPLES\"\n.nf\nx \\-\\-a   b\n y\n.fi\n.PP\n\\&.dot: \\en\n.SH \"EXIT CODES\"\n0; 1\n";
        assert!(page.ends_with(expected), "{page}");
    }
}
