//! getopt_long(3)'s reading of an argument vector, written out as `--name=value` for clap.
//!
//! CRIU's command line is GNU getopt's: options stand before or after the command, short ones cluster (`-jv4`), a value
//! may be glued on, `-v` and `-x` take only a glued value, long names may be shortened while unique, and booleans
//! have a `--no-` form. clap has neither the permutation nor the glued optional values, so this pass brings every
//! option into the one form that both understand; which options there are and what they take is read from the clap
//! command, so that there is one list.
//!
//! Not here: what an option means and which values are good (`args`).

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};

use super::usage_error;
use crate::error::Result;

/// What follows an option's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Nothing,
    /// Nothing; `--no-NAME` turns it off. For clap it is an option with the value true or false.
    NothingOrNo,
    /// A value or nothing, glued on.
    MaybeValue,
    /// A value, glued on or the next argument.
    Value,
}

/// One option.
struct Known {
    long: String,
    aliases: Vec<String>,
    short: Option<u8>,
    takes: Takes,
}

/// All options of a command line.
pub(super) struct Options(Vec<Known>);

/// An argument vector taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// `--name` or `--name=value`, in their order.
    pub(super) options: Vec<OsString>,
    /// The rest, in their order: the command and, after `--`, whatever it takes.
    pub(super) operands: Vec<OsString>,
}

/// What follows the name of `arg`, told by how clap is to store it.
pub(super) fn takes(arg: &Arg) -> Takes {
    match arg.get_action() {
        ArgAction::Set | ArgAction::Append => match arg.get_num_args() {
            Some(n) if n.min_values() == 0 => Takes::MaybeValue,
            _ if arg.get_value_parser().type_id() == TypeId::of::<bool>() => Takes::NothingOrNo,
            _ => Takes::Value,
        },
        _ => Takes::Nothing,
    }
}

impl Options {
    /// The options of `command`, which has been built.
    pub(super) fn of(command: &Command) -> Self {
        let known = |arg: &Arg| {
            Some(Known {
                long: arg.get_long()?.to_owned(),
                aliases: arg.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned).collect(),
                short: arg.get_short().and_then(|c| u8::try_from(c).ok()),
                takes: takes(arg),
            })
        };
        Options(command.get_arguments().filter_map(known).collect())
    }

    /// Takes `arguments` (without the program's name) apart.
    ///
    /// # Errors
    /// `E-USAGE`: an option that is unknown, ambiguous, without its value, or with one that it does not take.
    pub(super) fn split(&self, arguments: impl IntoIterator<Item = OsString>) -> Result<Split> {
        let mut split = Split::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let bytes = argument.as_bytes();
            match bytes {
                b"--" => split.operands.extend(arguments.by_ref()),
                [b'-', b'-', long @ ..] => self.long(long, &mut arguments, &mut split.options)?,
                [b'-', cluster @ ..] if !cluster.is_empty() => {
                    self.cluster(cluster, &mut arguments, &mut split.options)?;
                }
                _ => split.operands.push(argument),
            }
        }
        Ok(split)
    }

    fn long(
        &self,
        text: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
        out: &mut Vec<OsString>,
    ) -> Result<()> {
        let mut halves = text.splitn(2, |b| *b == b'=');
        let name = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
        let value = halves.next();
        let (known, yes) = self.find(&name)?;
        match (known.takes, value) {
            (Takes::Nothing | Takes::NothingOrNo, Some(_)) => {
                Err(usage_error(format!("--{name} does not take a value")))
            }
            (Takes::Value, None) => {
                let value =
                    rest.next().ok_or_else(|| usage_error(format!("--{} needs a value", known.long)))?;
                out.push(known.written(Some(value.as_bytes()), yes));
                Ok(())
            }
            (_, value) => {
                out.push(known.written(value, yes));
                Ok(())
            }
        }
    }

    /// The option that `name` or a unique beginning of it means, and whether it is the plain form or the `no-` one.
    fn find(&self, name: &str) -> Result<(&Known, bool)> {
        let mut candidates: Vec<(&Known, bool)> = Vec::new();
        for known in &self.0 {
            for (form, yes) in known.forms() {
                if form == name {
                    return Ok((known, yes));
                }
                if form.starts_with(name) && !candidates.iter().any(|c| c.0.long == known.long && c.1 == yes)
                {
                    candidates.push((known, yes));
                }
            }
        }
        match candidates.as_slice() {
            [one] => Ok(*one),
            [] => Err(usage_error(format!("there is no option --{name}"))),
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|(k, yes)| format!("--{}{}", if *yes { "" } else { "no-" }, k.long))
                    .collect();
                Err(usage_error(format!("--{name} may mean {}", names.join(" or "))))
            }
        }
    }

    fn cluster(
        &self,
        mut cluster: &[u8],
        rest: &mut impl Iterator<Item = OsString>,
        out: &mut Vec<OsString>,
    ) -> Result<()> {
        while let [letter, tail @ ..] = cluster {
            let known = self.0.iter().find(|k| k.short == Some(*letter)).ok_or_else(|| {
                usage_error(format!("there is no option -{}", char::from(*letter).escape_default()))
            })?;
            cluster = match known.takes {
                Takes::Nothing | Takes::NothingOrNo => {
                    out.push(known.written(None, true));
                    tail
                }
                Takes::MaybeValue => {
                    out.push(known.written((!tail.is_empty()).then_some(tail), true));
                    &[]
                }
                Takes::Value if tail.is_empty() => {
                    let missing = || usage_error(format!("-{} needs a value", char::from(*letter)));
                    let value = rest.next().ok_or_else(missing)?;
                    out.push(known.written(Some(value.as_bytes()), true));
                    &[]
                }
                Takes::Value => {
                    out.push(known.written(Some(tail), true));
                    &[]
                }
            };
        }
        Ok(())
    }
}

