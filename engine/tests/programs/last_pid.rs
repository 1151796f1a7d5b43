//! A kernel that has no set_tid for clone3(2): ids are given by kernel.ns_last_pid, against everybody else who forks.

use std::process::Command;

use tempfile::TempDir;

/// In a pid namespace of its own, because it is the ids of a whole namespace that are turned back.
const SCRIPT: &str = r#"
cd "$1"
setsid python3 -c '
import os, threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
if os.fork() == 0:
    os.setsid()
    os.fork()
time.sleep(1000)' </dev/null >/dev/null 2>&1 &
ids() { for pid in $(pgrep -x python3 | sort); do echo $pid: $(ps -o ppid=,sid= -p $pid) $(ls /proc/$pid/task); done; }
while [ "$(pgrep -x python3 | wc -l)" -lt 3 ]; do sleep 0.1; done
sleep 0.3
ids >before
mkdir images
"$2" dump --no-default-config -D images -t "$(head -1 before | cut -d: -f1)" || exit 1
while [ "$(ids)" ]; do sleep 0.1; done
while /bin/true; do :; done &
CRIO_FAULT=set-tid "$2" restore --no-default-config -d -D images || exit 1
ids >after
cat before
diff before after
"#;

#[test]
fn ids_are_restored_without_set_tid_while_others_fork() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]);
    let output = command.arg(directory.path()).arg(env!("CARGO_BIN_EXE_crio")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // Three processes, one of them with four threads.
    assert_eq!(String::from_utf8_lossy(&output.stdout).split_whitespace().count(), 3 * 3 + 6, "{output:?}");
}
