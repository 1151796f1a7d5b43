//! `--cgroup-props`: which properties of which controllers are dumped, in the form that CRIU reads:
//!
//! ```text
//! "cpu":
//!  - "strategy": "merge"
//!  - "properties": ["cpu.shares", "cpu.cfs_period_us"]
//! ```

use crate::error::{Blame, Error, OsContext, Result};
use crate::options::CgroupOptions;

/// What becomes of the properties that are known of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strategy {
    /// These are dumped, too.
    Merge,
    /// Only these are dumped.
    Replace,
}

/// That of one controller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Specification {
    pub(super) controller: String,
    pub(super) strategy: Strategy,
    pub(super) names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Mark(char),
}

impl Specification {
    /// Those of the option, then those of the file.
    pub(super) fn all(options: &CgroupOptions) -> Result<Vec<Self>> {
        let mut all = match &options.properties {
            Some(text) => parse(text).map_err(|reason| refuse("--cgroup-props", reason))?,
            None => Vec::new(),
        };
        if let Some(path) = &options.properties_file {
            let text = std::fs::read_to_string(path).os(|| format!("read {}", path.display()))?;
            all.extend(parse(&text).map_err(|reason| refuse(&path.display().to_string(), reason))?);
        }
        Ok(all)
    }
}

fn refuse(object: &str, reason: String) -> Error {
    Error::new("E-USAGE", Blame::Usage, reason).on(object).help(
        "for each controller: \"NAME\":, then - \"strategy\": \"merge\" or \"replace\", then - \"properties\": [\"FILE\", ...]",
    )
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        rest = match (first, rest.get(1..)) {
            ('"', Some(quoted)) => {
                let (text, rest) = quoted.split_once('"').ok_or("a quote does not end")?;
                tokens.push(Token::Text(text.to_owned()));
                rest
            }
            (':' | '-' | '[' | ']' | ',', Some(rest)) => {
                tokens.push(Token::Mark(first));
                rest
            }
            _ => return Err(format!("{first:?} is not expected; names stand in quotes")),
        }
        .trim_start();
    }
    Ok(tokens)
}

fn parse(text: &str) -> Result<Vec<Specification>, String> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let mut all = Vec::new();
    while tokens.peek().is_some() {
        let controller = name(&mut tokens)?;
        expect(&mut tokens, &[Token::Mark(':'), Token::Mark('-'), word("strategy"), Token::Mark(':')])?;
        let strategy = match name(&mut tokens)?.as_str() {
            "merge" => Strategy::Merge,
            "replace" => Strategy::Replace,
            other => return Err(format!("{other:?} is no strategy")),
        };
        expect(&mut tokens, &[Token::Mark('-'), word("properties"), Token::Mark(':'), Token::Mark('[')])?;
        let mut names = Vec::new();
        loop {
            match tokens.next() {
                Some(Token::Text(name)) => names.push(name),
                Some(Token::Mark(',')) => {}
                Some(Token::Mark(']')) => break,
                _ => return Err("the list of properties does not end".to_owned()),
            }
        }
        if let Some(bad) = names.iter().find(|name| name.is_empty() || name.contains(['/', '\0'])) {
            return Err(format!("{bad:?} is no name of a control file"));
        }
        all.push(Specification { controller, strategy, names });
    }
    Ok(all)
}

fn word(text: &str) -> Token {
    Token::Text(text.to_owned())
}

fn name(tokens: &mut impl Iterator<Item = Token>) -> Result<String, String> {
    match tokens.next() {
        Some(Token::Text(name)) => Ok(name),
        other => Err(format!("a name in quotes is expected, not {other:?}")),
    }
}

fn expect(tokens: &mut impl Iterator<Item = Token>, expected: &[Token]) -> Result<(), String> {
    for wanted in expected {
        match tokens.next() {
            Some(token) if token == *wanted => {}
            other => return Err(format!("{wanted:?} is expected, not {other:?}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_criu_reads() {
        let text = "\"cpu\":\n - \"strategy\": \"merge\"\n - \"properties\": [\"cpu.shares\", \"cpu.idle\"]\n\
            \"memory\":\n - \"strategy\": \"replace\"\n - \"properties\": []\n";
        let names = vec!["cpu.shares".to_owned(), "cpu.idle".to_owned()];
        let cpu = Specification { controller: "cpu".to_owned(), strategy: Strategy::Merge, names };
        let memory =
            Specification { controller: "memory".to_owned(), strategy: Strategy::Replace, names: Vec::new() };
        assert_eq!(parse(text), Ok(vec![cpu, memory]));
        assert_eq!(parse(" \n"), Ok(Vec::new()));
    }

    #[test]
    fn anything_else_is_an_error() {
        for bad in [
            "cpu:",
            "\"cpu\"",
            "\"cpu\":\n - \"strategy\": \"add\"\n - \"properties\": []",
            "\"cpu\":\n - \"strategy\": \"merge\"\n - \"properties\": [\"a\"",
            "\"cpu\":\n - \"strategy\": \"merge\"\n - \"properties\": [\"../a\"]",
            "\"cpu",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
