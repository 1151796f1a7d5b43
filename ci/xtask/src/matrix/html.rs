//! The report as one page that needs nothing else: style and script are inside, and without the script it is a table.
//!
//! A cell's address is `#x86-64-6.1/task/sessions`. What failed leads to its log at the end of the page, what was skipped to
//! the reason, which is in the cell's title, too: a phone shows no titles.

use std::collections::BTreeMap;
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
        rows(report, &FEATURES, &mut body);
        rows(report, &TESTS, &mut body);
        body.push_str("</table></div>\n");
        kernels(report, &mut body);
    }
    pairs(report, &mut body);
    speed(report, &mut body);
    logs(report, &mut body);
    reasons(report, &mut body);
    // It filters the first table.
    let script = if report.columns.is_empty() { "" } else { SCRIPT };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>crio: what works where</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\
         <script>\n{script}</script>\n</body>\n</html>\n"
    )
}

/// One of the two parts of the table.
struct Part {
    title: &'static str,
    cells: fn(&Column) -> &Cells,
    word: fn(Verdict) -> &'static str,
}

const FEATURES: Part = Part {
    title: "features",
    cells: |column| &column.features,
    word: |verdict| match verdict {
        Verdict::Pass => "yes",
        Verdict::Skip => "no",
        Verdict::Fail => "fail",
    },
};

const TESTS: Part = Part { title: "tests", cells: |column| &column.tests, word: Verdict::word };

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
         <span class=\"pass\">yes, pass</span>: works; <span class=\"skip\">no, skip</span>: this kernel is known to lack \
         it, leads to the reason; <span class=\"fail\">fail</span>: leads to its log.</p>\n\
         <form id=\"filters\" hidden>\n\
         <label>name <input id=\"word\" type=\"search\" placeholder=\"task/, tcp, ...\"></label>\n\
         <label>show <select id=\"state\"><option value=\"\">everything</option>\
         <option value=\"odd\">what did not pass everywhere</option>\
         <option value=\"fail\">failures</option></select></label>\n\
         <span id=\"machines\"></span> <output id=\"count\"></output></form>",
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
        let link = failed(column).next().map_or(failures.to_string(), |(name, _)| {
            format!("<a href=\"#log:{}\">{failures}</a>", anchor(column, name))
        });
        let id = match column.problem.is_empty() {
            true => String::new(),
            false => format!(" id=\"{}\"", anchor(column, "boot")),
        };
        let _ = write!(out, "<td class=\"{class}\"{id}>{link}</td>");
    }
    out.push_str("</tr></thead>\n");
}

