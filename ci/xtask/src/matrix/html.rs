//! The report as one page that needs nothing else: style and script are inside, and without the script it is a table.
//!
//! A cell's address is `#x86-64-6.1/task/sessions`. What failed links to its log at the end of the page.

use std::fmt::Write as _;

use super::junit::escaped;
use super::report::{Cell, Cells, Column, Report, Verdict};
use super::speed;
use crate::bench::history::Run;

const STYLE: &str = include_str!("../../../report/page.css");
const SCRIPT: &str = include_str!("../../../report/page.js");

pub(super) fn document(report: &Report) -> String {
    let mut body = String::new();
    head(report, &mut body);
    if !report.columns.is_empty() {
        body.push_str("<div class=\"scroll\"><table id=\"matrix\">\n");
        columns(report, &mut body);
        rows(report, "features", |column| &column.features, &mut body);
        rows(report, "tests", |column| &column.tests, &mut body);
        body.push_str("</table></div>\n");
    }
    pairs(report, &mut body);
    speed(report, &mut body);
    logs(report, &mut body);
    // It filters the first table.
    let script = if report.columns.is_empty() { "" } else { SCRIPT };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>crio: what works where</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\
         <script>\n{script}</script>\n</body>\n</html>\n"
    )
}

fn head(report: &Report, out: &mut String) {
    let passed: usize = report.all().map(|column| Column::count(&column.tests, Verdict::Pass)).sum();
    let all: usize = report.all().map(|column| column.tests.len()).sum();
    let failures = report.failures();
    let state = if failures == 0 { "good" } else { "bad" };
    let _ = writeln!(
        out,
        "<h1>crio: what works where</h1>\n<p>Commit <code>{}</code>, <time>{}</time>: {} machines and kernels, \
         {} pairs of them, \
         {passed} of {all} tests passed, <strong class=\"{state}\">{failures} failures</strong>.\n\
         <span class=\"pass\">pass</span>: works; <span class=\"skip\">skip</span>: this kernel is known to lack it, \
         the reason is in the cell's title; <span class=\"fail\">fail</span>: leads to its log.</p>\n\
         <form id=\"filters\" hidden>\n\
         <label>name <input id=\"word\" type=\"search\" placeholder=\"task/, tcp, ...\"></label>\n\
         <label><input id=\"odd\" type=\"checkbox\"> only what did not pass everywhere</label>\n\
         <span id=\"machines\"></span></form>",
        escaped(&report.commit),
        date(report.time),
        report.columns.len(),
        report.pairs.len(),
    );
}

fn columns(report: &Report, out: &mut String) {
    out.push_str("<thead><tr><th scope=\"col\">kernel</th>");
    for column in &report.columns {
        let Column { machine, kernel, release, package, page_size, seconds, .. } = column;
        let title = format!("{release}, {package}, pages of {page_size} bytes, {seconds:.0} s");
        let _ = write!(
            out,
            "<th scope=\"col\" data-machine=\"{}\" title=\"{}\">{}<br>{}</th>",
            escaped(machine),
            escaped(&title),
            escaped(machine),
            escaped(kernel)
        );
    }
    out.push_str("</tr>\n<tr><th scope=\"row\">failures</th>");
    for column in &report.columns {
        let failures = column.failures();
        let class = if failures == 0 { "pass" } else { "fail" };
        let link = if column.problem.is_empty() {
            failures.to_string()
        } else {
            format!("<a href=\"#log:{}\">{failures}</a>", anchor(column, "boot"))
        };
        let _ = write!(out, "<td class=\"{class}\">{link}</td>");
    }
    out.push_str("</tr></thead>\n");
}

