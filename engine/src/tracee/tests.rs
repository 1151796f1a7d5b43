//! A borrowed process must not notice: registers, mask, memory and mappings are compared before and after.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::kernel::{ProcDir, smaps, status};
use crate::sys::ptrace::{self, Rseq};

struct Victim(Child);

impl Victim {
    fn start(program: &str, args: &[&str]) -> Self {
        let child =
            Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        Victim(child)
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    fn proc(&self) -> ProcDir {
        ProcDir::open(self.pid()).unwrap()
    }

    fn maps(&self) -> Vec<smaps::Vma> {
        smaps::read_maps(&self.proc()).unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn freeze(victim: &Victim) -> Frozen {
    Frozen::seize(victim.pid(), Duration::from_secs(5), None).unwrap()
}

#[test]
fn calls_run_in_the_victim_and_leave_no_trace() {
    let victim = Victim::start("sleep", &["100"]);
    let (maps, blocked) = (victim.maps(), status::read(&victim.proc()).unwrap().signals.blocked);
    let frozen = freeze(&victim);
    let site = Site::find(&victim.proc()).unwrap();
    let before = super::departure::registers(victim.pid()).unwrap();
    let mut loan = Loan::take(site.clone(), victim.pid()).unwrap();
    let mut batch = loan.batch();
    let getpid = batch.call("getpid", libc::SYS_getpid, &[]);
    let cwd = batch.reserve(64);
    batch.call("getcwd", libc::SYS_getcwd, &[cwd, 64]);
    let bad = batch.call("close 999", libc::SYS_close, &[999]);
    loan.run(&mut batch).unwrap();
    assert_eq!(batch.expect(getpid).unwrap(), victim.pid() as u64);
    assert!(batch.bytes::<64>(cwd).starts_with(b"/"));
    assert_eq!(batch.ret(bad).unwrap_err().raw_os_error(), Some(libc::EBADF));
    loan.end().unwrap();
    assert_eq!(super::departure::registers(victim.pid()).unwrap(), before);
    frozen.release(Fate::Resume).unwrap();
    assert_eq!(victim.maps(), maps);
    assert_eq!(status::read(&victim.proc()).unwrap().signals.blocked, blocked);
}

#[test]
fn the_area_for_restartable_sequences_is_found_where_the_kernel_does_not_tell_it() {
    let victim = Victim::start("sleep", &["100"]);
    let _frozen = freeze(&victim);
    let told = ptrace::rseq(victim.pid()).unwrap();
    assert_ne!(told.address, 0, "the C library has registered one");
    let mut loan = Loan::take(Site::find(&victim.proc()).unwrap(), victim.pid()).unwrap();
    assert_eq!(super::rseq::find(&mut loan).unwrap(), told);
    let call = |loan: &mut Loan, address, flags| {
        let args = [address, told.size.into(), flags, told.signature.into(), 0, 0];
        loan.run_one(libc::SYS_rseq as u64, args).unwrap()
    };
    assert_eq!(call(&mut loan, told.address, 1), 0, "it is taken back");
    assert_eq!(super::rseq::find(&mut loan).unwrap(), Rseq::default());
    let elsewhere = loan.area().start + loan.area().len / 2;
    assert_eq!(call(&mut loan, elsewhere, 0), 0);
    assert_eq!(super::rseq::find(&mut loan).unwrap_err().code(), "E-RSEQ");
    assert_eq!(call(&mut loan, elsewhere, 1), 0, "before it goes with the area");
}

#[test]
fn without_a_wake_signal_system_calls_are_watched() {
    let victim = Victim::start("sleep", &["100"]);
    let frozen = freeze(&victim);
    let site = Site { quiet: Vec::new(), ..Site::find(&victim.proc()).unwrap() };
    let mut loan = Loan::take(site.clone(), victim.pid()).unwrap();
    let mut batch = loan.batch();
    let ids: Vec<_> = (0..50).map(|_| batch.call("getpid", libc::SYS_getpid, &[])).collect();
    loan.run(&mut batch).unwrap();
    assert!(ids.into_iter().all(|id| batch.ret(id).unwrap() == victim.pid() as u64));
    drop(loan);
    drop(frozen);
    assert!(victim.maps().iter().all(|vma| vma.start != site.area.start));
}

#[test]
fn a_sleep_ends_at_its_time_although_it_was_borrowed() {
    let started = std::time::Instant::now();
    let mut victim = Victim::start("sleep", &["1"]);
    for _ in 0..3 {
        let frozen = freeze(&victim);
        drop(Loan::take(Site::find(&victim.proc()).unwrap(), victim.pid()).unwrap());
        drop(frozen);
    }
    assert!(victim.0.wait().unwrap().success());
    let took = started.elapsed();
    assert!(took > Duration::from_millis(990) && took < Duration::from_millis(1900), "{took:?}");
}

#[test]
fn a_stopped_process_is_borrowed_and_stays_stopped() {
    let victim = Victim::start("sleep", &["100"]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim.pid()), nix::sys::signal::SIGSTOP).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let frozen = freeze(&victim);
    assert_eq!(frozen.tasks()[0].stopped_by, Some(libc::SIGSTOP));
    let site = Site::find(&victim.proc()).unwrap();
    for site in [site.clone(), Site { quiet: Vec::new(), ..site }] {
        let mut loan = Loan::take(site, victim.pid()).unwrap();
        assert_eq!(loan.run_one(libc::SYS_getpid as u64, [0; 6]).unwrap(), i64::from(victim.pid()));
        assert_eq!(loan.stopped_by().unwrap(), Some(libc::SIGSTOP));
        loan.end().unwrap();
    }
    drop(frozen);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(status::read(&victim.proc()).unwrap().state, crate::kernel::stat::State::Stopped);
}
