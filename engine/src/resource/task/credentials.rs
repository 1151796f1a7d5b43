//! Credentials of a thread: ids, groups, capabilities, securebits, no_new_privs. credentials(7), capabilities(7).
//!
//! Every thread has its own (the C library only makes them look shared), so each thread sets its own by raw system
//! calls. /proc/TID/status shows all but the securebits, which prctl(2) tells the thread.
//!
//! Not kept: LSM labels and keyrings.

use arch::syscall;

use crate::error::{Blame, Error, Result};
use crate::image::message::CredsEntry;
use crate::kernel::status::Status;
use crate::tracee::{Batch, CallId};

const CAPABILITY_VERSION: u32 = 0x2008_0522;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;

fn halves(caps: u64) -> Vec<u32> {
    vec![caps as u32, (caps >> 32) as u32]
}

fn whole(words: &[u32]) -> u64 {
    words.iter().take(2).enumerate().fold(0, |all, (i, word)| all | u64::from(*word) << (32 * i))
}

/// Adds the call for the securebits of the calling thread.
pub fn ask_securebits(batch: &mut Batch) -> CallId {
    batch.call("prctl PR_GET_SECUREBITS", libc::SYS_prctl, &[libc::PR_GET_SECUREBITS as u64])
}

/// The image of what /proc shows, with the securebits from the thread itself.
pub fn dump(status: &Status, securebits: u32) -> CredsEntry {
    CredsEntry {
        uid: status.uid.real,
        euid: status.uid.effective,
        suid: status.uid.saved,
        fsuid: status.uid.fs,
        gid: status.gid.real,
        egid: status.gid.effective,
        sgid: status.gid.saved,
        fsgid: status.gid.fs,
        cap_inh: halves(status.caps.inheritable),
        cap_prm: halves(status.caps.permitted),
        cap_eff: halves(status.caps.effective),
        cap_bnd: halves(status.caps.bounding),
        cap_amb: halves(status.caps.ambient),
        secbits: securebits,
        groups: status.groups.clone(),
        no_new_privs: Some(u32::from(status.no_new_privs)),
        ..CredsEntry::default()
    }
}

/// Adds the calls by which a thread, now with our own privileges, takes on the recorded ones.
///
/// The order matters: groups and bounding set need privileges that the ids take away; changing the ids would drop
/// capabilities, so that fixups are off meanwhile (SECBIT_NO_SETUID_FIXUP); what is inheritable may be out of the bounding
/// set, but only if it was raised before (cap_capset in security/commoncap.c); ambient capabilities come after the sets that
/// limit them; securebits before the capability to change them goes; no_new_privs last.
pub fn restore(batch: &mut Batch, creds: &CredsEntry, last_cap: u32) {
    let groups: Vec<u8> = creds.groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
    let list = batch.put(&groups);
    batch.call("setgroups", syscall::SETGROUPS, &[creds.groups.len() as u64, list]);
    set_securebits(batch, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS);
    let id = u64::from;
    batch.call("setresgid", syscall::SETRESGID, &[id(creds.gid), id(creds.egid), id(creds.sgid)]);
    batch.call("setfsgid", syscall::SETFSGID, &[id(creds.fsgid)]);
    batch.call("setresuid", syscall::SETRESUID, &[id(creds.uid), id(creds.euid), id(creds.suid)]);
    batch.call("setfsuid", syscall::SETFSUID, &[id(creds.fsuid)]);
    set_capabilities(
        batch,
        creds,
        whole(&creds.cap_eff) | 1 << CAP_SETPCAP,
        whole(&creds.cap_prm) | 1 << CAP_SETPCAP,
    );
    let bounding = whole(&creds.cap_bnd);
    for cap in (0..=last_cap).filter(|cap| bounding & (1 << cap) == 0) {
        let args = [libc::PR_CAPBSET_DROP as u64, cap.into()];
        batch.call(format!("prctl PR_CAPBSET_DROP {cap}"), libc::SYS_prctl, &args);
    }
    let ambient = whole(&creds.cap_amb);
    for cap in (0..=last_cap).filter(|cap| ambient & (1 << cap) != 0) {
        let args = [libc::PR_CAP_AMBIENT as u64, libc::PR_CAP_AMBIENT_RAISE as u64, cap.into()];
        batch.call(format!("prctl PR_CAP_AMBIENT_RAISE {cap}"), libc::SYS_prctl, &args);
    }
    set_securebits(batch, creds.secbits);
    set_capabilities(batch, creds, whole(&creds.cap_eff), whole(&creds.cap_prm));
    if creds.no_new_privs == Some(1) {
        batch.call("prctl PR_SET_NO_NEW_PRIVS", libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as u64, 1]);
    }
}