fn rows(report: &Report, title: &str, table: fn(&Column) -> &Cells, out: &mut String) {
    let _ = writeln!(
        out,
        "<tbody><tr class=\"title\"><th scope=\"rowgroup\" colspan=\"{}\">{title}</th></tr>",
        report.columns.len() + 1
    );
    for (name, about) in report.rows(table) {
        let _ = write!(
            out,
            "<tr data-name=\"{0}\"><th scope=\"row\" title=\"{1}\">{0}</th>",
            escaped(name),
            escaped(about)
        );
        for column in &report.columns {
            cell(column, name, table(column).get(name), out);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n");
}

fn cell(column: &Column, name: &str, cell: Option<&Cell>, out: &mut String) {
    let Some(cell) = cell else {
        out.push_str("<td class=\"none\" title=\"not run\"></td>");
        return;
    };
    let (id, word) = (anchor(column, name), cell.verdict.word());
    let title = match cell.verdict {
        Verdict::Pass => format!("{name} on {}, {:.1} s", column.name, cell.seconds),
        _ => format!("{name} on {}: {}", column.name, cell.headline()),
    };
    let target = if cell.verdict == Verdict::Fail { format!("log:{id}") } else { id.clone() };
    let _ = write!(
        out,
        "<td id=\"{id}\" class=\"{word}\" title=\"{}\"><a href=\"#{target}\">{word}</a></td>",
        escaped(&title)
    );
}

/// For each machine from which kernel to which one; the title of a cell says what was skipped.
fn pairs(report: &Report, out: &mut String) {
    for (machine, kernels) in report.kernels_of_pairs() {
        let machine_name = escaped(machine);
        let _ = write!(
            out,
            "<h2>{machine_name}: dumped on one kernel, restored on another</h2>\n\
             <div class=\"scroll\"><table><thead><tr><th scope=\"col\">from, to</th>"
        );
        for kernel in &kernels {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(kernel));
        }
        out.push_str("</tr></thead>\n<tbody>");
        for from in &kernels {
            let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escaped(from));
            for to in &kernels {
                pair(report.pair(machine, from, to), out);
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
    }
}

fn pair(pair: Option<&Column>, out: &mut String) {
    let Some(pair) = pair else {
        out.push_str("<td class=\"none\"></td>");
        return;
    };
    let passed = Column::count(&pair.tests, Verdict::Pass);
    let skipped = pair.tests.iter().filter(|(_, cell)| cell.verdict == Verdict::Skip);
    let reasons = skipped.map(|(name, cell)| format!("{name}: {}\n", cell.headline()));
    let _ = write!(
        out,
        "<td class=\"{}\" title=\"{}\">{passed}/{}",
        if pair.failures() == 0 { "pass" } else { "fail" },
        escaped(reasons.collect::<String>().trim_end()),
        pair.tests.len()
    );
    for (name, _) in pair.tests.iter().filter(|(_, cell)| cell.verdict == Verdict::Fail) {
        let _ = write!(out, "<br><a id=\"{0}\" href=\"#log:{0}\">{1}</a>", anchor(pair, name), escaped(name));
    }
    out.push_str("</td>");
}

/// The benchmark's runs, the newest first; the title of a cell says how far its pairs were apart.
fn speed(report: &Report, out: &mut String) {
    let Some(table) = speed::table(report) else { return };
    out.push_str(
        "<h2 id=\"speed\">Speed</h2>\n<p>Time and memory as a part of what the other engine takes on the same machine in \
         the same run.</p>\n<div class=\"scroll\"><table><thead><tr><th scope=\"col\">run</th>",
    );
    for Run { time, commit, kernel, processors, pairs, theirs, .. } in &table.runs {
        let title = format!("{kernel}, {processors} processors, {pairs} pairs, against {theirs}");
        let (title, commit) = (escaped(&title), escaped(commit));
        let _ = write!(out, "<th scope=\"col\" title=\"{title}\">{}<br>{commit}</th>", date(*time));
    }
    out.push_str("</tr></thead>\n<tbody>");
    for (figure, ratios) in &table.rows {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escaped(figure));
        for (at, ratio) in ratios.iter().enumerate() {
            let Some(now) = ratio else {
                out.push_str("<td class=\"none\"></td>");
                continue;
            };
            let before = ratios.get(at + 1).copied().flatten();
            let class = if before.is_some_and(|before| speed::is_slower(*now, before)) { "bad" } else { "" };
            let title = format!("{:.2} .. {:.2}", now.min, now.max);
            let _ = write!(out, "<td class=\"{class}\" title=\"{title}\">{:.2}</td>", now.median);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// What failed, whole.
fn logs(report: &Report, out: &mut String) {
    if report.failures() == 0 {
        return;
    }
    out.push_str("<h2>Failures</h2>\n");
    for column in report.all() {
        if !column.problem.is_empty() {
            log(column, "boot", &column.problem, out);
        }
        for (name, cell) in column.features.iter().chain(&column.tests) {
            if cell.verdict == Verdict::Fail {
                log(column, name, &cell.message, out);
            }
        }
    }
}

fn log(column: &Column, name: &str, message: &str, out: &mut String) {
    let id = anchor(column, name);
    let _ = writeln!(
        out,
        "<details id=\"log:{id}\" open><summary><a href=\"#{id}\">{}: {}</a></summary><pre>{}</pre></details>",
        escaped(&column.name),
        escaped(name),
        escaped(message)
    );
}

/// The address of a cell, which stays the same from report to report.
fn anchor(column: &Column, name: &str) -> String {
    escaped(&format!("{}/{name}", column.name.replace(' ', "-")))
}

/// The day of a time, UTC: the civil calendar from days since 1970, in eras of 400 years that begin in March.
fn date(time: u64) -> String {
    let days = time / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::{column, pair, report};
    use super::*;
    use crate::bench::history::testing::run;

    #[test]
    fn a_failure_of_a_pair_leads_to_its_log() {
        let cells = [("task/x", Verdict::Fail, "lost"), ("task/y", Verdict::Pass, "")];
        let pairs = vec![pair("a", ["5.10", "7.x"], &cells)];
        let page = document(&Report { pairs, ..report(vec![]) });
        assert!(
            page.contains("<td class=\"fail\" title=\"\">1/2<br><a id=\"a-5.10-to-7.x/task/x\""),
            "{page}"
        );
        assert!(page.contains("<details id=\"log:a-5.10-to-7.x/task/x\" open>"), "{page}");
    }

    #[test]
    fn the_benchmark_has_its_table() {
        let benchmarks = vec![run(1, "tiny disk dump", 0.2), run(2, "tiny disk dump", 1.0)];
        let page = document(&Report { benchmarks, ..report(vec![]) });
        let row = "<tr><th scope=\"row\">tiny disk dump</th><td class=\"bad\" title=\"0.50 .. 2.00\">1.00</td>\
                   <td class=\"\" title=\"0.10 .. 0.40\">0.20</td></tr>";
        assert!(page.contains(row), "{page}");
        assert!(!document(&report(vec![])).contains("Speed"));
    }

    #[test]
    fn a_day_is_the_calendars() {
        for (time, day) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_767_225_600, "2026-01-01"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(date(time), day);
        }
    }

    #[test]
    fn every_cell_has_an_address_and_every_failure_its_log() {
        let cells = [("task/x", Verdict::Fail, "lost <b>\nthe log"), ("task/y", Verdict::Pass, "")];
        let page = document(&report(vec![column("a 6.1", &cells), column("b 6.1", &[])]));
        assert!(page.contains("<td id=\"a-6.1/task/x\" class=\"fail\""), "{page}");
        assert!(page.contains("href=\"#log:a-6.1/task/x\""));
        assert!(page.contains("<details id=\"log:a-6.1/task/x\" open>"));
        assert!(page.contains("<pre>lost &lt;b&gt;\nthe log</pre>"));
        assert!(page.contains("<td id=\"a-6.1/task/y\" class=\"pass\""));
        assert_eq!(page.matches("class=\"none\"").count(), 2);
        assert!(!page.contains("http"), "nothing is loaded from elsewhere");
    }
}
