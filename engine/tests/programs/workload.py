#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
"""A Python program with a bit of everything, which says itself whether it is still whole.

    workload.py RESULT [HEAP_MIB]

It writes "READY PID" to the file RESULT when all is set up: threads that count, HEAP_MIB (200) of patterned heap,
files open at odd offsets, a pipe with unread bytes, a deleted open file, a signal both pending and blocked, a running
interval timer, and a second process with which it shares memory. On SIGUSR1 it checks everything and adds a line
"PASS" or "FAIL REASON; ..." to RESULT; it may be asked any number of times. On SIGTERM it does the same and ends.
"""

import fcntl
import hashlib
import mmap
import os
import signal
import struct
import sys
import tempfile
import threading
import time

MIB = 1 << 20
UNREAD = b"unread bytes " * 321
DELETED = bytes(range(256)) * 100
TICK_SECONDS = 0.05
FILE_OFFSETS = (1, 1237, 65537)
# How long a counter of a thread, the timer or the other process may take to move on a busy machine.
PATIENCE_SECONDS = 10


class Heap:
    """Blocks of memory, each of one repeated digest, so that a lost or exchanged page shows."""

    def __init__(self, mib):
        self.blocks = [bytearray(self.pattern(i) * (MIB // 32)) for i in range(mib)]

    @staticmethod
    def pattern(index):
        return hashlib.sha256(b"block %d" % index).digest()

    def faults(self):
        for i, block in enumerate(self.blocks):
            if block != self.pattern(i) * (MIB // 32):
                yield f"heap: block {i} of {len(self.blocks)} differs"


class Files:
    """Open files at odd offsets, one of them shared by two descriptors, and a deleted one."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "data")
        self.content = hashlib.sha256(b"file").digest() * 4096
        with open(self.path, "wb") as file:
            file.write(self.content)
        self.fds = [os.open(self.path, os.O_RDWR) for _ in FILE_OFFSETS]
        for fd, offset in zip(self.fds, FILE_OFFSETS):
            os.lseek(fd, offset, os.SEEK_SET)
        self.twin = os.dup(self.fds[0])
        gone = os.path.join(directory, "deleted")
        self.deleted = os.open(gone, os.O_RDWR | os.O_CREAT)
        os.write(self.deleted, DELETED)
        os.lseek(self.deleted, 77, os.SEEK_SET)
        os.unlink(gone)

    def faults(self):
        for fd, offset in zip(self.fds, FILE_OFFSETS):
            if os.lseek(fd, 0, os.SEEK_CUR) != offset:
                yield f"files: fd {fd} is at {os.lseek(fd, 0, os.SEEK_CUR)}, not {offset}"
            if os.pread(fd, 100, offset) != self.content[offset : offset + 100]:
                yield f"files: contents of fd {fd} differ"
        os.lseek(self.twin, 999, os.SEEK_SET)
        if os.lseek(self.fds[0], 0, os.SEEK_CUR) != 999:
            yield "files: duplicated descriptors no longer share their offset"
        os.lseek(self.fds[0], FILE_OFFSETS[0], os.SEEK_SET)
        if os.fstat(self.deleted).st_nlink != 0:
            yield "files: the deleted file has a name"
        if os.lseek(self.deleted, 0, os.SEEK_CUR) != 77:
            yield "files: the deleted file's offset differs"
        if os.pread(self.deleted, len(DELETED) + 1, 0) != DELETED:
            yield "files: the deleted file's contents differ"


class Pipe:
    """A pipe with unread bytes; a check reads them and puts them back."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.write(self.writer, UNREAD)

    def faults(self):
        try:
            got = os.read(self.reader, 65536)
        except BlockingIOError:
            got = b""
        if got != UNREAD:
            yield f"pipe: {len(got)} bytes, expected {len(UNREAD)}"
        os.write(self.writer, UNREAD)
        if fcntl.fcntl(self.reader, fcntl.F_GETFL) & os.O_NONBLOCK == 0:
            yield "pipe: O_NONBLOCK is lost"


class Counters:
    """Numbers in shared memory that threads, the timer and the other process count up; all of them must move."""

    def __init__(self, names):
        self.names = names
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)

    def get(self, name):
        return struct.unpack_from("Q", self.memory, 8 * self.names.index(name))[0]

    def add(self, name):
        struct.pack_into("Q", self.memory, 8 * self.names.index(name), self.get(name) + 1)

    def faults(self):
        start = {name: self.get(name) for name in self.names}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            # Python runs handlers of signals between two instructions of the main thread: this lets the timer tick.
            time.sleep(TICK_SECONDS)
            if all(self.get(name) > start[name] for name in self.names):
                return
        for name in self.names:
            if self.get(name) <= start[name]:
                yield f"counters: {name} stands still at {start[name]}"


class Workload:
    def __init__(self, directory, heap_mib):
        self.threads = [f"thread {i}" for i in range(4)]
        self.counters = Counters([*self.threads, "timer", "other process"])
        self.child = self.start_other_process()
        self.heap = Heap(heap_mib)
        self.files = Files(directory)
        self.pipe = Pipe()
        self.block_signal()
        for name in self.threads:
            threading.Thread(target=self.count, args=(name,), name=name, daemon=True).start()
        signal.signal(signal.SIGALRM, lambda *_: self.counters.add("timer"))
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
        self.identity = (os.getpid(), os.getpgrp(), os.getsid(0), os.getcwd())

    def count(self, name):
        while True:
            self.counters.add(name)
            time.sleep(TICK_SECONDS)

    def start_other_process(self):
        pid = os.fork()
        if pid:
            return pid
        # Without its parent it would count for ever. While both are gone and come back, the parent is the same.
        parent = os.getppid()
        while os.getppid() == parent:
            self.counters.add("other process")
            time.sleep(TICK_SECONDS)
        os._exit(0)

    @staticmethod
    def block_signal():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        os.kill(os.getpid(), signal.SIGUSR2)

    def faults(self):
        for part in (self.heap, self.files, self.pipe, self.counters):
            yield from part.faults()
        if signal.SIGUSR2 not in signal.sigpending():
            yield "signals: SIGUSR2 is not pending"
        if signal.SIGUSR2 not in signal.pthread_sigmask(signal.SIG_BLOCK, []):
            yield "signals: SIGUSR2 is not blocked"
        if signal.getitimer(signal.ITIMER_REAL)[1] != TICK_SECONDS:
            yield f"timer: the interval is {signal.getitimer(signal.ITIMER_REAL)[1]}"
        running = len(os.listdir("/proc/self/task"))
        if running != len(self.threads) + 1:
            yield f"threads: {running}, expected {len(self.threads) + 1}"
        if (os.getpid(), os.getpgrp(), os.getsid(0), os.getcwd()) != self.identity:
            yield "identity: pid, process group, session or directory differ"
        if os.waitpid(self.child, os.WNOHANG) != (0, 0):
            yield "other process: it has ended"


def report(path, line):
    """Adds a line; the file is opened anew, so that its descriptor is no part of the dump."""
    with open(path, "a") as file:
        file.write(line + "\n")


def main():
    result = os.path.abspath(sys.argv[1])
    heap_mib = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    asked = []
    with tempfile.TemporaryDirectory(prefix="workload-", dir=os.path.dirname(result)) as directory:
        workload = Workload(directory, heap_mib)
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, lambda number, _: asked.append(number))
        report(result, f"READY {os.getpid()}")
        answered = None
        while answered != signal.SIGTERM:
            while not asked:
                # The timer ends each pause, so a signal that comes just before it waits for a tick at most.
                signal.pause()
            answered = asked.pop(0)
            faults = list(workload.faults())
            report(result, "FAIL " + "; ".join(faults) if faults else "PASS")
        os.kill(workload.child, signal.SIGKILL)
        # The interpreter takes its handlers back before it ends: a tick in between would kill it.
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
