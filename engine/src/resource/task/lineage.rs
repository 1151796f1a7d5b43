//! How each task of a tree comes to be born: from whom, and in which session.
//!
//! A session cannot be chosen: it is that of the process which one is forked from (fork(2), setsid(2)). A task in
//! another session than its parent was born in one of three ways, and is again:
//!
//! - the parent leads a session, and bore the task before setsid(2): [`Birth::Early`]. The parent was born in the task's
//!   session, then, by the same rules;
//! - its first parent is gone, and the nearest subreaper, or an ancestor that was one, adopted it. So its parent is an
//!   ancestor of the session's leader, and a process of that session can bear it again: [`Birth::Beside`];
//! - the same, but the leader is gone, too: a helper stands in for it ([`Birth::Orphan`]).
//!
//! The survey asks here, as the restore does, so that both agree on what can be built. Not here: process groups, which
//! a task may change at any time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use crate::error::{Blame, Error};
use crate::image::message::PstreeEntry;
use crate::kernel::Pid;

/// One task of a tree; parents come before their children.
#[derive(Debug, Clone, Copy)]
pub struct Kin {
    /// Its pid.
    pub pid: Pid,
    /// Index of its parent, `None` for the root.
    pub parent: Option<usize>,
    /// Its session.
    pub sid: Pid,
}

/// How a task is born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// Of its parent, in the session of that.
    Fork,
    /// Of its parent, before that makes its own session.
    Early,
    /// Of the session's leader (its index) or a child of that, and adopted by its parent.
    Beside(usize),
    /// Of a helper that stands in for the leader of session `sid`, as a child of the task with the index `under`.
    Orphan {
        /// Whose child the helper is.
        under: usize,
        /// Which pid the helper has.
        sid: Pid,
    },
}

/// The births of a tree.
#[derive(Debug)]
pub struct Lineage {
    births: Vec<Birth>,
    origins: Vec<Option<usize>>,
    order: Vec<usize>,
}

impl Lineage {
    /// Finds a birth for each task; the second list are those that have none.
    pub fn of(kin: &[Kin]) -> (Self, Vec<Unborn>) {
        let mut search = Search::new(kin);
        for (sid, tasks) in search.strangers() {
            search.settle(sid, tasks);
        }
        let order = search.order();
        let mut unborn = search.unborn;
        if order.len() < kin.len() && unborn.is_empty() {
            let missing = (0..kin.len()).filter(|index| !order.contains(index)).take(1);
            unborn.extend(missing.filter_map(|index| Some(Unborn { index, sid: kin.get(index)?.sid })));
        }
        let births = search.births;
        let origins = kin.iter().zip(&births).map(|(task, birth)| match birth {
            Birth::Fork | Birth::Early => task.parent,
            Birth::Beside(origin) | Birth::Orphan { under: origin, .. } => Some(*origin),
        });
        (Lineage { origins: origins.collect(), births, order }, unborn)
    }

    /// How the task is born.
    pub fn birth(&self, index: usize) -> Birth {
        self.births.get(index).copied().unwrap_or(Birth::Fork)
    }

    /// All tasks, each after those that its birth needs.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Whose memory and tables the task has when it is born; `None` for the root.
    pub fn origin(&self, index: usize) -> Option<usize> {
        self.origins.get(index).copied().flatten()
    }

    /// Tasks that share a table, by its id in `ids`, with a task that they are not born of: the other one, and they.
    pub fn strays(&self, ids: &[Option<u32>]) -> Vec<(usize, usize)> {
        let id = |index: usize| ids.get(index).copied().flatten();
        let mut first: HashMap<u32, usize> = HashMap::new();
        let mut found = Vec::new();
        for (index, table) in self.order.iter().filter_map(|index| Some((*index, id(*index)?))) {
            let other = *first.entry(table).or_insert(index);
            if other != index && self.origin(index).and_then(id) != Some(table) {
                found.push((other, index));
            }
        }
        found
    }
}

/// The births of the tree that an image lists; one whose parent is not there counts as the root's child.
pub fn of_images(entries: &[PstreeEntry]) -> (Lineage, Vec<Unborn>) {
    let index: HashMap<u32, usize> = entries.iter().enumerate().map(|(i, entry)| (entry.pid, i)).collect();
    let kin = entries.iter().enumerate().map(|(i, entry)| Kin {
        pid: entry.pid as Pid,
        parent: (i > 0).then(|| index.get(&entry.ppid).copied().filter(|parent| *parent < i).unwrap_or(0)),
        sid: entry.sid as Pid,
    });
    Lineage::of(&kin.collect::<Vec<_>>())
}

/// A task that cannot be born in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unborn {
    /// Which task.
    pub index: usize,
    /// The session.
    pub sid: Pid,
}

impl Unborn {
    /// As an error that lacks the task's name.
    pub fn error(&self) -> Error {
        let reason = format!(
            "is in session {}, into which it cannot be born again: its parent is no ancestor of the session",
            self.sid
        );
        Error::new("E-SESSION", Blame::Program, reason)
            .help("dump it in a pid namespace of its own, or end the tasks of that session")
    }
}

