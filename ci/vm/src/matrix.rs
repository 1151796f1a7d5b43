//! `ci/matrix.yaml`: which kernels on which machines, and how each machine is built for and emulated.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The programs that a guest has besides the tests.
    pub userland: Userland,
    /// Kernel modules that every guest loads, in this order.
    pub modules: Vec<String>,
    /// What every change must pass in guests.
    pub smoke: Smoke,
    /// Full names of the tests that are dumped on one kernel and restored on another.
    pub moved: Vec<String>,
    /// Tests that are moved, too, but that some kernels have to refuse.
    pub refused: Vec<Refused>,
    /// Tests that go from our engine to CRIU and back in guests.
    pub interop: Vec<String>,
    /// Features that no guest has.
    #[serde(default)]
    pub lacks: Vec<String>,
    machines: BTreeMap<String, Machine>,
}

/// A part of the suite on some of the machines.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// Names of machines.
    pub machines: Vec<String>,
    /// Full names of tests.
    pub tests: Vec<String>,
}

/// What a kernel without a feature has to say to a test that was dumped on one that has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Its full name.
    pub test: String,
    /// The feature, as `crio check --feature` names it.
    pub without: String,
    /// The code of the error.
    pub error: String,
}

/// Programs by their packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Userland {
    /// The distribution's suite that has them for every machine.
    pub suite: String,
    /// Complete: what they depend on is named as well.
    pub packages: Vec<String>,
}

/// One machine: how to compile for it, how to emulate it, which kernels it is tried on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The key in the file: `x86-64`, `aarch64`, ...
    #[serde(skip)]
    pub name: String,
    /// The Rust compiler's target.
    pub rust: String,
    /// Prefix of the C compiler, and folder of the C library.
    pub gnu: String,
    /// The architecture of packages.
    pub debian: String,
    /// The program that runs one binary of this machine on another one.
    pub user: String,
    /// Into how many jobs the tests of one kernel are divided where each has a limited time.
    #[serde(default = "one")]
    pub shards: usize,
    /// The emulator of the whole machine.
    pub qemu: Qemu,
    /// Features that no kernel finds on this processor.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Newest last. Each is given what the processor and what all guests lack, too.
    pub kernels: Vec<Kernel>,
}

/// How QEMU is started for a machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// Name of the program.
    pub program: String,
    /// The package that has it.
    pub package: String,
    /// `-M`
    pub machine: String,
    /// `-cpu`
    pub cpu: String,
    /// `-m`
    pub memory: String,
    /// `-smp`
    pub cpus: u32,
    /// The kernel's console.
    pub console: String,
    /// More words for the kernel's command line.
    #[serde(default)]
    pub append: String,
}

/// One kernel of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// What `--kernel` takes.
    pub name: String,
    /// The distribution's suite that has it.
    pub suite: String,
    /// The package is `linux-image-FLAVOUR`.
    pub flavour: String,
    /// Features, as `crio check --feature` names them, that are known to be missing.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// The size of its pages, KiB.
    #[serde(default = "four")]
    pub page: usize,
}

impl Kernel {
    /// The code of the error by which it has to refuse whatever was dumped on another one, if it has to.
    pub fn refusal(&self, from: &Kernel) -> Option<&'static str> {
        (from.page != self.page).then_some("E-PAGE-SIZE")
    }
}

fn one() -> usize {
    1
}

fn four() -> usize {
    4
}

impl Matrix {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not of this form, or a machine has no kernel or two of one name.
    pub fn parse(text: &str) -> Result<Self> {
        let mut matrix: Matrix = serde_yaml::from_str(text).context("the matrix is not valid")?;
        for (name, machine) in &mut matrix.machines {
            machine.name.clone_from(name);
            for kernel in &mut machine.kernels {
                kernel.lacks.extend(machine.lacks.iter().chain(&matrix.lacks).cloned());
            }
            if machine.kernels.is_empty() {
                bail!("{name} has no kernel");
            }
            for (at, kernel) in machine.kernels.iter().enumerate() {
                if machine.kernels.iter().take(at).any(|other| other.name == kernel.name) {
                    bail!("{name} has two kernels {}", kernel.name);
                }
            }
        }
        if let Some(name) = matrix.smoke.machines.iter().find(|name| !matrix.machines.contains_key(*name)) {
            bail!("the smoke set names {name}, which is no machine");
        }
        Ok(matrix)
    }

    /// The code of the error by which this kernel has to refuse a test that was dumped on another one, if it has to.
    pub fn refusal(&self, test: &str, (from, on): (&Kernel, &Kernel)) -> Option<&str> {
        let without = |refused: &&Refused| refused.test == test && on.lacks.contains(&refused.without);
        let of_test = || self.refused.iter().find(without).map(|refused| refused.error.as_str());
        on.refusal(from).or_else(of_test)
    }

