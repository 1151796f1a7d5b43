//! A program that comes back under a kernel with another vdso keeps its own as memory, which leads to that of the kernel.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use engine::image::message::{MmEntry, status};
use engine::image::pages::{PageReader, Source};
use engine::image::{ImageDir, Kind};

use crate::running::compiled;
use crate::self_verifying::Program;

const PAGE: u64 = 4096;

/// Makes the vdso of an image that of another kernel: one of its functions, which the program does not call, has
/// another name.
fn change_vdso(images: &Path, pid: i32) {
    let dir = ImageDir::open(images).unwrap();
    let mm: MmEntry = dir.require(Kind::Mm(pid as u32)).unwrap();
    let vdso = mm.vmas.iter().find(|vma| vma.status & status::VDSO != 0).unwrap();
    let pages = PageReader::open(&dir, Kind::Pagemap(pid.try_into().unwrap()), PAGE).unwrap().unwrap();
    let segments = pages.segments().unwrap();
    let segment = segments.iter().find(|s| (s.vaddr..s.vaddr + s.len).contains(&vdso.start)).unwrap();
    let Source::File(_, offset) = &segment.source else { panic!("{segment:?}") };
    let offset = offset + (vdso.start - segment.vaddr);
    let file = Kind::Pages(pages.pages_id()).file_name();
    let file = OpenOptions::new().read(true).write(true).open(images.join(file)).unwrap();
    let mut image = vec![0; (vdso.end - vdso.start) as usize];
    file.read_exact_at(&mut image, offset).unwrap();
    let name = b"__vdso_getcpu\0";
    let at = image.windows(name.len()).position(|found| found == name).unwrap() as u64;
    file.write_all_at(b"__vdso_putcpu\0", offset + at).unwrap();
}

#[test]
fn a_vdso_of_another_kernel_leads_to_ours() {
    let program = Program::start(&[compiled("clock").to_str().unwrap()], &[]);
    let images = program.dump("");
    change_vdso(images.path(), program.root.0);
    program.restore(&images, "");
    program.ends_with("memory");
}

#[test]
fn a_vdso_that_leads_to_ours_can_be_moved_on() {
    let program = Program::start(&[compiled("clock").to_str().unwrap()], &[]);
    let images = program.dump("");
    change_vdso(images.path(), program.root.0);
    program.restore(&images, "");
    let again = program.dump("");
    program.restore(&again, "");
    program.ends_with("memory");
}

#[test]
fn a_vdso_of_this_kernel_is_the_kernels_own() {
    let program = Program::start(&[compiled("clock").to_str().unwrap()], &[]);
    let images = program.dump("");
    program.restore(&images, "");
    program.ends_with("[vdso]");
}
