//! System V objects outlive the tree: a restore takes those that are there, makes those that are gone, and a failure
//! leaves neither more nor fewer than there were.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SIGKILL, SIGUSR1};

use crate::command::{LIMIT, Outcome, crio, dump, run, start, with_fault};
use crate::victim::{await_gone, send};

/// Answers every SIGUSR1 with what it sees: in two segments, one with a key, and one that goes with its last mapping; in a
/// semaphore set, of which it has taken 2 of 5 and 1 of 1, and given 1 that was used up; and in a message queue.
const PROGRAM: &str = "
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
key = 0x5b000000 | os.getpid()
ids = [libc.shmget(key, 70000, 0o1600), libc.shmget(0, 5000, 0o1640), libc.semget(key, 4, 0o1620), libc.msgget(key, 0o1660)]
areas = [libc.shmat(id, None, 0) for id in ids[:2]]
ctypes.memmove(areas[0] + 69990, b'named', 5)
ctypes.memmove(areas[1], b'removed', 7)
assert libc.shmctl(ids[1], 0, None) == 0
def message(type, text):
    buffer = ctypes.create_string_buffer(type.to_bytes(ctypes.sizeof(ctypes.c_long), 'little') + text)
    return libc.msgsnd(ids[3], buffer, len(text), 0)
def peek(number):
    buffer = ctypes.create_string_buffer(100)
    got = libc.msgrcv(ids[3], buffer, 90, number, 0o44000)
    return got if got < 0 else buffer.raw[:8 + got].replace(b'\\0', b'')
assert message(7, b'first') == 0 and message(5, b'second') == 0
operation = lambda number, by, flags=0x1800: libc.semop(ids[2], (ctypes.c_short * 3)(number, by, flags), 1)
assert libc.semctl(ids[2], 0, 16, 5) == 0 and libc.semctl(ids[2], 1, 16, 1) == 0
assert operation(0, -2) == 0 and operation(1, -1) == 0
assert operation(3, 1) == 0 and operation(3, -1, 0) == 0
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print(*ids, flush=True)
while signal.sigwait([signal.SIGUSR1]):
    values = [libc.semctl(ids[2], number, 12) for number in range(4)] + [libc.semctl(ids[2], 0, 11) == os.getpid()]
    print(ctypes.string_at(areas[0] + 69990, 5), ctypes.string_at(areas[1], 7), values, peek(0), peek(1), peek(2), flush=True)
";

/// What it says.
const ANSWER: &str = "b'named' b'removed' [3, 0, 0, 0, True] b'\\x07first' b'\\x05second' -1";

/// Gives this thread, and with it all that the test starts, an IPC namespace: numbers that others have just given back
/// would be taken by other tests.
fn in_own_namespace() {
    unshare(CloneFlags::CLONE_NEWIPC).unwrap();
}

/// A python program that leads a session, and what it has said; dropped, it is killed.
struct Script {
    child: Child,
    output: tempfile::NamedTempFile,
}

impl Script {
    fn start(text: &str, arguments: &[&str]) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("setsid");
        command.args(["python3", "-c", text]).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.stdout(output.reopen().unwrap()).spawn().unwrap();
        Script { child, output }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// A line of its output, when it is there.
    fn line(&self, number: usize) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let output = fs::read_to_string(self.output.path()).unwrap();
            let mut lines = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            if let Some(line) = lines.nth(number) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "the program is silent: {output}");
            std::thread::yield_now();
        }
    }

    /// What it says to a signal, for the n-th time.
    fn asked(&self, time: usize) -> String {
        send(self.pid(), SIGUSR1);
        self.line(time)
    }

    /// Dumps it, which ends it.
    fn dump(&mut self, images: &Path) {
        run(dump(self.pid(), "", images)).succeeded("dump");
        self.child.wait().unwrap();
    }

    /// Its output is as it was at the dump, when it had said one line.
    fn forget(&self) {
        let first = self.line(0).len() as u64 + 1;
        self.output.as_file().set_len(first).unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), SIGKILL);
    }
}

struct Program {
    script: Script,
    named: u32,
    removed: u32,
    set: u32,
    queue: u32,
}

