//! `crio image`: look at images, turn them into crit's JSON and back, check a directory. Works for images of any
//! machine on any machine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::format::Header;
use crate::image::message::Machine;
use crate::image::{EntryReader, ImageDir, Kind, diff, json, show, style, verify};
use crate::log::escape;

/// Arguments of `crio image`.
#[derive(Debug, Parser)]
#[command(name = "crio image", about = "Show, convert, compare and check images")]
pub(super) struct ImageArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show an image, or the tasks, descriptors and mappings of a directory
    Show {
        /// An image or a directory of images
        path: PathBuf,
    },
    /// Turn an image into JSON as crit writes it
    Decode {
        /// The image
        #[arg(short, long, value_name = "FILE")]
        input: PathBuf,
        /// Where the JSON goes; - or nothing is the standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Indent, and show addresses and flags as people read them
        #[arg(long)]
        pretty: bool,
    },
    /// Turn JSON into an image
    Encode {
        /// The JSON; - or nothing is the standard input
        #[arg(short, long, value_name = "FILE")]
        input: Option<PathBuf>,
        /// The image
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Say in what two directories differ; exit status 0 if in nothing, 1 if in something, 2 if that cannot be told
    Diff {
        /// A directory of images
        left: PathBuf,
        /// Another one
        right: PathBuf,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Parse every image of a directory and check what refers to what
    Verify {
        /// A directory of images
        dir: PathBuf,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The exit status of `crio image diff` if it cannot tell: that of diff(1).
pub(super) const TROUBLE: u8 = 2;

/// Runs `crio image`.
pub(super) fn run(args: ImageArgs) -> Result<ExitCode> {
    let done = match args.command {
        Command::Show { path } => {
            let text =
                if path.is_dir() { show::directory(&ImageDir::open(&path)?)? } else { show_image(&path)? };
            print(text.as_bytes())
        }
        Command::Decode { input, output, pretty } => decode(&input, output.as_deref(), pretty),
        Command::Encode { input, output } => encode(input.as_deref(), &output),
        Command::Diff { left, right, json } => {
            return Ok(compare(&left, &right, json).unwrap_or_else(|error| {
                super::print_error(&error);
                ExitCode::from(TROUBLE)
            }));
        }
        Command::Verify { dir, json } => verify_directory(&dir, json),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn compare(left: &Path, right: &Path, as_json: bool) -> Result<ExitCode> {
    let open = |path: &Path| {
        let dir = ImageDir::open(path)?;
        // Two directories without images have nothing that could differ.
        dir.inventory().map(|_| dir)
    };
    let differences = diff::directories(&open(left)?, &open(right)?)?;
    if as_json {
        let report = serde_json::json!({
            "left": left, "right": right, "same": differences.is_empty(), "differences": differences,
        });
        print(format!("{report}\n").as_bytes())?;
    } else {
        let lines: String = differences.iter().map(|found| format!("{}\n", escape(&found.text()))).collect();
        print(lines.as_bytes())?;
    }
    Ok(ExitCode::from(u8::from(!differences.is_empty())))
}

fn show_image(path: &Path) -> Result<String> {
    let name = path.display().to_string();
    let file = File::open(path).os(|| format!("open {name}"))?;
    if let Some(kind) = kind_by_name(path).filter(|kind| kind.format().header == Header::Raw) {
        let size = file.metadata().os(|| format!("stat {name}"))?.len();
        return Ok(format!("{name}: {}, raw, {size} bytes\n", kind.format().magic_name));
    }
    let machine = show::machine(&ImageDir::open(directory_of(path))?).unwrap_or(Machine::X86_64);
    let json =
        style::of(machine, || style::pretty(true, || json::decode(EntryReader::detect(file, &name)?)))?;
    Ok(show::image(&name, &json))
}

fn decode(input: &Path, output: Option<&Path>, pretty: bool) -> Result<()> {
    let name = input.display().to_string();
    if kind_by_name(input).is_some_and(|kind| kind.format().header == Header::Raw) {
        return Err(Error::new("E-IMAGE-RAW", Blame::Usage, "a raw image has no entries").on(name));
    }
    let file = File::open(input).os(|| format!("open {name}"))?;
    let (json, exact) = style::pretty(pretty, || json::decode_checked(file, &name))?;
    if !exact {
        eprintln!(
            "Warn: {name}: the JSON lacks something of the image: fields that are not known, or padding"
        );
    }
    let text = if pretty { serde_json::to_vec_pretty(&json) } else { serde_json::to_vec(&json) };
    let mut text = text.map_err(|e| Error::bug(format!("cannot print JSON: {e}")))?;
    text.push(b'\n');
    match output.filter(|path| *path != Path::new("-")) {
        Some(path) => std::fs::write(path, &text).os(|| format!("write {}", path.display())),
        None => print(&text),
    }
}

fn encode(input: Option<&Path>, output: &Path) -> Result<()> {
    let (name, text) = match input.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read(path).os(|| format!("read {name}"))?;
            (name, text)
        }
        None => {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text).os(|| "read the standard input")?;
            ("standard input".to_owned(), text)
        }
    };
    let json: Value = serde_json::from_slice(&text)
        .map_err(|e| Error::new("E-JSON-BAD", Blame::Usage, format!("it is not JSON: {e}")).on(&name))?;
    // Whole in memory first: bad JSON must not leave half an image, nor destroy an older one.
    let mut image = Vec::new();
    json::encode(&json, &name, &mut image)?;
    std::fs::write(output, image).os(|| format!("write {}", output.display()))
}

fn verify_directory(path: &Path, as_json: bool) -> Result<()> {
    let dir = ImageDir::open(path)?;
    let problems = verify::directory(&dir)?;
    if as_json {
        print(serde_json::json!({ "directory": path, "problems": problems }).to_string().as_bytes())?;
        print(b"\n")?;
    } else {
        for problem in &problems {
            print(format!("{problem}\n").as_bytes())?;
        }
    }
    match problems.len() {
        0 if as_json => Ok(()),
        0 => print(format!("{}: {} images are whole\n", path.display(), dir.kinds()?.len()).as_bytes()),
        count => Err(Error::image(path.display().to_string(), format!("there are {count} problems"))
            .help("a directory with problems cannot be restored faithfully: copy it again, or dump again")),
    }
}

/// What stands beside an image says of which machine it is.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn kind_by_name(path: &Path) -> Option<Kind> {
    Kind::from_file_name(path.file_name()?.to_str()?)
}

/// Writes to the standard output; a reader that has gone away (`| head`) is no failure.
fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().lock().write_all(bytes) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.os(|| "write the standard output"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn crio(words: &[&Path]) -> Result<ExitCode> {
        let program = Path::new("crio image");
        run(ImageArgs::try_parse_from([program].iter().chain(words)).unwrap())
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/fixtures").join(name)
    }

    #[test]
    fn decode_and_encode_undo_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let (json, image) = (folder.path().join("json"), folder.path().join("image"));
        let [decode, encode, input, output, pretty] =
            ["decode", "encode", "-i", "-o", "--pretty"].map(Path::new);
        let original = fixture("kinds/tty-info.img");
        for extra in [&[][..], &[pretty]] {
            crio(&[&[decode, input, &original, output, &json], extra].concat()).unwrap();
            crio(&[encode, input, &json, output, &image]).unwrap();
            assert_eq!(std::fs::read(&image).unwrap(), std::fs::read(&original).unwrap());
        }
        std::fs::write(&json, r#"{"magic": "PSTREE", "entries": [{}]}"#).unwrap();
        crio(&[encode, input, &json, output, &image]).unwrap_err();
        assert_eq!(
            std::fs::read(&image).unwrap(),
            std::fs::read(&original).unwrap(),
            "a failure destroyed the image"
        );
    }

    #[test]
    fn verify_fails_for_what_is_not_whole() {
        let error = crio(&[Path::new("verify"), &fixture("task")]).unwrap_err();
        assert_eq!((error.code(), error.blame()), ("E-IMAGE-BAD", Blame::Image));
    }
}
