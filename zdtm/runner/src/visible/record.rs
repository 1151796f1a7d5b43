//! Status fields and small files of a task, without what changes by itself.

use std::{fs, io};

use super::if_there;

/// Fields of status that count, measure or tell the moment.
const MOMENTARY: [&str; 10] = [
    "State",
    "FDSize",
    "SigQ",
    "CoreDumping",
    "HugetlbPages",
    "Kthread",
    "voluntary_ctxt_switches",
    "nonvoluntary_ctxt_switches",
    "Ngid",
    "Threads",
];

/// Fields of stat, numbered from 1 as in proc(5), that stay the same.
const STAT_FIELDS: [(usize, &str); 20] = [
    (4, "ppid"),
    (5, "pgrp"),
    (6, "session"),
    (7, "tty_nr"),
    (8, "tpgid"),
    (19, "nice"),
    (26, "startcode"),
    (27, "endcode"),
    (28, "startstack"),
    (38, "exit_signal"),
    (40, "rt_priority"),
    (41, "policy"),
    (45, "start_data"),
    (46, "end_data"),
    (47, "start_brk"),
    (48, "arg_start"),
    (49, "arg_end"),
    (50, "env_start"),
    (51, "env_end"),
    (52, "exit_code"),
];

/// What the parent of a zombie can still learn; the rest shows how the task happened to end.
const OF_A_ZOMBIE: [&str; 8] =
    ["Name", "Tgid", "ppid", "pgrp", "session", "exit_signal", "exit_code", "state"];

/// Small files, compared line by line.
const FILES: [&str; 11] = [
    "cmdline",
    "comm",
    "environ",
    "auxv",
    "limits",
    "oom_score_adj",
    "personality",
    "timers",
    "loginuid",
    "timerslack_ns",
    "coredump_filter",
];

const LINKS: [&str; 3] = ["exe", "cwd", "root"];

/// Status and stat of a task.
pub(super) fn status(pid: i32) -> io::Result<Vec<(String, String)>> {
    fields(&format!("/proc/{pid}"))
}

/// Status and stat of one more thread.
pub(super) fn thread_status(pid: i32, thread: i32) -> io::Result<Vec<(String, String)>> {
    fields(&format!("/proc/{pid}/task/{thread}"))
}

fn fields(folder: &str) -> io::Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = status_fields(&fs::read_to_string(format!("{folder}/status"))?);
    found.extend(stat_fields(&fs::read_to_string(format!("{folder}/stat"))?));
    if found.iter().any(|(name, value)| name == "state" && value == "Z") {
        found.retain(|(name, _)| OF_A_ZOMBIE.contains(&name.as_str()));
    }
    Ok(found)
}

fn status_fields(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let lasting = lines.filter(|(key, _)| {
        // Locked memory is asked for; all other sizes are what has been touched so far.
        !MOMENTARY.contains(key) && (*key == "VmLck" || !(key.starts_with("Vm") || key.starts_with("Rss")))
    });
    lasting.map(|(key, value)| (key.to_owned(), value.trim().replace('\t', " "))).collect()
}

fn stat_fields(text: &str) -> Vec<(String, String)> {
    // The name, field 2, may itself contain blanks and brackets.
    let Some((_, rest)) = text.rsplit_once(") ") else {
        return Vec::new();
    };
    let values: Vec<&str> = rest.split_whitespace().collect();
    let state = match values.first() {
        Some(state @ (&"Z" | &"T" | &"t")) => state,
        _ => "live",
    };
    let mut found: Vec<(String, String)> = STAT_FIELDS
        .iter()
        // Before the end, it is the stop signal that no parent has waited for yet.
        .filter(|(_, name)| *name != "exit_code" || state == "Z")
        .filter_map(|(number, name)| Some(((*name).to_owned(), (*values.get(number - 3)?).to_owned())))
        .collect();
    found.push(("state".to_owned(), state.to_owned()));
    found
}

/// Small files and links of a task; of a zombie they are nobody's concern.
pub(super) fn settings(pid: i32) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    if fs::read_to_string(format!("/proc/{pid}/stat"))?.contains(") Z ") {
        return Ok(found);
    }
    for name in FILES {
        let Some(bytes) = if_there(fs::read(format!("/proc/{pid}/{name}")))? else {
            continue;
        };
        for (number, line) in readable(name, &bytes).lines().enumerate() {
            found.push((
                format!("{name} {}", number + 1),
                line.split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
    }
    found.extend(cgroups(&fs::read_to_string(format!("/proc/{pid}/cgroup"))?));
    for name in LINKS {
        if let Some(target) = if_there(fs::read_link(format!("/proc/{pid}/{name}")))? {
            found.push((name.to_owned(), target.to_string_lossy().into_owned()));
        }
    }
    Ok(found)
}

/// Where a task is below the root of a hierarchy. That there is a hierarchy says nothing: other tests make some.
fn cgroups(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let below = lines.filter(|(_, path)| *path != "/");
    below.map(|(hierarchy, path)| (format!("cgroup {hierarchy}"), path.to_owned())).collect()
}

fn readable(name: &str, bytes: &[u8]) -> String {
    if name == "auxv" {
        return bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    let separator = if name == "environ" { "\n" } else { " " };
    String::from_utf8_lossy(bytes).replace('\0', separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "12 (a) b) S 1 2 3 4 5 0 0 0 0 0 0 0 0 0 20 7 1 0 9";
        let fields = stat_fields(text);
        let get = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!(get("ppid").as_deref(), Some("1"));
        assert_eq!(get("tpgid").as_deref(), Some("5"));
        assert_eq!(get("nice").as_deref(), Some("7"));
        assert_eq!(get("state").as_deref(), Some("live"));
        assert_eq!(get("exit_code"), None);
    }

    #[test]
    fn the_roots_of_hierarchies_are_left_out() {
        let text = "9:name=systemd:/\n2:cpu,cpuacct:/a:b\n0::/c\n";
        let expected = [("cgroup cpu,cpuacct", "/a:b"), ("cgroup ", "/c")];
        assert_eq!(cgroups(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn sizes_and_counters_are_left_out() {
        let text = "Name:\tx\nVmRSS:\t 10 kB\nVmLck:\t 4 kB\nUid:\t0\t1\t2\t3\nSigQ:\t1/2\n";
        let expected = [("Name", "x"), ("VmLck", "4 kB"), ("Uid", "0 1 2 3")];
        let expected: Vec<(String, String)> =
            expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(status_fields(text), expected);
    }
}
