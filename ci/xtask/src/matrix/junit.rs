//! JUnit's XML, which every CI system shows: a suite for each column and pair, a case for each cell.

use std::fmt::Write as _;

use super::report::{Cells, Column, Report, Verdict};

pub(super) fn document(report: &Report) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for column in report.all() {
        let all = column.features.len() + column.tests.len() + usize::from(!column.problem.is_empty());
        let skipped = [&column.features, &column.tests].map(|cells| Column::count(cells, Verdict::Skip));
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{all}\" failures=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
            escaped(&column.name),
            column.failures(),
            skipped.iter().sum::<usize>(),
            column.seconds
        );
        if !column.problem.is_empty() {
            case(&mut out, "guest", "boot", 0.0, (Verdict::Fail, &column.problem));
        }
        cases(&mut out, "feature", &column.features);
        cases(&mut out, "test", &column.tests);
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}

fn cases(out: &mut String, class: &str, cells: &Cells) {
    for (name, cell) in cells {
        case(out, class, name, cell.seconds, (cell.verdict, &cell.message));
    }
}

fn case(out: &mut String, class: &str, name: &str, seconds: f64, (verdict, message): (Verdict, &str)) {
    let first = escaped(message.lines().next().unwrap_or_default());
    let inside = match verdict {
        Verdict::Pass => String::new(),
        Verdict::Skip => format!("<skipped message=\"{first}\"/>"),
        Verdict::Fail => format!("<failure message=\"{first}\">{}</failure>", escaped(message)),
    };
    let name = escaped(name);
    let _ = writeln!(
        out,
        "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">{inside}</testcase>"
    );
}

/// Text for XML and HTML. XML 1.0 has no way to write other control characters: a console may be full of them.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::{column, report};
    use super::*;

    #[test]
    fn a_failure_has_its_log_and_nothing_breaks_the_document() {
        let message = "lost <pid>\n\u{1b}[31m& \"more\"";
        let cells = [("task/x", Verdict::Fail, message), ("task/y", Verdict::Skip, "needs sve")];
        let text = document(&report(vec![column("a 6.1", &cells)]));
        assert!(text.contains("<testsuite name=\"a 6.1\" tests=\"2\" failures=\"1\" skipped=\"1\""));
        let lost =
            "<failure message=\"lost &lt;pid&gt;\">lost &lt;pid&gt;\n\u{fffd}[31m&amp; &quot;more&quot;";
        assert!(text.contains(lost), "{text}");
        assert!(text.contains("<skipped message=\"needs sve\"/>"));
    }
}
