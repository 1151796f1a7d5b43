//! The end of a dump: a directory becomes an image, and the tree meets its fate.
//!
//! At no moment there are both, an image and a tree that runs on (but where that is what was asked for), nor a part of
//! the tree. From the inventory on the worker survives the process that was called, and takes the inventory back if that
//! one has died before the decision. After the decision it goes through with the end: the network lock becomes one that
//! stays, which can fail and is undone then; threads forget what their death would write; and all tasks are killed before
//! any is waited for.
//!
//! Not covered: a SIGKILL for the worker itself between these steps. `crio clean` tells what that has left.

use super::{fate, write_inventory};
use crate::error::Result;
use crate::fault;
use crate::hooks::{Hooks, Point};
use crate::image::journal::Note;
use crate::image::{ImageDir, Kind};
use crate::log_warn;
use crate::options::DumpOptions;
use crate::resource::file::DumpedFiles;
use crate::resource::task::death::{self, Death};
use crate::tracee::{Fate, Frozen};
use crate::worker::Worker;

/// Completes the image and ends the dump, or undoes both.
pub(super) fn end(
    (frozen, deaths): (Frozen, &[Death]),
    images: &ImageDir,
    files: DumpedFiles,
    options: &DumpOptions,
    (hooks, worker): (&Hooks<'_>, &Worker),
) -> Result<()> {
    fault::point("before-inventory")?;
    // What is declared later is undone first.
    let mut hold = worker.hold()?;
    let DumpedFiles { links, mut connections, .. } = files;
    images.note(&Note::Inventory)?;
    let image = Image::complete(images, connections.run(), options)?;
    fault::point("inventory-written")?;
    hooks.run(Point::PostDump, Some(options.tree))?;
    fault::point("before-end")?;
    hold.decide()?;
    images.note(&Note::Decided)?;
    fault::point("end-decided")?;
    let ends = fate(options) == Fate::Kill;
    if ends {
        connections.prepare_end()?;
    }
    fault::point("network-locked")?;
    image.keep();
    links.keep();
    if ends {
        death::forestall(&frozen, deaths);
    }
    let released = frozen.release(fate(options));
    fault::late_point("tree-released");
    match ends {
        true => connections.ended(),
        false => drop(connections),
    }
    released
}

/// A directory with its inventory. Dropped, it is no image any more: what it holds must not be restored beside a tree
/// that runs on.
struct Image<'a>(Option<&'a ImageDir>);

impl<'a> Image<'a> {
    /// `run` is the name of the network lock.
    fn complete(images: &'a ImageDir, run: Option<&str>, options: &DumpOptions) -> Result<Self> {
        write_inventory(images, run, options).map(|()| Image(Some(images)))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(|images| images.remove(&Kind::Inventory.file_name())) {
            log_warn!("{error}");
        }
    }
}
