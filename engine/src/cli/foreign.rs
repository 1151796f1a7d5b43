//! CRIU's options that this engine does not act on, each with its reason.
//!
//! Two kinds. Some only widen what a dump may contain (`--allow-uprobes`): those are accepted, because the survey
//! refuses the object itself, by name, for as long as it is not supported, and then the option gets a field in
//! `options`. The others change what is done (`--page-server`): those are refused by name, since going on
//! without them would not be what was asked for. An entry leaves this table when the engine learns what it means.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};

use super::getopt::Takes;
use crate::error::{Blame, Error};

/// What becomes of the option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// Nothing differs with it.
    Accepted,
    /// It asks for something that is not done.
    Refused,
    /// Refused unless its value is one of these, which ask for what is done anyway.
    RefusedBut(&'static [&'static str]),
}

struct Foreign {
    name: &'static str,
    short: Option<char>,
    takes: Takes,
    /// The values there are; empty if any will do.
    values: &'static [&'static str],
    stance: Stance,
    /// Of an accepted one, why that loses nothing; of a refused one, what is not there.
    why: &'static str,
}

use Stance::{Accepted, Refused, RefusedBut};
use Takes::{MaybeValue, Nothing, NothingOrNo, Value};

const fn foreign(name: &'static str, takes: Takes, stance: Stance, why: &'static str) -> Foreign {
    Foreign { name, short: None, takes, values: &[], stance, why }
}

const MOUNTS: &str = "the survey refuses mount namespaces by name";
const WATCHES: &str = "watched files without a handle are looked for in any case";
const PLUGINS: &str = "there are no plugins; the survey refuses what they would handle";
const LSM: &str = "security labels of LSMs";
const TRANSFER: &str = "sending pages to another machine";
const TLS: &str = "encrypted transfer of pages";
const ITERATIVE: &str = "dumps that build on an earlier one";

const FOREIGN: &[Foreign] = &[
    foreign("veth-pair", Value, Accepted, "the survey refuses network namespaces by name"),
    foreign("force-irmap", NothingOrNo, Accepted, WATCHES),
    foreign("allow-uprobes", NothingOrNo, Accepted, "the survey refuses uprobes by name"),
    Foreign { short: Some('M'), ..foreign("ext-mount-map", Value, Accepted, MOUNTS) },
    foreign("enable-external-sharing", Nothing, Accepted, MOUNTS),
    foreign("enable-external-masters", Nothing, Accepted, MOUNTS),
    foreign("skip-mnt", Value, Accepted, MOUNTS),
    foreign("enable-fs", Value, Accepted, MOUNTS),
    foreign("mntns-compat-mode", NothingOrNo, Accepted, MOUNTS),
    foreign("weak-sysctls", NothingOrNo, Accepted, "the survey refuses namespaces with settings by name"),
    foreign("deprecated", NothingOrNo, Accepted, "nothing here is deprecated"),
    Foreign {
        values: &["splice", "read"],
        ..foreign(
            "pre-dump-mode",
            Value,
            Accepted,
            "it says how a pre-dump copies pages, and pre-dump is refused",
        )
    },
    foreign("status-fd", Value, Accepted, "only daemons report their readiness"),
    Foreign { short: Some('L'), ..foreign("libdir", Value, Accepted, PLUGINS) },
    foreign("cpu-cap", MaybeValue, RefusedBut(&["fpu,ins", "ins,fpu"]), "another comparison of processors"),
    Foreign { short: Some('r'), ..foreign("root", Value, Refused, "restoring into another root directory") },
    Foreign { short: Some('J'), ..foreign("join-ns", Value, Refused, "restoring into a namespace") },
    foreign("empty-ns", Value, Refused, "restoring an empty namespace"),
    foreign("lsm-profile", Value, Refused, LSM),
    foreign("lsm-mount-context", Value, Refused, LSM),
    foreign("unprivileged", NothingOrNo, Refused, "working without privileges"),
    foreign("track-mem", NothingOrNo, Refused, ITERATIVE),
    foreign("prev-images-dir", Value, Refused, ITERATIVE),
    foreign("auto-dedup", NothingOrNo, Refused, "punching pages out of images"),
    foreign("lazy-pages", Nothing, Refused, "fetching pages after the restore"),
    foreign("stream", NothingOrNo, Refused, "images that are a stream"),
    foreign("page-server", NothingOrNo, Refused, TRANSFER),
    foreign("address", Value, Refused, TRANSFER),
    foreign("port", Value, Refused, TRANSFER),
    foreign("ps-socket", Value, Refused, TRANSFER),
    foreign("tls", NothingOrNo, Refused, TLS),
    foreign("tls-cacert", Value, Refused, TLS),
    foreign("tls-cacrl", Value, Refused, TLS),
    foreign("tls-cert", Value, Refused, TLS),
    foreign("tls-key", Value, Refused, TLS),
    foreign("tls-no-cn-verify", Nothing, Refused, TLS),
];

