//! Command lines, and what becomes of them.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::Error;

fn parse(line: &str) -> Result<Arguments> {
    let mut command = command();
    command.build();
    let split =
        super::super::getopt::Options::of(&command).split(line.split_whitespace().map(OsString::from))?;
    let (arguments, _) = Arguments::parse(split.options)?;
    arguments.validate()?;
    Ok(arguments)
}

fn dump(line: &str) -> Result<DumpOptions> {
    parse(line)?.dump_options()
}

#[test]
fn an_empty_line_has_crius_defaults() {
    assert_eq!(dump("-t 17").unwrap(), DumpOptions { tree: 17, ..DumpOptions::default() });
    assert_eq!(parse("").unwrap().restore_options(&[]).unwrap(), RestoreOptions::default());
    assert_eq!(
        parse("").unwrap().check_options().unwrap(),
        CheckOptions { verbosity: 2, ..CheckOptions::default() }
    );
}

#[test]
fn dump_reads_its_options() {
    let got = dump("-t 17 -D img -W work -o d.log -v4 -j -s -R --ghost-limit 2M --ghost-fiemap \
        --file-validation filesize --timeout 3 --external tty[8800:1] --ext-unix-sk=17,18 --action-script a --action-script b --dry-run")
    .unwrap();
    let expected = DumpOptions {
        tree: 17,
        places: Places {
            images_dir: "img".into(),
            work_dir: Some("work".into()),
            log_file: Some("d.log".into()),
            verbosity: 4,
        },
        final_state: FinalState::Running,
        shell_job: true,
        ghost_limit: 2 << 20,
        ghost_fiemap: true,
        file_validation: FileValidation::FileSize,
        timeout: Duration::from_secs(3),
        external: vec!["tty[8800:1]".into(), "unix[17]".into(), "unix[18]".into()],
        ext_unix_sk: true,
        action_scripts: vec!["a".into(), "b".into()],
        dry_run: true,
        ..DumpOptions::default()
    };
    assert_eq!(got, expected);
}

#[test]
fn the_last_one_counts() {
    assert_eq!(dump("-t 1 -t 2 -D a -D b").unwrap().places.images_dir, PathBuf::from("b"));
    assert_eq!(dump("-t 1 -R -s").unwrap().final_state, FinalState::Stopped);
    assert!(!dump("-t 1 -j --no-shell-job").unwrap().shell_job);
}

#[test]
fn levels_count_up_or_are_set() {
    let level = |words: &[&str]| verbosity(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    assert_eq!(level(&[]).unwrap(), 2);
    assert_eq!(level(&[""]).unwrap(), 3);
    assert_eq!(level(&["vv"]).unwrap(), 5);
    assert_eq!(level(&["0", ""]).unwrap(), 1);
    assert_eq!(level(&["erbosity=0"]).unwrap(), 0);
    assert!(level(&["erbose"]).is_err());
}

#[test]
fn contradictions_are_named() {
    let message = |e: Error| e.headline();
    assert_eq!(message(dump("").unwrap_err()), "pid not specified");
    assert!(message(dump("-t 1 -S").unwrap_err()).contains("--restore-detached"));
    assert!(message(dump("-t 1 --inherit-fd fd[0]:x").unwrap_err()).contains("restore only"));
    assert!(message(dump("-t 0").unwrap_err()).contains("--tree"));
    let error = dump("-t 1 --file-validation crc").unwrap_err();
    assert_eq!(error.remedy(), Some("it is one of: filesize, buildid"));
    let words = [OsString::from("ls")];
    let restore = |line: &str, words: &[OsString]| parse(line).unwrap().restore_options(words);
    assert!(message(restore("--exec-cmd -d", &words).unwrap_err()).contains("together"));
    assert!(message(restore("--exec-cmd", &[]).unwrap_err()).contains("requires a command"));
    assert!(message(restore("", &words).unwrap_err()).contains("ls"));
    assert_eq!(restore("--exec-cmd", &words).unwrap().exec_cmd, words);
}

#[test]
fn values_are_checked() {
    assert_eq!((size("1K"), size("3g")), (Ok(1024), Ok(3 << 30)));
    assert!(size("1X").is_err() && size("").is_err() && size("99999999999999999999G").is_err());
    assert!(size("18446744073709551615K").is_err());
    assert!(external("tty[1:2]").is_ok() && external("ttx[1]").is_err() && external("tty").is_err());
    assert_eq!(inherit_fd("fd[0]:pipe:[12]").unwrap(), InheritFd { fd: 0, key: "pipe:[12]".into() });
    assert!(inherit_fd("fd[0]:").is_err() && inherit_fd("fd[999]:x").is_err());
}

/// CRIU has 27 switches with a `--no-` form; one that we forget would be refused as unknown.
#[test]
fn every_switch_of_criu_has_its_no_form() {
    const SWITCHES: &str = "restore-detached restore-sibling daemon tcp-established log-pid evasive-devices \
        link-remap shell-job file-locks page-server track-mem auto-dedup force-irmap extra experimental \
        skip-in-flight deprecated display-stats weak-sysctls tcp-close stream tls skip-file-rwx-check \
        mntns-compat-mode unprivileged ghost-fiemap allow-uprobes";
    for name in SWITCHES.split_whitespace() {
        parse(&format!("--{name} --no-{name}")).unwrap();
    }
    assert_eq!(SWITCHES.split_whitespace().count(), 27);
}

#[test]
fn the_help_shows_switches_without_values() {
    let help = help();
    assert!(
        help.contains("-j, --shell-job \n")
            || help.contains("-j, --shell-job  ")
            || help.contains("--shell-job\n"),
        "{help}"
    );
    assert!(help.contains("-t, --tree <PID>"), "{help}");
}

#[test]
fn options_of_cgroups_are_crius() {
    let got = dump(
        "-t 1 -D img --manage-cgroups --cgroup-root name=x:/a --cgroup-root /b --cgroup-dump-controller cpu \
        --cgroup-yard ../yard --cgroup-props-file /props --freeze-cgroup /f",
    )
    .unwrap();
    let expected = CgroupOptions {
        mode: CgroupMode::Soft,
        roots: vec![(Some("name=x".to_owned()), "/a".into()), (None, "/b".into())],
        properties: None,
        properties_file: Some("/props".into()),
        controllers: vec!["cpu".to_owned()],
        yard: Some("img/../yard".into()),
    };
    assert_eq!((got.cgroups, got.freeze_cgroup), (expected, Some("/f".into())));
    assert_eq!(
        dump("-t 1 --manage-cgroups=full --manage-cgroups=strict").unwrap().cgroups.mode,
        CgroupMode::Strict
    );
    for bad in ["--manage-cgroups=some", "--cgroup-root a", "--cgroup-root cpu:a"] {
        assert_eq!(parse(bad).map(drop).map_err(|e| e.code()), Err("E-USAGE"), "{bad}");
    }
}
