//! The jobs of the workflow: one for each machine and kernel, divided where a machine is slow, and one for the pairs of a
//! machine's kernels.

use serde::Serialize;
use vm::matrix::{Kernel, Machine, Matrix};

/// What the workflow's `strategy.matrix` takes.
#[derive(Serialize)]
struct Legs {
    include: Vec<Leg>,
}

#[derive(Serialize)]
struct Leg {
    /// Of the job.
    name: String,
    arch: String,
    /// Of the cache of kernels.
    kernel: String,
    /// Of the cache of what was compiled.
    rust: String,
    /// More words for `cargo xtask matrix`.
    options: String,
}

impl Leg {
    fn new(machine: &Machine, kernel: &str, part: &str, options: String) -> Self {
        Leg {
            name: format!("{} {kernel}{part}", machine.name),
            arch: machine.name.clone(),
            kernel: kernel.to_owned(),
            rust: machine.rust.clone(),
            options,
        }
    }
}

/// The kernels of a machine that have jobs. `small` is the newest kernel of each machine of the smoke set, and of this one,
/// with that set only.
pub(super) fn kernels<'a>(matrix: &Matrix, machine: &'a Machine, small: bool) -> Vec<&'a Kernel> {
    let is_small = machine.is_native() || matrix.smoke.machines.contains(&machine.name);
    let newest_first = machine.kernels.iter().rev();
    newest_first.take(if small { usize::from(is_small) } else { usize::MAX }).collect()
}

/// Whether a machine has a job of pairs.
pub(super) fn has_pairs(machine: &Machine, small: bool) -> bool {
    !small && machine.kernels.len() > 1
}

/// One line of JSON.
pub(super) fn json(matrix: &Matrix, small: bool) -> String {
    let mut include = Vec::new();
    for machine in matrix.machines() {
        for kernel in kernels(matrix, machine, small) {
            let name = &kernel.name;
            if small {
                include.push(Leg::new(machine, name, "", format!("--kernel {name} --smoke")));
                continue;
            }
            for shard in 1..=machine.shards {
                let shard = format!("{shard}/{}", machine.shards);
                let part = if machine.shards > 1 { format!(" {shard}") } else { String::new() };
                include.push(Leg::new(machine, name, &part, format!("--kernel {name} --shard {shard}")));
            }
        }
        if has_pairs(machine, small) {
            include.push(Leg::new(machine, "pairs", "", "--pairs".to_owned()));
        }
    }
    serde_json::to_string(&Legs { include }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_its_jobs_and_a_pull_request_fewer() {
        let matrix = Matrix::parse(include_str!("../../../matrix.yaml")).unwrap();
        let legs = |small| -> Vec<serde_json::Value> {
            let json: serde_json::Value = serde_json::from_str(&json(&matrix, small)).unwrap();
            json["include"].as_array().unwrap().clone()
        };
        let expected: usize = matrix.machines().map(|m| m.kernels.len() * m.shards + 1).sum();
        assert_eq!(legs(false).len(), expected);
        assert!(legs(true).len() < expected && !legs(true).is_empty());
        assert!(legs(true).iter().all(|leg| leg["options"].as_str().unwrap().ends_with(" --smoke")));
        assert!(legs(false).iter().any(|leg| leg["name"] == "x86-64 6.1"));
        assert!(legs(false).iter().any(|leg| leg["name"] == "mips64 pairs" && leg["options"] == "--pairs"));
    }
}
