//! Tests that are dumped in one guest and restored in another: an archive of what the first one leaves is a disk of both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use ::zdtm::Test;
use ::zdtm::moved::{self, FOLDER};
use ::zdtm::protocol::{Engines, Outcome};
use anyhow::{Context, Result, bail};
use vm::matrix::{Kernel, Matrix};
use vm::pool::Pool;
use vm::qemu::Disk;

use super::guests::{Hardware, Stock, expected, outcome};
use super::{Options, RUNNER_OF_GUESTS};

/// Room for an archive. The file is sparse.
const ROOM: u64 = 512 << 20;

/// How each test's dump ended, and why it did not succeed.
pub(crate) type Departures = BTreeMap<String, Result<(Outcome, String)>>;

/// Dumps the tests on this kernel, one after the other, into a new archive of those that succeeded.
///
/// # Errors
/// When no guest can be asked.
pub(crate) fn depart(
    (stock, matrix, kernel): (&Stock<'_>, &Matrix, &Kernel),
    options: &Options,
    (tests, is_emulated): (&[Test], bool),
    archive: &Path,
) -> Result<Departures> {
    let file = File::create(archive).with_context(|| format!("cannot create {}", archive.display()))?;
    file.set_len(ROOM)?;
    let mut options = options.clone();
    options.tests.depart = true;
    let disk = Disk { file: archive.to_owned(), is_writable: true };
    let pool = stock.pool(matrix, kernel, &options, Hardware { disks: vec![disk], is_emulated })?;
    let on = (stock.machine, kernel);
    let ended: Departures = tests.iter().map(|test| (test.name(), outcome(test, &pool, on))).collect();
    let line = format!("mkdir -p {FOLDER} && cd {FOLDER} && tar cf /dev/vdb $(ls) && sync");
    let (is_written, output, _) = pool.execute(&["/bin/sh", "-c", &line])?;
    if !is_written {
        bail!("the archive cannot be written: {output}");
    }
    Ok(ended)
}

/// Restores a test in a guest whose further disks are archives: it is in that of this number. `refused` is the code of the
/// error with which the guest's kernel has to be named as the reason why that cannot be.
///
/// # Errors
/// Why it failed.
pub(crate) fn arrive(
    test: &Test,
    pool: &Pool,
    disk: u8,
    (lacks, refused): (&[String], Option<&str>),
) -> Result<(Outcome, String)> {
    let device = format!("/dev/vd{}", char::from(b'b' + disk));
    let runner = [OsString::from(RUNNER_OF_GUESTS)];
    let words = moved::command(&runner, Path::new(&device), &test.program, Path::new(Engines::OURS));
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let mut words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    words.extend(refused.iter().flat_map(|code| ["--refused", code]));
    let (_, output, _) = pool.execute(&words)?;
    expected(moved::outcome(&output)?, lacks)
}