/// The options for clap.
pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    FOREIGN.iter().map(Foreign::argument)
}

/// One error that names every option of `matches` that must not be passed over.
pub(super) fn refusal(matches: &ArgMatches) -> Option<Error> {
    let refused: Vec<&Foreign> = FOREIGN.iter().filter(|f| f.is_refused(matches)).collect();
    let names: Vec<String> = refused.iter().map(|f| format!("--{}", f.name)).collect();
    let verb = match names.len() {
        0 => return None,
        1 => "is",
        _ => "are",
    };
    let error = Error::new("E-OPTION-UNSUPPORTED", Blame::Usage, format!("{verb} not supported yet"));
    let error = refused.iter().fold(error, |e, f| e.detail(format!("--{} asks for {}", f.name, f.why)));
    let help = refused.iter().find_map(|f| match f.stance {
        RefusedBut([value, ..]) => Some(format!("leave it out, or use --{}={value}", f.name)),
        _ => None,
    });
    Some(error.on(names.join(", ")).help(help.unwrap_or_else(|| "leave it out".to_owned())))
}

/// The accepted options that `matches` has, with the reason why nothing is lost: for the log.
pub(super) fn accepted(matches: &ArgMatches) -> Vec<(&'static str, &'static str)> {
    let given = |f: &&Foreign| f.stance == Accepted && f.is_on(matches);
    FOREIGN.iter().filter(given).map(|f| (f.name, f.why)).collect()
}

/// Whether the option `name` of the table was given and not turned off again.
pub(super) fn is_on(matches: &ArgMatches, name: &str) -> bool {
    FOREIGN.iter().any(|f| f.name == name && f.is_on(matches))
}

impl Foreign {
    fn argument(&self) -> Arg {
        let (heading, verb) = match self.stance {
            Accepted => ("Accepted, without effect", "nothing differs"),
            Refused | RefusedBut(_) => ("Refused: not there yet", "needs"),
        };
        let arg =
            Arg::new(self.name).long(self.name).help(format!("{verb}: {}", self.why)).help_heading(heading);
        let arg = match self.short {
            Some(letter) => arg.short(letter),
            None => arg,
        };
        let arg = match self.values {
            [] => arg,
            values => arg.value_parser(PossibleValuesParser::new(values)),
        };
        match self.takes {
            Nothing => arg.action(ArgAction::SetTrue),
            NothingOrNo => arg.action(ArgAction::Set).value_parser(clap::value_parser!(bool)),
            MaybeValue => {
                arg.action(ArgAction::Append).num_args(0..=1).require_equals(true).value_name("VALUE")
            }
            Value => arg.action(ArgAction::Append).value_name("VALUE"),
        }
    }

    /// Given at all, and not as `--no-NAME`.
    fn is_on(&self, matches: &ArgMatches) -> bool {
        match self.takes {
            Nothing => matches.get_flag(self.name),
            NothingOrNo => matches.get_one::<bool>(self.name) == Some(&true),
            MaybeValue | Value => matches.contains_id(self.name),
        }
    }

    fn is_refused(&self, matches: &ArgMatches) -> bool {
        match self.stance {
            Accepted => false,
            Refused => self.is_on(matches),
            RefusedBut(values) => self.is_on(matches) && !self.values_are_among(matches, values),
        }
    }

