//! The flags that name consumer groups, for every verb that has to do with them.

use lockstep_core::spec::select::{GroupSelection, Patterns};

#[derive(Debug, clap::Args)]
pub(crate) struct Grouping {
    /// Consumer groups to take: a regular expression for the whole name
    #[arg(long, value_name = "REGEX")]
    groups: Option<String>,
    /// Consumer groups to leave out although they match --groups
    #[arg(long, value_name = "REGEX", requires = "groups")]
    exclude_groups: Option<String>,
}

impl Grouping {
    pub(crate) fn is_given(&self) -> bool {
        self.groups.is_some()
    }

    /// `None`: no groups are named.
    ///
    /// # Errors
    /// The first flag that cannot be read, with its value and the remedy.
    pub(crate) fn check(&self) -> Result<Option<GroupSelection>, String> {
        let patterns =
            |flag: &str, pattern: Option<&str>| Patterns::new(pattern).map_err(|bad| format!("{flag} {bad}"));
        let Some(groups) = &self.groups else { return Ok(None) };
        Ok(Some(GroupSelection {
            include: patterns("--groups", Some(groups))?,
            exclude: patterns("--exclude-groups", self.exclude_groups.as_deref())?,
        }))
    }
}
