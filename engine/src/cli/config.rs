//! CRIU's configuration files: which are read, and their syntax.
//!
//! ```text
//! # a comment
//! tcp-established
//! ghost-limit 4M          # a comment
//! external "tty[8800:1]"  # quotes, with \" inside
//! ```
//!
//! One long option a line, without its dashes. The options of all files come before those of the command line, so
//! that a later one wins. A line that cannot be read is an error with its place; CRIU passes over a file that
//! is missing even if it was asked for by name, which is an error here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::getopt::Options;
use super::usage_error;
use crate::error::{OsContext, Result};

const GLOBAL: &str = "/etc/criu/default.conf";
const OF_USER: &str = ".criu/default.conf";

/// Which files the command line and the environment ask for.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// `--config`.
    pub(super) file: Option<PathBuf>,
    /// `--no-default-config`; `--config` implies it.
    pub(super) no_default: bool,
}

impl Sources {
    /// The options of all files, in the order in which they are to be read.
    pub(super) fn read(&self, known: &Options) -> Result<Vec<OsString>> {
        let mut options = Vec::new();
        if !self.no_default && self.file.is_none() {
            let of_user = std::env::var_os("HOME").map(|home| Path::new(&home).join(OF_USER));
            for path in [Some(PathBuf::from(GLOBAL)), of_user].into_iter().flatten() {
                if path.exists() {
                    options.extend(read(&path, known)?);
                }
            }
        }
        let of_environment = std::env::var_os("CRIU_CONFIG_FILE").map(PathBuf::from);
        for path in [of_environment.as_ref(), self.file.as_ref()].into_iter().flatten() {
            options.extend(read(path, known)?);
        }
        Ok(options)
    }
}

fn read(path: &Path, known: &Options) -> Result<Vec<OsString>> {
    let text = std::fs::read_to_string(path).os(|| format!("read the configuration {}", path.display()))?;
    let mut options = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), number + 1);
        let split = match statement(line).map_err(|e| e.on(place()))? {
            Some(argument) => known.split([argument.into()]).map_err(|e| e.on(place()))?,
            None => continue,
        };
        options.extend(split.options);
    }
    Ok(options)
}

/// One line as an argument, `--name` or `--name=value`.
fn statement(line: &str) -> Result<Option<String>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(Some(format!("--{name}")));
    }
    let (value, after) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => bare(rest),
    };
    let after = after.trim_start();
    if !after.is_empty() && !after.starts_with('#') {
        return Err(usage_error(format!("there is more than one value: {after}")).help("put it in quotes"));
    }
    Ok(Some(format!("--{name}={value}")))
}

/// A value up to white space or a comment, and what follows it.
fn bare(text: &str) -> (String, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    (value.to_owned(), after)
}

/// A value up to its closing quote, where `\"` is a quote, and what follows it.
fn unquote(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok((value, rest.as_str())),
            '\\' if rest.as_str().starts_with('"') => {
                value.push('"');
                rest.next();
            }
            other => value.push(other),
        }
    }
    Err(usage_error("a quote is not closed"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(line: &str) -> Option<String> {
        statement(line).unwrap()
    }

    #[test]
    fn a_line_is_a_long_option() {
        assert_eq!(one("tcp-close").as_deref(), Some("--tcp-close"));
        assert_eq!(one("  verbosity\t4").as_deref(), Some("--verbosity=4"));
        assert_eq!(one("verbosity=4").as_deref(), Some("--verbosity=4"));
        assert_eq!(one("log-file a.log   # where it goes").as_deref(), Some("--log-file=a.log"));
        assert_eq!(one("shell-job # yes").as_deref(), Some("--shell-job"));
        assert_eq!((one(""), one("  "), one(" # x")), (None, None, None));
    }

    #[test]
    fn quotes_hold_spaces_and_quotes() {
        assert_eq!(one(r#"log-file "a b#c" # d"#).as_deref(), Some("--log-file=a b#c"));
        assert_eq!(one(r#"external "tty[\"]""#).as_deref(), Some("--external=tty[\"]"));
        assert_eq!(one(r#"log-file """#).as_deref(), Some("--log-file="));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(statement("log-file a b").is_err());
        assert!(statement("log-file \"a").is_err());
        assert!(statement("log-file \"").is_err());
        assert!(statement("log-file \"a\" b").is_err());
    }

    #[test]
    fn files_are_read_in_order_and_errors_have_a_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        std::fs::write(&path, "# mine\nshell-job\nghost-limit 2M\nno-shell-job\n").unwrap();
        let mut command = crate::cli::args::command();
        command.build();
        let known = Options::of(&command);
        let sources = Sources { file: Some(path.clone()), no_default: false };
        assert_eq!(
            sources.read(&known).unwrap(),
            ["--shell-job=true", "--ghost-limit=2M", "--shell-job=false"]
        );
        std::fs::write(&path, "\nshell-job yes\n").unwrap();
        let error = sources.read(&known).unwrap_err().to_string();
        assert!(error.contains("conf:2: --shell-job does not take a value"), "{error}");
        let missing = Sources { file: Some(dir.path().join("none")), no_default: false };
        assert_eq!(missing.read(&known).unwrap_err().code(), "E-NOT-FOUND");
    }
}