    /// Whether there are values and the last, which is the one that counts, is among `good`.
    fn values_are_among(&self, matches: &ArgMatches, good: &[&str]) -> bool {
        let last = matches.get_occurrences::<String>(self.name).and_then(|mut o| o.next_back());
        last.and_then(|mut values| values.next()).is_some_and(|v| good.contains(&v.as_str()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::cli::getopt::takes;

    fn refused(arguments: &[&str]) -> Option<String> {
        let line = std::iter::once("crio").chain(arguments.iter().copied());
        let matches = crate::cli::args::command().try_get_matches_from(line).unwrap();
        refusal(&matches).map(|e| e.to_string())
    }

    #[test]
    fn what_changes_the_work_is_refused_by_name() {
        let text = refused(&["--page-server=true", "--port=1", "--cpu-cap=cpu", "--lazy-pages"]).unwrap();
        assert!(
            text.starts_with(
                "error[E-OPTION-UNSUPPORTED]: --cpu-cap, --lazy-pages, --page-server, --port: are"
            ),
            "{text}"
        );
        assert!(text.contains("\n  --lazy-pages asks for fetching pages after the restore\n"), "{text}");
        assert!(text.ends_with("help: leave it out, or use --cpu-cap=fpu,ins"), "{text}");
    }

    #[test]
    fn what_widens_or_says_the_default_is_accepted() {
        assert_eq!(
            refused(&["--tcp-established=true", "--network-lock=none", "--pre-dump-mode=splice"]),
            None
        );
        assert_eq!(refused(&["--cpu-cap=fpu,ins", "--tls=false"]), None);
        assert!(refused(&["--cpu-cap=ins,fpu", "--cpu-cap=all"]).is_some());
    }

    #[test]
    fn values_are_checked_even_if_nothing_comes_of_them() {
        let line = ["crio", "--network-lock=maybe"];
        assert!(crate::cli::args::command().try_get_matches_from(line).is_err());
    }

    /// The options of CRIU 4.2: the short form and a colon if there is one, the name, and what it takes: `=` a value, `?`
    /// perhaps one, `!` nothing or its opposite `--no-NAME`.
    const CRIU: &str = "t:tree= D:images-dir= W:work-dir= o:log-file= v:verbosity? log-pid! display-stats! config=
        no-default-config V:version h:help pidfile= status-fd= action-script= L:libdir= unprivileged! deprecated! close=
        timeout= d:restore-detached! daemon! ms s:leave-stopped R:leave-running freeze-cgroup= track-mem!
        prev-images-dir= pre-dump-mode= auto-dedup! lazy-pages ghost-limit= ghost-fiemap! link-remap! force-irmap!
        irmap-scan-path= evasive-devices! file-validation= skip-file-rwx-check! allow-uprobes! j:shell-job! l:file-locks!
        tcp-established! tcp-close! skip-in-flight! x:ext-unix-sk? external= inherit-fd= veth-pair= M:ext-mount-map=
        enable-external-sharing enable-external-masters skip-mnt= enable-fs= mntns-compat-mode! r:root= J:join-ns=
        empty-ns= manage-cgroups? cgroup-root= cgroup-props= cgroup-props-file= cgroup-dump-controller= cgroup-yard=
        lsm-profile= lsm-mount-context= network-lock= weak-sysctls! cpu-cap? S:restore-sibling! exec-cmd stream!
        page-server! address= port= ps-socket= tls! tls-cacert= tls-cacrl= tls-cert= tls-key= tls-no-cn-verify extra!
        experimental! all feature=";

    #[test]
    fn every_option_of_criu_is_known_by_its_names_and_takes_what_it_takes_there() {
        let mut command = crate::cli::args::command();
        command.build();
        let mut names = Vec::new();
        for word in CRIU.split_whitespace() {
            let (short, rest) = match word.split_once(':') {
                Some((short, rest)) => (short.chars().next(), rest),
                None => (None, word),
            };
            let name = rest.trim_end_matches(['=', '?', '!']);
            let what = match rest.strip_prefix(name) {
                Some("=") => Value,
                Some("?") => MaybeValue,
                Some("!") => NothingOrNo,
                _ => Nothing,
            };
            let is =
                |arg: &&clap::Arg| arg.get_long_and_visible_aliases().is_some_and(|all| all.contains(&name));
            let arg = command.get_arguments().find(is).unwrap_or_else(|| panic!("--{name} is not known"));
            // The short form belongs to the first name.
            let expected = if name == "daemon" { Some('d') } else { short };
            assert_eq!((takes(arg), arg.get_short()), (what, expected), "{name}");
            names.push(name);
        }
        let ours = command.get_arguments().filter(|arg| !arg.get_long().is_some_and(|n| names.contains(&n)));
        for arg in ours {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.ends_with("(ours)"), "{:?} is no option of CRIU: {help}", arg.get_long());
        }
    }

    #[test]
    fn clap_and_getopt_agree_on_every_entry() {
        let mut command = clap::Command::new("x").args(arguments());
        command.build();
        for f in FOREIGN {
            // Switches alone may be asked for a value of another type, which clap answers with a panic.
            assert!(!matches!(f.stance, RefusedBut(_)) || f.takes == MaybeValue, "{}", f.name);
            let arg = command.get_arguments().find(|a| a.get_long() == Some(f.name)).unwrap();
            assert_eq!(takes(arg), f.takes, "{}", f.name);
        }
    }
}
