//! The C tests: their runner, told to restore with the other engine.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::report::{Outcome, Report};
use super::{Direction, Engines};
use crate::workspace;

/// A line of the runner's output in JSON: libtest's format.
#[derive(Deserialize)]
struct Event {
    r#type: String,
    event: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    stdout: String,
}

/// Runs the tests that match `filter` in one direction.
pub(crate) fn run(
    engines: &Engines,
    direction: Direction,
    filter: &[String],
    report: &mut Report,
) -> Result<()> {
    let mut runner = runner(engines, direction, filter)?;
    let mut child =
        runner.stdout(Stdio::piped()).spawn().context("cannot start the runner of the C tests")?;
    let output = child.stdout.take().context("the runner has no output")?;
    let mut complete = false;
    for line in BufReader::new(output).lines() {
        let event: Event = match serde_json::from_str(&line?) {
            Ok(event) => event,
            // The runner's programs may say something, too.
            Err(_) => continue,
        };
        complete |= event.r#type == "suite" && event.event != "started";
        if let Some(outcome) = outcome(&event) {
            report.add(&event.name, direction, outcome);
        }
    }
    let status = child.wait().context("cannot wait for the runner")?;
    // It fails when a test fails; the tests were counted above.
    if !complete {
        bail!("{} ended with {status}, before its tests did", workspace::show(&runner));
    }
    Ok(())
}

fn runner(engines: &Engines, direction: Direction, filter: &[String]) -> Result<Command> {
    let xtask = std::env::current_exe().context("cannot find the path of this program")?;
    let mut runner = Command::new(&xtask);
    runner.current_dir(workspace::root()).stdin(Stdio::null());
    // The decoder takes its time for a tree of 200 tasks.
    if std::env::var_os("ZDTM_TIMEOUT_SCALE").is_none() {
        runner.env("ZDTM_TIMEOUT_SCALE", "4");
    }
    runner.args(["zdtm", "--format", "json", "--engine"]).arg(engines.dumper(direction));
    runner.arg("--restore-engine").arg(engines.restorer(direction));
    let inspect = ["interop".as_ref(), "--engine".as_ref(), engines.ours.as_os_str(), "--inspect".as_ref()];
    for word in std::iter::once(xtask.as_os_str()).chain(inspect) {
        runner.arg("--inspect").arg(word);
    }
    runner.args(filter);
    Ok(runner)
}

fn outcome(event: &Event) -> Option<Outcome> {
    match (event.r#type.as_str(), event.event.as_str()) {
        ("test", "ok") => Some(Outcome::Passed),
        ("test", "failed") => Some(Outcome::Failed(event.stdout.clone())),
        ("test", "ignored") => Some(Outcome::Ignored),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_libtest_are_understood() {
        let outcome = |line| outcome(&serde_json::from_str(line).unwrap());
        assert_eq!(outcome(r#"{ "type": "suite", "event": "started", "test_count": 2 }"#), None);
        assert_eq!(outcome(r#"{ "type": "test", "event": "started", "name": "task/tls" }"#), None);
        assert_eq!(
            outcome(r#"{ "type": "test", "name": "task/tls", "event": "ok" }"#),
            Some(Outcome::Passed)
        );
        let failed =
            r#"{ "type": "test", "name": "task/tls", "event": "failed", "stdout": "Error: \"why\"\n" }"#;
        assert_eq!(outcome(failed), Some(Outcome::Failed("Error: \"why\"\n".to_owned())));
    }
}