struct Search<'a> {
    kin: &'a [Kin],
    index: HashMap<Pid, usize>,
    /// First and last number of each task's descendants, counted depth first; itself included.
    spans: Vec<(usize, usize)>,
    depths: Vec<usize>,
    births: Vec<Birth>,
    /// The sessions in which leaders of others must be born.
    born_in: HashMap<usize, Pid>,
    unborn: Vec<Unborn>,
}

impl<'a> Search<'a> {
    fn new(kin: &'a [Kin]) -> Self {
        let index = kin.iter().enumerate().map(|(i, task)| (task.pid, i)).collect();
        let mut depths = vec![0; kin.len()];
        let mut sizes = vec![1; kin.len()];
        for (i, task) in kin.iter().enumerate().rev() {
            if let Some(parent) = task.parent {
                sizes[parent] += sizes[i];
            }
        }
        // Where the next child of each task starts.
        let mut next = vec![1; kin.len()];
        let mut spans = vec![(0, 0); kin.len()];
        for (i, task) in kin.iter().enumerate() {
            let start = task.parent.map_or(0, |parent| {
                depths[i] = depths[parent] + 1;
                let start = spans[parent].0 + next[parent];
                next[parent] += sizes[i];
                start
            });
            spans[i] = (start, start + sizes[i] - 1);
        }
        let births = vec![Birth::Fork; kin.len()];
        Search { kin, index, spans, depths, births, born_in: HashMap::new(), unborn: Vec::new() }
    }

    /// The tasks that do not lead a session and are not in their parent's, by their session.
    fn strangers(&self) -> BTreeMap<Pid, Vec<usize>> {
        let mut found: BTreeMap<Pid, Vec<usize>> = BTreeMap::new();
        for (i, task) in self.kin.iter().enumerate() {
            if task.sid != task.pid && task.parent.is_some_and(|parent| self.kin[parent].sid != task.sid) {
                found.entry(task.sid).or_default().push(i);
            }
        }
        found
    }

    /// Finds births for these tasks, which all have to be born in the session.
    fn settle(&mut self, sid: Pid, mut tasks: Vec<usize>) {
        let leader = self.index.get(&sid).copied().filter(|leader| self.kin[*leader].sid == sid);
        let outside = leader.is_none() && self.kin.first().is_some_and(|root| root.sid == sid);
        loop {
            // The lowest parent that a new member can have, and still be adopted by all the others.
            let anchor = match leader {
                Some(leader) => self.kin[leader].parent,
                None if outside || sid == 0 => None,
                None => self.parents(&tasks).max_by_key(|parent| self.depths[*parent]),
            };
            let (born, stuck): (Vec<usize>, Vec<usize>) =
                tasks.iter().partition(|task| anchor.is_some_and(|anchor| self.reaches(anchor, **task)));
            if stuck.is_empty() {
                for task in born {
                    self.births[task] = match (leader, anchor) {
                        (Some(leader), _) => Birth::Beside(leader),
                        (None, Some(under)) => Birth::Orphan { under, sid },
                        (None, None) => Birth::Fork,
                    };
                }
                return;
            }
            let movable = if leader.is_some() { &stuck } else { &tasks };
            let early = movable.iter().copied().filter(|task| self.can_be_early(*task, sid));
            match early.max_by_key(|task| self.depths[*task]) {
                Some(task) => {
                    tasks.retain(|other| *other != task);
                    tasks.extend(self.make_early(task, sid));
                }
                None => {
                    self.unborn.extend(stuck.first().map(|index| Unborn { index: *index, sid }));
                    return;
                }
            }
        }
    }

    fn parents(&self, tasks: &[usize]) -> impl Iterator<Item = usize> {
        tasks.iter().filter_map(|task| self.kin[*task].parent)
    }

    /// Whether a child of `anchor` can bear the task for its parent.
    fn reaches(&self, anchor: usize, task: usize) -> bool {
        self.kin[task].parent.is_some_and(|parent| self.is_above(parent, anchor))
            && !self.is_above(task, anchor)
    }

    /// Whether one task is the other, or an ancestor of it.
    fn is_above(&self, one: usize, other: usize) -> bool {
        let ((first, last), (number, _)) = (self.spans[one], self.spans[other]);
        (first..=last).contains(&number)
    }

    /// Whether the task's parent can have been in the session before it made its own.
    fn can_be_early(&self, task: usize, sid: Pid) -> bool {
        self.kin[task].parent.is_some_and(|parent| {
            let Kin { pid, parent: above, sid: own } = self.kin[parent];
            pid == own && above.is_some() && self.born_in.get(&parent).is_none_or(|before| *before == sid)
        })
    }

    /// The task will be born by its parent, which may then have to be born in the session itself.
    fn make_early(&mut self, task: usize, sid: Pid) -> Option<usize> {
        self.births[task] = Birth::Early;
        let parent = self.kin[task].parent?;
        let known = self.born_in.insert(parent, sid).is_some();
        let inherits = self.kin[parent].parent.is_some_and(|above| self.kin[above].sid == sid);
        (!known && !inherits).then_some(parent)
    }

