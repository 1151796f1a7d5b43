//! What CRIU 4.2.1 itself refuses or loses: the one table. A test stands here only if CRIU's own dump and CRIU's own
//! restore of it fail as well, or CRIU's dump has not what the test needs.

use super::Direction::{self, FromCriu, ToCriu};

/// Test, direction, reason.
const KNOWN: &[(&str, Direction, &str)] = &[
    ("file/directory_flags", ToCriu, "opens directories without O_DIRECTORY"),
    ("file/directory_offset", ToCriu, "opens directories without O_DIRECTORY"),
    ("file/epoll_closed_number", ToCriu, "watches files under the numbers that they have now"),
    ("file/epoll_closed_number", FromCriu, "watches files under the numbers that they have now"),
    ("file/epoll_modes", ToCriu, "arms a spent one-shot watch for errors"),
    ("file/epoll_of_other_task", ToCriu, "looks for watched files in one task only"),
    ("file/epoll_of_other_task", FromCriu, "looks for watched files in one task only"),
    ("file/eventfd_counter", ToCriu, "cuts the counters of eventfds to 32 bits"),
    ("file/eventfd_semaphore", ToCriu, "knows no semaphores among eventfds"),
    ("file/eventfd_semaphore", FromCriu, "knows no semaphores among eventfds"),
    ("file/fanotify_mounts", ToCriu, "knows no marks on file systems"),
    ("file/fanotify_mounts", FromCriu, "knows no marks on file systems"),
    ("file/fown_thread", ToCriu, "sets the owners of signals before threads exist"),
    ("file/ghost_attributes", ToCriu, "knows no extended attributes of deleted files"),
    ("file/ghost_attributes", FromCriu, "knows no extended attributes of deleted files"),
    ("file/ghost_directory", ToCriu, "opens directories without O_DIRECTORY"),
    ("file/hugetlbfs_files", ToCriu, "writes to files of hugetlbfs, which can only be mapped"),
    ("file/hugetlbfs_files", FromCriu, "sends from files of hugetlbfs, which can only be read"),
    ("file/inotify_deleted", ToCriu, "finds no path to a deleted file that is watched"),
    ("file/inotify_watches", ToCriu, "drops IN_ONESHOT and IN_EXCL_UNLINK"),
    ("file/lock_posix", FromCriu, "loses the locks that a child takes through a file of its parent"),
    ("file/memfd_hugetlb", FromCriu, "stores the holes of huge pages"),
    ("file/o_tmpfile_linkable", ToCriu, "drops O_TMPFILE from the flags of a file"),
    ("file/pipe_packets", ToCriu, "knows no packet mode of pipes"),
    ("file/pipe_packets", FromCriu, "refuses packet mode of pipes"),
    ("file/pty_exclusive", ToCriu, "leaves an exclusive terminal open to all"),
    ("file/shared_fs", ToCriu, "gives every task a working directory of its own"),
    ("file/shared_fs", FromCriu, "refuses tasks that share a working directory"),
    ("file/timerfd_ticks", FromCriu, "takes only those expirations that the kernel has counted"),
    ("file/tty_session", ToCriu, "gives a session's terminal to its leader only"),
    ("file/tty_session_member", ToCriu, "gives a session's terminal to its leader only"),
    ("file/tty_opened_by_name", ToCriu, "cannot open /dev/tty in a member of a session"),
    ("file/tty_opened_by_name", FromCriu, "refuses /dev/tty in a member of a session"),
    ("ipc/sem_posix_named", ToCriu, "shows a file by the name that it was found by"),
    ("ipc/sem_posix_named", FromCriu, "needs --link-remap for a file whose name is gone"),
    ("memory/hugetlb_shared", ToCriu, "makes memory without a name a memfd"),
    ("memory/mdwe", ToCriu, "knows no PR_SET_MDWE"),
    ("memory/mdwe", FromCriu, "knows no PR_SET_MDWE"),
    ("memory/mlock", ToCriu, "knows no MLOCK_ONFAULT"),
    ("memory/mlock", FromCriu, "knows no MLOCK_ONFAULT"),
    ("memory/mlockall_future", ToCriu, "knows no MCL_FUTURE"),
    ("memory/mlockall_future", FromCriu, "knows no MCL_FUTURE"),
    ("socket/unix_accepted_name", ToCriu, "gives no names to accepted sockets"),
    ("socket/unix_credentials_in_flight", ToCriu, "forgets who has sent a message"),
    ("socket/unix_credentials_in_flight", FromCriu, "refuses messages with credentials"),
    ("socket/unix_dgram_left_pair", ToCriu, "waits for the peer of a socket that has left it"),
    ("socket/unix_dgram_left_pair", FromCriu, "refuses a pair whose one half has left the other"),
    ("socket/unix_dgram_one_way", ToCriu, "forgets that a datagram socket had a peer"),
    ("socket/unix_dgram_one_way", FromCriu, "forgets that a datagram socket had a peer"),
    ("socket/unix_dgram_senders", ToCriu, "forgets who has sent a datagram"),
    ("socket/unix_dgram_senders", FromCriu, "forgets who has sent a datagram"),
    ("socket/unix_of_other_user", ToCriu, "is itself who is at the other end"),
    (
        "socket/unix_of_other_user",
        FromCriu,
        "needs CAP_SYS_RESOURCE to read the limits of another user's task",
    ),
    ("socket/unix_options", ToCriu, "keeps few options of sockets"),
    ("socket/unix_options", FromCriu, "refuses messages with credentials"),
    ("socket/unix_peer_closed", ToCriu, "forgets that a peer was closed with unread bytes"),
    ("socket/unix_peer_closed", FromCriu, "forgets that a peer was closed with unread bytes"),
    ("socket/unix_peercred", ToCriu, "is itself who is at the other end"),
    ("socket/unix_peercred", FromCriu, "needs CAP_SYS_RESOURCE to read the limits of another user's task"),
    ("socket/unix_pending_connections", ToCriu, "drops connections that were not accepted"),
    ("socket/unix_pending_connections", FromCriu, "drops connections that were not accepted"),
    ("socket/unix_seqpacket_records", FromCriu, "drops empty records"),
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
    ("task/sessions_reparented", ToCriu, "finds no leader of a session that lost its parent"),
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
