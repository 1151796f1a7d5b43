//! The archive from which a kernel makes its first root: cpio's "newc" format, as
//! Documentation/driver-api/early-userspace/buffer-format.rst describes it. Uncompressed: an emulated processor would
//! need longer to unpack it than QEMU needs to load it.

/// Numbers are eight hexadecimal digits; names and contents are padded to a multiple of this.
const ALIGNMENT: usize = 4;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CONSOLE: u32 = 0o020_600;

/// An archive that is being written.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A folder; the one that it is in must have been added before.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    /// A file that everybody may read and execute.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// `/dev/console`, which the kernel opens as init's standard streams.
    pub fn console(&mut self) {
        self.folder("dev");
        self.entry("dev/console", CONSOLE, (5, 1), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_length = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        // Inode, mode, uid, gid, links, time, length, device of the file, device that it is, name's length, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name_length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_110_bytes_and_the_content_is_aligned() {
        let mut archive = Archive::default();
        archive.file("init", b"12345");
        let bytes = archive.finish();
        assert_eq!(bytes.get(..6), Some(b"070701".as_slice()));
        assert_eq!(bytes.get(110..115), Some(b"init\0".as_slice()));
        assert_eq!(bytes.get(116..124), Some(b"12345\0\0\0".as_slice()));
        assert_eq!(bytes.len() % ALIGNMENT, 0);
    }
}
