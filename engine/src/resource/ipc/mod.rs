//! System V IPC: objects that have a number and perhaps a key, belong to no process, and outlive all of them. sysvipc(7).
//!
//! They are kept as files are. One that is still there when the tree is restored is taken as it is then, contents
//! included: it belongs to others as well. One that is gone (another boot, another machine, or the tree was the last to
//! use it) is made anew from the image, with its number. A number or key that somebody else has by then is an error.
//! Whether it is the same object is told by its number, key, size and creator ([`Perm`](crate::sys::ipc::Perm)).
//!
//! | file | what it has |
//! |---|---|
//! | `shm` | shared memory segments |
//!
//! Here stands what they have in common: the number of the next object (`kernel.*_next_id`, ipc/util.c), and a creator
//! that is not us.

pub mod shm;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::IpcDescEntry;
use crate::sys::ipc::Perm;
use crate::sys::process;

/// The nine bits that IPC_SET can set.
const PERMISSIONS: u32 = 0o777;
/// Permissions of an object that a restore has not completed. They let nobody in: the kernel ignores the bits for
/// execution. What a killed restore has left behind shows by them.
const UNFINISHED: u32 = 0o111;

/// How often somebody else may be faster.
const ATTEMPTS: usize = 20;

/// A kind of object.
#[derive(Debug, Clone, Copy)]
struct Noun {
    /// For messages.
    name: &'static str,
    /// The file in /proc/sys/kernel that sets the number of the next one.
    next_id: &'static str,
    /// The option of ipcrm(1).
    option: &'static str,
}

impl Noun {
    fn object(&self, id: u32) -> String {
        format!("{} {id}", self.name)
    }

    /// Somebody else's object stands where one of the image was.
    fn taken(&self, id: u32, reason: String) -> Error {
        Error::new("E-IPC-TAKEN", Blame::Environment, reason).on(self.object(id)).help(format!(
            "remove what is in the way if nobody needs it (ipcrm {} ID), or restore in a new namespace (unshare --ipc)",
            self.option
        ))
    }

    /// Runs `create`, which makes one object, until it gets its number. Whether it was made by whom it should. The next
    /// number is the whole namespace's: somebody else may have taken it, and is not undone by `remove`, as what we get then.
    fn create(
        &self,
        desc: &IpcDescEntry,
        by: Creator,
        create: impl Fn() -> io::Result<i32>,
        remove: fn(i32) -> io::Result<()>,
    ) -> Result<bool> {
        let path = format!("/proc/sys/kernel/{}", self.next_id);
        let setting = File::options().write(true).open(&path).os(|| format!("open {path}"))?;
        // Other restores wait here.
        let setting = Flock::lock(setting, FlockArg::LockExclusive)
            .map_err(|(_, e)| Error::os(format!("flock {path}"), e))?;
        let set =
            |value: &str| setting.write_all_at(value.as_bytes(), 0).os(|| format!("write {value} to {path}"));
        let mut got = -1;
        for _ in 0..ATTEMPTS {
            set(&desc.id.to_string())?;
            let made = by.run((desc.cuid, desc.cgid), &create);
            let made = made.os(|| format!("create {}", self.object(desc.id)));
            // What was not used must not be what somebody else gets.
            let (id, kept) = made.or_else(|e| set("-1").and(Err(e)))?;
            if id as u32 == desc.id {
                return Ok(kept);
            }
            remove(id).os(|| format!("remove {}", self.object(id as u32)))?;
            got = id;
        }
        Err(self.taken(desc.id, format!("cannot have its number: what is free is {got}")))
    }
}

/// Who makes an object.
#[derive(Debug, Clone, Copy)]
enum Creator {
    /// We do.
    Ourselves,
    /// A process of its own, with this pid if there is one and it is free.
    Process(Option<i32>),
}

impl Creator {
    /// Has it create an object as these users. The second is whether the pid is that which was asked for.
    fn run(self, users: (u32, u32), create: impl Fn() -> io::Result<i32>) -> io::Result<(i32, bool)> {
        let Creator::Process(pid) = self else { return create().map(|id| (id, false)) };
        let answer = || match create() {
            Ok(id) => [id, 0].map(i32::to_ne_bytes).concat(),
            Err(e) => [-1, e.raw_os_error().unwrap_or(libc::EIO)].map(i32::to_ne_bytes).concat(),
        };
        // It may be somebody's, or the kernel too old to give it.
        let as_asked = pid.and_then(|pid| process::as_other(Some(pid), users, answer).ok());
        let kept = as_asked.is_some();
        let told = as_asked.map_or_else(|| process::as_other(None, users, answer), Ok)?;
        match told.as_deref().map(<[u8]>::as_chunks::<4>) {
            Some(([id, errno], [])) => match i32::from_ne_bytes(*errno) {
                0 => Ok((i32::from_ne_bytes(*id), kept)),
                errno => Err(io::Error::from_raw_os_error(errno)),
            },
            // It could not change its users.
            _ => Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
    }
}

fn desc_of(id: u32, perm: &Perm) -> IpcDescEntry {
    let Perm { key, uid, gid, cuid, cgid, mode } = *perm;
    IpcDescEntry { key, uid, gid, cuid, cgid, mode, id }
}
