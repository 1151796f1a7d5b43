//! The same work on many objects, done by several threads.
//!
//! Questions are shared by two ([`map`]): what /proc tells of a thread costs a dozen system calls, none of which waits for
//! the tracer. Two threads, because that is what is left to us on most machines, and the kernel's locks of /proc let more
//! of them gain little. Pages are copied by all that take some from a [`Queue`].
//!
//! A thread that the kernel refuses (RLIMIT_NPROC, pids.max) costs time and nothing else: the others do its work. But for
//! one that has to be another than ours ([`apart`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use crate::error::{Error, OsContext, Result};

/// So many objects are worth another thread.
const MANY: usize = 24;

/// The answers for all items, in their order, or the first failure.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], ask: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let ask_all = |items: &[T]| items.iter().map(&ask).collect::<Result<Vec<R>>>();
    if items.len() < MANY {
        return ask_all(items);
    }
    let (first, second) = items.split_at(items.len() / 2);
    std::thread::scope(|scope| {
        let Ok(other) = Builder::new().spawn_scoped(scope, || ask_all(second)) else {
            return ask_all(items);
        };
        let mut all = ask_all(first)?;
        all.extend(other.join().map_err(|_| Error::bug("a thread that asks has panicked"))??);
        Ok(all)
    })
}

/// Work of which each thread takes the next piece when it has done one.
#[derive(Debug)]
pub(crate) struct Queue<'a, T> {
    items: &'a [T],
    next: AtomicUsize,
}

impl<'a, T> Queue<'a, T> {
    pub(crate) fn new(items: &'a [T]) -> Self {
        Queue { items, next: AtomicUsize::new(0) }
    }

    /// Does what is left, with the number of each item, until nothing is; the first failure leaves nothing to the others.
    pub(crate) fn work(&self, mut work: impl FnMut(usize, &'a T) -> Result<()>) -> Result<()> {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = self.items.get(index) else { return Ok(()) };
            work(index, item).inspect_err(|_| self.next.store(self.items.len(), Ordering::Relaxed))?;
        }
    }
}

/// The same work, which is a [`Queue`]'s, in up to so many threads, of which the caller is one.
pub(crate) fn by_threads(workers: usize, work: &(impl Fn() -> Result<()> + Sync)) -> Result<()> {
    by_threads_of(Builder::new, workers, work)
}

fn by_threads_of(
    builder: impl Fn() -> Builder,
    workers: usize,
    work: &(impl Fn() -> Result<()> + Sync),
) -> Result<()> {
    std::thread::scope(|scope| {
        let others = (1..workers).map_while(|_| builder().spawn_scoped(scope, work).ok());
        let handles: Vec<_> = others.collect();
        let mut result = work();
        for handle in handles {
            result =
                result.and(handle.join().unwrap_or_else(|_| Err(Error::bug("a thread of ours panicked"))));
        }
        result
    })
}

/// Runs `work` in a thread that ends with it, and so may change what a thread has for itself: users, root directory.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = Builder::new().spawn_scoped(scope, work).os(|| "make a thread")?;
        thread.join().unwrap_or_else(|_| Err(Error::bug("a thread of ours panicked")))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn all_items_are_done_once_and_a_failure_ends_the_work() {
        let items: Vec<usize> = (0..100).collect();
        let (queue, done) = (Queue::new(&items), Mutex::new(Vec::new()));
        let note = |index, item: &usize| {
            done.lock().unwrap().push((index, *item));
            Ok(())
        };
        by_threads(3, &|| queue.work(note)).unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, items.iter().map(|item| (*item, *item)).collect::<Vec<_>>());
        let queue = Queue::new(&items);
        let fails = |index, _: &usize| if index == 7 { Err(Error::bug("seven")) } else { Ok(()) };
        assert!(queue.work(fails).is_err());
        queue.work(|index, _| Err(Error::bug(index.to_string()))).unwrap();
    }

    #[test]
    fn work_is_done_where_no_other_thread_can_be_made() {
        // No address space has room for such a stack.
        let impossible = || Builder::new().stack_size(usize::MAX / 2);
        let items: Vec<usize> = (0..10).collect();
        let (queue, done) = (Queue::new(&items), AtomicUsize::new(0));
        let count = |_, _: &usize| {
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        by_threads_of(impossible, 3, &|| queue.work(count)).unwrap();
        assert_eq!(done.into_inner(), items.len());
    }

    #[test]
    fn another_thread_works_apart_and_its_end_is_told() {
        let own = nix::unistd::gettid();
        assert_ne!(apart(|| Ok(nix::unistd::gettid())).unwrap(), own);
        assert_eq!(apart(|| Err::<(), _>(Error::image("x", "y"))).unwrap_err().code(), "E-IMAGE-BAD");
        assert_eq!(apart(|| -> Result<()> { panic!("told") }).unwrap_err().code(), "E-BUG");
    }

    #[test]
    fn answers_are_in_the_order_of_the_items_and_the_first_failure_counts() {
        let items: Vec<usize> = (0..3 * MANY).collect();
        for len in [0, 1, MANY - 1, MANY, MANY + 1, items.len()] {
            assert_eq!(map(&items[..len], |item| Ok(item * 2)).unwrap().len(), len);
        }
        assert_eq!(map(&items, |item| Ok(*item)).unwrap(), items);
        let fails = |item: &usize| match *item % MANY {
            3 => Err(Error::bug(item.to_string())),
            _ => Ok(()),
        };
        assert!(map(&items, fails).unwrap_err().to_string().contains("3"));
    }
}
