//! What the reports of all jobs have to say together. A job that was not heard of, as one that was ended for its time, would
//! take its columns and tests along, and the report would look good without them.

use std::collections::BTreeSet;

use anyhow::Result;
use vm::matrix::Matrix;

use super::legs;
use super::report::{Cell, Cells, Column, Report, Verdict};
use crate::golden;

/// Adds what is missing of the jobs of the workflow, as failures.
pub(super) fn fill(report: &mut Report, matrix: &Matrix, small: bool) -> Result<()> {
    let names: Vec<String> = engine::check::names().into_iter().map(str::to_owned).collect();
    let selected = if small { matrix.smoke.tests.as_slice() } else { &[] };
    let tests: Vec<String> = golden::tests(selected)?.tests()?.iter().map(::zdtm::Test::name).collect();
    let moved: Vec<String> = tests.iter().filter(|name| matrix.moves(name)).cloned().collect();
    for machine in matrix.machines() {
        for kernel in legs::kernels(matrix, machine, small) {
            let name = format!("{} {}", machine.name, kernel.name);
            let (machine, kernel) = (machine.name.clone(), kernel.name.clone());
            let expected = Column { name, machine, kernel, ..Column::default() };
            let column = find(&mut report.columns, expected);
            miss(column, |column| &mut column.features, &names);
            miss(column, |column| &mut column.tests, &tests);
        }
        let ends: Vec<&str> = machine.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to)));
        for (from, to) in pairs.filter(|(from, to)| from != to && legs::has_pairs(machine, small)) {
            let name = format!("{} {from} to {to}", machine.name);
            let (machine, origin, kernel) = (machine.name.clone(), from.to_owned(), to.to_owned());
            let expected = Column { name, machine, origin, kernel, ..Column::default() };
            miss(find(&mut report.pairs, expected), |column| &mut column.tests, &moved);
        }
    }
    Ok(())
}

/// The column of that name, or a new one with that as its problem.
fn find(columns: &mut Vec<Column>, mut expected: Column) -> &mut Column {
    let at = columns.iter().position(|column| column.name == expected.name).unwrap_or_else(|| {
        "no job has told of it".clone_into(&mut expected.problem);
        columns.push(expected);
        columns.len() - 1
    });
    &mut columns[at]
}

/// Where there was a guest, each name has to have a cell.
fn miss(column: &mut Column, cells: fn(&mut Column) -> &mut Cells, names: &[String]) {
    if !column.problem.is_empty() {
        return;
    }
    let cells = cells(column);
    let heard: BTreeSet<String> = cells.keys().cloned().collect();
    for name in names.iter().filter(|name| !heard.contains(*name)) {
        cells.insert(name.clone(), Cell::new(Verdict::Fail, "no job has told of it", ""));
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::{column, report};
    use super::*;
    use crate::workspace;

    #[test]
    fn what_no_job_has_told_of_has_failed() {
        let matrix = workspace::matrix().unwrap();
        let one = &matrix.smoke.tests[0];
        let mut told = report(vec![column("x86-64 7.x", &[(one, Verdict::Pass, "")])]);
        fill(&mut told, &matrix, true).unwrap();
        let of = |name: &str| told.columns.iter().find(|column| column.name == name).unwrap();
        assert_eq!(of("mips64 6.12").problem, "no job has told of it");
        let partial = of("x86-64 7.x");
        assert_eq!(partial.tests.len(), matrix.smoke.tests.len());
        assert_eq!(Column::count(&partial.tests, Verdict::Fail), matrix.smoke.tests.len() - 1);
        assert_eq!(partial.features["kcmp"].verdict, Verdict::Fail);
        assert!(told.pairs.is_empty());
        fill(&mut told, &matrix, false).unwrap();
        let kernels: usize = matrix.machines().map(|machine| machine.kernels.len()).sum();
        let pairs: usize = matrix.machines().map(|m| m.kernels.len() * (m.kernels.len() - 1)).sum();
        assert_eq!((told.columns.len(), told.pairs.len()), (kernels, pairs));
    }
}