impl Known {
    /// Every long name, each with whether it turns the option on.
    fn forms(&self) -> impl Iterator<Item = (String, bool)> {
        let negatable = self.takes == Takes::NothingOrNo;
        std::iter::once(&self.long).chain(&self.aliases).flat_map(move |name| {
            [Some((name.clone(), true)), negatable.then(|| (format!("no-{name}"), false))]
                .into_iter()
                .flatten()
        })
    }

    /// The form that clap reads.
    fn written(&self, value: Option<&[u8]>, yes: bool) -> OsString {
        let mut text = format!("--{}", self.long).into_bytes();
        if self.takes == Takes::NothingOrNo {
            text.extend_from_slice(if yes { b"=true" } else { b"=false" });
        } else if let Some(value) = value {
            text.push(b'=');
            text.extend_from_slice(value);
        }
        OsString::from_vec(text)
    }
}

/// Whether the arguments before any `--` hold one of `words`: for `--help`, which counts whatever else is wrong.
pub(super) fn mentions(arguments: &[OsString], words: &[&str]) -> bool {
    arguments.iter().take_while(|a| *a != "--").any(|a| words.iter().any(|w| a == OsStr::new(w)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<String> {
        let mut command = crate::cli::args::command();
        command.build();
        let split = Options::of(&command).split(line.split_whitespace().map(OsString::from))?;
        let words = |w: Vec<OsString>| w.join(OsStr::new(" ")).into_string().unwrap();
        Ok(format!("{} | {}", words(split.options), words(split.operands)))
    }

    #[test]
    fn options_stand_anywhere() {
        let expected = "--tree=17 --images-dir=dir --shell-job=true | dump";
        assert_eq!(split("dump -t 17 -D dir -j").unwrap(), expected);
        assert_eq!(split("-t17 -Ddir dump --shell-job").unwrap(), expected);
        assert_eq!(split("--tree=17 --images-dir dir -j dump").unwrap(), expected);
    }

    #[test]
    fn verbosity_takes_only_a_glued_value() {
        assert_eq!(split("-v dump -v4 -vvv").unwrap(), "--verbosity --verbosity=4 --verbosity=vv | dump");
        assert_eq!(split("dump -Rjv2").unwrap(), "--leave-running --shell-job=true --verbosity=2 | dump");
        assert_eq!(split("check -verbosity=0").unwrap(), "--verbosity=erbosity=0 | check");
        assert_eq!(split("-x dump -x12,13").unwrap(), "--ext-unix-sk --ext-unix-sk=12,13 | dump");
    }

    #[test]
    fn booleans_have_a_no_form_and_other_flags_have_not() {
        assert_eq!(
            split("--no-shell-job --no-daemon").unwrap(),
            "--shell-job=false --restore-detached=false | "
        );
        assert!(split("--no-leave-running").is_err());
        assert!(split("--shell-job=true").is_err());
    }

    #[test]
    fn long_names_may_be_shortened_while_unique() {
        assert_eq!(split("--images d --leave-r").unwrap(), "--images-dir=d --leave-running | ");
        let error = split("--leave").unwrap_err().to_string();
        assert!(error.contains("--leave-stopped or --leave-running"), "{error}");
    }

    #[test]
    fn the_rest_after_two_dashes_is_not_ours() {
        assert_eq!(split("restore --exec-cmd -- ls -l --help").unwrap(), "--exec-cmd | restore ls -l --help");
        let words: Vec<OsString> = ["restore", "--", "--help"].iter().map(OsString::from).collect();
        assert!(!mentions(&words, &["--help", "-h"]));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(split("dump -t").unwrap_err().to_string().contains("-t needs a value"));
        assert!(split("dump --tree").unwrap_err().to_string().contains("--tree needs a value"));
        assert!(split("dump --nonsense").unwrap_err().to_string().contains("--nonsense"));
        assert!(split("dump -Z").unwrap_err().to_string().contains("-Z"));
    }
}