    /// Parents before children, and leaders before those that are born of them.
    fn order(&self) -> Vec<usize> {
        let mut waiting = vec![0; self.kin.len()];
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.kin.len()];
        for (i, task) in self.kin.iter().enumerate() {
            let other = match self.births[i] {
                Birth::Beside(other) | Birth::Orphan { under: other, .. } => Some(other),
                Birth::Fork | Birth::Early => None,
            };
            for before in task.parent.into_iter().chain(other) {
                waiting[i] += 1;
                followers[before].push(i);
            }
        }
        let mut ready: BinaryHeap<Reverse<usize>> =
            (0..waiting.len()).filter(|i| waiting[*i] == 0).map(Reverse).collect();
        let mut order = Vec::new();
        while let Some(Reverse(i)) = ready.pop() {
            order.push(i);
            for follower in &followers[i] {
                waiting[*follower] -= 1;
                if waiting[*follower] == 0 {
                    ready.push(Reverse(*follower));
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks as (pid, pid of the parent, session); the first is the root.
    fn births(tasks: &[(Pid, Pid, Pid)]) -> Result<Vec<(Pid, Birth)>, Vec<Unborn>> {
        let index = |pid: Pid| tasks.iter().position(|task| task.0 == pid);
        let kin: Vec<Kin> =
            tasks.iter().map(|(pid, ppid, sid)| Kin { pid: *pid, parent: index(*ppid), sid: *sid }).collect();
        let (lineage, unborn) = Lineage::of(&kin);
        if !unborn.is_empty() {
            return Err(unborn);
        }
        Ok(lineage.order().iter().map(|i| (kin[*i].pid, lineage.birth(*i))).collect())
    }

    #[test]
    fn a_member_adopted_by_the_root_is_born_after_the_leader() {
        let tasks = [(1, 0, 1), (2, 1, 3), (3, 1, 3), (4, 2, 3)];
        let expected = [(1, Birth::Fork), (3, Birth::Fork), (2, Birth::Beside(2)), (4, Birth::Fork)];
        assert_eq!(births(&tasks), Ok(expected.to_vec()));
    }

    #[test]
    fn a_child_of_a_leader_in_the_session_of_before_is_born_early() {
        let tasks = [(1, 0, 1), (2, 1, 2), (3, 2, 1)];
        assert_eq!(births(&tasks), Ok(vec![(1, Birth::Fork), (2, Birth::Fork), (3, Birth::Early)]));
        // The leader 3 was born in the session of 2, and lost its parent then.
        let tasks = [(1, 0, 1), (2, 1, 2), (3, 1, 3), (4, 3, 2)];
        let expected = [(1, Birth::Fork), (2, Birth::Fork), (3, Birth::Beside(1)), (4, Birth::Early)];
        assert_eq!(births(&tasks), Ok(expected.to_vec()));
    }

    #[test]
    fn a_dead_leader_is_stood_in_for_below_the_lowest_parent() {
        let tasks = [(1, 0, 1), (2, 1, 9), (3, 1, 1), (4, 3, 9)];
        let orphan = |under| Birth::Orphan { under, sid: 9 };
        let expected = [(1, Birth::Fork), (3, Birth::Fork), (2, orphan(2)), (4, orphan(2))];
        assert_eq!(births(&tasks), Ok(expected.to_vec()));
        // A member that leads the parent of another: only its own parent can have the helper.
        let tasks = [(1, 0, 1), (2, 1, 9), (3, 2, 3), (4, 3, 9)];
        let expected = [(1, Birth::Fork), (2, orphan(0)), (3, Birth::Fork), (4, Birth::Early)];
        assert_eq!(births(&tasks), Ok(expected.to_vec()));
    }

    #[test]
    fn tables_are_shared_with_the_one_that_a_task_is_born_of() {
        let kin = [(1, None, 1), (2, Some(0), 1), (3, Some(0), 1), (4, Some(2), 1)];
        let (lineage, _) = Lineage::of(&kin.map(|(pid, parent, sid)| Kin { pid, parent, sid }));
        assert_eq!(lineage.strays(&[Some(7), Some(7), Some(8), Some(8)]), []);
        // Two siblings, without their parent; a zombie has no table.
        assert_eq!(lineage.strays(&[Some(6), Some(7), Some(7), None]), [(1, 2)]);
    }

    #[test]
    fn sessions_out_of_reach_are_named() {
        // Two branches have members of a session that nobody leads.
        let tasks = [(1, 0, 1), (2, 1, 1), (3, 1, 1), (4, 2, 9), (5, 3, 9)];
        assert_eq!(births(&tasks).map_err(|unborn| unborn.len()), Err(1));
        // A parent that is no ancestor of the leader, and leads nothing.
        let tasks = [(1, 0, 1), (2, 1, 2), (3, 1, 1), (4, 3, 2)];
        assert_eq!(births(&tasks), Err(vec![Unborn { index: 3, sid: 2 }]));
        // Of the caller's session nobody below another one can be a member without having been born in it.
        let tasks = [(1, 0, 7), (2, 1, 2), (3, 2, 2), (4, 3, 7)];
        assert_eq!(births(&tasks), Err(vec![Unborn { index: 3, sid: 7 }]));
    }
}
