//! The four programs that people try first, and the counter once more on a terminal.
//!
//! Counters and shells print numbers, one a line, and none may be missing or come twice over dump and restore. The
//! other two write `READY PID` to a file, and say there on SIGTERM whether all is as it was.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::pty::openpty;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::process::{self, signal, wait_for};
use super::report::{Outcome, Report};
use super::{Direction, Engines, images};
use crate::workspace;

/// A program, and how one sees that it is whole.
struct Program {
    name: &'static str,
    command: &'static [&'static str],
    witness: Witness,
}

enum Witness {
    /// It prints numbers to a file.
    Numbers,
    /// It prints numbers to a terminal, as a job of a shell.
    NumbersOnTerminal,
    /// It judges itself, in the file that is its first argument.
    Itself,
}

const PROGRAMS: [Program; 5] = [
    Program { name: "program/counter", command: &["{}/counter", "20"], witness: Witness::Numbers },
    Program {
        name: "program/counter_on_terminal",
        command: &["{}/counter", "20"],
        witness: Witness::NumbersOnTerminal,
    },
    Program { name: "program/shell", command: &["bash", "{}/test.sh", "0.02"], witness: Witness::Numbers },
    Program {
        name: "program/workload",
        command: &["python3", "{}/workload.py", "{}/result"],
        witness: Witness::Itself,
    },
    Program { name: "program/tree", command: &["{}/tree", "{}/result"], witness: Witness::Itself },
];

/// Lines that are waited for before the dump, and after the restore.
const LINES: usize = 5;

/// Runs the programs that match `filter` in one direction.
pub(crate) fn run(
    engines: &Engines,
    direction: Direction,
    filter: &[String],
    report: &mut Report,
) -> Result<()> {
    set_child_subreaper(true).context("cannot become the parent of orphans")?;
    for program in &PROGRAMS {
        if filter.is_empty() || filter.iter().any(|part| program.name.contains(part.as_str())) {
            let outcome = match one(program, engines, direction) {
                Ok(()) => Outcome::Passed,
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            process::end_children()?;
            report.add(program.name, direction, outcome);
        }
    }
    Ok(())
}

fn one(program: &Program, engines: &Engines, direction: Direction) -> Result<()> {
    let case = Case::new(program, engines, direction)?;
    match program.witness {
        Witness::Numbers => case.numbers(),
        Witness::NumbersOnTerminal => case.terminal(),
        Witness::Itself => case.itself(),
    }
}

struct Case<'a> {
    program: &'a Program,
    engines: &'a Engines,
    direction: Direction,
    folder: TempDir,
}

