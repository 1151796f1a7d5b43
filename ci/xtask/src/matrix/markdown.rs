//! The report as Markdown: for a terminal, a README, a pull request, the summary of a job.

use std::fmt::Write as _;

use super::report::{Cells, Column, Report, Verdict};
use super::speed;
use crate::bench::history::Run;

/// One line for each column, then the pairs.
pub(super) fn summary(report: &Report) -> String {
    let mut out = String::new();
    if !report.columns.is_empty() {
        columns(report, &mut out);
    }
    pairs(report, &mut out);
    out
}

fn columns(report: &Report, out: &mut String) {
    out.push_str(
        "| machine and kernel | release | features | tests | failed | time |\n\
         |---|---|---|---|---|---|\n",
    );
    for column in &report.columns {
        let passed = |cells: &Cells| format!("{} of {}", Column::count(cells, Verdict::Pass), cells.len());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {:.0} s |",
            column.name,
            column.release,
            passed(&column.features),
            passed(&column.tests),
            column.failures(),
            column.seconds
        );
    }
}

/// A table for each machine, from which kernel to which one.
fn pairs(report: &Report, out: &mut String) {
    for (machine, kernels) in report.kernels_of_pairs() {
        let line = "---|".repeat(kernels.len());
        let names = kernels.join(" | ");
        let _ = write!(out, "\n| {machine}: dumped on, restored on | {names} |\n|---|{line}\n");
        for from in &kernels {
            let cells = kernels.iter().map(|to| {
                let pair = report.pair(machine, from, to);
                pair.map_or("-".to_owned(), |pair| match pair.failures() {
                    _ if !pair.problem.is_empty() => "**not run**".to_owned(),
                    0 => format!("{}/{}", Column::count(&pair.tests, Verdict::Pass), pair.tests.len()),
                    failed => format!("**{failed} of {} failed**", pair.tests.len()),
                })
            });
            let _ = writeln!(out, "| {from} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }
}

/// The summary, then what failed, with its first line, then what is not there everywhere.
pub(super) fn document(report: &Report) -> String {
    let mut out = format!("# What works where\n\nCommit `{}`.\n\n{}", report.commit, summary(report));
    failures(report, &mut out);
    differing(report, "Features", |column| &column.features, &mut out);
    differing(report, "Tests", |column| &column.tests, &mut out);
    skipped_pairs(report, &mut out);
    speed(report, &mut out);
    out
}

/// The benchmark's last run, and how it was before.
fn speed(report: &Report, out: &mut String) {
    let Some(table) = speed::table(report) else { return };
    let Some(newest) = table.runs.first() else { return };
    let Run { commit, kernel, processors, pairs, theirs, .. } = newest;
    let _ = write!(
        out,
        "\n## Speed\n\nOf `{commit}` on {kernel}, {processors} processors, as a part of what {theirs} takes: median, and the \
         range of {pairs} pairs; then the medians of runs before.\n\n"
    );
    let commits = table.runs.iter().skip(1).map(|run| format!(" {} |", run.commit));
    let _ = writeln!(out, "| | ratio |{}", commits.collect::<String>());
    let _ = writeln!(out, "|{}", "---|".repeat(table.runs.len() + 1));
    for (figure, ratios) in &table.rows {
        let Some((Some(now), before)) = ratios.split_first() else { continue };
        let slower = before.iter().flatten().next().is_some_and(|before| speed::is_slower(*now, *before));
        let mark = if slower { " **slower**" } else { "" };
        let before =
            before.iter().map(|ratio| ratio.map_or(" - |".to_owned(), |r| format!(" {:.2} |", r.median)));
        let _ = writeln!(
            out,
            "| {figure} | {:.2} ({:.2} .. {:.2}){mark} |{}",
            now.median,
            now.min,
            now.max,
            before.collect::<String>()
        );
    }
}

fn failures(report: &Report, out: &mut String) {
    let mut lines = String::new();
    for column in report.all() {
        if !column.problem.is_empty() {
            let _ = writeln!(
                lines,
                "- {}: not run: {}",
                column.name,
                plain(column.problem.lines().next().unwrap_or_default())
            );
        }
        for (name, cell) in column.features.iter().chain(&column.tests) {
            if cell.verdict == Verdict::Fail {
                let _ = writeln!(lines, "- {}: `{name}`: {}", column.name, plain(cell.headline()));
            }
        }
    }
    if !lines.is_empty() {
        let _ = write!(out, "\n## Failures\n\n{lines}");
    }
}

/// Why tests of pairs were skipped.
fn skipped_pairs(report: &Report, out: &mut String) {
    let mut lines = String::new();
    for pair in &report.pairs {
        for (name, cell) in pair.tests.iter().filter(|(_, cell)| cell.verdict == Verdict::Skip) {
            let _ = writeln!(lines, "- {}: `{name}`: {}", pair.name, plain(cell.headline()));
        }
    }
    if !lines.is_empty() {
        let _ = write!(out, "\n## Not every pair\n\n{lines}");
    }
}

/// A table of the rows that did not pass in every column.
fn differing(report: &Report, title: &str, table: fn(&Column) -> &Cells, out: &mut String) {
    let verdict = |column: &Column, name: &str| table(column).get(name).map(|cell| cell.verdict);
    let mut rows = String::new();
    for name in report.rows(table).into_keys() {
        let words: Vec<Option<Verdict>> = report.columns.iter().map(|column| verdict(column, name)).collect();
        if words.iter().any(|word| *word != Some(Verdict::Pass)) {
            let words = words.iter().map(|word| word.map_or("-", mark));
            let _ = writeln!(rows, "| `{name}` | {} |", words.collect::<Vec<_>>().join(" | "));
        }
    }
    if !rows.is_empty() {
        let names: Vec<&str> = report.columns.iter().map(|column| column.name.as_str()).collect();
        let line = "---|".repeat(names.len());
        let _ =
            write!(out, "\n## {title} not everywhere\n\n| | {} |\n|---|{line}\n{rows}", names.join(" | "));
    }
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "yes",
        Verdict::Fail => "**FAIL**",
        Verdict::Skip => "no",
    }
}

/// Without what would end a cell or begin markup.
fn plain(line: &str) -> String {
    line.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::{column, pair, report};
    use super::*;
    use crate::bench::history::testing::run;

    #[test]
    fn pairs_are_a_table_of_their_machine() {
        let pairs = vec![
            pair(
                "a",
                ["5.10", "7.x"],
                &[("task/x", Verdict::Pass, ""), ("task/y", Verdict::Skip, "needs sve")],
            ),
            pair("a", ["7.x", "5.10"], &[("task/x", Verdict::Fail, "lost"), ("task/y", Verdict::Pass, "")]),
        ];
        let text = document(&Report { pairs, ..report(vec![]) });
        assert!(text.contains("| a: dumped on, restored on | 7.x | 5.10 |\n|---|---|---|\n"), "{text}");
        assert!(text.contains("| 7.x | - | **1 of 2 failed** |\n| 5.10 | 1/2 | - |\n"), "{text}");
        assert!(text.contains("- a 7.x to 5.10: `task/x`: lost\n"), "{text}");
        assert!(text.contains("- a 5.10 to 7.x: `task/y`: needs sve\n"), "{text}");
    }

    #[test]
    fn a_pair_that_was_not_run_says_so() {
        let pairs = vec![Column { problem: "no guest".to_owned(), ..pair("a", ["5.10", "7.x"], &[]) }];
        let text = document(&Report { pairs, ..report(vec![]) });
        assert!(text.contains("| 5.10 | **not run** | - |\n"), "{text}");
        assert!(text.contains("- a 5.10 to 7.x: not run: no guest\n"), "{text}");
    }

    #[test]
    fn the_benchmark_is_shown_with_its_past() {
        let benchmarks = vec![run(1, "tiny disk dump", 0.2), run(2, "tiny disk dump", 1.0)];
        let text = document(&Report { benchmarks, ..report(vec![]) });
        assert!(
            text.contains("Of `c2` on 6.18, 2 processors, as a part of what criu (4.2.1) takes"),
            "{text}"
        );
        let table =
            "| | ratio | c1 |\n|---|---|---|\n| tiny disk dump | 1.00 (0.50 .. 2.00) **slower** | 0.20 |\n";
        assert!(text.contains(table), "{text}");
    }

    #[test]
    fn only_what_did_not_pass_everywhere_has_a_row() {
        let one = column(
            "a 6.1",
            &[("task/x", Verdict::Pass, ""), ("task/y", Verdict::Fail, "bad | <worse>\nlog")],
        );
        let two = column("b 6.1", &[("task/x", Verdict::Pass, "")]);
        let text = document(&report(vec![one, two]));
        assert!(text.contains("| `task/y` | **FAIL** | - |"), "{text}");
        assert!(!text.contains("task/x"));
        assert!(text.contains("- a 6.1: `task/y`: bad \\| &lt;worse>\n"), "{text}");
        assert!(text.contains("| a 6.1 |  | 0 of 0 | 1 of 2 | 1 | 0 s |"), "{text}");
    }
}
