//! The same question about many objects, asked by two threads.
//!
//! What /proc tells of a thread costs a dozen system calls, none of which waits for the tracer. Two threads, because that
//! is what is left to us on most machines, and the kernel's locks of /proc let more of them gain little.

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
        let other = std::thread::Builder::new().spawn_scoped(scope, || ask_all(second));
        let other = other.os(|| "make a thread")?;
        let mut all = ask_all(first)?;
        all.extend(other.join().map_err(|_| Error::bug("a thread that asks has panicked"))??);
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