const CAP_SETPCAP: u32 = 8;

fn set_securebits(batch: &mut Batch, bits: u32) {
    batch.call("prctl PR_SET_SECUREBITS", libc::SYS_prctl, &[libc::PR_SET_SECUREBITS as u64, bits.into()]);
}

fn set_capabilities(batch: &mut Batch, creds: &CredsEntry, effective: u64, permitted: u64) {
    let inheritable = whole(&creds.cap_inh);
    let words = [
        CAPABILITY_VERSION,
        0, // the calling thread
        effective as u32,
        permitted as u32,
        inheritable as u32,
        (effective >> 32) as u32,
        (permitted >> 32) as u32,
        (inheritable >> 32) as u32,
    ];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let header = batch.put(&bytes);
    batch.call("capset", libc::SYS_capset, &[header, header + 8]);
}

/// Fails when the recorded credentials have capabilities that those of `own` lack: capset(2) gives nobody more than it has.
/// Capabilities that this kernel does not know cannot be had at all, and it ignores them.
pub fn check_powers(creds: &CredsEntry, own: &CredsEntry, last_cap: u32) -> Result<()> {
    let known = u64::MAX >> 63_u32.saturating_sub(last_cap);
    let missing = whole(&creds.cap_prm) & known & !whole(&own.cap_prm);
    if missing == 0 {
        return Ok(());
    }
    let numbers: Vec<String> =
        (0..=last_cap).filter(|cap| missing & (1 << cap) != 0).map(|cap| cap.to_string()).collect();
    let reason = format!("it has capabilities that crio itself has not: {}", numbers.join(", "));
    Err(Error::new("E-PERMISSION", Blame::Environment, reason)
        .help("run crio with them: linux/capability.h and capsh --decode have their names"))
}

/// Refuses credentials that could not be meant: shorter capability sets than any kernel writes.
pub fn check(creds: &CredsEntry, file: &str) -> Result<()> {
    let sets = [&creds.cap_inh, &creds.cap_prm, &creds.cap_eff, &creds.cap_bnd];
    match sets.iter().all(|set| set.len() == 2) && creds.groups.len() <= 65536 {
        true => Ok(()),
        false => Err(Error::image(file, "capability sets are not of two words, or too many groups")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_that_nobody_can_give_are_named() {
        let with = |prm: u64| CredsEntry { cap_prm: halves(prm), ..CredsEntry::default() };
        assert!(check_powers(&with(1 << 24), &with(1 << 24 | 1), 40).is_ok());
        let error = check_powers(&with(1 << 24 | 1 << 40 | 1), &with(1), 40).unwrap_err();
        assert!(error.headline().ends_with("crio itself has not: 24, 40"), "{}", error.headline());
        assert!(check_powers(&with(1 << 41), &with(1), 40).is_ok(), "this kernel has no 41");
        assert!(check_powers(&with(1 << 63), &with(1), 63).is_err());
    }

    #[test]
    fn capability_words_are_low_first() {
        assert_eq!(halves(0x1_0000_0002), [2, 1]);
        assert_eq!(whole(&[2, 1]), 0x1_0000_0002);
    }
}