fn rows(report: &Report, part: &Part, out: &mut String) {
    let _ = writeln!(
        out,
        "<tbody><tr class=\"title\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>",
        report.columns.len() + 1,
        part.title
    );
    for (name, about) in report.rows(part.cells) {
        let _ = write!(
            out,
            "<tr data-name=\"{0}\"><th scope=\"row\" title=\"{1}\">{0}</th>",
            escaped(name),
            escaped(about)
        );
        for column in &report.columns {
            cell(column, name, (part.cells)(column).get(name), part.word, out);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n");
}

fn cell(
    column: &Column,
    name: &str,
    cell: Option<&Cell>,
    word: fn(Verdict) -> &'static str,
    out: &mut String,
) {
    let Some(cell) = cell else {
        out.push_str("<td class=\"none\" title=\"not run\"></td>");
        return;
    };
    let id = anchor(column, name);
    let title = match cell.verdict {
        Verdict::Pass => format!("{name} on {}, {:.1} s", column.name, cell.seconds),
        _ => format!("{name} on {}: {}", column.name, cell.headline()),
    };
    let target = match cell.verdict {
        Verdict::Pass => id.clone(),
        Verdict::Fail => format!("log:{id}"),
        Verdict::Skip => format!("why:{}", escaped(name)),
    };
    let _ = write!(
        out,
        "<td id=\"{id}\" class=\"{}\" title=\"{}\"><a href=\"#{target}\">{}</a></td>",
        cell.verdict.word(),
        escaped(&title),
        word(cell.verdict)
    );
}

/// What the columns are, for those who see no titles.
fn kernels(report: &Report, out: &mut String) {
    out.push_str("<h2>Kernels</h2>\n<div class=\"scroll\"><table><thead><tr>");
    for name in ["machine", "kernel", "release", "package", "page", "features", "tests", "took"] {
        let _ = write!(out, "<th scope=\"col\">{name}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>");
    for column in &report.columns {
        let there = |cells: &Cells| format!("{} of {}", Column::count(cells, Verdict::Pass), cells.len());
        let Column { machine, kernel, release, package, page_size, seconds, features, tests, .. } = column;
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{page_size}</td><td>{}</td><td>{}</td>\
             <td>{:.0} min</td></tr>",
            escaped(machine),
            escaped(kernel),
            escaped(release),
            escaped(package),
            there(features),
            there(tests),
            (seconds / 60.0).ceil()
        );
    }
    out.push_str("</tbody></table></div>\n");
}

/// For each machine from which kernel to which one; the title of a cell says what was skipped, and what was refused as it
/// had to be.
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
    let reasons = remarks(pair).map(|(name, cell)| format!("{name}: {}\n", cell.headline()));
    let _ = write!(
        out,
        "<td class=\"{}\" title=\"{}\">{passed}/{}",
        if pair.failures() == 0 { "pass" } else { "fail" },
        escaped(reasons.collect::<String>().trim_end()),
        pair.tests.len()
    );
    for (name, _) in failed(pair) {
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
        for (name, message) in failed(column) {
            log(column, name, message, out);
        }
    }
}

/// The names of what failed in a column, and what is known of it; `boot` if nothing was run.
fn failed(column: &Column) -> impl Iterator<Item = (&str, &str)> {
    let boot = Some(("boot", column.problem.as_str())).filter(|(_, problem)| !problem.is_empty());
    let cells = column.features.iter().chain(&column.tests);
    let cells = cells.filter(|(_, cell)| cell.verdict == Verdict::Fail);
    boot.into_iter().chain(cells.map(|(name, cell)| (name.as_str(), cell.message.as_str())))
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

/// The cells of a column that did not fail and about which there is something to say.
fn remarks(column: &Column) -> impl Iterator<Item = (&String, &Cell)> {
    let cells = column.features.iter().chain(&column.tests);
    cells.filter(|(_, cell)| cell.verdict != Verdict::Fail && !cell.message.is_empty())
}

/// Why something was skipped, each reason once, with links to the cells.
fn reasons(report: &Report, out: &mut String) {
    let mut all: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for column in report.all() {
        for (name, cell) in remarks(column) {
            let (id, shown) = (anchor(column, name), escaped(&column.name));
            let places = all.entry(name).or_default().entry(cell.headline()).or_default();
            // The cells of pairs have no addresses.
            let _ = match column.origin.is_empty() {
                true => write!(places, " <a href=\"#{id}\">{shown}</a>"),
                false => write!(places, " <span>{shown}</span>"),
            };
        }
    }
    if all.is_empty() {
        return;
    }
    out.push_str("<h2>Reasons</h2>\n<dl>\n");
    for (name, reasons) in all {
        let _ = writeln!(out, "<dt id=\"why:{0}\">{0}</dt>", escaped(name));
        for (reason, places) in reasons {
            let _ = writeln!(out, "<dd>{}:{places}</dd>", escaped(reason));
        }
    }
    out.push_str("</dl>\n");
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
    fn what_was_skipped_leads_to_its_reason_and_back() {
        let skipped = [("task/x", Verdict::Skip, "needs sve")];
        let mut one = column("a 6.1", &skipped);
        one.features.insert("sve".to_owned(), Cell::new(Verdict::Skip, "missing: EINVAL", "about"));
        let pairs = vec![pair("a", ["7.x", "6.1"], &[("task/y", Verdict::Pass, "error[E-X]: refused")])];
        let page = document(&Report { pairs, ..report(vec![one, column("b 6.1", &skipped)]) });
        assert!(
            page.contains("title=\"task/x on a 6.1: needs sve\"><a href=\"#why:task/x\">skip</a>"),
            "{page}"
        );
        assert!(page.contains("<a href=\"#why:sve\">no</a>"), "{page}");
        let reason = "<dt id=\"why:task/x\">task/x</dt>\n<dd>needs sve: <a href=\"#a-6.1/task/x\">a 6.1</a> \
                      <a href=\"#b-6.1/task/x\">b 6.1</a></dd>";
        assert!(page.contains(reason), "{page}");
        assert!(page.contains("title=\"task/y: error[E-X]: refused\">1/1</td>"), "{page}");
        assert!(page.contains("<dd>error[E-X]: refused: <span>a 7.x to 6.1</span></dd>"), "{page}");
    }

    #[test]
    fn what_was_not_run_has_an_address_and_a_reason() {
        let without = |column| Column { problem: "no guest".to_owned(), ..column };
        let pairs = vec![without(pair("a", ["5.10", "7.x"], &[]))];
        let page = document(&Report { pairs, ..report(vec![without(column("a 6.1", &[]))]) });
        for name in ["a-6.1", "a-5.10-to-7.x"] {
            assert!(page.contains(&format!(" id=\"{name}/boot\"")), "{page}");
            assert!(page.contains(&format!("<details id=\"log:{name}/boot\" open>")), "{page}");
        }
    }

    #[test]
    fn the_count_of_failures_leads_to_the_first() {
        let page = document(&report(vec![column("a 6.1", &[("task/x", Verdict::Fail, "lost")])]));
        assert!(page.contains("<td class=\"fail\"><a href=\"#log:a-6.1/task/x\">1</a></td>"), "{page}");
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
