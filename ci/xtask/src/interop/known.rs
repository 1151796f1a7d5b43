//! What CRIU 4.2.1 itself refuses or loses: the one table. A test stands here only if CRIU's own dump and CRIU's own
//! restore of it fail as well, or CRIU's dump has not what the test needs.

use super::Direction::{self, FromCriu, ToCriu};

/// Test, direction, reason.
const KNOWN: &[(&str, Direction, &str)] = &[
    ("file/directory_flags", ToCriu, "opens directories without O_DIRECTORY"),
    ("file/directory_offset", ToCriu, "opens directories without O_DIRECTORY"),
    ("file/file_replaced", ToCriu, "shows the file under the name of its temporary link"),
    ("file/fown_thread", ToCriu, "sets the owners of signals before threads exist"),
    ("file/ghost_directory", ToCriu, "opens directories without O_DIRECTORY"),
    ("file/o_tmpfile", ToCriu, "drops O_TMPFILE from the flags of a file"),
    ("file/o_tmpfile", FromCriu, "drops O_TMPFILE from the flags of a file"),
    ("file/o_tmpfile_linkable", ToCriu, "drops O_TMPFILE from the flags of a file"),
    ("file/o_tmpfile_linkable", FromCriu, "drops O_TMPFILE from the flags of a file"),
    ("file/pipe_packets", ToCriu, "knows no packet mode of pipes"),
    ("file/pipe_packets", FromCriu, "refuses packet mode of pipes"),
    ("file/pty_exclusive", ToCriu, "leaves an exclusive terminal open to all"),
    ("file/shared_fs", ToCriu, "gives every task a working directory of its own"),
    ("file/shared_fs", FromCriu, "refuses tasks that share a working directory"),
    ("file/tty_session", ToCriu, "gives a session's terminal to its leader only"),
    ("file/tty_session_member", ToCriu, "gives a session's terminal to its leader only"),
    ("file/tty_opened_by_name", ToCriu, "cannot open /dev/tty in a member of a session"),
    ("file/tty_opened_by_name", FromCriu, "refuses /dev/tty in a member of a session"),
    ("memory/mlock", ToCriu, "knows no MLOCK_ONFAULT"),
    ("memory/mlock", FromCriu, "knows no MLOCK_ONFAULT"),
    ("memory/mlockall_future", ToCriu, "knows no MCL_FUTURE"),
    ("memory/mlockall_future", FromCriu, "knows no MCL_FUTURE"),
    ("task/affinity", ToCriu, "does not keep the processors of a thread"),
    ("task/affinity", FromCriu, "does not keep the processors of a thread"),
    ("task/coredump_filter", ToCriu, "does not keep what a core dump would contain"),
    ("task/coredump_filter", FromCriu, "does not keep what a core dump would contain"),
    ("task/credentials", FromCriu, "needs CAP_SYS_RESOURCE to read the limits of another user's task"),
    (
        "task/credentials_of_other_user",
        FromCriu,
        "needs CAP_SYS_RESOURCE to read the limits of another user's task",
    ),
    ("task/futex_timeout_restarted", FromCriu, "ends a wait with a time limit by EINTR"),
    ("task/group_leader_exited", ToCriu, "loses a task of a session whose leader has ended"),
    ("task/ioprio", ToCriu, "does not keep the priority of disk access"),
    ("task/ioprio", FromCriu, "does not keep the priority of disk access"),
    ("task/nanosleep_restarted", FromCriu, "ends a relative sleep by EINTR"),
    ("task/personality", ToCriu, "sets no personality"),
    ("task/poll_restarted", FromCriu, "ends a wait with a time limit by EINTR"),
    ("task/timerslack", ToCriu, "does not keep the slack of timers"),
    ("task/timerslack", FromCriu, "does not keep the slack of timers"),
    ("task/zombie_exit_codes", ToCriu, "cuts exit codes to seven bits"),
];

/// Why the test cannot pass in this direction, if that is known.
pub(crate) fn reason(name: &str, direction: Direction) -> Option<&'static str> {
    KNOWN.iter().find(|(test, way, _)| *test == name && *way == direction).map(|(.., reason)| *reason)
}

/// The same for a failure with this report. What our own engine failed to do is never excused.
pub(crate) fn excuse(name: &str, direction: Direction, report: &str) -> Option<&'static str> {
    let ours: &[&str] = match direction {
        ToCriu => &["step start", "step dump", "step inspect"],
        FromCriu => &["step start", "step inspect", "step restore"],
    };
    reason(name, direction).filter(|_| !ours.iter().any(|step| report.contains(step)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_tests_that_there_are() {
        let suite = crate::workspace::root().join("zdtm");
        for (test, ..) in KNOWN {
            assert!(suite.join(format!("{test}.c")).exists(), "{test}");
        }
    }

    #[test]
    fn a_reason_is_for_one_direction() {
        assert!(reason("task/zombie_exit_codes", ToCriu).is_some());
        assert_eq!(reason("task/zombie_exit_codes", FromCriu), None);
    }

    #[test]
    fn our_own_failure_is_not_excused() {
        let theirs = "iteration 1: step compare: /proc shows other state than before";
        assert!(excuse("task/affinity", FromCriu, theirs).is_some());
        assert!(excuse("task/affinity", FromCriu, "iteration 1: step restore: the engine ended").is_none());
        assert!(excuse("task/affinity", ToCriu, "iteration 1: step restore: the engine ended").is_some());
    }
}
