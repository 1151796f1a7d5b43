//! Files that are not as they were when the program comes back: refused with the reason, or brought along in the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::running::{crio, source};
use crate::self_verifying::Program;

/// The files of `files.c` in a directory of their own, as they are at the dump.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Files(TempDir::new().unwrap());
        files.put_back();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Program or library with another table, but of the same size.
    fn compile(&self, name: &str, answer: i32) {
        let kind: &[&str] = if name == "library" { &["-DLIBRARY", "-shared", "-fPIC"] } else { &[] };
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wl,--build-id=sha1", &format!("-DANSWER={answer}")]).args(kind);
        // A file of its own: one that is executed cannot be written to.
        let new = self.path("new");
        assert!(cc.arg("-o").arg(&new).arg(source("files.c")).arg("-ldl").status().unwrap().success());
        fs::rename(&new, self.path(name)).unwrap();
    }

    /// All of them as they were.
    fn put_back(&self) {
        self.compile("program", 1);
        self.compile("library", 1);
        self.write("data", "as it was");
    }

    fn write(&self, name: &str, text: &str) {
        let _ = fs::remove_file(self.path(name));
        fs::write(self.path(name), text).unwrap();
    }

    fn remove_all(&self) {
        ["program", "library", "data"].iter().for_each(|name| fs::remove_file(self.path(name)).unwrap());
    }

    fn grow(&self, name: &str) {
        let file = fs::OpenOptions::new().write(true).open(self.path(name)).unwrap();
        file.set_len(file.metadata().unwrap().len() + 1).unwrap();
    }

    fn start(&self) -> Program {
        let [program, library, data] = ["program", "library", "data"].map(|name| self.path(name));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        Program::start(&[&text(&program)], &[&text(&library), &text(&data)])
    }
}

/// Whether a restore is refused because of this file, which the error names, with this reason; nothing may be left of it.
fn is_refused(program: &Program, images: &TempDir, options: &str, file: &Path, reason: &str) {
    let output = crio(&format!("restore -D {} -d -S {options}", images.path().display()));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let named = text.contains("error[E-FILE-CHANGED]") && text.contains(file.to_str().unwrap());
    assert!(named && text.contains(reason) && text.contains("help: "), "{text}");
    assert_eq!(program.root.state(), '-', "{text}");
}

#[test]
fn a_changed_file_is_refused_with_the_reason() {
    let files = Files::new();
    let (library, data) = (files.path("library"), files.path("data"));
    let program = files.start();
    let images = program.dump("");
    let refused =
        |options: &str, file: &Path, reason: &str| is_refused(&program, &images, options, file, reason);

    files.grow("library");
    refused("", &library, "bytes, the image expects");
    refused("--file-validation filesize", &library, "bytes, the image expects");
    files.compile("library", 2);
    refused("", &library, "has build-id");
    refused("--file-validation buildid", &library, "has build-id");
    fs::remove_file(&library).unwrap();
    let output = crio(&format!("restore -D {} -d -S", images.path().display()));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains(library.to_str().unwrap()), "{text}");
    assert!(text.contains("--embed-files"), "{text}");
    files.compile("library", 1);

    files.compile("program", 2);
    refused("", &files.path("program"), "has build-id");
    files.compile("program", 1);

    files.write("data", "as it was, and more");
    refused("", &data, "has 19 bytes, the image expects 9");
    files.write("data", "as it was");
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    refused("", &data, "has mode 600, the image expects 644");
    program.restore(&images, "--skip-file-rwx-check");
    program.verify();
}

/// Somebody else who listens under the name by then is not pushed aside.
#[test]
fn a_name_that_a_living_socket_has_is_refused() {
    let script = "
import os, signal, socket, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[2])
listening.listen()
with open(sys.argv[1], 'a') as result:
    print('READY', os.getpid(), file=result)
signal.sigwait([signal.SIGTERM])
with open(sys.argv[1], 'a') as result:
    print('PASS' if os.path.exists(sys.argv[2]) else 'its name is gone', file=result)
";
    let place = TempDir::new().unwrap();
    let path = place.path().join("socket");
    let file = place.path().join("program.py");
    fs::write(&file, script).unwrap();
    let program = Program::start(&["python3", file.to_str().unwrap()], &[path.to_str().unwrap()]);
    let images = program.dump("");
    fs::remove_file(&path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let output = crio(&format!("restore -D {} -d", images.path().display()));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("error[E-SOCKET-NAME-TAKEN]") && text.contains(path.to_str().unwrap()), "{text}");
    assert!(!output.status.success() && program.root.state() == '-', "{text}");
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(other);
    fs::remove_file(&path).unwrap();
    program.restore(&images, "");
    program.verify();
}

/// A library of the same size is what was asked for, whoever asks: the one who dumps or the one who restores.
#[test]
fn the_size_alone_is_compared_if_asked_for() {
    for (dump, restore) in [("--file-validation filesize", ""), ("", "--file-validation filesize")] {
        let files = Files::new();
        let program = files.start();
        let images = program.dump(dump);
        files.compile("library", 2);
        program.restore(&images, restore);
        program.ends_with("the library says 2");
    }
}

#[test]
fn embedded_files_come_along() {
    let replace = |files: &Files| {
        files.compile("program", 2);
        files.compile("library", 2);
        files.write("data", "otherwise");
    };
    for change in [&|_: &Files| {}, &replace as &dyn Fn(&Files), &Files::remove_all] {
        let files = Files::new();
        let program = files.start();
        let images = program.dump("--embed-files");
        change(&files);
        let mut names: Vec<_> =
            fs::read_dir(files.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        program.restore(&images, "");
        program.verify();
        names.sort();
        let mut after: Vec<_> =
            fs::read_dir(files.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        after.sort();
        assert_eq!(after, names, "a restore leaves no copy behind");
    }
}

/// What was dumped from the copies can be restored again: a second dump carries them as deleted files.
#[test]
fn embedded_files_come_along_twice() {
    let files = Files::new();
    let program = files.start();
    let images = program.dump("--embed-files");
    files.remove_all();
    program.restore(&images, "");
    let again = program.dump("--embed-files");
    drop(images);
    program.restore(&again, "");
    program.verify();
}