impl Program {
    fn start() -> Self {
        let script = Script::start(PROGRAM, &[]);
        let ids: Vec<u32> = script.line(0).split(' ').map(|id| id.parse().unwrap()).collect();
        let [named, removed, set, queue] = ids.try_into().unwrap();
        Program { script, named, removed, set, queue }
    }

    fn pid(&self) -> i32 {
        self.script.pid()
    }

    /// What it sees, asked for the n-th time.
    fn check(&self, time: usize) {
        assert_eq!(self.script.asked(time), ANSWER);
    }

    fn dump(&mut self, images: &Path) {
        self.script.dump(images);
    }

    /// Removes what has outlived it.
    fn remove_named(&self) {
        for (option, id) in self.outliving() {
            assert!(remove(option, id), "ipcrm {option} {id}");
        }
    }

    fn outliving(&self) -> [(&'static str, u32); 3] {
        [("-m", self.named), ("-s", self.set), ("-q", self.queue)]
    }

    /// How all of its objects look.
    fn objects(&self) -> [Option<Vec<String>>; 4] {
        [
            segment(self.named),
            segment(self.removed),
            object("sem", self.set, 8),
            object("msg", self.queue, 11),
        ]
    }
}

fn remove(option: &str, id: u32) -> bool {
    Command::new("ipcrm").args([option, &id.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

impl Drop for Program {
    fn drop(&mut self) {
        for (option, id) in self.outliving() {
            remove(option, id);
        }
    }
}

/// The first columns of an object's line in /proc/sysvipc.
fn object(table: &str, id: u32, columns: usize) -> Option<Vec<String>> {
    let all = fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap();
    let mut rows = all.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let row = rows.find(|row| row[1] == id.to_string())?;
    Some(row[..columns].to_vec())
}

/// Of a segment without what changes with its use: key, id, mode, size, creator and users.
fn segment(id: u32) -> Option<Vec<String>> {
    let row = object("shm", id, 11)?;
    Some([0, 1, 2, 3, 4, 7, 8, 9, 10].map(|column| row[column].clone()).to_vec())
}

fn restore(dir: &Path) -> Outcome {
    run(crio("restore -d", dir))
}

#[test]
fn objects_that_are_gone_are_made_anew_with_number_and_key() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = program.objects();
    program.dump(images.path());
    let after = program.objects();
    assert_eq!(after[1], None, "the last mapping is gone");
    assert_eq!((&after[0], &after[2..]), (&before[0], &before[2..]), "a dump leaves them alone");
    restore(images.path()).succeeded("with what outlives it there");
    program.check(1);
    send(program.pid(), SIGKILL);
    await_gone(&[program.pid()], "the restored program");
    program.remove_named();
    program.script.forget();
    restore(images.path()).succeeded("without it");
    assert_eq!(program.objects(), before);
    program.check(1);
}

#[test]
fn a_restore_that_fails_leaves_no_object_and_can_be_repeated() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = program.objects();
    program.dump(images.path());
    program.remove_named();
    let points = ["ipc-made", "memory-built", "files-opened", "before-letting-go"];
    for point in points {
        run(with_fault(crio("restore -d", images.path()), point)).refused("E-FAULT", point);
        assert_eq!(program.objects(), [None, None, None, None], "{point}");
        await_gone(&[program.pid()], point);
    }
    for point in points {
        let outcome = run(with_fault(crio("restore -d", images.path()), &format!("{point}:kill")));
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        await_gone(&[program.pid()], point);
        let deadline = Instant::now() + LIMIT;
        while segment(program.removed).is_some() {
            assert!(Instant::now() < deadline, "{point}: a segment without a user is left");
        }
    }
    restore(images.path()).succeeded("after all the failures");
    assert_eq!(program.objects(), before);
    program.check(1);
}

/// Runs a line of python about the C library.
fn python(line: &str) -> String {
    let script = format!("import ctypes, os; libc = ctypes.CDLL(None); print({line})");
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a segment with this key, or any, and this id, or any.
fn occupy(key: u32, id: Option<u32>) -> u32 {
    if let Some(id) = id {
        fs::write("/proc/sys/kernel/shm_next_id", id.to_string()).unwrap();
    }
    python(&format!("libc.shmget({key}, 100, 0o1600)")).parse().unwrap()
}

#[test]
fn a_number_or_key_that_another_segment_has_is_named() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    program.dump(images.path());
    program.remove_named();
    let key = 0x5b00_0000 | program.pid() as u32;
    for (what, key, id) in [("key", key, None), ("number", 0, Some(program.named))] {
        let other = occupy(key, id);
        assert!(id.is_none_or(|id| id == other));
        let there = segment(other);
        let outcome = restore(images.path());
        outcome.refused("E-IPC-TAKEN", what);
        assert!(outcome.stderr.contains(&other.to_string()), "{what}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("ipcrm -m"), "{what}: {}", outcome.stderr);
        assert_eq!((segment(other), segment(program.removed)), (there, None), "{what}");
        assert!(remove("-m", other));
    }
    restore(images.path()).succeeded("with nothing in the way");
    program.check(1);
}

/// Has a process change a semaphore.
fn operate(set: u32, number: u32, by: i32) {
    assert_eq!(python(&format!("libc.semop({set}, (ctypes.c_short * 3)({number}, {by}, 0x800), 1)")), "0");
}

#[test]
fn a_semaphore_that_others_have_taken_meanwhile_is_named() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    program.dump(images.path());
    // Its end has given back what it had.
    operate(program.set, 1, -1);
    let before = program.objects();
    let outcome = restore(images.path());
    outcome.refused("E-IPC-HELD", "a mutex that is taken");
    assert!(outcome.stderr.contains(&format!("semaphore 1 of set {}", program.set)), "{}", outcome.stderr);
    assert_eq!(program.objects(), before);
    await_gone(&[program.pid()], "a mutex that is taken");
    operate(program.set, 1, 1);
    restore(images.path()).succeeded("a mutex that is free");
    program.check(1);
    send(program.pid(), SIGKILL);
    await_gone(&[program.pid()], "at its end");
    operate(program.set, 1, -1);
    operate(program.set, 0, -5);
}

/// Counts up and down without end, so that no two looks at its value agree.
const COUNTER: &str = "
import ctypes, sys
libc, up = ctypes.CDLL(None), (ctypes.c_short * 3)(2, 1, 0)
print(flush=True)
while True:
    for count in range(32767):
        libc.semop(int(sys.argv[1]), up, 1)
    libc.semctl(int(sys.argv[1]), 2, 16, 0)
";

#[test]
fn a_semaphore_that_others_use_all_the_time_hides_no_other() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let mut command = Command::new("python3");
    command.args(["-c", COUNTER, &program.set.to_string()]).stdout(Stdio::piped());
    let mut counter = command.spawn().unwrap();
    let started = std::io::Read::read(counter.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    program.dump(images.path());
    counter.kill().unwrap();
    counter.wait().unwrap();
    assert_eq!(started, 1);
    operate(program.set, 1, -1);
    restore(images.path()).refused("E-IPC-HELD", "the mutex is known");
}

/// Has a POSIX queue with a name and one message in it, unless it is told to leave it empty.
const QUEUE: &str = "
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
attr = (ctypes.c_long * 8)(0, 3, 10)
queue = libc.mq_open(sys.argv[1].encode(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, attr)
assert sys.argv[2] == 'empty' or libc.mq_send(queue, b'text', 4, 0) == 0
print(queue, flush=True)
signal.pause()
";

/// A program with a queue that was dumped and has ended.
fn with_queue(name: &str, content: &str, images: &Path) -> Script {
    let mut script = Script::start(QUEUE, &[name, content]);
    script.line(0);
    script.dump(images);
    script
}

/// Calls a function of the C library about a queue, and returns what it does.
fn mq(call: &str) -> String {
    python(&format!("libc.{call}"))
}

#[test]
fn a_posix_queue_that_is_gone_or_another_one_is_named_or_made_anew() {
    in_own_namespace();
    let own = std::process::id();
    let images = tempfile::tempdir().unwrap();
    let full = format!("/crio-full-{own}");
    let _full = with_queue(&full, "full", images.path());
    assert_eq!(mq(&format!("mq_unlink(b'{full}')")), "0");
    restore(images.path()).refused("E-MQUEUE-GONE", "a queue with a message");
    assert_eq!(mq(&format!("mq_open(b'{full}', 0o302, 0o600, None) > 0")), "True");
    restore(images.path()).refused("E-MQUEUE-CHANGED", "a queue of another size");
    assert_eq!(mq(&format!("mq_unlink(b'{full}')")), "0");
    assert_eq!(mq(&format!("mq_open(b'{full}', 0o302, 0o600, (ctypes.c_long * 8)(0, 3, 10)) > 0")), "True");
    let outcome = restore(images.path());
    outcome.refused("E-MQUEUE-CHANGED", "a queue of the same size, made anew");
    assert!(outcome.stderr.contains("without the 1 messages"), "{}", outcome.stderr);
    assert_eq!(mq(&format!("mq_unlink(b'{full}')")), "0");

    let images = tempfile::tempdir().unwrap();
    let empty = format!("/crio-empty-{own}");
    let script = with_queue(&empty, "empty", images.path());
    let pid = script.pid();
    assert_eq!(mq(&format!("mq_unlink(b'{empty}')")), "0");
    run(with_fault(crio("restore -d", images.path()), "before-letting-go"))
        .refused("E-FAULT", "a failing restore");
    await_gone(&[pid], "a failing restore");
    assert_eq!(mq(&format!("mq_open(b'{empty}', 0)")), "-1", "a failing restore leaves its queue");
    restore(images.path()).succeeded("an empty queue");
    assert_eq!(mq(&format!("mq_unlink(b'{empty}')")), "0");
    send(pid, SIGKILL);
    await_gone(&[pid], "at its end");
}

/// Makes an object of another mode than that of the image, with the number that it had there.
fn occupy_with(setting: &str, id: u32, call: &str) {
    fs::write(format!("/proc/sys/kernel/{setting}_next_id"), id.to_string()).unwrap();
    assert_eq!(python(&format!("libc.{call}")), id.to_string());
}

#[test]
fn an_object_that_lets_nobody_in_is_not_taken_for_a_leftover() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    program.dump(images.path());
    program.remove_named();
    let key = 0x5b00_0000 | program.pid() as u32;
    let calls = [
        ("-m", "shm", program.named, format!("shmget({key}, 70000, 0o1111)")),
        ("-s", "sem", program.set, format!("semget({key}, 4, 0o1111)")),
        ("-q", "msg", program.queue, format!("msgget({key}, 0o1111)")),
    ];
    for (option, table, id, call) in calls {
        occupy_with(table, id, &call);
        let outcome = restore(images.path());
        outcome.refused("E-IPC-TAKEN", table);
        assert!(outcome.stderr.contains("mode 0111"), "{table}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!("ipcrm {option}")), "{table}: {}", outcome.stderr);
        assert!(remove(option, id), "{table}: it is gone");
    }
    restore(images.path()).succeeded("with nothing in the way");
    program.check(1);
}

#[test]
fn a_posix_queue_that_lets_nobody_in_is_not_taken_for_a_leftover() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let name = format!("/crio-closed-{}", std::process::id());
    let script = with_queue(&name, "empty", images.path());
    assert_eq!(mq(&format!("mq_unlink(b'{name}')")), "0");
    assert_eq!(mq(&format!("mq_open(b'{name}', 0o302, 0, (ctypes.c_long * 8)(0, 3, 10)) > 0")), "True");
    restore(images.path()).refused("E-MQUEUE-CHANGED", "a queue of mode 0");
    assert_eq!(mq(&format!("mq_unlink(b'{name}')")), "0", "it is gone");
    // What killed restores leave behind is not in the way of the next one, finished or not.
    let made = format!("libc.mq_open(b'{name}', 0o302, 0, (ctypes.c_long * 8)(0, 3, 10))");
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let mark = format!("os.stat('/proc/self/ns/pid').st_ino, 0x2d6 << 22 | {}", gone.id());
    assert_eq!(python(&format!("os.fchown({made}, {mark})")), "None");
    let outcome = run(with_fault(crio("restore -d", images.path()), "files-opened:kill"));
    assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{outcome:?}");
    await_gone(&[script.pid()], "a killed restore");
    restore(images.path()).succeeded("after a killed restore");
    assert_eq!(mq(&format!("mq_unlink(b'{name}')")), "0");
}

#[test]
fn two_restores_do_not_take_objects_from_each_other() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = program.objects();
    program.dump(images.path());
    program.remove_named();
    let mut first = start(with_fault(crio("restore -d", images.path()), "ipc-made:wait"));
    first.await_point();
    let outcome = restore(images.path());
    outcome.refused("E-IPC-TAKEN", "the second");
    assert!(outcome.stderr.contains("is being restored by process"), "{}", outcome.stderr);
    first.go_on();
    first.finish().succeeded("the first");
    assert_eq!(program.objects(), before);
    program.check(1);
}

/// Locks what everybody can open, for ever.
const HOLDER: &str = "
import fcntl, os, signal
os.setuid(65534)
files = [open(f'/proc/sys/kernel/{kind}_next_id') for kind in ('shm', 'sem', 'msg')]
for file in files: fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
signal.pause()
";

#[test]
fn a_lock_that_any_user_can_hold_does_not_stop_a_restore() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = program.objects();
    program.dump(images.path());
    program.remove_named();
    let holder = Script::start(HOLDER, &[]);
    holder.line(0);
    let outcome = restore(images.path());
    drop(holder);
    outcome.succeeded("with the numbers locked by somebody");
    assert_eq!(program.objects(), before);
    program.check(1);
}

