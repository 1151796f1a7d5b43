//! CRIU's on-disk format, version 1.1: what is read and written here, CRIU and crit read and write as well.
//!
//! | module | what it is |
//! |---|---|
//! | [`mod@format`] | the table of image kinds: names, magics, layouts |
//! | [`message`] | the messages, by family |
//! | [`payload`] | what follows a message in its image |
//! | [`directory`] | a directory of images: open, create, write atomically |
//! | [`journal`] | what a dump has made so far, for whoever cleans up if it is killed |
//! | [`reader`], [`writer`] | one image, entry by entry |
//! | [`pages`] | pagemaps and pages images |
//! | [`show`], [`mod@diff`], [`verify`] | images for people, in what they differ, and whether they are whole |
//! | [`json`], [`codec`], [`style`] | images as crit's JSON, and back |

pub mod codec;
pub mod diff;
pub mod directory;
pub mod format;
pub mod journal;
pub mod json;
pub mod message;
pub mod pages;
pub mod payload;
pub mod reader;
pub mod show;
pub mod style;
pub mod verify;
pub mod writer;

pub use directory::ImageDir;
pub use format::Kind;
pub use pages::{PageReader, PageWriter};
pub use payload::{Entry, Payload};
pub use reader::EntryReader;
pub use writer::EntryWriter;

#[cfg(test)]
mod tests;