    /// Whether a test goes from kernel to kernel.
    pub fn moves(&self, test: &str) -> bool {
        self.moved.iter().chain(self.refused.iter().map(|refused| &refused.test)).any(|name| name == test)
    }

    /// The machines in the order of their names.
    pub fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.machines.values()
    }

    /// The machine of that name, or all for `all`.
    ///
    /// # Errors
    /// When there is none; the names that there are.
    pub fn select(&self, name: &str) -> Result<Vec<&Machine>> {
        if name == "all" {
            return Ok(self.machines().collect());
        }
        let Some(machine) = self.machines.get(name) else {
            let names: Vec<&str> = self.machines.keys().map(String::as_str).collect();
            bail!("there is no machine {name}; ci/matrix.yaml has {}, or say all", names.join(", "));
        };
        Ok(vec![machine])
    }
}

impl Machine {
    /// The kernel of that name, or the newest one.
    ///
    /// # Errors
    /// When there is none; the names that there are.
    pub fn kernel(&self, name: Option<&str>) -> Result<&Kernel> {
        let found = match name {
            None => self.kernels.last(),
            Some(name) => self.kernels.iter().find(|kernel| kernel.name == name),
        };
        found.with_context(|| {
            let names: Vec<&str> = self.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
            format!(
                "{} has no kernel {}; ci/matrix.yaml has {}",
                self.name,
                name.unwrap_or("at all"),
                names.join(", ")
            )
        })
    }

    /// Whether this program was compiled for it, so that it needs neither a cross compiler nor emulation.
    pub fn is_native(&self) -> bool {
        self.gnu.split('-').next() == Some(std::env::consts::ARCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn the_file() -> Matrix {
        Matrix::parse(include_str!("../../matrix.yaml")).unwrap()
    }

    #[test]
    fn the_file_of_this_repository_is_valid() {
        let matrix = the_file();
        let names: Vec<&str> = matrix.machines().map(|machine| machine.name.as_str()).collect();
        assert_eq!(names, ["aarch64", "armv7", "mips64", "x86-64"]);
        assert_eq!(matrix.machines().filter(|machine| machine.is_native()).count(), 1);
    }

    #[test]
    fn the_newest_kernel_is_the_last_one() {
        let matrix = the_file();
        let machine = matrix.select("x86-64").unwrap()[0];
        assert_eq!(machine.kernel(None).unwrap().suite, "sid");
        assert_eq!(machine.kernel(Some("6.1")).unwrap().suite, "bookworm");
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let matrix = the_file();
        let error = matrix.select("sparc").unwrap_err().to_string();
        assert!(error.contains("aarch64, armv7, mips64, x86-64"), "{error}");
        let error = matrix.select("mips64").unwrap()[0].kernel(Some("5.10")).unwrap_err().to_string();
        assert!(error.contains("6.1, 6.12"), "{error}");
    }

    #[test]
    fn all_is_every_machine() {
        assert_eq!(the_file().select("all").unwrap().len(), 4);
    }

    #[test]
    fn a_kernel_that_lacks_the_feature_has_to_refuse() {
        let matrix = the_file();
        let machine = matrix.select("x86-64").unwrap()[0];
        for refused in &matrix.refused {
            let newest = machine.kernel(None).unwrap();
            let code = Some(refused.error.as_str());
            let refuses = |kernel: &&Kernel| matrix.refusal(&refused.test, (newest, kernel)) == code;
            let count = machine.kernels.iter().filter(refuses).count();
            assert!(0 < count && count < machine.kernels.len(), "{} is no test of pairs", refused.test);
            assert!(matrix.moves(&refused.test) && !matrix.moved.contains(&refused.test));
        }
        assert!(matrix.refusal("task/sessions", (&machine.kernels[1], &machine.kernels[0])).is_none());
    }

    #[test]
    fn a_kernel_with_other_pages_has_to_refuse_everything() {
        let matrix = the_file();
        let machine = matrix.select("aarch64").unwrap()[0];
        let kernel = |name| machine.kernel(Some(name)).unwrap();
        let refusal = |from, on| matrix.refusal("task/sessions", (kernel(from), kernel(on)));
        assert_eq!(refusal("6.12", "6.12-16k"), Some("E-PAGE-SIZE"));
        assert_eq!(refusal("6.12-16k", "7.x"), Some("E-PAGE-SIZE"));
        assert_eq!(refusal("6.12-16k", "6.12-16k").or(refusal("6.12", "7.x")), None);
    }

    #[test]
    fn two_kernels_of_one_name_are_refused() {
        let text = include_str!("../../matrix.yaml").replace("\"6.12\"", "\"6.1\"");
        let error = Matrix::parse(&text).unwrap_err().to_string();
        assert!(error.contains("has two kernels 6.1"), "{error}");
    }
}
