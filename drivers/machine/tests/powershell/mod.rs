//! Two judges of PowerShell text: a tokenizer by the documented quoting rules, and a foreign grammar.

/// A piece of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A single-quoted string, with its value.
    Literal(String),
    /// A comment, with its text.
    Comment(String),
    /// Anything else up to white space, one character for brackets and separators.
    Code(String),
}

fn ends_single(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}')
}

fn is_double(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}' | '\u{201e}')
}

/// Cuts a script into tokens. Panics on unbalanced quotes or brackets and on double-quoted strings, which the scripts
/// never have.
pub fn tokens(script: &str) -> Vec<Token> {
    let mut chars = script.strip_prefix('\u{feff}').expect("byte order mark").chars().peekable();
    let mut out = Vec::new();
    let mut open = Vec::new();
    let mut word = String::new();
    while let Some(c) = chars.next() {
        let special = ends_single(c) || c.is_whitespace() || "(){}[];,#<".contains(c);
        // Inside a word `#` is an ordinary character.
        if special && c != '#' && !word.is_empty() {
            out.push(Token::Code(std::mem::take(&mut word)));
        }
        match c {
            _ if is_double(c) || c == '`' => panic!("double quote or backtick outside a literal"),
            _ if ends_single(c) => {
                let mut value = String::new();
                loop {
                    let c = chars.next().expect("literal without an end");
                    if !ends_single(c) {
                        value.push(c);
                    } else if let Some(second) = chars.next_if(|&next| ends_single(next)) {
                        // PowerShell keeps one of the two; they are the same one in what we write.
                        assert_eq!(c, second);
                        value.push(c);
                    } else {
                        break;
                    }
                }
                out.push(Token::Literal(value));
            }
            '<' if chars.peek() == Some(&'#') => {
                let mut text = String::new();
                while !text.ends_with("#>") {
                    text.push(chars.next().expect("block comment without an end"));
                }
                out.push(Token::Comment(text));
            }
            '#' if word.is_empty() => {
                let mut text = String::new();
                while let Some(next) = chars.next_if(|&next| next != '\r' && next != '\n') {
                    text.push(next);
                }
                out.push(Token::Comment(text));
            }
            '(' | '{' | '[' => {
                open.push(c);
                out.push(Token::Code(c.into()));
            }
            ')' | '}' | ']' => {
                let wanted = match c {
                    ')' => '(',
                    '}' => '{',
                    _ => '[',
                };
                assert_eq!(open.pop(), Some(wanted), "unbalanced {c}");
                out.push(Token::Code(c.into()));
            }
            ';' | ',' => out.push(Token::Code(c.into())),
            _ if c.is_whitespace() => {}
            _ => word.push(c),
        }
    }
    assert!(open.is_empty(), "open at the end: {open:?}");
    out
}

/// The script without the values of its literals: what it does, whatever the names are.
pub fn skeleton(script: &str) -> Vec<Token> {
    tokens(script)
        .into_iter()
        .map(|token| if let Token::Literal(_) = token { Token::Literal(String::new()) } else { token })
        .collect()
}

/// The value assigned to a variable by a literal.
pub fn assigned(script: &str, variable: &str) -> String {
    let tokens = tokens(script);
    let found = tokens.windows(3).find_map(|window| match window {
        [Token::Code(name), Token::Code(equals), Token::Literal(value)]
            if name == variable && equals == "=" =>
        {
            Some(value.clone())
        }
        _ => None,
    });
    found.expect("assignment of a literal")
}

/// Fails when the grammar of the tree-sitter project finds an error in the script.
pub fn check_grammar(script: &str) {
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).expect("grammar");
    let text = script.trim_start_matches('\u{feff}');
    let tree = parser.parse(text, None).expect("tree");
    if let Some(at) = first_error(tree.root_node()) {
        let line = text.lines().nth(at).unwrap_or_default();
        panic!("syntax error in line {}: {line}", at + 1);
    }
}

fn first_error(node: tree_sitter::Node<'_>) -> Option<usize> {
    if node.is_error() || node.is_missing() {
        return Some(node.start_position().row);
    }
    let mut cursor = node.walk();
    let children: Vec<_> = node.children(&mut cursor).collect();
    children.into_iter().find_map(first_error)
}
