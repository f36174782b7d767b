//! The text of a job file, and where in it something is.

use format_core::{Error, ErrorKind, Result, read_small_file};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Ten thousand jobs with twenty fields each have 5 MiB: what is larger is not a job file, and is not read to find that out.
pub const MOST_BYTES: u64 = 8 << 20;
/// Of a line that is shown, around the place.
const MOST_SHOWN: usize = 100;

/// A notation of job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2, a single document.
    Yaml,
}

impl Notation {
    /// What the name of a file says: `.toml`, `.yaml`, `.yml`; JSON is YAML.
    ///
    /// # Errors
    /// `Usage` when it says nothing.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("toml") => Ok(Self::Toml),
            Some("yaml" | "yml" | "json") => Ok(Self::Yaml),
            _ => Err(Error::usage(format!("the name {} says neither TOML nor YAML", path.display()))
                .hint("say it with --format toml or --format yaml")),
        }
    }
}

/// A job file as it was read, before anything is made of it.
#[derive(Clone, Debug)]
pub struct Text {
    /// What the file is called in messages.
    pub name: String,
    /// The folder that paths in it are relative to.
    pub folder: PathBuf,
    /// How it is written.
    pub notation: Notation,
    /// All of it.
    pub content: String,
}

/// A place in a text, as people and editors count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The line and below it a caret; cut where it is long. Untrusted text, several lines.
    pub excerpt: String,
}

impl Text {
    /// Reads the file at `path`; `-` is stdin and then `notation` has to be given.
    ///
    /// # Errors
    /// `SourceMissing`, `Denied`, `Io` from the file, `Limit` when it is larger than [`MOST_BYTES`], `Corrupt` when it is not UTF-8,
    /// `Usage` when nothing says the notation.
    pub fn read(path: &Path, notation: Option<Notation>) -> Result<Self> {
        let failed = |e| Error::io(format!("cannot read the job file {}", path.display()), e);
        let is_stdin = path == Path::new("-");
        let notation = match notation {
            Some(notation) => notation,
            None if is_stdin => {
                return Err(Error::usage("nothing says how the job file on stdin is written")
                    .hint("say it with --format toml or --format yaml"));
            }
            None => Notation::of(path)?,
        };
        let (name, folder, bytes) = if is_stdin {
            ("<stdin>".to_owned(), std::env::current_dir().map_err(failed)?, bounded(std::io::stdin().lock()))
        } else {
            let bytes = read_small_file(path, MOST_BYTES + 1)
                .map_err(|e| e.context(format!("the job file {}", path.display())))?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = std::path::absolute(folder.unwrap_or(Path::new("."))).map_err(failed)?;
            (path.display().to_string(), folder, Ok(bytes))
        };
        let bytes = bytes.map_err(failed)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::new(ErrorKind::Limit, format!("{name} is larger than 8 MiB: no job file is"))
                .hint("cut it into several job files with outputs of their own"));
        }
        let content = String::from_utf8(bytes).map_err(|e| {
            Error::corrupt(format!("{name} is not UTF-8")).at(e.utf8_error().valid_up_to() as u64)
        })?;
        Ok(Self { name, folder, notation, content })
    }

    /// Where `span`, a range of bytes, begins. What stands behind it in its last line is shown, too.
    #[must_use]
    pub fn place(&self, span: &Range<usize>) -> Place {
        self.place_of(span, false)
    }

    /// The same, but nothing behind `span` is shown: there stands what nobody should see.
    #[must_use]
    pub(crate) fn place_before_secret(&self, span: &Range<usize>) -> Place {
        self.place_of(span, true)
    }

    fn place_of(&self, span: &Range<usize>, hide: bool) -> Place {
        let text = &self.content;
        let start = floor(text, span.start);
        let end = floor(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text.as_bytes()[..line_start].iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let end = end.clamp(start, line_end);
        let shown_end = if hide { end } else { line_end };
        let excerpt = excerpt(line, &text[line_start..start], &text[start..end], &text[end..shown_end]);
        Place { file: self.name.clone(), line, column, excerpt }
    }
}

fn bounded(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// `12 | key = "value"` and carets under the middle.
fn excerpt(line: usize, before: &str, marked: &str, after: &str) -> String {
    let before: Vec<char> = before.chars().map(plain).collect();
    let cut = before.len().saturating_sub(MOST_SHOWN / 2);
    let dots = if cut > 0 { "…" } else { "" };
    let before: String = before.get(cut..).unwrap_or_default().iter().collect();
    let marked: String = marked.chars().map(plain).take(MOST_SHOWN).collect();
    let after: String = after.trim_end().chars().map(plain).take(MOST_SHOWN / 2).collect();
    let indent = " ".repeat(dots.chars().count() + before.chars().count());
    let carets = "^".repeat(marked.chars().count().max(1));
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    format!("{number} | {dots}{before}{marked}{after}\n{margin} | {indent}{carets}")
}

/// A tab has no width of its own, and what steers a terminal has none either.
fn plain(c: char) -> char {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c == '\t' {
        ' '
    } else if c.is_control() || turns {
        '\u{fffd}'
    } else {
        c
    }
}
