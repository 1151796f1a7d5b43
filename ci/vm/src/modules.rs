//! Which files of a kernel's modules a guest takes, and the order in which they can be loaded.
//!
//! `modules.dep` (depmod(8)) has one line per file: its path, a colon, and the files that it needs, those to be loaded
//! last first. `modules.builtin` lists what the kernel has in itself. A module is known by its file's name without
//! suffixes, in which `-` and `_` are the same.

use anyhow::{Result, bail};

/// The files that describe a kernel's modules.
#[derive(Debug, Default)]
pub struct Lists {
    /// `modules.dep`
    pub dep: String,
    /// `modules.builtin`
    pub builtin: String,
    /// `modules.softdep`: what a module asks for while it runs; it may do without.
    pub softdep: String,
    /// `modules.alias`
    pub alias: String,
}

impl Lists {
    /// The paths of the files that loading `names` takes, in the order of loading; nothing for what is built in.
    ///
    /// # Errors
    /// When a module is neither a file nor built in.
    pub fn in_order(&self, names: &[String]) -> Result<Vec<String>> {
        let mut files: Vec<String> = Vec::new();
        for name in names {
            for wish in self.wishes(name) {
                // A wish may be built in, or not be there.
                if let Some(path) = self.file_of(&wish) {
                    self.add(&path, &mut files);
                }
            }
            if let Some(path) = self.file_of(name) {
                self.add(&path, &mut files);
            } else if !self.builtin.lines().any(|path| module_of(path) == normal(name)) {
                bail!("the kernel has no module {name}, and not in itself either");
            }
        }
        Ok(files)
    }

    fn add(&self, path: &str, files: &mut Vec<String>) {
        let line = self.dep.lines().find_map(|line| line.strip_prefix(path)?.strip_prefix(':'));
        for file in line.unwrap_or_default().split_whitespace().rev().chain([path]) {
            if !files.iter().any(|there| there == file) {
                files.push(file.to_owned());
            }
        }
    }

    fn file_of(&self, name: &str) -> Option<String> {
        let name = normal(name);
        let mut paths = self.dep.lines().filter_map(|line| line.split(':').next());
        paths.find(|path| module_of(path) == name).map(str::to_owned)
    }

    /// What `softdep NAME pre: ...` lists, without aliases.
    fn wishes(&self, name: &str) -> Vec<String> {
        let mut wishes = Vec::new();
        for line in self.softdep.lines() {
            let mut words = line.split_whitespace().skip(1);
            if words.next().map(normal) == Some(normal(name)) {
                let before = words.skip_while(|word| *word != "pre:").skip(1);
                wishes
                    .extend(before.take_while(|word| *word != "post:").flat_map(|word| self.meant_by(word)));
            }
        }
        wishes
    }

    fn meant_by<'a>(&'a self, word: &'a str) -> Vec<String> {
        let alias = format!("alias {word} ");
        let aliased = self.alias.lines().filter_map(|line| line.strip_prefix(&alias));
        aliased.chain([word]).map(|name| name.trim().to_owned()).collect()
    }
}

/// `kernel/drivers/virtio/virtio-pci.ko.xz` is `virtio_pci`.
fn module_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

fn normal(name: &str) -> String {
    name.trim().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz\n\
                       kernel/fs/jbd2/jbd2.ko.xz:\nkernel/lib/crc16.ko.xz:\nkernel/fs/mbcache.ko.xz:\n\
                       kernel/drivers/virtio/virtio-pci.ko: kernel/drivers/virtio/virtio.ko\n\
                       kernel/drivers/virtio/virtio.ko:\nkernel/crypto/crc32c_generic.ko.xz:\n";

    fn order(names: &[&str], builtin: &str) -> Result<Vec<String>> {
        let lists = Lists {
            dep: DEP.to_owned(),
            builtin: builtin.to_owned(),
            softdep: "softdep ext4 pre: crc32c nothing post: jbd2\n".to_owned(),
            alias: "alias crc32c crc32c_generic\nalias crc32c-x other\n".to_owned(),
        };
        lists.in_order(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_a_module_needs_and_wishes_goes_before_it() {
        let files = order(&["ext4"], "").unwrap();
        let expected = ["crypto/crc32c_generic", "fs/jbd2/jbd2", "fs/mbcache", "lib/crc16", "fs/ext4/ext4"];
        assert_eq!(files, expected.map(|file| format!("kernel/{file}.ko.xz")));
    }

    #[test]
    fn nothing_is_loaded_twice() {
        let files = order(&["virtio", "virtio_pci"], "").unwrap();
        assert_eq!(files, ["kernel/drivers/virtio/virtio.ko", "kernel/drivers/virtio/virtio-pci.ko"]);
    }

    #[test]
    fn what_is_built_in_is_no_file() {
        assert!(order(&["virtio_ring"], "kernel/drivers/virtio/virtio_ring.ko\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_nowhere_is_an_error() {
        assert!(order(&["nowhere"], "").unwrap_err().to_string().contains("no module nowhere"));
    }
}