impl<'a> Case<'a> {
    /// A folder with the program in it.
    fn new(program: &'a Program, engines: &'a Engines, direction: Direction) -> Result<Self> {
        let folder = TempDir::with_prefix("crio-interop-").context("cannot make a folder for a program")?;
        let sources = workspace::root().join("engine/tests/programs");
        for script in ["test.sh", "workload.py"] {
            fs::copy(sources.join(script), folder.path().join(script)).context(script)?;
        }
        for name in ["counter", "tree"] {
            let mut cc = Command::new("cc");
            cc.args(["-O2", "-pthread", "-o"]).arg(folder.path().join(name));
            workspace::run(cc.arg(sources.join(format!("{name}.c"))).stdin(Stdio::null()))?;
        }
        fs::create_dir(folder.path().join("images")).context("images")?;
        Ok(Case { program, engines, direction, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn words(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        self.program.command.iter().map(|word| word.replace("{}", &folder)).collect()
    }

    /// Starts the program as the leader of a session, its output in a file: setsid(1) becomes the program.
    fn start(&self) -> Result<i32> {
        let output = File::create(self.path("output")).context("output")?;
        let mut command = Command::new("setsid");
        command.args(self.words()).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| workspace::show(&command))?;
        Ok(child.id().cast_signed())
    }

    fn numbers(&self) -> Result<()> {
        let pid = self.start()?;
        let output = self.path("output");
        wait_for("numbers", || Ok(fs::read_to_string(&output)?.lines().count() >= LINES))?;
        self.dump(pid, &[])?;
        process::wait_childless()?;
        let before = consecutive(&fs::read_to_string(&output)?)?;
        self.restore(&[])?;
        wait_for("numbers after the restore", || {
            Ok(consecutive(&fs::read_to_string(&output)?)? >= before + LINES)
        })
    }

    fn itself(&self) -> Result<()> {
        let pid = self.start()?;
        let result = self.path("result");
        let lines = || fs::read_to_string(&result).unwrap_or_default();
        wait_for("READY", || Ok(lines().starts_with("READY ")))?;
        self.dump(pid, &[])?;
        process::wait_childless()?;
        self.restore(&[])?;
        signal(pid, Signal::SIGTERM)?;
        wait_for("a verdict", || Ok(lines().lines().any(|line| line == "PASS" || line.starts_with("FAIL"))))?;
        match lines().lines().find(|line| line.starts_with("FAIL")) {
            Some(line) => bail!("the program says {line}"),
            None => Ok(()),
        }
    }

    /// A shell on a terminal starts the program as its job, and, when told, the restore in the same place.
    fn terminal(&self) -> Result<()> {
        const SHELL: &str = r#"
            job=$1; shift
            "$job" 20 & echo $! >pid.new; mv pid.new pid; wait
            while [ ! -e go ]; do sleep 0.02; done
            "$@" </dev/tty && touch restored || touch failed
            sleep 600"#;
        let pair = openpty(None, None).context("openpty")?;
        let mut shell = Command::new("setsid");
        shell.args(["--ctty", "sh", "-c", SHELL, "sh"]).arg(self.path("counter"));
        shell.arg(self.engines.restorer(self.direction)).args(self.arguments("restore")).args(["-d", "-j"]);
        shell.current_dir(&self.folder).stdin(Stdio::from(pair.slave.try_clone()?));
        shell.stdout(Stdio::from(pair.slave.try_clone()?)).stderr(Stdio::from(pair.slave));
        shell.spawn().context("cannot start a shell")?;
        let output = self.path("output");
        copy_to(pair.master, File::create(&output)?);
        wait_for("numbers", || Ok(fs::read_to_string(&output)?.lines().count() >= LINES))?;
        let pid = fs::read_to_string(self.path("pid"))?.trim().parse()?;
        self.dump(pid, &["-j"])?;
        wait_for("the end of the job", || Ok(!Path::new(&format!("/proc/{pid}")).exists()))?;
        // The shell says that its job was killed; what counts begins behind that.
        let told = fs::read_to_string(&output)?;
        let next = told.lines().filter(|line| line.parse::<usize>().is_ok()).count();
        File::create(self.path("go")).context("go")?;
        wait_for("the restore", || Ok(self.path("restored").exists() || self.path("failed").exists()))?;
        if self.path("failed").exists() {
            bail!("restore: {}", self.log("restore"));
        }
        wait_for("numbers after the restore", || {
            let text = fs::read_to_string(&output)?;
            let numbers: Vec<&str> = text.lines().filter(|line| line.parse::<usize>().is_ok()).collect();
            Ok(consecutive(&(numbers.join("\n") + "\n"))? >= next + LINES)
        })
    }

    fn dump(&self, pid: i32, options: &[&str]) -> Result<()> {
        let mut command = Command::new(self.engines.dumper(self.direction));
        command.args(self.arguments("dump")).arg("-t").arg(pid.to_string()).args(options);
        self.drive(&mut command, "dump")?;
        images::inspect(&self.engines.ours, &self.path("images"))
    }

    fn restore(&self, options: &[&str]) -> Result<()> {
        let mut command = Command::new(self.engines.restorer(self.direction));
        command.args(self.arguments("restore")).arg("-d").args(options);
        self.drive(&mut command, "restore")
    }

    fn arguments(&self, verb: &str) -> Vec<String> {
        let images = self.path("images").display().to_string();
        let log = format!("{verb}.log");
        [verb, "--no-default-config", "-v4", "-D", &images, "-o", &log].map(str::to_owned).to_vec()
    }

    fn drive(&self, command: &mut Command, step: &str) -> Result<()> {
        let output = File::create(self.path("engine.output")).context("engine.output")?;
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let status = process::run(command).with_context(|| step.to_owned())?;
        if !status.success() {
            bail!("{step} ended with {status}\n{}", self.log(step));
        }
        Ok(())
    }

    /// What the log of a step says about errors.
    fn log(&self, step: &str) -> String {
        let bytes = fs::read(self.path("images").join(format!("{step}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().filter(|line| line.contains("Error")).collect::<Vec<_>>().join("\n")
    }
}

/// How many numbers there are, which must be 0, 1, 2, ... A last line that is not whole yet does not count.
fn consecutive(text: &str) -> Result<usize> {
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for (wanted, line) in whole.lines().enumerate() {
        if line.parse() != Ok(wanted) {
            bail!("line {wanted} is {line:?}");
        }
    }
    Ok(whole.lines().count())
}

/// Copies what is printed to a terminal, until nobody has it open any more.
fn copy_to(master: OwnedFd, mut output: File) {
    std::thread::spawn(move || {
        let mut master = File::from(master);
        // EIO at the end: the slave was closed.
        let _ = std::io::copy(&mut master, &mut output);
        let _ = output.flush();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_or_a_repetition_is_seen() {
        assert_eq!(consecutive("0\n1\n2").unwrap(), 2);
        assert!(consecutive("0\n2\n").is_err());
        assert!(consecutive("0\n0\n").is_err());
        assert_eq!(consecutive("").unwrap(), 0);
    }
}
