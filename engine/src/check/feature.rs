//! What is known of a feature besides its probe.

use super::Feature;

/// Who needs a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// Every dump or restore.
    Required,
    /// Some programs, or a faster way.
    Extra,
    /// Not settled in the kernel or here.
    Experimental,
    /// Shown, but not missed by a check: what only some machines have, or nobody needs.
    Optional,
}

/// What somebody wants to do, for which a feature is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// Any dump and restore.
    Everything,
    /// Programs that use more of the kernel than others.
    Programs,
    /// Programs with sockets.
    Network,
    /// Moving programs with their connections, or their memory after them.
    Migration,
    /// Containers: namespaces, mounts, network devices, security.
    Containers,
    /// Dumps that build on an earlier one.
    Incremental,
    /// Dumps and restores by somebody who is not root.
    Unprivileged,
    /// The same in less time.
    Speed,
    /// What only some processors have.
    Processor,
}

/// One row of the table. An empty text is a thing that there is not.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) category: Category,
    pub(super) goal: Goal,
    /// What the engine does with it.
    pub(super) purpose: &'static str,
    /// The option for which alone it is needed.
    pub(super) option: &'static str,
    /// The first kernel release, and what has to be configured.
    pub(super) since: &'static str,
    /// Without which the kernel refuses it.
    pub(super) capability: &'static str,
    /// What is done instead.
    pub(super) fallback: &'static str,
    /// What does not work without it and without a fallback.
    pub(super) consequence: &'static str,
    /// What brings it, if that is no kernel.
    pub(super) remedy: &'static str,
}

impl Entry {
    /// What the rows are filled up with.
    pub(super) const EMPTY: Entry = Entry {
        name: "",
        category: Category::Required,
        goal: Goal::Everything,
        purpose: "",
        option: "",
        since: "",
        capability: "",
        fallback: "",
        consequence: "",
        remedy: "",
    };
}

impl Category {
    /// Lower case, for JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Category::Required => "required",
            Category::Extra => "extra",
            Category::Experimental => "experimental",
            Category::Optional => "optional",
        }
    }
}

impl Goal {
    /// All of them, in the order of the report.
    pub const ALL: [Goal; 9] = [
        Goal::Everything,
        Goal::Programs,
        Goal::Network,
        Goal::Migration,
        Goal::Containers,
        Goal::Incremental,
        Goal::Unprivileged,
        Goal::Speed,
        Goal::Processor,
    ];

    /// A headline.
    pub const fn name(self) -> &'static str {
        match self {
            Goal::Everything => "every dump and restore",
            Goal::Programs => "programs that use more of the kernel",
            Goal::Network => "programs with sockets",
            Goal::Migration => "live migration",
            Goal::Containers => "containers",
            Goal::Incremental => "incremental dumps",
            Goal::Unprivileged => "unprivileged use",
            Goal::Speed => "speed",
            Goal::Processor => "some processors only",
        }
    }
}

impl Feature {
    /// CRIU's name where it has one.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// Who needs it.
    pub const fn category(self) -> Category {
        self.entry().category
    }

    /// What it is there for.
    pub const fn goal(self) -> Goal {
        self.entry().goal
    }
}