#[test]
fn nothing_depends_on_what_the_caller_does_with_sigchld() {
    in_own_namespace();
    let ignoring = |command: Command| {
        let mut wrapped = Command::new("env");
        wrapped.arg("--ignore-signal=CHLD").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            value.map(|value| wrapped.env(name, value));
        }
        run(wrapped)
    };
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = program.objects();
    ignoring(dump(program.pid(), "", images.path())).succeeded("dump");
    program.script.child.wait().unwrap();
    program.remove_named();
    for point in ["ipc-made", "before-letting-go"] {
        ignoring(with_fault(crio("restore -d", images.path()), point)).refused("E-FAULT", point);
        assert_eq!(program.objects(), [None, None, None, None], "{point}");
        await_gone(&[program.pid()], point);
    }
    ignoring(crio("restore -d", images.path())).succeeded("restore");
    assert_eq!(program.objects(), before);
    program.check(1);
}

/// Has a queue with more in it than it may hold by now, and one that is full: msg_qbytes stands where
/// include/uapi/asm-generic/msgbuf.h has it on machines of 64 bits.
const LIMITS: &str = "
import ctypes, signal
libc = ctypes.CDLL(None)
status = (ctypes.c_char * 200)()
limit = ctypes.c_long.from_buffer(status, 88)
def queue(bytes, *lengths):
    id = libc.msgget(0, 0o1600)
    for length in lengths:
        message = ctypes.create_string_buffer((1).to_bytes(8, 'little') + b'x' * length)
        assert libc.msgsnd(id, message, length, 0x800) == 0
    assert libc.msgctl(id, 2, status) == 0
    limit.value = bytes
    assert libc.msgctl(id, 1, status) == 0
    return id
ids = [queue(10, 8000, 0), queue(16384, 8192, 8192)]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print(*ids, flush=True)
while signal.sigwait([signal.SIGUSR1]):
    for id in ids:
        assert libc.msgctl(id, 2, status) == 0
        print(limit.value, *[libc.msgrcv(id, ctypes.create_string_buffer(9000), 8500, n, 0o44000) for n in range(3)], end=' ')
    print(flush=True)
";

#[test]
fn a_queue_with_more_than_it_may_hold_is_made_anew() {
    in_own_namespace();
    let images = tempfile::tempdir().unwrap();
    let mut script = Script::start(LIMITS, &[]);
    let ids: Vec<u32> = script.line(0).split(' ').map(|id| id.parse().unwrap()).collect();
    script.dump(images.path());
    for id in &ids {
        assert!(remove("-q", *id));
    }
    restore(images.path()).succeeded("without the queues");
    assert_eq!(script.asked(1), "10 8000 0 -1 16384 8192 8192 -1 ");
    for id in &ids {
        assert!(remove("-q", *id));
    }
}
